//! Protobuf messages of attributes, constants and declarations.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{AttributeProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, type_proto};

/// Name under which the batch is left open.
const BATCH: &str = "batch";

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: kind as i32,
        ..AttributeProto::default()
    }
}

/// An integer attribute.
pub(super) fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto {
        i,
        ..attribute(name, AttributeType::Int)
    }
}

/// An attribute that lists sizes.
pub(super) fn ints(name: &str, sizes: &[usize]) -> AttributeProto {
    AttributeProto {
        ints: sizes.iter().map(|&s| s as i64).collect(),
        ..attribute(name, AttributeType::Ints)
    }
}

/// A number.
pub(super) fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto {
        f,
        ..attribute(name, AttributeType::Float)
    }
}

/// A word.
pub(super) fn word(name: &str, word: &str) -> AttributeProto {
    AttributeProto {
        s: word.as_bytes().to_vec(),
        ..attribute(name, AttributeType::String)
    }
}

/// A constant of floats, bit for bit.
pub(super) fn floats(name: String, dims: &[usize], values: &[f32]) -> TensorProto {
    TensorProto {
        name,
        dims: dims.iter().map(|&d| d as i64).collect(),
        data_type: DataType::Float as i32,
        raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ..TensorProto::default()
    }
}

/// A constant vector of integers.
pub(super) fn indices(name: String, values: &[usize]) -> TensorProto {
    TensorProto {
        name,
        dims: vec![values.len() as i64],
        data_type: DataType::Int64 as i32,
        raw_data: values.iter().flat_map(|&v| (v as i64).to_le_bytes()).collect(),
        ..TensorProto::default()
    }
}

/// The declaration of an input or output; `dims` leave the batch out.
pub(super) fn declaration(name: &str, kind: DataType, dims: &[usize]) -> ValueInfoProto {
    let batch = dimension::Value::DimParam(BATCH.to_owned());
    let sizes = dims.iter().map(|&d| dimension::Value::DimValue(d as i64));
    let dim = std::iter::once(batch).chain(sizes).map(|value| Dimension {
        value: Some(value),
        ..Dimension::default()
    });
    let tensor = type_proto::Tensor {
        elem_type: kind as i32,
        shape: Some(TensorShapeProto { dim: dim.collect() }),
    };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}
