//! Cast of a constant. Constants are held as f32, i64 and bool, so that a cast to any other type is
//! worked out only where that type holds the very number.

use std::ops::RangeInclusive;

use tract_onnx::pb::NodeProto;
use tract_onnx::pb::tensor_proto::DataType;
use trefoil_ir::Tensor;

use super::fold_error;
use crate::import::error::Refusal;
use crate::import::tensor::tensor;
use crate::import::value::Constant;

pub(super) fn cast(node: &NodeProto, data: &Constant) -> Result<Vec<Constant>, Refusal> {
    let to = node.attribute.iter().find(|a| a.name == "to").map(|a| a.i);
    let to = to.and_then(|to| DataType::try_from(i32::try_from(to).ok()?).ok());
    let constant = match to {
        Some(DataType::Float | DataType::Double) => Some(Constant::Float(floats(data)?)),
        Some(DataType::Float16) => halves(data).map(Constant::Float),
        Some(DataType::Bool) => Some(Constant::Bool(bools(data)?)),
        to => match to.and_then(range) {
            Some(range) => ints(data, range).map(Constant::Int),
            None => return fold_error("it converts to a type that is not supported"),
        },
    };
    match constant {
        Some(constant) => Ok(vec![constant]),
        None => fold_error("a number does not fit the type that it is converted to"),
    }
}

/// The numbers that an integer type holds, of those that i64 does; none for other types.
fn range(kind: DataType) -> Option<RangeInclusive<i64>> {
    match kind {
        DataType::Int64 => Some(i64::MIN..=i64::MAX),
        DataType::Int32 => Some(i32::MIN.into()..=i32::MAX.into()),
        DataType::Int16 => Some(i16::MIN.into()..=i16::MAX.into()),
        DataType::Int8 => Some(i8::MIN.into()..=i8::MAX.into()),
        DataType::Uint8 => Some(0..=u8::MAX.into()),
        DataType::Uint16 => Some(0..=u16::MAX.into()),
        DataType::Uint32 => Some(0..=u32::MAX.into()),
        _ => None,
    }
}

fn with<T>(data: &Constant, values: Vec<T>) -> Result<Tensor<T>, Refusal> {
    tensor(data.dims().to_vec(), values).or_else(|error| fold_error(error.to_string()))
}

fn floats(data: &Constant) -> Result<Tensor, Refusal> {
    with(data, data.floats())
}

/// The numbers, if half precision holds them exactly.
fn halves(data: &Constant) -> Option<Tensor> {
    let values = data.floats();
    if !values.iter().all(|&value| is_half(value)) {
        return None;
    }
    tensor(data.dims().to_vec(), values).ok()
}

/// Whether half precision holds the number: 11 binary digits, the last of which counts no less than 2^-24.
fn is_half(value: f32) -> bool {
    let step = (value.abs().log2().floor() - 10.0).max(-24.0).exp2();
    value == 0.0 || (value.abs() <= 65504.0 && (value / step).fract() == 0.0)
}

/// The numbers without what stands behind the point, if all are in range.
fn ints(data: &Constant, range: RangeInclusive<i64>) -> Option<Tensor<i64>> {
    let values: Vec<i64> = match data {
        Constant::Int(tensor) => tensor.values().to_vec(),
        Constant::Float(tensor) => tensor
            .values()
            .iter()
            .map(|&v| truncated(v))
            .collect::<Option<_>>()?,
        Constant::Bool(tensor) => tensor.values().iter().map(|&v| v.into()).collect(),
    };
    if !values.iter().all(|v| range.contains(v)) {
        return None;
    }
    tensor(data.dims().to_vec(), values).ok()
}

/// The number without what stands behind the point, if it is below 2^63 in magnitude: i64 holds it then.
fn truncated(value: f32) -> Option<i64> {
    (value.abs() < 9.2e18).then_some(value.trunc() as i64)
}

fn bools(data: &Constant) -> Result<Tensor<bool>, Refusal> {
    let values = match data {
        Constant::Int(tensor) => tensor.values().iter().map(|&v| v != 0).collect(),
        Constant::Float(tensor) => tensor.values().iter().map(|&v| v != 0.0).collect(),
        Constant::Bool(tensor) => tensor.values().to_vec(),
    };
    with(data, values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::testing::{int, node, with as attributed};

    fn to(kind: DataType, data: &Constant) -> Option<Constant> {
        let cast_node = attributed(node("Cast", &["a"], &["y"]), vec![int("to", kind as i64)]);
        cast(&cast_node, data).ok().map(|mut values| values.remove(0))
    }

    #[test]
    fn numbers_are_cut_off_and_must_fit() {
        let given = Constant::Float(Tensor::vector(vec![6.6, -10.5, 0.2]));
        let whole = Constant::int_vector(vec![6, -10, 0]);
        assert_eq!(to(DataType::Int64, &given), Some(whole.clone()));
        assert_eq!(to(DataType::Int8, &given), Some(whole));
        assert_eq!(to(DataType::Uint8, &given), None);
        let large = Constant::Float(Tensor::vector(vec![3e9]));
        assert_eq!(to(DataType::Int32, &large), None);
        assert_eq!(
            to(DataType::Uint32, &large),
            Some(Constant::int_vector(vec![3_000_000_000]))
        );
        for beyond in [1e19, f32::NAN, f32::INFINITY] {
            assert_eq!(
                to(DataType::Int64, &Constant::Float(Tensor::vector(vec![beyond]))),
                None
            );
        }
        let truth = Constant::Bool(Tensor::vector(vec![true, true, true]));
        assert_eq!(to(DataType::Bool, &given), Some(truth));
    }

    #[test]
    fn half_precision_must_hold_the_number() {
        let held = [0.5f32, -65504.0, 2f32.powi(-24), 2047.0, 0.333_251_95, -0.0];
        let held = Constant::Float(Tensor::vector(held.to_vec()));
        assert_eq!(to(DataType::Float16, &held), Some(held.clone()));
        for rounded in [0.1f32, 2049.0, 65505.0, 2f32.powi(-25), f32::NAN, f32::INFINITY] {
            let constant = Constant::Float(Tensor::vector(vec![rounded]));
            assert_eq!(to(DataType::Float16, &constant), None, "{rounded}");
        }
    }
}
