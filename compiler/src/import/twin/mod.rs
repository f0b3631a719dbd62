//! Files that carry an assignment: their Block-ReLUs, clusters of standard nodes (docs/TWIN.md),
//! are found by the names in it and become the plain gates that they stand for.
//!
//! This happens before anything else looks at the graph: the last node of each cluster becomes a
//! Relu or Clip of its operand, and the others, which nobody reads any more, are dead. What a
//! cluster computes is read from its nodes alone (`cluster`), never believed from the metadata.
//! Only when the network is there, and shapes are known, can the two be held against each other.

mod cluster;
mod error;
mod reader;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, StringStringEntryProto};
use trefoil_ir::Patches;
use trefoil_ir::nn::Graph;

use super::external::Folder;
use super::structure::node_name;
use crate::patches::{ASSIGNMENT_KEY, LIMITS_KEY};
use crate::patches::{Assignment, LayerChoice, patches_by_name};
use cluster::Cluster;
use reader::Reader;
use trefoil_ir::nn::Gate;

pub use error::{ClusterError, NodeFault, TwinError};

/// Assignments of the largest networks have some hundred kilobytes.
const MAX_METADATA: usize = 1 << 24;

/// The assignment of a file, and the clusters that were found for it.
pub(super) struct Twin {
    assignment: Assignment,
    clusters: BTreeMap<String, Cluster>,
}

/// Puts plain gates in place of a file's clusters; `None` if the file carries no assignment.
///
/// # Errors
/// If the metadata are malformed, or a cluster computes no Block-ReLU.
pub(super) fn collapse(
    graph: &mut GraphProto,
    metadata: &[StringStringEntryProto],
    folder: &Folder,
) -> Result<Option<Twin>, TwinError> {
    let Some(text) = entry(metadata, ASSIGNMENT_KEY)? else {
        return Ok(None);
    };
    let assignment = Assignment::parse(text).map_err(TwinError::Assignment)?;
    let limits = limits(metadata)?;
    let mut found = Vec::new();
    let mut reader = Reader::new(graph, folder);
    for (name, node) in ends(graph, &assignment, &reader)? {
        let is_clip = matches!(assignment.get(name), Some(LayerChoice::Signs { .. }));
        let cluster = cluster::read(&mut reader, &graph.node[node]).and_then(|mut cluster| {
            cluster.settle_limit(limits.get(name).copied(), is_clip)?;
            Ok(cluster)
        });
        let cluster = cluster.map_err(|reason| mismatch(name, reason))?;
        found.push((name.to_owned(), node, cluster));
    }
    let mut clusters = BTreeMap::new();
    for (name, node, cluster) in found {
        let output = graph.node[node].output.clone();
        graph.node[node] = plain(&name, &cluster, output);
        clusters.insert(name, cluster);
    }
    Ok(Some(Twin { assignment, clusters }))
}

fn mismatch(name: &str, reason: ClusterError) -> TwinError {
    TwinError::Mismatch {
        name: name.to_owned(),
        reason,
    }
}

fn entry<'m>(
    metadata: &'m [StringStringEntryProto],
    key: &'static str,
) -> Result<Option<&'m str>, TwinError> {
    let mut entries = metadata.iter().filter(|e| e.key == key);
    let value = entries.next().map(|e| e.value.as_str());
    match (value, entries.next()) {
        (_, Some(_)) => Err(TwinError::Twice(key)),
        (Some(text), None) if text.len() > MAX_METADATA => Err(TwinError::TooLarge(key)),
        (value, None) => Ok(value),
    }
}

/// Upper limits of clips by their names.
fn limits(metadata: &[StringStringEntryProto]) -> Result<BTreeMap<String, f32>, TwinError> {
    let Some(text) = entry(metadata, LIMITS_KEY)? else {
        return Ok(BTreeMap::new());
    };
    let limits: BTreeMap<String, f64> =
        serde_json::from_str(text).map_err(|e| TwinError::Limits(e.to_string()))?;
    Ok(limits
        .into_iter()
        .map(|(name, high)| (name, high as f32))
        .collect())
}

