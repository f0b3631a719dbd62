//! A root's accumulator as a tree: the accumulators that join it, and the activations that enter.

use trefoil_ir::nn::op::class::Move;
use trefoil_ir::nn::{Class, Graph, NodeId};

use super::form::{Form, Forms};

/// A value within a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// The node.
    pub(super) node: NodeId,
    /// The root's channel that the value's first channel becomes; the others follow.
    pub(super) offset: usize,
}

/// The tree of one root (other than an interpolation that computes anything: that is always alone).
pub(super) struct Tree {
    /// The accumulators in topological order; the root is the last.
    pub(super) members: Vec<Member>,
    /// The activations that are lifted, in the order of their users' operands.
    pub(super) lifted: Vec<Member>,
}

impl Tree {
    /// The tree of this root.
    pub(super) fn new(graph: &Graph, forms: &Forms, root: NodeId) -> Self {
        let mut tree = Tree {
            members: Vec::new(),
            lifted: Vec::new(),
        };
        let mut stack = vec![Member {
            node: root,
            offset: 0,
        }];
        while let Some(member) = stack.pop() {
            tree.members.push(member);
            for operand in operands(graph, member) {
                if forms.of(operand.node) == Form::Joined {
                    stack.push(operand);
                } else {
                    tree.lifted.push(operand);
                }
            }
        }
        // A user comes before its operands above.
        tree.members.reverse();
        tree
    }
}

/// Operands of a member that are added up or moved with their channels in order: none of a layer, or a
/// shuffle, that makes an accumulator of activations.
pub(super) fn operands(graph: &Graph, member: Member) -> Vec<Member> {
    let first = match graph.node(member.node).op.class() {
        Class::Linear(_) | Class::Mean(_) | Class::Move(Move::Shuffle(_)) => return Vec::new(),
        Class::Move(Move::Pad(pad)) => member.offset + pad.before[0],
        Class::Move(Move::Concat) => return side_by_side(graph, member),
        Class::Move(Move::Slice(_) | Move::Flatten)
        | Class::Add
        | Class::Gate(_)
        | Class::Max(_)
        | Class::Resize(_)
        | Class::Input
        | Class::PerChannel(_)
        | Class::Output(_) => member.offset,
    };
    let mut operands = Vec::new();
    for node in graph.inputs(member.node) {
        operands.push(Member { node, offset: first });
    }
    operands
}

/// The operands of a concatenation: each behind the channels of the one before.
fn side_by_side(graph: &Graph, concat: Member) -> Vec<Member> {
    let mut offset = concat.offset;
    let mut operands = Vec::new();
    for node in graph.inputs(concat.node) {
        operands.push(Member { node, offset });
        offset += graph.node(node).shape.c;
    }
    operands
}
