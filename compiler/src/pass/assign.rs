//! Gives every ReLU and clip the patches that the assignment names for it.
//!
//! ReLUs that it does not name keep a sign per pixel. All faults of the assignment are reported at
//! once, and the graph is only touched if there are none. A layer all of whose channels are
//! identities disappears.

use trefoil_ir::nn::{Gate, Graph};

use super::{Changed, PassError, PassOptions, rewrite};
use crate::patches;

pub(super) fn run(graph: &mut Graph, options: &PassOptions) -> Result<Changed, PassError> {
    let Some(assignment) = &options.assignment else {
        return Ok(Changed::No);
    };
    let mut changed = Changed::No;
    for (id, gate) in patches::resolve(graph, assignment)? {
        if Gate::of(graph.node(id)).as_ref() != Some(&gate) {
            rewrite::put(graph, id, gate)?;
            changed = Changed::Yes;
        }
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use trefoil_ir::nn::Op;
    use trefoil_ir::{Patch, Shape};

    use super::*;
    use crate::pass::testing::{Net, find};
    use crate::patches::Assignment;

    fn assign(graph: &mut Graph, text: &str) -> Result<Changed, PassError> {
        let options = PassOptions {
            assignment: Some(Assignment::parse(text).unwrap()),
            ..PassOptions::default()
        };
        run(graph, &options)
    }

    /// relu1 and clip1 on 2x5x4, relu2 on a vector.
    fn net() -> Graph {
        let mut net = Net::new(3);
        let x = net.input(Shape::new(2, 5, 4));
        let a = net.relu(x);
        let b = net.clip(a, 1.0);
        let c = net.global_avg_pool(b);
        let d = net.relu(c);
        net.finish(d)
    }

    #[test]
    fn patches_reach_their_channels_and_signs() {
        let mut graph = net();
        let text = r#"{"relu1": [[2, 3], [0, 1]], "clip1": {"lower": [1, 1], "upper": [5, 4]}}"#;
        assert_eq!(assign(&mut graph, text).unwrap(), Changed::Yes);
        let gate = |name: &str| {
            let id = find(&graph, |op| op.name() == name);
            Gate::of(graph.node(id)).unwrap()
        };
        assert_eq!(
            gate("block_relu").lower,
            [Patch::Block { h: 2, w: 3 }, Patch::Identity]
        );
        let clip = gate("clip");
        assert_eq!(clip.lower, [Patch::PIXEL; 2]);
        assert_eq!(clip.upper, Some((1.0, vec![Patch::Block { h: 5, w: 4 }; 2])));
        assert!(graph.verify().is_ok());
    }

    #[test]
    fn one_by_one_stays_relu_and_identity_disappears() {
        let mut graph = net();
        assert_eq!(assign(&mut graph, r#"{"relu1": [1, 1]}"#).unwrap(), Changed::No);
        assign(&mut graph, r#"{"clip1": [0, 1], "relu2": [[0, 1], [0, 1]]}"#).unwrap();
        let gates: Vec<_> = graph
            .ids()
            .into_iter()
            .filter(|&id| Gate::of(graph.node(id)).is_some())
            .collect();
        assert_eq!(gates, [find(&graph, |op| matches!(op, Op::Relu(_)))]);
    }

    #[test]
    fn all_faults_come_together_and_nothing_is_touched() {
        let mut graph = net();
        let before = format!("{graph:?}");
        let text = r#"{"relu1": [[1, 1]], "relu2": {"lower": [1, 1]}, "clip1": [6, 1],
                       "rleu1": [1, 1], "/other/name": [1, 1]}"#;
        let Err(PassError::Assignment(error)) = assign(&mut graph, text) else {
            panic!("the assignment must be refused");
        };
        let text = error.to_string();
        for expected in [
            "5 faults",
            "1 patches are given, and the ReLU has 2 channels",
            "a ReLU with one sign",
            "[6, 1] is larger than the map of 5x4",
            "did you mean \"relu1\"?",
            "\"/other/name\": the network has no ReLU of this name; `trefoil check`",
        ] {
            assert!(text.contains(expected), "{expected}:\n{text}");
        }
        assert_eq!(before, format!("{graph:?}"));
    }

    #[test]
    fn patches_without_pixels_or_beyond_all_measure_are_refused() {
        for (pair, expected) in [
            ("[0, 0]", "is no patch"),
            ("[3, 0]", "is no patch"),
            ("[1, 99999999999]", "larger than the map"),
        ] {
            let error = assign(&mut net(), &format!("{{\"clip1\": {pair}}}")).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(expected) && text.contains("1 fault:"), "{text}");
        }
    }
}
