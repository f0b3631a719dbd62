//! Operators that leave a value as it is at inference: Identity, Dropout, Cast to float32.

use tract_onnx::pb::tensor_proto::DataType;
use trefoil_ir::nn::Op;

use crate::import::error::unsupported;
use crate::import::site::{Outcome, Site, attribute_error};
use crate::import::value::{Constant, Value};

/// Identity.
pub(super) fn identity(site: &mut Site<'_>) -> Outcome {
    site.at_most(1)?;
    Ok(vec![site.value(0)?.clone()])
}

/// Dropout, which does nothing at inference.
pub(super) fn dropout(site: &mut Site<'_>) -> Outcome {
    site.at_most(3)?;
    let training = match site.is_given(2) {
        true => matches!(site.constant(2)?, Some(Constant::Bool(t)) if t.values() == [true]),
        false => false,
    };
    if training {
        site.warn("the dropout is in training mode: it is left out, as at inference");
    }
    Ok(vec![site.value(0)?.clone()])
}

/// Cast of a value to float32, which it is already, or of an index to an integer.
pub(super) fn cast(site: &mut Site<'_>) -> Outcome {
    site.at_most(1)?;
    let view = site.view(0)?;
    let Some(to) = i32::try_from(site.int("to", 0)?)
        .ok()
        .and_then(|to| DataType::try_from(to).ok())
    else {
        return attribute_error("to", "an element type");
    };
    let is_index = matches!(site.graph.node(view.node).op, Op::ArgMax(_));
    match to {
        DataType::Float => Ok(vec![Value::Map(view)]),
        DataType::Int64 | DataType::Int32 if is_index => Ok(vec![Value::Map(view)]),
        other => unsupported(
            format!("it converts values to {}", other.as_str_name()),
            "export the whole network in float32",
        ),
    }
}
