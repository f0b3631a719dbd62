//! The pass manager: the list of passes, and the only code that runs them.

use std::fmt;

use thiserror::Error;
use trefoil_ir::Verified;
use trefoil_ir::nn::{Diagnostic, Graph};

use super::{
    Changed, PassError, PassOptions, affine_to_conv, assign, drop_redundant, fold_batch_norm, merge_pads,
    move_relu, normal_form, relu6_as_relu, settle_clamps,
};

use crate::patches::Assignment;

/// A pass: its name, what it is for, and the function.
pub struct Pass {
    /// Name, as `--dump-after` takes it.
    pub name: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    run: fn(&mut Graph, &PassOptions) -> Result<Changed, PassError>,
}

/// All passes, in the order in which they run.
///
/// Why this order: patches are assigned while every ReLU still has its imported name and map, and
/// clamps become gates from zero at once, since all later passes know only those.
/// Redundant nodes go next, since they stand between convolutions and batch norms. Batch norms
/// fold before pads merge: `pad, batch norm, convolution` folds only while the convolution itself
/// pads nothing. Gates move behind max-pools once merged pads no longer separate the two. What is
/// left of batch norms becomes convolutions when nothing can take it in any more.
pub const PASSES: &[Pass] = &[
    Pass {
        name: "relu6_as_relu",
        summary: "clips become ReLUs, if asked",
        run: relu6_as_relu::run,
    },
    Pass {
        name: "assign",
        summary: "ReLUs get the patches of the assignment",
        run: assign::run,
    },
    Pass {
        name: "settle_clamps",
        summary: "clamps become gates from zero, without limits that no value comes near",
        run: settle_clamps::run,
    },
    Pass {
        name: "drop_redundant",
        summary: "nodes that change nothing disappear",
        run: drop_redundant::run,
    },
    Pass {
        name: "fold_batch_norm",
        summary: "batch norms and affine maps join convolutions and linear layers",
        run: fold_batch_norm::run,
    },
    Pass {
        name: "merge_pads",
        summary: "pads join the windows behind them",
        run: merge_pads::run,
    },
    Pass {
        name: "move_relu",
        summary: "pixelwise gates move behind max-pools, where there are fewer pixels",
        run: move_relu::run,
    },
    Pass {
        name: "affine_to_conv",
        summary: "affine maps that are left become depthwise convolutions",
        run: affine_to_conv::run,
    },
    Pass {
        name: "normal_form",
        summary: "gates take their simplest form, and what lowering cannot take is refused",
        run: normal_form::run,
    },
];

/// What came out of the passes.
#[derive(Debug)]
pub struct Passed {
    /// The graph.
    pub graph: Verified<Graph>,
    /// Names of the passes that changed something.
    pub changed: Vec<&'static str>,
}

/// Runs all passes.
///
/// # Errors
/// If a pass fails or leaves a graph that the verifier refuses.
pub fn run(
    graph: Verified<Graph>,
    options: &PassOptions,
    dump: &mut Dump<'_>,
) -> Result<Passed, PassFailure> {
    run_list(PASSES, graph, options, dump)
}

/// Passes that take gates away from where the model has them, or ask what values are like.
const MOVING: [&str; 3] = ["settle_clamps", "move_relu", "normal_form"];

/// Passes that give gates their patches.
const PATCHING: [&str; 2] = ["relu6_as_relu", "assign"];

/// Runs the passes that leave every gate its imported name and map: what a profile is measured on.
/// Without an assignment each pixel keeps its own sign.
///
/// # Errors
/// If a pass fails or leaves a graph that the verifier refuses.
pub fn run_for_profile(
    graph: Verified<Graph>,
    relu6_as_relu: bool,
    assignment: Option<Assignment>,
) -> Result<Verified<Graph>, PassFailure> {
    let options = PassOptions {
        relu6_as_relu,
        assignment,
        ..PassOptions::default()
    };
    let passes = PASSES.iter().filter(|pass| !MOVING.contains(&pass.name));
    Ok(run_list(passes, graph, &options, &mut Dump::none())?.graph)
}

/// Runs the passes that give gates their patches, and no others: what ranges are measured on where
/// passes ask for them ([`open_gates`](super::open_gates)).
///
/// # Errors
/// If a pass fails or leaves a graph that the verifier refuses.
pub fn run_for_ranges(graph: Verified<Graph>, options: &PassOptions) -> Result<Verified<Graph>, PassFailure> {
    let passes = PASSES.iter().filter(|pass| PATCHING.contains(&pass.name));
    Ok(run_list(passes, graph, options, &mut Dump::none())?.graph)
}

