//! Operators whose result is a constant whatever the image: Constant, ConstantOfShape, Shape, Size.

use tract_onnx::pb::{AttributeProto, TensorProto};
use trefoil_ir::Tensor;

use crate::import::error::{NodeError, Refusal, TensorError, invalid, unsupported};
use crate::import::external::Folder;
use crate::import::site::{Outcome, Site, clamped};
use crate::import::tensor::{load, tensor};
use crate::import::value::{Constant, Value, volume};

/// Elements that ConstantOfShape may make.
const MAX_FILL: usize = 1 << 20;

/// Constant, in any of its forms.
pub(super) fn constant(site: &mut Site<'_>) -> Outcome {
    let constant = if let Some(attribute) = value_attribute(site) {
        let Some(proto) = &attribute.t else {
            return invalid("the attribute `value` holds no tensor");
        };
        read(site, proto)?
    } else if site.has("value_float") {
        Constant::Float(single(site.float("value_float", 0.0)?)?)
    } else if site.has("value_int") {
        Constant::Int(single(site.int("value_int", 0)?)?)
    } else if let Some(values) = site.floats("value_floats")? {
        Constant::Float(Tensor::vector(values))
    } else if let Some(values) = site.ints("value_ints")? {
        Constant::int_vector(values)
    } else {
        return unsupported(
            "the constant is a text or sparse",
            "export the constant as a dense tensor of numbers",
        );
    };
    Ok(vec![Value::Constant(constant)])
}

/// ConstantOfShape.
pub(super) fn constant_of_shape(site: &mut Site<'_>) -> Outcome {
    let Some(shape) = site.int_list(0)? else {
        return invalid("the shape is missing");
    };
    let value = match value_attribute(site).and_then(|attribute| attribute.t.as_ref()) {
        Some(proto) => read(site, proto)?,
        None => Constant::Float(single(0.0)?),
    };
    let dims: Option<Vec<usize>> = shape.iter().map(|&d| usize::try_from(d).ok()).collect();
    let dims = dims.filter(|d| d.len() <= 8 && volume(d).is_some_and(|n| n <= MAX_FILL));
    let Some(dims) = dims else {
        return invalid("its shape is negative, or has more than 8 dimensions or 2^20 elements");
    };
    let filled = match &value {
        Constant::Float(t) => fill(dims, t).map(Constant::Float),
        Constant::Int(t) => fill(dims, t).map(Constant::Int),
        Constant::Bool(t) => fill(dims, t).map(Constant::Bool),
    };
    Ok(vec![Value::Constant(filled?)])
}

/// Shape, or a part of it.
pub(super) fn shape(site: &mut Site<'_>) -> Outcome {
    let dims = dims(site)?;
    let rank = dims.len();
    let start = clamped(site.int("start", 0)?, rank);
    let end = clamped(site.int("end", rank as i64)?, rank);
    let part = dims.get(start..end).unwrap_or(&[]);
    let part = part.iter().map(|&d| d as i64).collect();
    Ok(vec![Value::Constant(Constant::int_vector(part))])
}

/// Size.
pub(super) fn size(site: &mut Site<'_>) -> Outcome {
    let count = volume(&dims(site)?).unwrap_or(0);
    Ok(vec![Value::Constant(Constant::Int(single(count as i64)?))])
}

fn value_attribute<'s>(site: &Site<'s>) -> Option<&'s AttributeProto> {
    site.proto.attribute.iter().find(|a| a.name == "value")
}

fn dims(site: &Site<'_>) -> Result<Vec<usize>, Refusal> {
    match site.value(0)? {
        Value::Map(view) => Ok(view.dims.clone()),
        Value::Constant(constant) => Ok(constant.dims().to_vec()),
        Value::Tail(value) => Ok(value.dims()),
        Value::Unknown => invalid("the operand is unknown"),
    }
}

/// A tensor in an attribute; it has no external data.
fn read(site: &Site<'_>, proto: &TensorProto) -> Result<Constant, Refusal> {
    load(proto, &Folder::new(None)).map_err(|source| wrong(site.name, source))
}

fn single<T>(value: T) -> Result<Tensor<T>, Refusal> {
    tensor(vec![], vec![value]).map_err(|source| wrong("value", source))
}

fn fill<T: Copy>(dims: Vec<usize>, value: &Tensor<T>) -> Result<Tensor<T>, Refusal> {
    let &[value] = value.values() else {
        return invalid("the attribute `value` must hold one number");
    };
    let count = volume(&dims).unwrap_or(0);
    tensor(dims, vec![value; count]).map_err(|source| wrong("value", source))
}

fn wrong(name: &str, source: TensorError) -> Refusal {
    Refusal::Invalid(NodeError::Constant {
        name: name.to_owned(),
        source,
    })
}
