//! Reading a graph from a record, which may be forged: petgraph's own reader takes for granted that the
//! places of removed nodes fit, and stops debug builds where they do not.

use petgraph::graph::NodeIndex;
use petgraph::stable_graph::StableDiGraph;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::graph::{Node, Origin};
use super::op::Relu;
use crate::geometry::Shape;

/// A graph as petgraph writes it.
#[derive(Deserialize)]
struct Stored {
    nodes: Vec<Node>,
    /// Places of nodes that were removed, ascending.
    node_holes: Vec<u32>,
    edge_property: Direction,
    /// From, to, and which operand; nothing where an edge was removed.
    edges: Vec<Option<(u32, u32, u32)>>,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Direction {
    Undirected,
    Directed,
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<StableDiGraph<Node, u32>, D::Error> {
    let stored = Stored::deserialize(deserializer)?;
    stored.graph().map_err(D::Error::custom)
}

impl Stored {
    fn graph(self) -> Result<StableDiGraph<Node, u32>, &'static str> {
        // A hole takes a byte in a file and a node in memory; graphs are recorded with few.
        if self.node_holes.len() > self.nodes.len() {
            return Err("it has more holes than nodes");
        }
        let total = self.nodes.len() + self.node_holes.len();
        if self.edge_property != Direction::Directed || u32::try_from(total).is_err() {
            return Err("it is no directed graph");
        }
        let places = places(total, &self.node_holes)?;
        let mut graph = StableDiGraph::with_capacity(total, self.edges.len());
        let mut nodes = self.nodes.into_iter();
        for is_hole in &places {
            let node = if *is_hole { None } else { nodes.next() };
            graph.add_node(node.unwrap_or_else(removed));
        }
        for (from, to, operand) in self.edges.into_iter().flatten() {
            if [from, to]
                .iter()
                .any(|&end| places.get(end as usize) != Some(&false))
            {
                return Err("an edge ends at no node");
            }
            graph.add_edge(
                NodeIndex::new(from as usize),
                NodeIndex::new(to as usize),
                operand,
            );
        }
        // The last one first, so that the first is the first to be filled again.
        for &hole in self.node_holes.iter().rev() {
            graph.remove_node(NodeIndex::new(hole as usize));
        }
        Ok(graph)
    }
}

/// Whether each place is a hole.
fn places(total: usize, holes: &[u32]) -> Result<Vec<bool>, &'static str> {
    let mut places = vec![false; total];
    for &hole in holes {
        match places.get_mut(hole as usize) {
            Some(place) if !*place => *place = true,
            Some(_) | None => return Err("the places of removed nodes do not fit"),
        }
    }
    Ok(places)
}

/// What stands in a hole until it is one.
fn removed() -> Node {
    Node {
        op: Relu.into(),
        shape: Shape::vector(1),
        origin: Origin::default(),
        range: None,
    }
}

#[cfg(test)]
mod tests {
    use crate::geometry::Shape;
    use crate::nn::op::{Input, Output, Relu};
    use crate::nn::{Graph, NodeId, Origin};
    use serde_json::{Value, json};

    /// An input, a ReLU that was removed, another one, and the output.
    fn graph() -> Graph {
        let shape = Shape::new(1, 2, 3);
        let mut graph = Graph::new("g");
        let x = graph.add(Input { shape }, &[], Origin::named("x")).unwrap();
        let dead = graph.add(Relu, &[x], Origin::named("dead")).unwrap();
        let y = graph.add(Relu, &[x], Origin::named("y")).unwrap();
        graph.add(Output::map(shape), &[y], Origin::named("o")).unwrap();
        graph.remove(dead);
        graph
    }

    fn stored() -> Value {
        serde_json::to_value(graph()).unwrap()
    }

    #[test]
    fn a_graph_with_a_hole_reads_back() {
        let again: Graph = serde_json::from_value(stored()).unwrap();
        assert_eq!(again.to_text(), graph().to_text());
        let users = |id: NodeId| again.users(id).len();
        assert_eq!(again.ids().into_iter().map(users).sum::<usize>(), 2);
        assert!(again.verify().is_ok());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let refused = |field: &str, value: Value| {
            let mut forged = stored();
            forged["inner"][field] = value;
            assert!(serde_json::from_value::<Graph>(forged).is_err(), "{field}");
        };
        refused("node_holes", json!([4]));
        refused("node_holes", json!([1, 1]));
        refused("node_holes", json!([9, 0, 0]));
        refused("node_holes", json!([1, 4, 5, 6]));
        refused("edge_property", json!("undirected"));
        refused("edges", json!([[0, 1, 0]]));
        refused("edges", json!([[0, 7, 0]]));
        refused("edges", json!([[u32::MAX, 0, 0]]));
    }
}
