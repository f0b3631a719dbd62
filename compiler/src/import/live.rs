//! The part of a file that its network is made of, for another program to read: the rest has never
//! been looked at here, and may ask for any amount of memory, or lie in a pipe.

use std::mem;
use std::path::Path;

use tract_onnx::pb::{GraphProto, ModelProto, OperatorSetIdProto, TensorProto, ValueInfoProto};

use super::error::ImportError;
use super::external::Folder;
use super::model;
use super::structure::Structure;
use super::tensor::with_own_data;

/// The nodes of a file that its value `output` needs, in order, and the initializers that these read,
/// with their data in the model itself. Names are as printable as those of an imported network, and
/// nothing is declared but the input.
///
/// # Errors
/// If the file cannot be read, or an initializer that is needed.
pub(crate) fn live_model(path: &Path, output: &str) -> Result<ModelProto, ImportError> {
    let model = model::decode(&model::read(path)?, &mut Vec::new())?;
    let mut graph = model.graph;
    let structure = Structure::of(&graph, Some(output))?;
    let folder = Folder::new(path.parent());
    let mut initializers = Vec::new();
    for tensor in mem::take(&mut graph.initializer) {
        if structure.uses.contains_key(&tensor.name) {
            initializers.push(own(tensor, &folder)?);
        }
    }
    let mut nodes = Vec::new();
    for &at in &structure.order {
        nodes.push(mem::take(&mut graph.node[at]));
    }
    let live = GraphProto {
        initializer: initializers,
        node: nodes,
        input: vec![structure.input],
        output: vec![ValueInfoProto {
            name: structure.output,
            ..ValueInfoProto::default()
        }],
        ..GraphProto::default()
    };
    Ok(ModelProto {
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: model.opset,
        }],
        graph: Some(live),
        ..ModelProto::default()
    })
}

fn own(tensor: TensorProto, folder: &Folder) -> Result<TensorProto, ImportError> {
    let name = tensor.name.clone();
    with_own_data(tensor, folder).map_err(|source| ImportError::Initializer {
        name,
        source: Box::new(source),
    })
}