fn run_list<'p>(
    passes: impl IntoIterator<Item = &'p Pass>,
    graph: Verified<Graph>,
    options: &PassOptions,
    dump: &mut Dump<'_>,
) -> Result<Passed, PassFailure> {
    let mut passed = Passed {
        graph,
        changed: Vec::new(),
    };
    for pass in passes {
        // Constants are shared, so keeping the last good graph costs little.
        let mut graph = Graph::clone(&passed.graph);
        let fail = |cause, last_good| PassFailure {
            pass: pass.name,
            cause,
            last_good,
        };
        match (pass.run)(&mut graph, options) {
            Ok(Changed::Yes) => passed.changed.push(pass.name),
            Ok(Changed::No) => {}
            Err(error) => return Err(fail(error.into(), Box::new(passed.graph.into_inner()))),
        }
        let compact = graph.compacted();
        let copy = compact.clone();
        passed.graph = match compact.verify() {
            Ok(verified) => verified,
            Err(faults) => {
                let cause = Cause::broken(&copy, &faults);
                return Err(fail(cause, Box::new(passed.graph.into_inner())));
            }
        };
        dump.offer(pass.name, &passed.graph);
    }
    Ok(passed)
}

/// A pass failed.
#[derive(Debug, Error)]
#[error("the pass `{pass}` could not be run on this network")]
pub struct PassFailure {
    /// Name of the pass.
    pub pass: &'static str,
    /// Why.
    #[source]
    pub cause: Cause,
    /// The graph before the pass.
    pub last_good: Box<Graph>,
}

/// Why a pass failed.
#[derive(Debug, Error)]
pub enum Cause {
    /// The pass itself gave up.
    #[error(transparent)]
    Pass(#[from] PassError),
    /// The verifier refuses what the pass made.
    #[error("the graph that it made does not verify:\n{}", .0.join("\n"))]
    Broken(
        /// One line a fault, with operator and ONNX name.
        Vec<String>,
    ),
}

impl Cause {
    fn broken(graph: &Graph, faults: &[Diagnostic]) -> Self {
        Self::Broken(faults.iter().map(|fault| line(graph, fault)).collect())
    }
}

fn line(graph: &Graph, fault: &Diagnostic) -> String {
    match fault.node {
        Some(id) => {
            let node = graph.node(id);
            format!("  {} \"{}\": {fault}", node.op.name(), node.origin.name)
        }
        None => format!("  {fault}"),
    }
}

type Show<'a> = Box<dyn FnMut(&'static str, &Graph) + 'a>;

/// Shows the graph after some passes (`--dump-after`).
pub struct Dump<'a> {
    after: Vec<&'static str>,
    show: Show<'a>,
}

impl<'a> Dump<'a> {
    /// Shows nothing.
    pub fn none() -> Self {
        Self {
            after: Vec::new(),
            show: Box::new(|_, _| {}),
        }
    }

    /// Calls `show` with pass name and graph after each of the passes called `names`.
    ///
    /// # Errors
    /// If there is no pass of such a name.
    pub fn after<S: AsRef<str>>(
        names: &[S],
        show: impl FnMut(&'static str, &Graph) + 'a,
    ) -> Result<Self, UnknownPass> {
        let mut after = Vec::with_capacity(names.len());
        for name in names {
            let name = name.as_ref();
            let pass = PASSES.iter().find(|pass| pass.name == name);
            after.push(pass.ok_or_else(|| UnknownPass(name.to_owned()))?.name);
        }
        Ok(Self {
            after,
            show: Box::new(show),
        })
    }

    fn offer(&mut self, pass: &'static str, graph: &Graph) {
        if self.after.contains(&pass) {
            (self.show)(pass, graph);
        }
    }
}

impl fmt::Debug for Dump<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dump").field("after", &self.after).finish()
    }
}

