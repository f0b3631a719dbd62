//! Where a channel comes from: which channel of an operand one of an activation is made of.

use trefoil_ir::Axis;
use trefoil_ir::nn::op::class::Move;
use trefoil_ir::nn::{Class, Graph, NodeId};

/// What a channel of an activation is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// One channel of an operand, at the same scale.
    Channel(NodeId, usize),
    /// Nothing: a pad adds it.
    Zero,
    /// Several channels, none, or one at another scale: it has a unit of its own.
    Own,
}

impl Origin {
    /// The operand and its channel, if it is one at the same scale.
    pub(super) fn channel(self) -> Option<(NodeId, usize)> {
        match self {
            Origin::Channel(operand, channel) => Some((operand, channel)),
            Origin::Zero | Origin::Own => None,
        }
    }
}

/// What channel `c` of a node is made of.
pub(super) fn origin(graph: &Graph, id: NodeId, c: usize) -> Origin {
    let inputs = graph.inputs(id);
    let Some(&operand) = inputs.first() else {
        return Origin::Own; // the image
    };
    let channels = graph.node(operand).shape.c;
    match graph.node(id).op.class() {
        Class::Move(Move::Concat) => part(graph, &inputs, c),
        Class::Move(Move::Slice(op)) if op.axis == Axis::C => {
            Origin::Channel(operand, op.start + c * op.step)
        }
        Class::Move(Move::Pad(pad)) => match c.checked_sub(pad.before[0]) {
            Some(channel) if channel < channels => Origin::Channel(operand, channel),
            Some(_) | None => Origin::Zero,
        },
        Class::Move(Move::Shuffle(op)) if !op.to_space() => {
            Origin::Channel(operand, op.channel_of_large(c, channels))
        }
        Class::Move(Move::Flatten) => Origin::Channel(operand, c / graph.node(operand).shape.plane()),
        Class::Move(Move::Slice(_))
        | Class::Gate(_)
        | Class::Max(_)
        | Class::Resize(_)
        | Class::Output(_) => Origin::Channel(operand, c),
        Class::Move(Move::Shuffle(_))
        | Class::Input
        | Class::Linear(_)
        | Class::PerChannel(_)
        | Class::Add
        | Class::Mean(_) => Origin::Own,
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

fn part(graph: &Graph, inputs: &[NodeId], mut c: usize) -> Origin {
    for &input in inputs {
        let channels = graph.node(input).shape.c;
        if c < channels {
            return Origin::Channel(input, c);
        }
        c -= channels;
    }
    Origin::Own // a concatenation has no other channel
}
