//! Where a channel comes from: which channel of an operand one of an activation is made of.

use trefoil_ir::Axis;
use trefoil_ir::nn::op::class::Move;
use trefoil_ir::nn::{Class, Graph, NodeId};

/// The operand and its channel that channel `c` of an activation (a gate's, a max-pool's, or one
/// that is only moved) is made of, at the same scale; `None` of a channel that a pad adds.
pub(super) fn source(graph: &Graph, id: NodeId, c: usize) -> Option<(NodeId, usize)> {
    let inputs = graph.inputs(id);
    let operand = *inputs.first()?;
    match graph.node(id).op.class() {
        Class::Move(Move::Concat) => part(graph, &inputs, c),
        Class::Move(Move::Slice(op)) if op.axis == Axis::C => Some((operand, op.start + c * op.step)),
        Class::Move(Move::Pad(pad)) => {
            let channel = c.checked_sub(pad.before[0])?;
            (channel < graph.node(operand).shape.c).then_some((operand, channel))
        }
        Class::Move(Move::Flatten) => Some((operand, c / graph.node(operand).shape.plane())),
        Class::Move(Move::Slice(_)) | Class::Gate(_) | Class::Max(_) | Class::Resize(_) | Class::Output => {
            Some((operand, c))
        }
        // Made of all channels, of none, or at another scale.
        Class::Input | Class::Linear(_) | Class::PerChannel(_) | Class::Add | Class::Mean(_) => None,
    }
}

fn part(graph: &Graph, inputs: &[NodeId], mut c: usize) -> Option<(NodeId, usize)> {
    for &input in inputs {
        let channels = graph.node(input).shape.c;
        if c < channels {
            return Some((input, c));
        }
        c -= channels;
    }
    None
}
