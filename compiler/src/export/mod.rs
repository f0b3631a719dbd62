//! ONNX export: a network with its Block-ReLUs, written in standard operators.
//!
//! Any ONNX runtime can run the file and any trainer can tune it; it carries the assignment of
//! patches, and importing it gives the plain network and that assignment back. docs/TWIN.md says
//! what a Block-ReLU looks like in it.
//!
//! `writer` collects nodes and constants under unique names, `op/` holds one small function an
//! operator, `block_relu` writes a gate with patches as a cluster of nodes.

#![cfg_attr(not(test), warn(clippy::wildcard_enum_match_arm))]

mod block_relu;
mod error;
mod op;
mod proto;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod writer;

use prost::Message;
use tract_onnx::pb::{ModelProto, OperatorSetIdProto, StringStringEntryProto};
use trefoil_ir::nn::op::class::Mean;
use trefoil_ir::nn::{Class, Gate, Graph, Op};
use trefoil_ir::{Patch, Tensor, Verified};

pub use error::ExportError;

use crate::pass::with_shifted_patches;
use crate::patches::{ASSIGNMENT_KEY, Assignment, LIMITS_KEY, LayerChoice};
use writer::Writer;

/// What stands between the name of a gate and the names of its cluster's parts.
pub(crate) const BLOCK: &str = "block";

/// The opset of most files.
const OPSET: i64 = 13;
/// The opset in which average pools got dilations.
const OPSET_WITH_DILATED_POOLS: i64 = 19;
/// A shift by more would round the values away.
const FARTHEST_SHIFT: f32 = 4096.0;
/// Protobuf allows no more bytes.
const MAX_BYTES: usize = i32::MAX as usize;

/// What the graph leaves open.
#[derive(Clone, Debug, Default)]
pub struct ExportOptions {
    /// Rank of the input, batch included: 2 or 4. A single pixel is a vector unless stated.
    pub input_rank: Option<usize>,
}

/// Writes a network as an ONNX model, its batch left open: gates with patches as clusters, and
/// the assignment that they amount to as metadata.
///
/// # Errors
/// If the weights fill more than two gigabytes, or an operator cannot be told in ONNX.
pub fn export(graph: &Verified<Graph>, options: &ExportOptions) -> Result<Vec<u8>, ExportError> {
    let graph = &shifted(graph)?;
    let weights = weight_bytes(graph);
    if weights > MAX_BYTES {
        return Err(ExportError::TooLarge(weights));
    }
    let model = ModelProto {
        producer_name: "trefoil".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        metadata_props: metadata(graph),
        ..model(graph, options)?
    };
    let size = model.encoded_len();
    if size > MAX_BYTES {
        return Err(ExportError::TooLarge(size));
    }
    Ok(model.encode_to_vec())
}

/// The network with patches on gates from zero alone, as clusters have them.
fn shifted(graph: &Graph) -> Result<Graph, ExportError> {
    for id in graph.ids() {
        let node = graph.node(id);
        let Some(gate) = Gate::of(node) else { continue };
        let is_shared = gate.lower.iter().any(|p| !p.is_pixel() && *p != Patch::Identity);
        if is_shared && gate.low.abs() > FARTHEST_SHIFT {
            return Err(ExportError::FarLimit {
                name: node.origin.name.clone(),
                low: gate.low,
            });
        }
    }
    Ok(with_shifted_patches(graph)?)
}

fn model(graph: &Graph, options: &ExportOptions) -> Result<ModelProto, ExportError> {
    let opset = opset(graph);
    let mut writer = Writer::new(graph, opset, options.input_rank);
    for id in graph.order() {
        op::write(&mut writer, id)?;
    }
    Ok(ModelProto {
        // The version in which each operator set came out.
        ir_version: if opset == OPSET { 7 } else { 9 },
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: opset,
        }],
        graph: Some(writer.finish()),
        ..ModelProto::default()
    })
}

fn opset(graph: &Graph) -> i64 {
    match graph.ids().iter().any(|&id| is_dilated_mean(&graph.node(id).op)) {
        true => OPSET_WITH_DILATED_POOLS,
        false => OPSET,
    }
}

fn is_dilated_mean(op: &Op) -> bool {
    let Class::Mean(Mean::Windows(pool)) = op.class() else {
        return false;
    };
    pool.window.dilation != [1, 1]
}

/// The assignment that the graph's own patches are; nothing for a plain network.
fn metadata(graph: &Graph) -> Vec<StringStringEntryProto> {
    let mut assignment = Assignment::default();
    let mut limits = serde_json::Map::new();
    for id in graph.ids() {
        let node = graph.node(id);
        let Some(gate) = Gate::of(node) else { continue };
        let Some(choice) = LayerChoice::of(&gate) else {
            continue;
        };
        if let Some((high, _)) = gate.upper {
            // Every f32 is an f64, and that is what JSON's numbers are read as.
            limits.insert(node.origin.name.clone(), f64::from(high).into());
        }
        assignment.insert(node.origin.name.clone(), choice);
    }
    let mut entries = Vec::new();
    if !assignment.is_empty() {
        entries.push(entry(ASSIGNMENT_KEY, assignment.to_json()));
    }
    if !limits.is_empty() {
        entries.push(entry(LIMITS_KEY, serde_json::Value::Object(limits).to_string()));
    }
    entries
}

fn entry(key: &str, value: String) -> StringStringEntryProto {
    StringStringEntryProto {
        key: key.to_owned(),
        value,
    }
}

fn weight_bytes(graph: &Graph) -> usize {
    let mut count = 0usize;
    for id in graph.ids() {
        if let Class::Linear(layer) = graph.node(id).op.class() {
            count = count.saturating_add(layer.weight.len() + layer.bias.map_or(0, Tensor::len));
        }
    }
    count.saturating_mul(size_of::<f32>())
}
