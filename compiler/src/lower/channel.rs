//! Where a channel comes from: which channel of an operand one of an activation is made of.

use trefoil_ir::Axis;
use trefoil_ir::nn::{Graph, NodeId, Op};

/// The operand and its channel that channel `c` of an activation (a gate's, a max-pool's, or one
/// that is only moved) is made of, at the same scale; `None` of a channel that a pad adds.
pub(super) fn source(graph: &Graph, id: NodeId, c: usize) -> Option<(NodeId, usize)> {
    let inputs = graph.inputs(id);
    let operand = *inputs.first()?;
    match &graph.node(id).op {
        Op::Concat(_) => part(graph, &inputs, c),
        Op::Slice(op) if op.axis == Axis::C => Some((operand, op.start + c * op.step)),
        Op::Pad(pad) => {
            let channel = c.checked_sub(pad.before[0])?;
            (channel < graph.node(operand).shape.c).then_some((operand, channel))
        }
        Op::Flatten(_) => Some((operand, c / graph.node(operand).shape.plane())),
        Op::Slice(_)
        | Op::Relu(_)
        | Op::BlockRelu(_)
        | Op::Clip(_)
        | Op::Clamp(_)
        | Op::MaxPool(_)
        | Op::Resize(_)
        | Op::Output(_) => Some((operand, c)),
        // Made of all channels, or of none.
        Op::Input(_)
        | Op::Conv2d(_)
        | Op::Linear(_)
        | Op::BatchNorm(_)
        | Op::Affine(_)
        | Op::Add(_)
        | Op::AvgPool(_)
        | Op::GlobalAvgPool(_) => None,
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
