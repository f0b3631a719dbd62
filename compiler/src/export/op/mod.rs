//! One small function for each operator of the NN graph.

mod layer;
mod map;
pub(super) mod tail;
mod window;

use trefoil_ir::geometry::all_pixels;
use trefoil_ir::nn::{NodeId, Op};

use super::block_relu;
use super::error::ExportError;
use super::writer::Writer;

/// Writes the nodes of one node of the graph, whose operands have been written.
pub(super) fn write(w: &mut Writer<'_>, id: NodeId) -> Result<(), ExportError> {
    match w.op(id) {
        Op::Input(_) => w.declare_input(id),
        Op::Conv2d(op) => layer::conv(w, id, op),
        Op::Linear(op) => layer::linear(w, id, op),
        Op::BatchNorm(op) => layer::batch_norm(w, id, op),
        Op::Affine(op) => layer::affine(w, id, op),
        Op::Relu(_) => map::relu(w, id),
        Op::BlockRelu(op) if all_pixels(&op.patches) => map::relu(w, id),
        Op::BlockRelu(op) => block_relu::write(w, id, &op.patches, None),
        Op::Clip(op) if all_pixels(&op.lower) && all_pixels(&op.upper) => map::clip(w, id, op),
        Op::Clip(op) => block_relu::write(w, id, &op.lower, Some((op.high, &op.upper))),
        Op::Clamp(op) => map::clamp(w, id, op),
        Op::MaxPool(op) => window::max_pool(w, id, op),
        Op::AvgPool(op) => window::avg_pool(w, id, op),
        Op::GlobalAvgPool(_) => window::global_avg_pool(w, id),
        Op::Add(_) => map::add(w, id),
        Op::Concat(_) => map::concat(w, id),
        Op::Slice(op) => map::slice(w, id, op),
        Op::Pad(op) => map::pad(w, id, op),
        Op::Flatten(_) => map::flatten(w, id),
        Op::Resize(op) => return map::resize(w, id, op),
        Op::Shuffle(op) => map::shuffle(w, id, op),
        Op::Output(op) => w.declare_output(&op.tail),
    }
    Ok(())
}
