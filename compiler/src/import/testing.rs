//! Small ONNX models in code, for the tests of this module. The messages are made as for the tests of
//! whole commands, and not as the writer makes them, which would be tested with itself.

#[allow(dead_code)] // the other tests make more of them
#[path = "../../../tests/support/onnx/proto.rs"]
mod proto;

use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
    TypeProto, ValueInfoProto, type_proto,
};

pub(crate) use proto::{float, int, ints, string};

/// A declared dimension.
pub(crate) enum Size {
    Is(i64),
    Open(&'static str),
}

/// A node without a name.
pub(crate) fn node(op: &str, input: &[&str], output: &[&str]) -> NodeProto {
    NodeProto {
        op_type: op.to_owned(),
        input: input.iter().map(|&i| i.to_owned()).collect(),
        output: output.iter().map(|&o| o.to_owned()).collect(),
        ..NodeProto::default()
    }
}

/// The node with attributes.
pub(crate) fn with(mut node: NodeProto, attribute: Vec<AttributeProto>) -> NodeProto {
    node.attribute = attribute;
    node
}

/// A float initializer.
pub(crate) fn floats(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: dims.to_vec(),
        data_type: DataType::Float as i32,
        float_data: values.to_vec(),
        ..TensorProto::default()
    }
}

/// An integer initializer.
pub(crate) fn indices(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: vec![values.len() as i64],
        data_type: DataType::Int64 as i32,
        int64_data: values.to_vec(),
        ..TensorProto::default()
    }
}

/// The declaration of a float value.
pub(crate) fn value(name: &str, dims: &[Size]) -> ValueInfoProto {
    let dim = dims.iter().map(|size| Dimension {
        value: Some(match size {
            Size::Is(size) => dimension::Value::DimValue(*size),
            Size::Open(name) => dimension::Value::DimParam((*name).to_owned()),
        }),
        ..Dimension::default()
    });
    let tensor = type_proto::Tensor {
        elem_type: DataType::Float as i32,
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

/// A graph from `x` of shape `[N, 2, 4, 6]` to `y`.
pub(crate) fn graph(node: Vec<NodeProto>) -> GraphProto {
    let dims = [Size::Open("N"), Size::Is(2), Size::Is(4), Size::Is(6)];
    GraphProto {
        node,
        input: vec![value("x", &dims)],
        output: vec![ValueInfoProto {
            name: "y".to_owned(),
            ..ValueInfoProto::default()
        }],
        ..GraphProto::default()
    }
}

/// The bytes of a model.
pub(crate) fn model(opset: i64, graph: GraphProto) -> Vec<u8> {
    let import = OperatorSetIdProto {
        domain: String::new(),
        version: opset,
    };
    ModelProto {
        opset_import: vec![import],
        graph: Some(graph),
        ..ModelProto::default()
    }
    .encode_to_vec()
}
