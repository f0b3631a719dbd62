//! What a file says of itself, whether or not its network can be imported.

use std::collections::HashSet;

use prost::Message;
use serde::Serialize;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dim;
use tract_onnx::pb::{ModelProto, ValueInfoProto, type_proto};

use super::skim;

/// A file in its own words.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Description {
    /// Version of the ONNX operators.
    pub opset: Option<i64>,
    /// Name and version of the exporter.
    pub producer: String,
    /// Its inputs, initializers left out.
    pub inputs: Vec<Port>,
    /// Its outputs.
    pub outputs: Vec<Port>,
}

/// An input or output.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Port {
    /// ONNX name of the value.
    pub name: String,
    /// Its dimensions, batch included; none where the file does not state their number.
    pub shape: Option<Vec<Size>>,
}

/// A dimension.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Size {
    /// A size that the file states.
    Fixed(usize),
    /// Open, under the name that the file gives it, or `?`.
    Open(String),
}

/// Describes an ONNX file; nothing if the bytes are none.
pub fn describe(bytes: &[u8]) -> Option<Description> {
    if !skim::is_within(bytes, super::model::MAX_MESSAGES) {
        return None;
    }
    let mut model = ModelProto::decode(bytes).ok()?;
    super::names::make_printable(&mut model);
    let opset = super::model::opset(&model);
    let producer = format!("{} {}", model.producer_name, model.producer_version);
    let graph = model.graph.filter(|graph| !graph.node.is_empty())?;
    let constants: HashSet<&str> = graph
        .initializer
        .iter()
        .map(|tensor| tensor.name.as_str())
        .collect();
    let inputs = graph.input.iter();
    let inputs = inputs.filter(|input| !constants.contains(input.name.as_str()));
    Some(Description {
        opset,
        producer: producer.trim().to_owned(),
        inputs: inputs.map(port).collect(),
        outputs: graph.output.iter().map(port).collect(),
    })
}

fn port(info: &ValueInfoProto) -> Port {
    Port {
        name: info.name.clone(),
        shape: declared(info),
    }
}

/// The sizes that are declared of a tensor; none where not even their number is.
pub(super) fn declared(info: &ValueInfoProto) -> Option<Vec<Size>> {
    let type_proto::Value::TensorType(tensor) = info.r#type.as_ref()?.value.as_ref()?;
    let sizes = tensor.shape.as_ref()?.dim.iter().map(|dim| match &dim.value {
        // Some exporters write an open size as 0 or -1.
        Some(Dim::DimValue(size)) if *size > 0 => Size::Fixed(usize::try_from(*size).unwrap_or(usize::MAX)),
        Some(Dim::DimParam(name)) if !name.is_empty() => Size::Open(name.clone()),
        Some(Dim::DimParam(_) | Dim::DimValue(_)) | None => Size::Open("?".to_owned()),
    });
    Some(sizes.collect())
}
