//! Pools, and the attributes of everything that slides a window.

use tract_onnx::pb::AttributeProto;
use trefoil_ir::nn::NodeId;
use trefoil_ir::nn::op::{AvgPool, MaxPool};
use trefoil_ir::{Shape, Window};

use crate::export::proto::{int, ints};
use crate::export::writer::Writer;

/// The geometry of a window.
pub(super) fn window_attributes(window: &Window) -> Vec<AttributeProto> {
    vec![
        ints("dilations", &window.dilation),
        ints("kernel_shape", &window.kernel),
        ints("pads", &window.pads),
        ints("strides", &window.stride),
    ]
}

/// MaxPool.
pub(super) fn max_pool(w: &mut Writer<'_>, id: NodeId, op: &MaxPool) {
    let x = w.ranked(w.inputs(id)[0], 4);
    w.emit("MaxPool", id, &[&x], 4, window_attributes(&op.window));
}

/// AveragePool.
pub(super) fn avg_pool(w: &mut Writer<'_>, id: NodeId, op: &AvgPool) {
    let source = w.inputs(id)[0];
    let mut x = w.ranked(source, 4);
    let mut window = op.window.clone();
    let mut attributes = Vec::new();
    let [below, right] = op.overhang;
    if op.overhang != [0, 0] && is_ceiling(op, w.shape(source)) {
        window.pads[2] -= below;
        window.pads[3] -= right;
        attributes.push(int("ceil_mode", 1));
        attributes.push(int("count_include_pad", op.include_pad.into()));
    } else if op.overhang != [0, 0] && op.include_pad {
        // The overhang does not count and the padding does: it becomes part of the map.
        let [top, left, bottom, far] = window.pads;
        let pads = [0, 0, top, left, 0, 0, bottom - below, far - right];
        let part = format!("{}/pad", w.name(id));
        let pads = w.sizes(&format!("{part}/pads"), &pads);
        x = w.part("Pad", &part, &[&x, &pads], vec![]);
        window.pads = [0, 0, below, right];
    } else {
        attributes.push(int("count_include_pad", op.include_pad.into()));
    }
    let geometry = window_attributes(&window).into_iter();
    // Before opset 19 an average pool has no dilations, not even of one.
    let known = geometry.filter(|a| a.name != "dilations" || window.dilation != [1, 1]);
    attributes.extend(known);
    w.emit("AveragePool", id, &[&x], 4, attributes);
}

/// Whether the overhang is what `ceil_mode` adds to the rest of the padding: the rows and columns
/// that a last window, begun within the map or its padding at the front, takes beyond it.
fn is_ceiling(op: &AvgPool, map: Shape) -> bool {
    let extent = op.window.extent();
    [map.h, map.w].into_iter().enumerate().all(|(axis, size)| {
        let (stride, front) = (op.window.stride[axis], op.window.pads[axis]);
        let over = op.overhang[axis];
        let padded = front + size + op.window.pads[axis + 2] - over;
        let Some(room) = padded.checked_sub(extent[axis]) else {
            return over == 0;
        };
        let mut last = room.div_ceil(stride) * stride;
        if last >= size + front {
            last -= stride.min(last);
        }
        over == (last + extent[axis]).saturating_sub(padded)
    })
}

/// GlobalAveragePool.
pub(super) fn global_avg_pool(w: &mut Writer<'_>, id: NodeId) {
    let x = w.ranked(w.inputs(id)[0], 4);
    w.emit("GlobalAveragePool", id, &[&x], 4, vec![]);
}
