//! Protobuf messages of attributes, constants and declarations.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{AttributeProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, type_proto};
use trefoil_ir::tail::{DType, Type};

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

/// A constant single number.
pub(super) fn number(name: String, value: f64, dtype: DType) -> TensorProto {
    let mut raw_data = Vec::new();
    dtype.push(value, &mut raw_data);
    TensorProto {
        name,
        data_type: element_type(dtype) as i32,
        raw_data,
        ..TensorProto::default()
    }
}

/// An element type of the tail as one of ONNX.
pub(super) fn element_type(dtype: DType) -> DataType {
    match dtype {
        DType::Bool => DataType::Bool,
        DType::U8 => DataType::Uint8,
        DType::U16 => DataType::Uint16,
        DType::U32 => DataType::Uint32,
        DType::U64 => DataType::Uint64,
        DType::I8 => DataType::Int8,
        DType::I16 => DataType::Int16,
        DType::I32 => DataType::Int32,
        DType::I64 => DataType::Int64,
        DType::F16 => DataType::Float16,
        DType::F32 => DataType::Float,
        DType::F64 => DataType::Double,
    }
}

/// The declaration of an input or output, its batch left open if it has one.
pub(super) fn declaration(name: &str, ty: &Type) -> ValueInfoProto {
    let batch = ty.batched.then(|| dimension::Value::DimParam(BATCH.to_owned()));
    let sizes = ty
        .row_dims()
        .iter()
        .map(|&d| dimension::Value::DimValue(d as i64));
    let dim = batch.into_iter().chain(sizes).map(|value| Dimension {
        value: Some(value),
        ..Dimension::default()
    });
    let tensor = type_proto::Tensor {
        elem_type: element_type(ty.dtype) as i32,
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
