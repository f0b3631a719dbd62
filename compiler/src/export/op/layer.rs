//! What has weights: Conv, Gemm, BatchNormalization, and Mul, Add and Sub with constants.

use trefoil_ir::Tensor;
use trefoil_ir::nn::op::{Affine, BatchNorm, Conv2d, Linear};
use trefoil_ir::nn::{NodeId, Op};

use super::window::window_attributes;
use crate::export::proto::{float, int};
use crate::export::writer::{Value, Writer};

/// Conv.
pub(super) fn conv(w: &mut Writer<'_>, id: NodeId, op: &Conv2d) {
    let x = w.ranked(w.inputs(id)[0], 4);
    let inputs = weights(w, id, x, &op.weight, op.bias.as_ref());
    let mut attributes = window_attributes(&op.window);
    attributes.push(int("group", op.groups as i64));
    emit(w, "Conv", id, &inputs, 4, attributes);
}

/// Linear as Gemm.
pub(super) fn linear(w: &mut Writer<'_>, id: NodeId, op: &Linear) {
    let x = w.ranked(w.inputs(id)[0], 2);
    let inputs = weights(w, id, x, &op.weight, op.bias.as_ref());
    emit(w, "Gemm", id, &inputs, 2, vec![int("transB", 1)]);
}

/// BatchNormalization.
pub(super) fn batch_norm(w: &mut Writer<'_>, id: NodeId, op: &BatchNorm) {
    let Value { name, rank } = w.value(w.inputs(id)[0]);
    let parameters = [
        ("gamma", &op.gamma),
        ("beta", &op.beta),
        ("mean", &op.mean),
        ("variance", &op.variance),
    ];
    let mut inputs = vec![name];
    for (part, tensor) in parameters {
        inputs.push(w.tensor(&format!("{}/{part}", w.name(id)), tensor));
    }
    let attributes = vec![float("epsilon", op.epsilon)];
    emit(w, "BatchNormalization", id, &inputs, rank, attributes);
}

/// A scale and a bias per channel, in one node where one of them does nothing.
pub(super) fn affine(w: &mut Writer<'_>, id: NodeId, op: &Affine) {
    let source = w.inputs(id)[0];
    let Value { name: x, rank } = w.value(source);
    let dims = if rank == 4 {
        vec![op.scale.len(), 1, 1]
    } else {
        vec![op.scale.len()]
    };
    let scale = format!("{}/scale", w.name(id));
    let bias = format!("{}/bias", w.name(id));
    if all(&op.bias, 0.0) {
        let scale = w.floats(&scale, &dims, op.scale.values());
        return w.emit("Mul", id, &[&x, &scale], rank, vec![]);
    }
    if all(&op.scale, -1.0) {
        let bias = w.floats(&bias, &dims, op.bias.values());
        return w.emit("Sub", id, &[&bias, &x], rank, vec![]);
    }
    // A sum right behind a matrix product would be read as the bias of that layer.
    if all(&op.scale, 1.0) && matches!(w.op(source), Op::Linear(Linear { bias: None, .. })) {
        let negated: Vec<f32> = op.bias.values().iter().map(|b| -b).collect();
        let negated = w.floats(&bias, &dims, &negated);
        return w.emit("Sub", id, &[&x, &negated], rank, vec![]);
    }
    let x = if all(&op.scale, 1.0) {
        x
    } else {
        let factors = w.floats(&scale, &dims, op.scale.values());
        w.part("Mul", &format!("{}/scaled", w.name(id)), &[&x, &factors], vec![])
    };
    let bias = w.floats(&bias, &dims, op.bias.values());
    w.emit("Add", id, &[&x, &bias], rank, vec![]);
}

fn all(tensor: &Tensor, value: f32) -> bool {
    tensor.values().iter().all(|v| *v == value)
}

/// The operand and the weights of a layer, by name.
fn weights(w: &mut Writer<'_>, id: NodeId, x: String, weight: &Tensor, bias: Option<&Tensor>) -> Vec<String> {
    let mut inputs = vec![x, w.tensor(&format!("{}/weight", w.name(id)), weight)];
    if let Some(bias) = bias {
        inputs.push(w.tensor(&format!("{}/bias", w.name(id)), bias));
    }
    inputs
}

fn emit(
    w: &mut Writer<'_>,
    op: &str,
    id: NodeId,
    inputs: &[String],
    rank: usize,
    attributes: Vec<tract_onnx::pb::AttributeProto>,
) {
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    w.emit(op, id, &inputs, rank, attributes);
}
