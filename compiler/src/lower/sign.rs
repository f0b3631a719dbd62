//! Which values are never negative, whatever the image: their maxima need a bit less.

use trefoil_ir::Patch;
use trefoil_ir::nn::{Graph, NodeId, Op};

/// By a node's index: whether its value is provably not negative.
///
/// The proof holds for the integers, too: multipliers are positive, and a truncation rounds
/// nothing below zero that was not.
pub(super) fn non_negative(graph: &Graph, order: &[NodeId]) -> Vec<bool> {
    let mut known = vec![false; graph.id_bound()];
    for &id in order {
        let operands = || graph.inputs(id).into_iter().all(|x| known[x.index()]);
        known[id.index()] = match &graph.node(id).op {
            Op::Relu(_) => true,
            Op::BlockRelu(op) => all_pixels(&op.patches) || operands(),
            // With a sign a pixel below, only `high - x` of a negative x is ever added to 0.
            Op::Clip(op) => all_pixels(&op.lower),
            Op::MaxPool(_)
            | Op::AvgPool(_)
            | Op::GlobalAvgPool(_)
            | Op::Add(_)
            | Op::Concat(_)
            | Op::Slice(_)
            | Op::Pad(_)
            | Op::Flatten(_)
            | Op::Resize(_) => operands(),
            Op::Input(_)
            | Op::Conv2d(_)
            | Op::Linear(_)
            | Op::BatchNorm(_)
            | Op::Affine(_)
            | Op::Clamp(_)
            | Op::Output(_) => false,
        };
    }
    known
}

fn all_pixels(patches: &[Patch]) -> bool {
    patches.iter().all(Patch::is_pixel)
}
