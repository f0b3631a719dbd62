//! The graph itself: operators as nodes, operands as numbered edges.

use std::collections::BTreeSet;
use std::fmt;

use petgraph::Direction;
use petgraph::stable_graph::{NodeIndex, StableDiGraph};
use petgraph::visit::EdgeRef;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::op::{Class, Op, OpError};
use crate::geometry::{MAX_ELEMENTS, Shape};
use crate::tail::Tail;

/// A node of a [`Graph`], and the value it computes; printed as `%3`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeId(u32);

impl NodeId {
    /// Position in tables of [`Graph::id_bound`] entries.
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// The number with which it is printed.
    pub(super) fn number(self) -> u32 {
        self.0
    }

    fn petgraph(self) -> NodeIndex {
        NodeIndex::new(self.index())
    }
}

impl From<NodeIndex> for NodeId {
    fn from(index: NodeIndex) -> Self {
        Self(index.index() as u32)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where in the ONNX file a node comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Name of the ONNX node (or of its output, where exporters leave the name empty). A ReLU is
    /// known by this name in assignments and profiles.
    pub name: String,
    /// Shape that the value has in the imported graph, where passes have moved the node to
    /// another map size: DReLUs are counted on it.
    pub counted_on: Option<Shape>,
}

impl Origin {
    /// The origin of a node called `name`.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            counted_on: None,
        }
    }
}

/// A node: an operator and what is known of its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// What the node computes.
    pub op: Op,
    /// Shape of its value.
    pub shape: Shape,
    /// Where in the ONNX file it comes from.
    pub origin: Origin,
    /// Largest magnitude of each channel on the calibration data, in real units.
    pub range: Option<Vec<f32>>,
}

/// A node could not be added or changed.
#[derive(Debug, Error, PartialEq)]
#[error("{op} \"{name}\" does not fit its operands")]
pub struct GraphError {
    op: &'static str,
    name: String,
    source: OpError,
}

/// A network: a directed acyclic graph with one input and one output.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Graph {
    /// The model's name.
    pub name: String,
    // The weight of an edge is the number of the operand that it delivers.
    #[serde(deserialize_with = "super::stored::deserialize")]
    inner: StableDiGraph<Node, u32>,
}