/// There is no such pass to dump after.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("there is no pass `{0}`; choose one of {list}", list = PASSES.iter().map(|p| p.name).collect::<Vec<_>>().join(", "))]
pub struct UnknownPass(String);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use trefoil_ir::nn::op::Affine;
    use trefoil_ir::{Shape, Tensor, Window};

    use super::*;
    use crate::pass::testing::{Net, config, evaluate_equal, random_graph, same};

    proptest! {
        #![proptest_config(config(300))]

        /// Each pass alone keeps the meaning of random graphs, and says truly whether it changed them.
        #[test]
        fn every_pass_keeps_the_meaning(seed in any::<u64>()) {
            let mut graph = random_graph(seed);
            for pass in PASSES {
                let mut next = graph.clone();
                let changed = (pass.run)(&mut next, &PassOptions::default()).unwrap();
                let next = next.compacted().verify().unwrap().into_inner();
                if let Err(message) = evaluate_equal(&graph, &next, seed) {
                    panic!("{}: {message}", pass.name);
                }
                if changed == Changed::No {
                    prop_assert!(same(&graph, &next), "{} changed the graph in silence", pass.name);
                }
                graph = next;
            }
        }

        /// A second run of all passes finds next to nothing left to do: two max-pools of one value
        /// may have become twins when their gates moved behind them.
        #[test]
        fn passes_reach_a_fixed_point(seed in any::<u64>()) {
            let graph = random_graph(seed).verify().unwrap();
            let options = PassOptions::default();
            let once = run(graph, &options, &mut Dump::none()).unwrap();
            let again = run(once.graph.clone(), &options, &mut Dump::none()).unwrap();
            let more: Vec<_> = again.changed.iter().filter(|name| **name != "drop_redundant").collect();
            prop_assert!(more.is_empty(), "{more:?}");
        }
    }

    /// Otherwise the properties above would prove little.
    #[test]
    fn random_graphs_give_every_pass_work() {
        let mut worked: BTreeMap<&str, usize> = BTreeMap::new();
        for seed in 0..300 {
            let graph = random_graph(seed).verify().unwrap();
            let passed = run(graph, &PassOptions::default(), &mut Dump::none()).unwrap();
            for name in passed.changed {
                *worked.entry(name).or_default() += 1;
            }
        }
        for name in PASSES.iter().skip(2).map(|p| p.name) {
            assert!(worked.get(name).is_some_and(|n| *n >= 10), "{name}: {worked:?}");
        }
    }

    /// A gate before a max-pool and one that could be split stay as they are; batch norms fold.
    #[test]
    fn passes_for_a_profile_leave_gates_where_they_are() {
        for name in MOVING {
            assert!(PASSES.iter().any(|pass| pass.name == name), "{name}");
        }
        let mut net = Net::new(1);
        let x = net.input(Shape::new(2, 6, 6));
        let conv = net.conv(x, 2, 3);
        let norm = net.batch_norm(conv);
        let block = net.relu(norm);
        let pooled = net.max_pool(block, Window::dense([2, 2]));
        let graph = net.finish(pooled).verify().unwrap();
        let assignment = Assignment::parse(r#"{"relu1": [[2, 2], [1, 1]]}"#).unwrap();
        let passed = run_for_profile(graph.clone(), false, Some(assignment)).unwrap();
        let names = |graph: &Graph| -> Vec<&str> {
            let ids = graph.order();
            ids.iter().map(|id| graph.node(*id).op.name()).collect()
        };
        let expected = ["input", "conv2d", "block_relu", "max_pool", "output"];
        assert_eq!(names(&passed), expected);
        let plain = run_for_profile(graph, false, None).unwrap();
        assert_eq!(names(&plain), expected.map(|name| name.replace("block_", "")));
        let gate = plain.node(plain.order()[2]);
        assert_eq!(
            (gate.origin.name.as_str(), gate.shape),
            ("relu1", Shape::new(2, 6, 6))
        );
    }

    #[test]
    fn dumps_come_after_the_named_passes_alone() {
        let mut net = Net::new(1);
        let x = net.input(Shape::new(2, 4, 4));
        let y = net.relu(x);
        let graph = net.finish(y).verify().unwrap();
        let mut seen = Vec::new();
        let mut dump = Dump::after(&["assign", "move_relu"], |name, graph| {
            seen.push((name, graph.len()))
        })
        .unwrap();
        run(graph, &PassOptions::default(), &mut dump).unwrap();
        drop(dump);
        assert_eq!(seen, [("assign", 3), ("move_relu", 3)]);
    }

    #[test]
    fn an_unknown_pass_is_answered_with_the_list() {
        let message = Dump::after(&["fold"], |_, _| {}).unwrap_err().to_string();
        assert!(
            message.contains("`fold`") && message.contains("fold_batch_norm"),
            "{message}"
        );
    }

    #[test]
    fn a_failure_names_pass_and_node_and_keeps_the_last_good_graph() {
        let spoil: fn(&mut Graph, &PassOptions) -> Result<Changed, PassError> = |graph, _| {
            let id = graph.ids()[1];
            graph.node_mut(id).op = Affine {
                scale: Tensor::vector(vec![f32::NAN, 1.0]),
                bias: Tensor::vector(vec![0.0; 2]),
            }
            .into();
            Ok(Changed::Yes)
        };
        let passes = [Pass {
            name: "spoil",
            summary: "",
            run: spoil,
        }];
        let mut net = Net::new(1);
        let x = net.input(Shape::new(2, 4, 4));
        let y = net.relu(x);
        let graph = net.finish(y).verify().unwrap();
        let failure = run_list(&passes, graph, &PassOptions::default(), &mut Dump::none()).unwrap_err();
        assert!(failure.to_string().contains("`spoil`"));
        let cause = failure.cause.to_string();
        assert!(
            cause.contains("affine \"relu1\"") && cause.contains("not a finite number"),
            "{cause}"
        );
        assert!(failure.last_good.verify().is_ok());
    }
}
