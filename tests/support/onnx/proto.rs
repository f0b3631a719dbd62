//! Short constructors for the protobuf messages of an ONNX file.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, NodeProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, type_proto,
};

/// One dimension of a declared shape.
#[derive(Clone, Debug)]
pub(crate) enum Dim {
    /// A number; negative and absurd ones are for the bad-input tests.
    Known(i64),
    /// A name that stands for any number, as exporters write a dynamic batch.
    Symbol(&'static str),
}

/// A node with its attributes.
pub(crate) fn node(
    op: &str,
    name: &str,
    input: &[&str],
    output: &[&str],
    attribute: Vec<AttributeProto>,
) -> NodeProto {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    NodeProto {
        op_type: op.to_owned(),
        name: name.to_owned(),
        input: owned(input),
        output: owned(output),
        attribute,
        ..NodeProto::default()
    }
}

/// An integer attribute.
pub(crate) fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto {
        i,
        ..attribute(name, AttributeType::Int)
    }
}

/// An attribute that is a list of integers.
pub(crate) fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        ints: values.to_vec(),
        ..attribute(name, AttributeType::Ints)
    }
}

/// An attribute that is a list of sizes.
pub(crate) fn sizes(name: &str, values: &[usize]) -> AttributeProto {
    ints(name, &values.iter().map(|v| *v as i64).collect::<Vec<_>>())
}

/// A floating-point attribute.
pub(crate) fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto {
        f,
        ..attribute(name, AttributeType::Float)
    }
}

/// A text attribute.
pub(crate) fn string(name: &str, s: &str) -> AttributeProto {
    AttributeProto {
        s: s.as_bytes().to_vec(),
        ..attribute(name, AttributeType::String)
    }
}

/// A tensor attribute.
pub(crate) fn tensor(name: &str, t: TensorProto) -> AttributeProto {
    AttributeProto {
        t: Some(t),
        ..attribute(name, AttributeType::Tensor)
    }
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: kind as i32,
        ..AttributeProto::default()
    }
}

/// A float tensor; `typed` chooses `float_data` over `raw_data`.
pub(crate) fn f32_tensor(name: &str, dims: &[usize], data: &[f32], typed: bool) -> TensorProto {
    let mut tensor = empty_tensor(name, dims, DataType::Float);
    if typed {
        tensor.float_data = data.to_vec();
    } else {
        tensor.raw_data = data.iter().flat_map(|v| v.to_le_bytes()).collect();
    }
    tensor
}

/// An integer tensor; `typed` chooses `int64_data` over `raw_data`.
pub(crate) fn i64_tensor(name: &str, dims: &[usize], data: &[i64], typed: bool) -> TensorProto {
    let mut tensor = empty_tensor(name, dims, DataType::Int64);
    if typed {
        tensor.int64_data = data.to_vec();
    } else {
        tensor.raw_data = data.iter().flat_map(|v| v.to_le_bytes()).collect();
    }
    tensor
}

/// A tensor that is one truth value.
pub(crate) fn bool_tensor(name: &str, value: bool) -> TensorProto {
    TensorProto {
        raw_data: vec![u8::from(value)],
        ..empty_tensor(name, &[], DataType::Bool)
    }
}

fn empty_tensor(name: &str, dims: &[usize], kind: DataType) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: dims.iter().map(|d| *d as i64).collect(),
        data_type: kind as i32,
        ..TensorProto::default()
    }
}

/// The declaration of a value: its type and shape.
pub(crate) fn value_info(name: &str, kind: DataType, dims: &[Dim]) -> ValueInfoProto {
    let dim = dims
        .iter()
        .map(|dim| Dimension {
            value: Some(match dim {
                Dim::Known(size) => dimension::Value::DimValue(*size),
                Dim::Symbol(name) => dimension::Value::DimParam((*name).to_owned()),
            }),
            ..Dimension::default()
        })
        .collect();
    let tensor = type_proto::Tensor {
        elem_type: kind as i32,
        shape: Some(TensorShapeProto { dim }),
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
