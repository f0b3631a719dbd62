//! What has no weights: pixelwise gates, sums, and whatever moves or interpolates values.

use tract_onnx::pb::AttributeProto;
use trefoil_ir::Axis;
use trefoil_ir::geometry::{Coordinates, ResizeMode, ShuffleMode};
use trefoil_ir::nn::NodeId;
use trefoil_ir::nn::op::{Clamp, Clip, Pad, Resize, Shuffle, Slice};

use crate::export::error::ExportError;
use crate::export::proto::{int, word};
use crate::export::writer::{Value, Writer};

/// Relu.
pub(super) fn relu(w: &mut Writer<'_>, id: NodeId) {
    let x = w.value(w.inputs(id)[0]);
    w.emit("Relu", id, &[&x.name], x.rank, vec![]);
}

/// Clip from 0.
pub(super) fn clip(w: &mut Writer<'_>, id: NodeId, op: &Clip) {
    let x = w.value(w.inputs(id)[0]);
    let low = w.floats(&format!("{}/low", w.name(id)), &[], &[0.0]);
    let high = w.floats(&format!("{}/high", w.name(id)), &[], &[op.high]);
    w.emit("Clip", id, &[&x.name, &low, &high], x.rank, vec![]);
}

/// Clip from another limit; its pixels share no sign.
pub(super) fn clamp(w: &mut Writer<'_>, id: NodeId, op: &Clamp) {
    let x = w.value(w.inputs(id)[0]);
    let low = w.floats(&format!("{}/low", w.name(id)), &[], &[op.low]);
    let high = op
        .high
        .map(|high| w.floats(&format!("{}/high", w.name(id)), &[], &[high]));
    let limits = [Some(&x.name), Some(&low), high.as_ref()];
    let inputs: Vec<&str> = limits.into_iter().flatten().map(String::as_str).collect();
    w.emit("Clip", id, &inputs, x.rank, vec![]);
}

/// Add.
pub(super) fn add(w: &mut Writer<'_>, id: NodeId) {
    let (operands, rank) = alike(w, id);
    w.emit("Add", id, &names(&operands), rank, vec![]);
}

/// Concat along the channels.
pub(super) fn concat(w: &mut Writer<'_>, id: NodeId) {
    let (operands, rank) = alike(w, id);
    w.emit("Concat", id, &names(&operands), rank, vec![int("axis", 1)]);
}

/// The operands of a node under one rank.
fn alike(w: &mut Writer<'_>, id: NodeId) -> (Vec<String>, usize) {
    let inputs = w.inputs(id);
    let rank = inputs.iter().map(|&i| w.value(i).rank).max().unwrap_or(4);
    let operands = inputs.into_iter().map(|i| w.ranked(i, rank)).collect();
    (operands, rank)
}

fn names(operands: &[String]) -> Vec<&str> {
    operands.iter().map(String::as_str).collect()
}

/// Slice along one axis.
pub(super) fn slice(w: &mut Writer<'_>, id: NodeId, op: &Slice) {
    let source = w.inputs(id)[0];
    let (x, rank) = match op.axis {
        Axis::C => {
            let Value { name, rank } = w.value(source);
            (name, rank)
        }
        Axis::H | Axis::W => (w.ranked(source, 4), 4),
    };
    let axis = match op.axis {
        Axis::C => 1,
        Axis::H => 2,
        Axis::W => 3,
    };
    let end = op.start + (op.count - 1) * op.step + 1;
    let bounds = [
        ("starts", op.start),
        ("ends", end),
        ("axes", axis),
        ("steps", op.step),
    ];
    let mut inputs = vec![x];
    for (part, value) in bounds {
        inputs.push(w.sizes(&format!("{}/{part}", w.name(id)), &[value]));
    }
    w.emit("Slice", id, &names(&inputs), rank, vec![]);
}

/// Pad with zeros.
pub(super) fn pad(w: &mut Writer<'_>, id: NodeId, op: &Pad) {
    let source = w.inputs(id)[0];
    let [cb, hb, wb] = op.before;
    let [ca, ha, wa] = op.after;
    let (x, pads) = match w.value(source) {
        Value { name, rank: 2 } if [hb, wb, ha, wa] == [0; 4] => (name, vec![0, cb, 0, ca]),
        _ => (w.ranked(source, 4), vec![0, cb, hb, wb, 0, ca, ha, wa]),
    };
    let rank = pads.len() / 2;
    let pads = w.sizes(&format!("{}/pads", w.name(id)), &pads);
    w.emit("Pad", id, &[&x, &pads], rank, vec![word("mode", "constant")]);
}

