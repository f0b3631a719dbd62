//! Which values are never negative, whatever the image: their maxima need a bit less.

use trefoil_ir::geometry::all_pixels;
use trefoil_ir::nn::{Class, Graph, NodeId};

/// By a node's index: whether its value is provably not negative.
///
/// The proof holds for the integers, too: multipliers are positive, and a truncation rounds
/// nothing below zero that was not.
pub(super) fn non_negative(graph: &Graph, order: &[NodeId]) -> Vec<bool> {
    let mut known = vec![false; graph.id_bound()];
    for &id in order {
        known[id.index()] = match graph.node(id).op.class() {
            Class::Gate(gate) if gate.low != 0.0 => false,
            // With a sign a pixel below, only `high - x` of a negative x is ever added to 0.
            Class::Gate(gate) if gate.lower.is_none_or(|lower| all_pixels(lower)) => true,
            Class::Gate(gate) => gate.upper.is_none() && all_operands(graph, id, &known),
            Class::Max(_) | Class::Mean(_) | Class::Add | Class::Move(_) | Class::Resize(_) => {
                all_operands(graph, id, &known)
            }
            Class::Input | Class::Linear(_) | Class::PerChannel(_) | Class::Output(_) => false,
        };
    }
    known
}

fn all_operands(graph: &Graph, id: NodeId, known: &[bool]) -> bool {
    graph.inputs(id).into_iter().all(|x| known[x.index()])
}