/// The last nodes of clusters, with the names of their gates: those that gather from a Concat. The
/// other names of the assignment must be those of plain gates.
fn ends<'a>(
    graph: &GraphProto,
    assignment: &'a Assignment,
    reader: &Reader<'_>,
) -> Result<Vec<(&'a str, usize)>, TwinError> {
    let mut by_name: BTreeMap<&str, Named> = BTreeMap::new();
    for (name, _) in assignment.layers() {
        by_name.insert(name, Named::Nothing);
    }
    for (at, node) in graph.node.iter().enumerate() {
        let Some(named) = by_name.get_mut(node_name(node)) else {
            continue;
        };
        let found = match () {
            () if reader.is_cluster_end(node) => Named::Cluster(at),
            () if is_gate(node) => Named::Gate,
            // That another node has the name is no harm.
            () => continue,
        };
        if !matches!(named, Named::Nothing) {
            return Err(TwinError::Ambiguous(node_name(node).to_owned()));
        }
        *named = found;
    }
    let mut ends = Vec::new();
    for (name, named) in by_name {
        match named {
            Named::Nothing => return Err(TwinError::Unknown(name.to_owned())),
            Named::Gate => {}
            Named::Cluster(at) => ends.push((name, at)),
        }
    }
    Ok(ends)
}

/// What has the name of a ReLU.
enum Named {
    Nothing,
    Gate,
    Cluster(usize),
}

fn is_gate(node: &NodeProto) -> bool {
    matches!(node.op_type.as_str(), "Relu" | "Clip" | "Min" | "Max")
}

/// The plain gate of a cluster.
fn plain(name: &str, cluster: &Cluster, output: Vec<String>) -> NodeProto {
    // The importer reads bounds as attributes whatever the opset.
    let (op, attribute) = match cluster.high {
        None => ("Relu", vec![]),
        Some(high) => ("Clip", vec![bound("min", 0.0), bound("max", high)]),
    };
    NodeProto {
        op_type: op.to_owned(),
        name: name.to_owned(),
        input: vec![cluster.source.clone()],
        output,
        attribute,
        ..NodeProto::default()
    }
}

fn bound(name: &str, value: f32) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Float as i32,
        f: value,
        ..AttributeProto::default()
    }
}

impl Twin {
    /// Whether a node is the gate that stands for a cluster: its name is no other gate's.
    pub(super) fn has(&self, node: &NodeProto) -> bool {
        is_gate(node) && self.clusters.contains_key(node_name(node))
    }

    /// Holds the assignment against the plain network and the clusters that were found; returns
    /// it without the entries of gates that the network's output does not need.
    ///
    /// # Errors
    /// If it does not fit the network, or a cluster computes something else than it says.
    pub(super) fn check(self, graph: &Graph) -> Result<Assignment, TwinError> {
        let gates: BTreeMap<&str, _> = graph
            .ids()
            .into_iter()
            .filter(|&id| Gate::of(graph.node(id)).is_some())
            .map(|id| (graph.node(id).origin.name.as_str(), graph.node(id).shape))
            .collect();
        let mut live = Assignment::default();
        for (name, choice) in self.assignment.layers() {
            let is_dead = self.clusters.contains_key(name) && !gates.contains_key(name);
            if !is_dead {
                live.insert(name, choice.clone());
            }
        }
        let stated = patches_by_name(graph, &live).map_err(TwinError::Assignment)?;
        for (name, patches) in &stated {
            let checked = match self.clusters.get(name) {
                Some(cluster) => cluster.check(gates[name.as_str()], patches),
                None => check_plain(patches),
            };
            checked.map_err(|reason| mismatch(name, reason))?;
        }
        Ok(live)
    }
}

/// A gate without a cluster computes a sign per pixel.
fn check_plain((lower, upper): &(Patches, Option<Patches>)) -> Result<(), ClusterError> {
    match lower.iter().chain(upper.iter().flatten()).all(|p| p.is_pixel()) {
        true => Ok(()),
        false => Err(ClusterError::PlainGate),
    }
}
