//! A network with patches but otherwise as it was imported: what leaves the compiler again.
//!
//! The passes may drop gates and move them; here every gate stays where it is, under its name.

use std::collections::HashMap;

use thiserror::Error;
use trefoil_ir::nn::{Gate, Graph, GraphError, Node, Op};
use trefoil_ir::{Patch, Patches};

use super::assignment::{Assignment, AssignmentError, LayerChoice};
use super::resolve::{resolve, resolve_on};

/// Why a network cannot get the patches of an assignment.
#[derive(Debug, Error)]
pub enum PatchError {
    /// The assignment does not fit the network.
    #[error(transparent)]
    Assignment(#[from] AssignmentError),
    /// An operator did not accept its patches.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// The network with the patches of an assignment.
///
/// # Errors
/// If the assignment does not fit the network.
pub fn with_patches(graph: &Graph, assignment: &Assignment) -> Result<Graph, PatchError> {
    let mut patched = graph.clone();
    for (id, gate) in resolve(graph, assignment)? {
        let is_plain = gate.is_pixelwise() && matches!(graph.node(id).op, Op::Relu(_));
        if !is_plain {
            patched.replace(id, gate.into_whole_op(), &graph.inputs(id))?;
        }
    }
    Ok(patched)
}

/// What an assignment makes of an imported network's gates, as an assignment for that network whose
/// clips are clips: one that is taken for a ReLU is one without upper signs.
///
/// # Errors
/// If the assignment does not fit the network.
pub fn assignment_for_imported(
    graph: &Graph,
    assignment: Option<&Assignment>,
    relu6_as_relu: bool,
) -> Result<Assignment, AssignmentError> {
    let chosen = match assignment {
        Some(assignment) if relu6_as_relu => resolve_on(graph, assignment, lower_sign)?,
        Some(assignment) => resolve(graph, assignment)?,
        None => Vec::new(),
    };
    let chosen: HashMap<_, _> = chosen.into_iter().collect();
    let mut result = Assignment::default();
    for id in graph.ids() {
        let Some(mut gate) = Gate::of(graph.node(id)) else {
            continue;
        };
        if let Some(chosen) = chosen.get(&id) {
            gate.lower = chosen.lower.clone();
            gate.upper = chosen.upper.clone().or(gate.upper);
        }
        if let Some((_, upper)) = gate.upper.as_mut().filter(|_| relu6_as_relu) {
            upper.fill(Patch::Identity);
        }
        if let Some(choice) = LayerChoice::of(&gate) {
            result.insert(graph.node(id).origin.name.clone(), choice);
        }
    }
    Ok(result)
}

/// The gate that a clip is where it is taken for a ReLU.
fn lower_sign(node: &Node) -> Option<Gate> {
    Gate::of(node).map(Gate::without_upper)
}

/// The patches that an assignment gives each gate that it names: of the lower sign, and of the
/// upper one if there are two.
///
/// # Errors
/// If the assignment does not fit the network.
pub(crate) fn patches_by_name(
    graph: &Graph,
    assignment: &Assignment,
) -> Result<HashMap<String, (Patches, Option<Patches>)>, AssignmentError> {
    let gates = resolve(graph, assignment)?.into_iter();
    let named = gates.map(|(id, gate)| {
        let upper = gate.upper.map(|(_, upper)| upper);
        (graph.node(id).origin.name.clone(), (gate.lower, upper))
    });
    Ok(named.collect())
}

#[cfg(test)]
mod tests {
    use trefoil_ir::Shape;

    use super::*;
    use crate::pass::testing::{Net, evaluate_equal, same};
    use crate::pass::{Dump, PassOptions, run};

    /// relu1 on 2x5x4, clip1 and clip2 behind it.
    fn net() -> Graph {
        let mut net = Net::new(5);
        let x = net.input(Shape::new(2, 5, 4));
        let a = net.relu(x);
        let b = net.conv(a, 2, 3);
        let c = net.clip(b, 0.5);
        let d = net.conv(c, 2, 3);
        let e = net.clip(d, 0.7);
        net.finish(e)
    }

    #[test]
    fn the_patched_network_computes_what_the_passes_make_of_it() {
        let texts = [
            (
                r#"{"relu1": [[0, 1], [0, 1]], "clip1": {"lower": [2, 3]}}"#,
                false,
            ),
            (r#"{"relu1": [[2, 2], [1, 1]], "clip2": [[5, 4], [0, 1]]}"#, true),
            (r#"{"clip1": {"upper": [0, 1]}, "relu1": [1, 1]}"#, false),
        ];
        for (text, as_relu) in texts {
            let graph = net();
            let asked = Assignment::parse(text).unwrap();
            let assignment = assignment_for_imported(&graph, Some(&asked), as_relu).unwrap();
            let options = PassOptions {
                relu6_as_relu: as_relu,
                assignment: Some(asked),
                ..PassOptions::default()
            };
            let patched = with_patches(&graph, &assignment).unwrap();
            assert_eq!(patched.len(), graph.len(), "every gate stays");
            let passed = run(graph.verify().unwrap(), &options, &mut Dump::none()).unwrap();
            evaluate_equal(&patched, &passed.graph, 3).unwrap();
        }
    }

    #[test]
    fn a_sign_per_pixel_is_no_patch() {
        let graph = net();
        let asked = Assignment::parse(r#"{"relu1": [1, 1], "clip1": [[1, 1], [1, 1]]}"#).unwrap();
        let assignment = assignment_for_imported(&graph, Some(&asked), false).unwrap();
        assert_eq!(assignment, Assignment::default());
        assert!(same(&with_patches(&graph, &asked).unwrap(), &graph));
    }
}
