//! ONNX import: from the protobuf of opsets 9 to 21, as either exporter of PyTorch writes it, to
//! the NN graph.
//!
//! `model` decodes the file within limits, `names` makes its names printable, `structure` checks them and sorts the nodes,
//! `build` walks over them: every value is either a constant or a view of a graph node under
//! ONNX dimensions (`value`), so shapes are known throughout and constant subgraphs fold on the
//! way (`constant`). Each operator has an importer in `op/`; `op/mod.rs` lists them, with the
//! remedies for those that have none, and `schema` what each takes.
//!
//! Files that carry an assignment of patches (`twin`) give the plain network and the assignment.
//!
//! Only this module, [`export`](crate::export) and [`second_opinion`](crate::second_opinion) name tract.

mod bound;
mod build;
mod clipped;
mod constant;
mod describe;
mod error;
mod external;
mod input;
mod kind;
mod live;
mod model;
mod names;
mod op;
mod schema;
mod site;
mod skim;
mod structure;
mod tail;
mod tensor;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod twin;
mod value;

use std::fmt;
use std::path::Path;

use trefoil_ir::Verified;
use trefoil_ir::nn::{Graph, NodeId};
use trefoil_ir::text::printable;

use crate::patches::Assignment;

pub use describe::{Description, Port, Size, describe};
pub use error::{
    ExternalError, ImportError, ModelError, NodeError, TensorError, UnsupportedNode, UnsupportedNodes,
};
pub use kind::kind;
pub(crate) use live::live_model;
pub use model::read;
pub use twin::{ClusterError, NodeFault, TwinError};

/// Choices that an ONNX file leaves open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Shape of the input, `[N, C, H, W]` or `[N, F]`, where the file leaves sizes open. An open
    /// batch is 1 unless stated.
    pub input_shape: Option<Vec<usize>>,
    /// The output to keep, where the network has several; any value's name will do.
    pub output: Option<String>,
}

/// A network that has been imported.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The network, of one image: the batch is no part of it.
    pub graph: Verified<Graph>,
    /// The patches of its ReLUs, where the file carries an assignment: it computes the network
    /// with them, and `graph` is the network without.
    pub assignment: Option<Assignment>,
    /// What the user should know, in the order in which it was found.
    pub warnings: Vec<Warning>,
    /// Version of the ONNX operators of the file.
    pub opset: i64,
    /// Name and version of the exporter, as it calls itself.
    pub producer: String,
    /// ONNX name of the input.
    pub input_name: String,
    /// ONNX dimensions of the input, batch included.
    pub input_dims: Vec<usize>,
    /// ONNX name of the output.
    pub output_name: String,
    /// ONNX dimensions of the output, batch included.
    pub output_dims: Vec<usize>,
    /// The file's own names of what the graph computes, in the order of its nodes.
    pub values: Vec<ImportedValue>,
}

/// A value of the file that the graph computes, whose elements stand in the same order in both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedValue {
    /// ONNX name of the value.
    pub name: String,
    /// ONNX name of the node that makes it.
    pub origin: String,
    /// ONNX operator of that node.
    pub op: String,
    /// The node of the graph that computes it.
    pub node: NodeId,
}

/// Something that is no error but that the user should know.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Warning {
    /// The ONNX node that it is about, if it is about one.
    pub node: Option<String>,
    /// A sentence.
    pub message: String,
}

impl Warning {
    fn general(message: String) -> Self {
        Self { node: None, message }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Some(node) => write!(f, "\"{node}\": {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// Imports an ONNX file; external data may lie in its folder.
///
/// # Errors
/// If the file cannot be read, is damaged, or holds a network that Trefoil does not support.
pub fn import_file(path: &Path, options: &ImportOptions) -> Result<Imported, ImportError> {
    let bytes = model::read(path)?;
    let in_file = |source| ImportError::InFile {
        path: path.to_owned(),
        source: Box::new(source),
    };
    if let Some(kind) = kind(&bytes) {
        return Err(in_file(ModelError::Kind(kind).into()));
    }
    let mut imported = import_bytes(&bytes, path.parent(), options).map_err(in_file)?;
    if let Some(stem) = path.file_stem() {
        let mut graph = imported.graph.into_inner();
        graph.name = printable(&stem.to_string_lossy()).into_owned();
        imported.graph = graph.verify().map_err(ImportError::Unsound)?;
    }
    Ok(imported)
}

/// Imports an ONNX model from memory; external data may lie in `folder`.
///
/// # Errors
/// If the model is damaged, or holds a network that Trefoil does not support.
pub fn import_bytes(
    bytes: &[u8],
    folder: Option<&Path>,
    options: &ImportOptions,
) -> Result<Imported, ImportError> {
    let mut warnings = Vec::new();
    let model = model::decode(bytes, &mut warnings)?;
    build::build(model, folder, options, warnings)
}
