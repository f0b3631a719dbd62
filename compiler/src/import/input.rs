//! The network's input: which shape it has, with the batch and other open sizes fixed.

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{ValueInfoProto, type_proto};
use trefoil_ir::Shape;

use super::describe::{Size, declared};
use super::error::ModelError;

/// ONNX dimensions of the input, batch included, and the shape of one image.
pub(super) fn resolve(
    input: &ValueInfoProto,
    stated: Option<&[usize]>,
) -> Result<(Vec<usize>, Shape), ModelError> {
    check_type(input)?;
    let declared = declared(input);
    let dims = match (declared, stated) {
        (Some(declared), Some(stated)) => merge(input, &declared, stated)?,
        (None, Some(stated)) => stated.to_vec(),
        (Some(declared), None) => close(input, &declared)?,
        (None, None) => {
            return Err(ModelError::InputOpen {
                name: input.name.clone(),
                declared: "that the file does not state".to_owned(),
            });
        }
    };
    let shape = match dims[..] {
        [_, c, h, w] => Shape::new(c, h, w),
        [_, n] => Shape::vector(n),
        _ => Shape::new(0, 0, 0),
    };
    let batch_is_sane = dims.first().is_some_and(|n| (1..=1 << 16).contains(n));
    if !shape.is_sane() || !batch_is_sane {
        return Err(ModelError::InputShape {
            name: input.name.clone(),
            dims,
        });
    }
    Ok((dims, shape))
}

/// The name of an element type; `None` if the file leaves it open.
pub(super) fn element_type(info: &ValueInfoProto) -> Option<DataType> {
    let type_proto::Value::TensorType(tensor) = info.r#type.as_ref()?.value.as_ref()?;
    match DataType::try_from(tensor.elem_type) {
        Ok(DataType::Undefined) => None,
        Ok(kind) => Some(kind),
        // Any type that is none of ours will do: it is refused.
        Err(_) => Some(DataType::String),
    }
}

fn check_type(input: &ValueInfoProto) -> Result<(), ModelError> {
    match element_type(input) {
        None | Some(DataType::Float) => Ok(()),
        Some(kind) => Err(ModelError::ElementType {
            name: input.name.clone(),
            kind: kind.as_str_name().to_owned(),
        }),
    }
}

/// The stated shape, if it does not contradict the file.
fn merge(input: &ValueInfoProto, declared: &[Size], stated: &[usize]) -> Result<Vec<usize>, ModelError> {
    let mut pairs = declared.iter().zip(stated);
    if declared.len() == stated.len() && pairs.all(|(declared, &stated)| admits(declared, stated)) {
        return Ok(stated.to_vec());
    }
    Err(ModelError::InputMismatch {
        name: input.name.clone(),
        declared: text(declared),
        stated: stated.to_vec(),
    })
}

fn admits(declared: &Size, stated: usize) -> bool {
    match declared {
        Size::Fixed(size) => *size == stated,
        Size::Open(_) => true,
    }
}

/// The declared shape with a batch of one where it is open; nothing else may be.
fn close(input: &ValueInfoProto, declared: &[Size]) -> Result<Vec<usize>, ModelError> {
    let mut dims = Vec::with_capacity(declared.len());
    for (axis, size) in declared.iter().enumerate() {
        dims.push(match size {
            Size::Fixed(size) => *size,
            Size::Open(_) if axis == 0 => 1,
            Size::Open(_) => {
                return Err(ModelError::InputOpen {
                    name: input.name.clone(),
                    declared: text(declared),
                });
            }
        });
    }
    Ok(dims)
}

/// A shape with the names of its open sizes, such as `[N, 3, 224, 224]`.
fn text(declared: &[Size]) -> String {
    let dims: Vec<String> = declared
        .iter()
        .map(|d| match d {
            Size::Fixed(size) => size.to_string(),
            Size::Open(name) => name.chars().take(40).collect(),
        })
        .collect();
    format!("[{}]", dims.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::testing::{Size, value};

    fn dims(declared: &[Size], stated: Option<&[usize]>) -> Result<Vec<usize>, ModelError> {
        resolve(&value("x", declared), stated).map(|(dims, _)| dims)
    }

    #[test]
    fn an_open_batch_is_one_unless_stated() {
        for batch in [Size::Open("batch"), Size::Is(0), Size::Is(-1)] {
            let declared = [batch, Size::Is(3), Size::Is(8), Size::Is(9)];
            assert_eq!(dims(&declared, None).unwrap(), [1, 3, 8, 9]);
            assert_eq!(dims(&declared, Some(&[4, 3, 8, 9])).unwrap(), [4, 3, 8, 9]);
            let error = dims(&declared, Some(&[4, 3, 8, 8])).unwrap_err();
            assert!(matches!(error, ModelError::InputMismatch { .. }));
        }
        assert_eq!(dims(&[Size::Is(2), Size::Is(10)], None).unwrap(), [2, 10]);
    }

    #[test]
    fn other_open_sizes_must_be_stated() {
        let declared = [Size::Open("N"), Size::Is(3), Size::Open("h"), Size::Open("w")];
        let error = dims(&declared, None).unwrap_err();
        assert!(error.to_string().contains("[N, 3, h, w]"), "{error}");
        assert!(error.to_string().contains("--input-shape"), "{error}");
        assert_eq!(dims(&declared, Some(&[1, 3, 8, 9])).unwrap(), [1, 3, 8, 9]);
    }

    #[test]
    fn absurd_shapes_are_refused() {
        for bad in [
            vec![Size::Is(1), Size::Is(i64::MAX), Size::Is(i64::MAX), Size::Is(2)],
            vec![Size::Is(1), Size::Is(1 << 20), Size::Is(1 << 20), Size::Is(1)],
            vec![Size::Is(1 << 40), Size::Is(3), Size::Is(4), Size::Is(4)],
            vec![Size::Is(1), Size::Is(3), Size::Is(8)],
            vec![],
        ] {
            assert!(matches!(dims(&bad, None), Err(ModelError::InputShape { .. })));
        }
    }
}
