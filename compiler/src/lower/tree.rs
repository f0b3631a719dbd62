//! A root's accumulator as a tree: the accumulators that join it, and the activations that enter.

use trefoil_ir::nn::{Graph, NodeId, Op};

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

/// Operands of a member that are added up or moved: none of a layer that makes an accumulator of
/// activations.
pub(super) fn operands(graph: &Graph, member: Member) -> Vec<Member> {
    let mut offset = member.offset;
    let inputs = graph.inputs(member.node);
    match &graph.node(member.node).op {
        Op::Conv2d(_) | Op::Linear(_) | Op::AvgPool(_) | Op::GlobalAvgPool(_) => return Vec::new(),
        Op::Pad(pad) => offset += pad.before[0],
        _ => {}
    }
    let concat = matches!(graph.node(member.node).op, Op::Concat(_));
    let place = |node: NodeId| {
        let operand = Member { node, offset };
        offset += if concat { graph.node(node).shape.c } else { 0 };
        operand
    };
    inputs.into_iter().map(place).collect()
}