/// Flatten.
pub(super) fn flatten(w: &mut Writer<'_>, id: NodeId) {
    let x = w.value(w.inputs(id)[0]);
    w.emit("Flatten", id, &[&x.name], 2, vec![int("axis", 1)]);
}

/// SpaceToDepth or DepthToSpace.
pub(super) fn shuffle(w: &mut Writer<'_>, id: NodeId, op: &Shuffle) {
    let x = w.ranked(w.inputs(id)[0], 4);
    let block = int("blocksize", op.block as i64);
    let (name, attributes) = match op.mode {
        ShuffleMode::ToDepth => ("SpaceToDepth", vec![block]),
        ShuffleMode::ToSpace => ("DepthToSpace", vec![block, word("mode", "DCR")]),
        ShuffleMode::NeighboursToSpace => ("DepthToSpace", vec![block, word("mode", "CRD")]),
    };
    w.emit(name, id, &[&x], 4, attributes);
}

/// Resize, by its scales where they make the size, else by the size.
pub(super) fn resize(w: &mut Writer<'_>, id: NodeId, op: &Resize) -> Result<(), ExportError> {
    let source = w.inputs(id)[0];
    let x = w.ranked(source, 4);
    let from = [w.shape(source).h, w.shape(source).w];
    let axes = [0, 1].map(|axis| ResizedAxis {
        from: from[axis],
        to: op.size[axis],
        scale: op.scales[axis],
    });
    let by_scales = axes.iter().all(|axis| axis.scale_rounded() && axis.scale_exact());
    let by_size = op.coordinates == Coordinates::AlignCorners || axes.iter().all(ResizedAxis::scale_is_ratio);
    if !by_scales && by_size {
        let sizes = whole_size(w, id, &x, op.size);
        w.emit("Resize", id, &[&x, "", "", &sizes], 4, modes(op));
        return Ok(());
    }
    if let Some(axis) = axes.iter().find(|axis| !axis.scale_rounded()) {
        return Err(ExportError::Resize {
            name: w.name(id).to_owned(),
            from: axis.from,
            to: axis.to,
            scale: axis.scale,
        });
    }
    let [sh, sw] = op.scales;
    let scales = w.floats(&format!("{}/scales", w.name(id)), &[4], &[1.0, 1.0, sh, sw]);
    w.emit("Resize", id, &[&x, "", &scales], 4, modes(op));
    Ok(())
}

/// One axis of an interpolation: does its scale make its size? Some runtimes multiply in f32, others
/// exactly.
struct ResizedAxis {
    from: usize,
    to: usize,
    scale: f32,
}

impl ResizedAxis {
    fn scale_rounded(&self) -> bool {
        f64::from((self.from as f32 * self.scale).floor()) == self.to as f64
    }

    fn scale_exact(&self) -> bool {
        (self.from as f64 * f64::from(self.scale)).floor() == self.to as f64
    }

    fn scale_is_ratio(&self) -> bool {
        self.to as f32 / self.from as f32 == self.scale
    }
}

/// Batch and channels of `x` with another size of the map: a Resize takes all four.
fn whole_size(w: &mut Writer<'_>, id: NodeId, x: &str, size: [usize; 2]) -> String {
    let parts = ["shape", "front", "starts", "ends", "size", "sizes"];
    let [shape, front, starts, ends, map, sizes] = parts.map(|part| format!("{}/{part}", w.name(id)));
    let shape = w.part("Shape", &shape, &[x], vec![]);
    let starts = w.sizes(&starts, &[0]);
    let ends = w.sizes(&ends, &[2]);
    let front = w.part("Slice", &front, &[&shape, &starts, &ends], vec![]);
    let map = w.sizes(&map, &size);
    w.part("Concat", &sizes, &[&front, &map], vec![int("axis", 0)])
}

fn modes(op: &Resize) -> Vec<AttributeProto> {
    let (mode, nearest) = match op.mode {
        ResizeMode::Bilinear => ("linear", None),
        ResizeMode::NearestFloorHalf => ("nearest", Some("round_prefer_floor")),
        ResizeMode::NearestCeilHalf => ("nearest", Some("round_prefer_ceil")),
        ResizeMode::NearestFloor => ("nearest", Some("floor")),
        ResizeMode::NearestCeil => ("nearest", Some("ceil")),
    };
    let coordinates = match op.coordinates {
        Coordinates::HalfPixel => "half_pixel",
        Coordinates::PytorchHalfPixel => "pytorch_half_pixel",
        Coordinates::AlignCorners => "align_corners",
        Coordinates::Asymmetric => "asymmetric",
    };
    let mut attributes = vec![
        word("coordinate_transformation_mode", coordinates),
        word("mode", mode),
    ];
    attributes.extend(nearest.map(|nearest| word("nearest_mode", nearest)));
    attributes
}