impl Graph {
    /// An empty graph.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            inner: StableDiGraph::new(),
        }
    }

    /// Adds a node behind its operands.
    ///
    /// # Errors
    /// If the operator does not accept the operands.
    pub fn add(
        &mut self,
        op: impl Into<Op>,
        inputs: &[NodeId],
        origin: Origin,
    ) -> Result<NodeId, GraphError> {
        let op = op.into();
        let shape = self.infer(&op, inputs, &origin)?;
        let node = Node {
            op,
            shape,
            origin,
            range: None,
        };
        let id = self.inner.add_node(node);
        for (slot, input) in inputs.iter().enumerate() {
            self.inner.add_edge(input.petgraph(), id, slot as u32);
        }
        Ok(id.into())
    }

    /// Replaces a node's operator and operands, keeping its users.
    ///
    /// # Errors
    /// If the operator does not accept the operands.
    pub fn replace(&mut self, id: NodeId, op: impl Into<Op>, inputs: &[NodeId]) -> Result<(), GraphError> {
        let op = op.into();
        let shape = self.infer(&op, inputs, &self.node(id).origin)?;
        let old: Vec<_> = self
            .inner
            .edges_directed(id.petgraph(), Direction::Incoming)
            .map(|e| e.id())
            .collect();
        for edge in old {
            self.inner.remove_edge(edge);
        }
        for (slot, input) in inputs.iter().enumerate() {
            self.inner.add_edge(input.petgraph(), id.petgraph(), slot as u32);
        }
        let node = self.node_mut(id);
        node.op = op;
        node.shape = shape;
        Ok(())
    }

    fn infer(&self, op: &Op, inputs: &[NodeId], origin: &Origin) -> Result<Shape, GraphError> {
        let shapes: Vec<Shape> = inputs.iter().map(|&i| self.node(i).shape).collect();
        infer_sane(op, &shapes).map_err(|source| GraphError {
            op: op.name(),
            name: origin.name.clone(),
            source,
        })
    }

    /// Whether there is (still) a node of this id.
    pub fn contains(&self, id: NodeId) -> bool {
        self.inner.contains_node(id.petgraph())
    }

    /// The node of this id.
    ///
    /// # Panics
    /// If it has been removed, or belongs to another graph.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.inner[id.petgraph()]
    }

    /// The node of this id, to change what is known of it.
    ///
    /// # Panics
    /// If it has been removed, or belongs to another graph.
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.inner[id.petgraph()]
    }

    /// Operands of a node, in order.
    pub fn inputs(&self, id: NodeId) -> Vec<NodeId> {
        let mut edges: Vec<(u32, NodeId)> = self
            .inner
            .edges_directed(id.petgraph(), Direction::Incoming)
            .map(|e| (*e.weight(), e.source().into()))
            .collect();
        edges.sort_unstable();
        edges.into_iter().map(|(_, id)| id).collect()
    }

    /// Nodes that use a value, one entry for each operand that it is, in order of their ids.
    pub fn users(&self, id: NodeId) -> Vec<NodeId> {
        let mut users: Vec<NodeId> = self
            .inner
            .edges_directed(id.petgraph(), Direction::Outgoing)
            .map(|e| e.target().into())
            .collect();
        users.sort_unstable();
        users
    }

    /// Makes every user of `old` use `new` instead.
    pub fn replace_uses(&mut self, old: NodeId, new: NodeId) {
        let edges: Vec<_> = self
            .inner
            .edges_directed(old.petgraph(), Direction::Outgoing)
            .map(|e| (e.id(), e.target(), *e.weight()))
            .filter(|&(_, target, _)| target != new.petgraph())
            .collect();
        for (edge, target, slot) in edges {
            self.inner.remove_edge(edge);
            self.inner.add_edge(new.petgraph(), target, slot);
        }
    }

    /// Removes a node with its edges.
    pub fn remove(&mut self, id: NodeId) {
        self.inner.remove_node(id.petgraph());
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.inner.node_count()
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every id's index is below this.
    pub fn id_bound(&self) -> usize {
        self.inner
            .node_indices()
            .map(|i| i.index() + 1)
            .max()
            .unwrap_or(0)
    }

    /// Ids in order of insertion.
    pub fn ids(&self) -> Vec<NodeId> {
        self.inner.node_indices().map(NodeId::from).collect()
    }

    /// Ids in topological order, the lowest id first among those that are ready, so that the
    /// order depends on the graph alone. Nodes on a cycle are left out; the verifier reports them.
    pub fn order(&self) -> Vec<NodeId> {
        let mut missing: Vec<usize> = vec![0; self.id_bound()];
        let mut ready = BTreeSet::new();
        for id in self.ids() {
            missing[id.index()] = self.inputs(id).len();
            if missing[id.index()] == 0 {
                ready.insert(id);
            }
        }
        let mut order = Vec::with_capacity(self.len());
        while let Some(id) = ready.pop_first() {
            order.push(id);
            for user in self.users(id) {
                missing[user.index()] -= 1;
                if missing[user.index()] == 0 {
                    ready.insert(user);
                }
            }
        }
        order
    }

    /// The input node, if there is exactly one.
    pub fn input(&self) -> Option<NodeId> {
        self.only(|op| matches!(op, Op::Input(_)))
    }

    /// The output node, if there is exactly one.
    pub fn output(&self) -> Option<NodeId> {
        self.only(|op| matches!(op, Op::Output(_)))
    }

    /// What the client computes of the logits; `None` if there is not exactly one output.
    pub fn tail(&self) -> Option<&Tail> {
        let Class::Output(tail) = self.node(self.output()?).op.class() else {
            return None;
        };
        Some(tail)
    }

    fn only(&self, wanted: impl Fn(&Op) -> bool) -> Option<NodeId> {
        let mut found = self.ids().into_iter().filter(|&id| wanted(&self.node(id).op));
        match (found.next(), found.next()) {
            (Some(id), None) => Some(id),
            _ => None,
        }
    }

    /// The same graph without nodes that the output does not depend on, numbered in topological
    /// order: what the pass manager makes of a graph after every pass. The input stays even if
    /// nothing uses it.
    #[must_use]
    pub fn compacted(&self) -> Graph {
        self.compacted_with_ids().0
    }

    /// The [compacted](Self::compacted) graph, and for each old id the new one; `None` for nodes that
    /// were dropped.
    pub fn compacted_with_ids(&self) -> (Graph, Vec<Option<NodeId>>) {
        let mut live = vec![false; self.id_bound()];
        let mut stack: Vec<NodeId> = self.output().into_iter().chain(self.input()).collect();
        while let Some(id) = stack.pop() {
            if !std::mem::replace(&mut live[id.index()], true) {
                stack.extend(self.inputs(id));
            }
        }
        let mut result = Graph::new(self.name.clone());
        let mut renamed = vec![None; self.id_bound()];
        for id in self.order().into_iter().filter(|id| live[id.index()]) {
            let new = result.inner.add_node(self.node(id).clone());
            for (slot, input) in self.inputs(id).into_iter().enumerate() {
                let input: NodeId = renamed[input.index()].expect("operands come before their users");
                result.inner.add_edge(input.petgraph(), new, slot as u32);
            }
            renamed[id.index()] = Some(new.into());
        }
        (result, renamed)
    }
}

/// Shape of an operator's result, if it is one that can be computed with.
fn infer_sane(op: &Op, inputs: &[Shape]) -> Result<Shape, OpError> {
    let shape = op.infer(inputs)?;
    if !shape.is_sane() {
        return Err(OpError::Shape(format!(
            "the result of shape {shape} is empty or has more than {MAX_ELEMENTS} elements"
        )));
    }
    Ok(shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::op::{Add, Input, Output, Relu};

    fn diamond() -> (Graph, NodeId, NodeId) {
        let mut graph = Graph::new("diamond");
        let shape = Shape::new(2, 3, 3);
        let x = graph.add(Input { shape }, &[], Origin::named("x")).unwrap();
        let a = graph.add(Relu, &[x], Origin::named("a")).unwrap();
        let sum = graph.add(Add, &[a, x], Origin::named("sum")).unwrap();
        graph.add(Output::map(shape), &[sum], Origin::named("y")).unwrap();
        (graph, a, sum)
    }

    #[test]
    fn operands_keep_their_order_when_uses_are_replaced() {
        let (mut graph, a, sum) = diamond();
        let x = graph.input().unwrap();
        let b = graph.add(Relu, &[x], Origin::named("b")).unwrap();
        graph.replace_uses(a, b);
        assert_eq!(graph.inputs(sum), [b, x]);
        assert!(graph.users(a).is_empty());
    }

    #[test]
    fn compaction_drops_what_is_dead_and_numbers_topologically() {
        let (mut graph, _, sum) = diamond();
        graph.add(Relu, &[sum], Origin::named("dead")).unwrap();
        let compact = graph.compacted();
        assert_eq!(compact.len(), 4);
        assert_eq!(compact.order(), compact.ids());
    }

    #[test]
    fn errors_name_the_operator_and_its_origin() {
        let (mut graph, a, _) = diamond();
        let error = graph.add(Add, &[a], Origin::named("broken")).unwrap_err();
        assert!(error.to_string().starts_with("add \"broken\""), "{error}");
    }
}
