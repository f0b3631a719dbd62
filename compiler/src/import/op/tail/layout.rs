//! Other dimensions, other places, other element types.

use tract_onnx::pb::tensor_proto::DataType;
use trefoil_ir::tail::{DType, Op, broadcast_dims};

use super::super::reshape;
use super::value;
use crate::import::error::{invalid, unsupported};
use crate::import::site::{Outcome, Site, attribute_error, size};
use crate::import::tail::TailValue;
use crate::import::value::shape_text;

/// Flatten.
pub(super) fn flatten(site: &mut Site<'_>) -> Outcome {
    let x = site.tail(0)?;
    let dims = reshape::flattened(site, &x.dims())?;
    view_as(&x, dims)
}

/// Reshape.
pub(super) fn reshape(site: &mut Site<'_>) -> Outcome {
    let x = site.tail(0)?;
    let dims = reshape::reshaped(site, &x.dims())?;
    view_as(&x, dims)
}

/// Squeeze.
pub(super) fn squeeze(site: &mut Site<'_>) -> Outcome {
    let x = site.tail(0)?;
    let dims = reshape::squeezed(site, &x.dims())?;
    view_as(&x, dims)
}

/// Unsqueeze.
pub(super) fn unsqueeze(site: &mut Site<'_>) -> Outcome {
    let x = site.tail(0)?;
    let dims = reshape::unsqueezed(site, &x.dims())?;
    view_as(&x, dims)
}

fn view_as(x: &TailValue, dims: Vec<usize>) -> Outcome {
    if dims == x.dims() {
        return value(x.clone());
    }
    let dims = x.dims_of_one(dims)?;
    value(x.then(Op::Reshape(dims))?)
}

/// Transpose.
pub(super) fn transpose(site: &mut Site<'_>) -> Outcome {
    let x = site.tail(0)?;
    let perm = reshape::permutation(site, x.dims().len())?;
    // Another axis may be as long as the batch, which shows in no dimension.
    if perm.first() != Some(&0) {
        x.expect_single_image(&perm.iter().map(|&a| x.dims()[a]).collect::<Vec<_>>())?;
    }
    value(x.then(Op::Transpose(perm))?)
}

/// Expand, to no more elements than the logits have.
pub(super) fn expand(site: &mut Site<'_>) -> Outcome {
    let x = site.tail(0)?;
    let Some(wanted) = site.int_list(1)? else {
        return invalid("the shape is missing");
    };
    let wanted: Vec<usize> = wanted.into_iter().map(size).collect::<Result<_, _>>()?;
    let own = x.dims();
    let Some(dims) = broadcast_dims(&own, &wanted) else {
        return invalid(format!(
            "a value of shape {} does not broadcast to {}",
            shape_text(&own),
            shape_text(&wanted)
        ));
    };
    // New axes stand before that of the batch.
    if wanted.len() > own.len() {
        x.expect_single_image(&dims)?;
    }
    let dims = x.dims_of_one(dims)?;
    value(x.then(Op::Expand(dims))?)
}

/// Cast.
pub(super) fn cast(site: &mut Site<'_>) -> Outcome {
    let x = site.tail(0)?;
    let to = i32::try_from(site.int("to", 0)?).ok();
    let Some(to) = to.and_then(|to| DataType::try_from(to).ok()) else {
        return attribute_error("to", "an element type");
    };
    match dtype(to) {
        Some(dtype) if dtype == x.dtype() => value(x),
        Some(dtype) => value(x.then(Op::Cast(dtype))?),
        None => unsupported(
            format!("it converts values to {}", to.as_str_name()),
            "leave it out of the export and apply it to the result",
        ),
    }
}

/// An element type of ONNX as one of the tail.
pub(in crate::import) fn dtype(kind: DataType) -> Option<DType> {
    Some(match kind {
        DataType::Bool => DType::Bool,
        DataType::Uint8 => DType::U8,
        DataType::Uint16 => DType::U16,
        DataType::Uint32 => DType::U32,
        DataType::Uint64 => DType::U64,
        DataType::Int8 => DType::I8,
        DataType::Int16 => DType::I16,
        DataType::Int32 => DType::I32,
        DataType::Int64 => DType::I64,
        DataType::Float16 => DType::F16,
        DataType::Float => DType::F32,
        DataType::Double => DType::F64,
        _ => return None,
    })
}
