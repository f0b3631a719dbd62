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
        Class::Move(Move::Shuffle(op)) if !op.to_space() => {
            Some((operand, op.channel_of_large(c, graph.node(operand).shape.c)))
        }
        Class::Move(Move::Flatten) => Some((operand, c / graph.node(operand).shape.plane())),
        Class::Move(Move::Slice(_)) | Class::Gate(_) | Class::Max(_) | Class::Resize(_) | Class::Output => {
            Some((operand, c))
        }
        // Made of several channels, none, or at another scale.
        Class::Move(Move::Shuffle(_))
        | Class::Input
        | Class::Linear(_)
        | Class::PerChannel(_)
        | Class::Add
        | Class::Mean(_) => None,
    }
}

/// Of a node that makes pixels of channels, the channel of the result that each of its operand's becomes a
/// part of. Each has a unit of its own, and in the result they need one: such a node has to lift them.
pub(super) fn merged(graph: &Graph, id: NodeId) -> Option<Vec<usize>> {
    let Class::Move(Move::Shuffle(op)) = graph.node(id).op.class() else {
        return None;
    };
    let parts = 0..graph.node(*graph.inputs(id).first()?).shape.c;
    let channels = graph.node(id).shape.c;
    op.to_space()
        .then(|| parts.map(|part| op.channel_of_large(part, channels)).collect())
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
