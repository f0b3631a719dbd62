//! Clamps become gates from zero: shifted by their lower limit, or without a limit that no value
//! comes near.
//!
//! A shift by a limit that is far from all values would leave nothing of them: their scale would
//! have to span the way to the limit. Which limits are far only the values can tell, and so this pass
//! is given what the calibration foresees of the operand of each gate (none of which the caller
//! needs to know where numbers do not matter: then every limit stays). The same goes for clips from
//! zero whose upper limit is beyond anything that a network is limited to on purpose.

use std::collections::BTreeMap;

use trefoil_ir::geometry::all_identities;
use trefoil_ir::nn::op::Affine;
use trefoil_ir::nn::{Class, Gate, Graph, GraphError, NodeId, Op, Origin};
use trefoil_ir::{Patch, Patches, Tensor};

use super::rewrite::{self, put};
use super::{Changed, PassError, PassOptions};

/// Between which numbers a value is foreseen to lie, head-room included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The smallest.
    pub min: f32,
    /// The largest.
    pub max: f32,
}

/// What is foreseen of the operands of gates, by the gate's ONNX name.
pub type Foreseen = BTreeMap<String, Interval>;

/// The least upper limit of a clip from zero that is asked for. No activation is limited to so much
/// on purpose, and those of ReLU6 keep their signs whatever the values.
const FAR: f32 = 1000.0;

/// The gates that this pass settles, and of whose operands something has to be foreseen.
pub fn open_gates(graph: &Graph) -> Vec<NodeId> {
    let mut open = graph.order();
    open.retain(|id| {
        let op = &graph.node(*id).op;
        matches!(op, Op::Clamp(_)) || is_far_clip(op)
    });
    open
}

/// Whether a gate from zero has an upper limit that nothing is limited to on purpose.
fn is_far_clip(op: &Op) -> bool {
    let Class::Gate(gate) = op.class() else {
        return false;
    };
    gate.low == 0.0 && gate.upper.is_some_and(|(high, _)| high >= FAR)
}

pub(super) fn run(graph: &mut Graph, options: &PassOptions) -> Result<Changed, PassError> {
    let mut changed = Changed::No;
    for id in open_gates(graph) {
        let node = graph.node(id);
        let Some(gate) = Gate::of(node) else { continue };
        let foreseen = options.foreseen.get(&node.origin.name);
        let reached = foreseen.map_or_else(|| gate.clone(), |seen| within(gate.clone(), *seen));
        if gate.low == 0.0 && reached == gate {
            continue;
        }
        settle(graph, id, reached)?;
        changed = Changed::Yes;
    }
    Ok(changed)
}

/// The network with every clamp settled whose pixels share signs, and the others as they are.
pub(crate) fn with_shifted_patches(graph: &Graph) -> Result<Graph, GraphError> {
    let mut shifted = graph.clone();
    for id in open_gates(graph) {
        let gate = Gate::of(graph.node(id)).filter(|gate| gate.low != 0.0 && !gate.is_pixelwise());
        if let Some(gate) = gate {
            settle(&mut shifted, id, gate)?;
        }
    }
    Ok(shifted)
}

/// The gate without the limits that its operand does not come near.
fn within(mut gate: Gate, seen: Interval) -> Gate {
    if gate.low != 0.0 && gate.low < seen.min {
        // Every sum of x - low is positive, then.
        gate.lower.fill(Patch::Identity);
    }
    let is_out_of_reach = gate.upper.as_ref().is_some_and(|(high, _)| *high > seen.max);
    match is_out_of_reach {
        true => gate.without_upper(),
        false => gate,
    }
}

/// Makes node `id` this gate, from zero.
fn settle(graph: &mut Graph, id: NodeId, gate: Gate) -> Result<(), GraphError> {
    let Gate { low, lower, upper } = gate;
    let upper = upper.filter(|(high, patches)| (high - low).is_finite() && !all_identities(patches));
    let is_limited = low == 0.0 || !all_identities(&lower);
    match upper {
        None if !is_limited => {
            rewrite::bypass(graph, id);
            Ok(())
        }
        Some((high, patches)) if !is_limited && high <= 0.0 => mirror(graph, id, high, patches),
        upper => {
            let low = if is_limited { low } else { 0.0 };
            let upper = upper.map(|(high, patches)| (high - low, patches));
            shift(graph, id, low, lower, upper)
        }
    }
}

/// `low + gate(x - low)`.
fn shift(
    graph: &mut Graph,
    id: NodeId,
    low: f32,
    lower: Patches,
    upper: Option<(f32, Patches)>,
) -> Result<(), GraphError> {
    let gate = Gate {
        low: 0.0,
        lower,
        upper,
    };
    if low == 0.0 {
        return put(graph, id, gate);
    }
    between(graph, id, gate, (1.0, -low), (1.0, low))
}

