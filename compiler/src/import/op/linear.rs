//! Gemm and MatMul with constant weights.

use trefoil_ir::Tensor;
use trefoil_ir::nn::op::Linear;
use trefoil_ir::nn::{NodeId, Op};

use crate::import::error::{NodeError, Refusal, invalid, unsupported};
use crate::import::site::{Outcome, Site};
use crate::import::tensor::tensor;
use crate::import::value::{Value, View, shape_text};

/// Gemm: `alpha * x * W + beta * bias`, W perhaps transposed.
pub(super) fn gemm(site: &mut Site<'_>) -> Outcome {
    if site.flag("transA", false)? {
        return unsupported(
            "its first operand is transposed (transA=1)",
            "write the layer as a fully connected one on [N, F]",
        );
    }
    let input = vector(site)?;
    let alpha = site.float("alpha", 1.0)?;
    let beta = site.float("beta", 1.0)?;
    let rows_are_outputs = site.flag("transB", false)?;
    let weight = scaled(&matrix(&site.weight(1)?, rows_are_outputs)?, alpha)?;
    let bias = if site.is_given(2) && beta != 0.0 {
        let bias = site.weight(2)?;
        Some(scaled(&spread(&bias, weight.dims()[0])?, beta)?)
    } else {
        None
    };
    finish(site, &input, Linear { weight, bias })
}

/// MatMul of a vector and a constant matrix.
pub(super) fn mat_mul(site: &mut Site<'_>) -> Outcome {
    let input = vector(site)?;
    let weight = matrix(&site.weight(1)?, false)?;
    finish(site, &input, Linear { weight, bias: None })
}

/// The sum of a fully connected layer without bias and a constant vector: the form in which a
/// bias follows MatMul. `None` if the value is not such a layer's.
pub(super) fn with_bias(
    site: &mut Site<'_>,
    layer: NodeId,
    bias: &Tensor,
) -> Result<Option<NodeId>, Refusal> {
    let node = site.graph.node(layer);
    let Op::Linear(Linear { weight, bias: None }) = &node.op else {
        return Ok(None);
    };
    let op = Linear {
        weight: weight.clone(),
        bias: Some(bias.clone()),
    };
    // The layer without bias stays where it is: unless somebody else uses it, it is dead now.
    let origin = node.origin.clone();
    let inputs = site.graph.inputs(layer);
    Ok(Some(site.graph.add(op, &inputs, origin)?))
}

fn vector(site: &Site<'_>) -> Result<View, Refusal> {
    let view = site.view(0)?;
    if view.dims.len() == 2 {
        return Ok(view);
    }
    unsupported(
        format!("its operand has the shape {}, not [N, F]", shape_text(&view.dims)),
        "flatten the value before the fully connected layer",
    )
}

fn finish(site: &mut Site<'_>, input: &View, op: Linear) -> Outcome {
    let node = site.add(op, &[input.node])?;
    let features = site.shape(node).c;
    Ok(vec![Value::map(node, vec![input.dims[0], features])])
}

/// The weight as `[out features, in features]`.
fn matrix(weight: &Tensor, rows_are_outputs: bool) -> Result<Tensor, Refusal> {
    let &[rows, columns] = weight.dims() else {
        return invalid(format!(
            "the weight has the shape {}, and a matrix is expected",
            shape_text(weight.dims())
        ));
    };
    if rows_are_outputs {
        return Ok(weight.clone());
    }
    let values = weight.values();
    let mut transposed = Vec::with_capacity(values.len());
    for column in 0..columns {
        transposed.extend((0..rows).map(|row| values[row * columns + column]));
    }
    checked(vec![columns, rows], transposed)
}

/// The bias as one value per output feature.
fn spread(bias: &Tensor, features: usize) -> Result<Tensor, Refusal> {
    let row = match *bias.dims() {
        [] => true,
        [n] => n == 1 || n == features,
        [1, n] => n == 1 || n == features,
        _ => false,
    };
    match (row, bias.values()) {
        (true, &[value]) => checked(vec![features], vec![value; features]),
        (true, values) => checked(vec![features], values.to_vec()),
        (false, _) => invalid(format!(
            "the bias has the shape {}, and {features} values are expected",
            shape_text(bias.dims())
        )),
    }
}

fn scaled(tensor: &Tensor, factor: f32) -> Result<Tensor, Refusal> {
    if factor == 1.0 {
        return Ok(tensor.clone());
    }
    let values = tensor.values().iter().map(|v| v * factor).collect();
    checked(tensor.dims().to_vec(), values)
}

fn checked(dims: Vec<usize>, values: Vec<f32>) -> Result<Tensor, Refusal> {
    tensor(dims, values).map_err(|e| Refusal::Invalid(NodeError::Operands(e.to_string())))
}
