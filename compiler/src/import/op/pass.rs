//! Operators that leave a value as it is at inference: Identity, Dropout, Cast to float32.

use tract_onnx::pb::tensor_proto::DataType;

use crate::import::error::{invalid, unsupported};
use crate::import::site::{Outcome, Site, attribute_error};
use crate::import::value::{Constant, Value};

/// Identity.
pub(super) fn identity(site: &mut Site<'_>) -> Outcome {
    Ok(vec![site.value(0)?.clone()])
}

/// Dropout, which does nothing at inference.
pub(super) fn dropout(site: &mut Site<'_>) -> Outcome {
    let training = match site.constant(2)? {
        Some(Constant::Bool(flag)) => flag.values() != [false],
        Some(Constant::Float(_) | Constant::Int(_)) => return invalid("operand 2 must be true or false"),
        None => false,
    };
    if training && site.scalar(1)? != Some(0.0) {
        return unsupported(
            "it is in training mode, in which it drops values at random",
            "export the model in eval mode (`model.eval()`, without `training=TrainingMode.TRAINING`)",
        );
    }
    Ok(vec![site.value(0)?.clone()])
}

/// Cast of a value to float32, which it is already.
pub(super) fn cast(site: &mut Site<'_>) -> Outcome {
    let view = site.view(0)?;
    let Some(to) = i32::try_from(site.int("to", 0)?)
        .ok()
        .and_then(|to| DataType::try_from(to).ok())
    else {
        return attribute_error("to", "an element type");
    };
    match to {
        DataType::Float => Ok(vec![Value::Map(view)]),
        other => unsupported(
            format!("it converts values to {}", other.as_str_name()),
            "export the whole network in float32",
        ),
    }
}