/// `min(x, high) = high - relu(high - x)`, patches alike.
fn mirror(graph: &mut Graph, id: NodeId, high: f32, patches: Patches) -> Result<(), GraphError> {
    let gate = Gate {
        low: 0.0,
        lower: patches,
        upper: None,
    };
    between(graph, id, gate, (-1.0, high), (-1.0, high))
}

/// Makes node `id` this gate, with affine maps (factor, summand) around it.
fn between(
    graph: &mut Graph,
    id: NodeId,
    gate: Gate,
    before: (f32, f32),
    behind: (f32, f32),
) -> Result<(), GraphError> {
    let node = graph.node(id);
    let channels = node.shape.c;
    let shift = Origin::named(format!("{}/shift", node.origin.name));
    let unshift = Origin::named(format!("{}/unshift", node.origin.name));
    let Some(op) = gate.into_op() else {
        rewrite::bypass(graph, id);
        return Ok(());
    };
    let shifted = graph.add(affine(before, channels), &graph.inputs(id), shift)?;
    graph.replace(id, op, &[shifted])?;
    let unshifted = graph.add(affine(behind, channels), &[id], unshift)?;
    graph.replace_uses(id, unshifted);
    Ok(())
}

fn affine((factor, summand): (f32, f32), channels: usize) -> Affine {
    Affine {
        scale: Tensor::vector(vec![factor; channels]),
        bias: Tensor::vector(vec![summand; channels]),
    }
}

#[cfg(test)]
mod tests {
    use trefoil_ir::Shape;
    use trefoil_ir::nn::op::Clamp;

    use super::*;
    use crate::pass::testing::{Net, evaluate_equal, ops};

    /// What the pass makes of a clamp whose operand is foreseen to lie between these numbers.
    fn settled(low: f32, high: Option<f32>, seen: Option<(f32, f32)>) -> (Graph, Graph) {
        let mut net = Net::new(3);
        let x = net.input(Shape::new(2, 5, 4));
        let y = net.op(Clamp::pixelwise(low, high, 2), &[x]);
        let before = net.finish(y);
        let mut options = PassOptions::default();
        if let Some((min, max)) = seen {
            let name = before.node(y).origin.name.clone();
            options.foreseen.insert(name, Interval { min, max });
        }
        let mut after = before.clone();
        assert_eq!(run(&mut after, &options).unwrap(), Changed::Yes);
        assert!(after.clone().compacted().verify().is_ok());
        (before, after)
    }

    fn between_ends(graph: &Graph) -> Vec<&'static str> {
        let names = ops(graph);
        names[1..names.len() - 1].to_vec()
    }

    #[test]
    fn limits_within_reach_become_shifts() {
        for seen in [None, Some((-2.0, 2.0))] {
            let (before, after) = settled(-0.5, Some(0.25), seen);
            assert_eq!(between_ends(&after), ["affine", "clip", "affine"]);
            evaluate_equal(&before, &after, 1).unwrap();
            let (before, after) = settled(0.25, None, seen);
            assert_eq!(between_ends(&after), ["affine", "relu", "affine"]);
            evaluate_equal(&before, &after, 1).unwrap();
        }
    }

    #[test]
    fn limits_out_of_reach_disappear_without_a_shift() {
        // The test images lie between -1 and 1.
        let seen = Some((-2.0, 2.0));
        let cases: [(f32, Option<f32>, &[&str]); 7] = [
            (-1e9, Some(1e9), &[]),
            (f32::MIN, Some(f32::MAX), &[]),
            (-2.5, None, &[]),
            (-1e30, Some(0.25), &["clip"]),
            (-100.0, Some(-0.25), &["affine", "relu", "affine"]),
            (-0.5, Some(1e30), &["affine", "relu", "affine"]),
            (0.25, Some(2.5), &["affine", "relu", "affine"]),
        ];
        for (low, high, expected) in cases {
            let (before, after) = settled(low, high, seen);
            assert_eq!(between_ends(&after), expected, "{low} {high:?}");
            evaluate_equal(&before, &after, 1).unwrap();
        }
    }

    #[test]
    fn a_far_limit_of_a_clip_from_zero_costs_no_sign() {
        let settled = |high: f32, max: f32| {
            let mut net = Net::new(3);
            let x = net.input(Shape::new(2, 5, 4));
            let y = net.clip(x, high);
            let mut graph = net.finish(y);
            let mut options = PassOptions::default();
            let name = graph.node(y).origin.name.clone();
            options.foreseen.insert(name, Interval { min: -max, max });
            run(&mut graph, &options).unwrap();
            between_ends(&graph)
        };
        assert_eq!(settled(1e9, 3.0), ["relu"]);
        assert_eq!(settled(1e9, 2e9), ["clip"]);
        // ReLU6 has two signs, whatever its values.
        assert_eq!(settled(6.0, 0.1), ["clip"]);
    }

    /// A shifted clip may have a large limit: it is not asked for again.
    #[test]
    fn a_clamp_is_settled_once() {
        let (_, after) = settled(-600.0, Some(600.0), Some((-700.0, 700.0)));
        assert_eq!(between_ends(&after), ["affine", "clip", "affine"]);
    }
}
