//! The verifier of NN graphs: collects everything that is wrong, and hands out the ticket that
//! lowering asks for.

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;

use super::{Graph, NodeId, Op};
use crate::tensor::Tensor;
use crate::text::Attr;

/// One fault of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The node at fault, if it is one node's fault.
    pub node: Option<NodeId>,
    /// What is wrong, as a sentence.
    pub message: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node {
            Some(node) => write!(f, "{node}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// Proof that the verifier accepted what is inside.
#[derive(Clone, Debug)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    pub(crate) fn vouch(inner: T) -> Self {
        Self(inner)
    }

    /// Gives the proof up, to change what is inside.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl Graph {
    /// Checks the whole graph.
    ///
    /// # Errors
    /// Every fault that was found, not only the first.
    pub fn verify(self) -> Result<Verified<Graph>, Vec<Diagnostic>> {
        let faults = check(&self);
        if faults.is_empty() {
            Ok(Verified::vouch(self))
        } else {
            Err(faults)
        }
    }
}

fn check(graph: &Graph) -> Vec<Diagnostic> {
    let mut faults = Vec::new();
    check_ends(graph, &mut faults);
    check_order(graph, &mut faults);
    check_names(graph, &mut faults);
    for id in graph.ids() {
        check_types(graph, id, &mut faults);
        check_constants(graph, id, &mut faults);
    }
    faults
}

fn fault(faults: &mut Vec<Diagnostic>, node: impl Into<Option<NodeId>>, message: impl Into<String>) {
    faults.push(Diagnostic {
        node: node.into(),
        message: message.into(),
    });
}

fn check_ends(graph: &Graph, faults: &mut Vec<Diagnostic>) {
    if graph.input().is_none() {
        fault(faults, None, "a graph has exactly one input");
    }
    if graph.output().is_none() {
        fault(faults, None, "a graph has exactly one output");
    }
    for id in graph.ids() {
        let is_output = matches!(graph.node(id).op, Op::Output(_));
        if is_output && !graph.users(id).is_empty() {
            fault(faults, id, "nothing can use the output");
        }
    }
}

fn check_order(graph: &Graph, faults: &mut Vec<Diagnostic>) {
    let order = graph.order();
    if order.len() < graph.len() {
        let stuck = graph.ids().into_iter().find(|id| !order.contains(id));
        fault(faults, stuck, "the value depends on itself");
    }
}

/// ReLUs are addressed by name in assignments and profiles.
fn check_names(graph: &Graph, faults: &mut Vec<Diagnostic>) {
    let mut seen = HashMap::new();
    for id in graph.ids() {
        let node = graph.node(id);
        let is_relu = matches!(node.op, Op::Relu(_) | Op::BlockRelu(_) | Op::Clip(_));
        if is_relu && let Some(first) = seen.insert(node.origin.name.clone(), id) {
            let name = &node.origin.name;
            fault(
                faults,
                id,
                format!("the ReLU's name \"{name}\" is also that of {first}"),
            );
        }
    }
}

fn check_types(graph: &Graph, id: NodeId, faults: &mut Vec<Diagnostic>) {
    let node = graph.node(id);
    let shapes: Vec<_> = graph.inputs(id).iter().map(|&i| graph.node(i).shape).collect();
    match node.op.infer(&shapes) {
        Ok(shape) if shape == node.shape => {}
        Ok(shape) => fault(
            faults,
            id,
            format!("the shape is stated as {} and must be {shape}", node.shape),
        ),
        Err(error) => fault(faults, id, error.to_string()),
    }
    if node.range.as_ref().is_some_and(|r| r.len() != node.shape.c) {
        fault(faults, id, "the range does not hold one number per channel");
    }
}

fn check_constants(graph: &Graph, id: NodeId, faults: &mut Vec<Diagnostic>) {
    for (name, attr) in graph.node(id).op.attrs().iter() {
        if let Attr::Tensor(tensor) = attr {
            check_tensor(tensor, name, id, faults);
        }
    }
}

fn check_tensor(tensor: &Tensor, name: &str, id: NodeId, faults: &mut Vec<Diagnostic>) {
    if !tensor.is_consistent() {
        fault(
            faults,
            id,
            format!("the dimensions of `{name}` do not match its number of values"),
        );
    }
    if let Some(at) = tensor.values().iter().position(|v| !v.is_finite()) {
        fault(
            faults,
            id,
            format!("`{name}` holds a value at index {at} that is not a finite number"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Origin;
    use crate::nn::op::{Affine, Input, Output, Relu};
    use crate::shape::Shape;

    #[test]
    fn all_faults_are_collected() {
        let mut graph = Graph::new("broken");
        let shape = Shape::new(1, 2, 2);
        let x = graph.add(Input { shape }, &[], Origin::named("x")).unwrap();
        let a = graph.add(Relu, &[x], Origin::named("r")).unwrap();
        let b = graph.add(Relu, &[a], Origin::named("r")).unwrap();
        let nan = Affine {
            scale: Tensor::vector(vec![f32::NAN]),
            bias: Tensor::vector(vec![0.0]),
        };
        graph.add(nan, &[b], Origin::named("nan")).unwrap();
        graph.node_mut(a).shape = Shape::new(1, 3, 3);
        let faults = graph.verify().unwrap_err();
        let text: Vec<String> = faults.iter().map(ToString::to_string).collect();
        for expected in [
            "exactly one output",
            "also that of",
            "stated as 1x3x3",
            "not a finite number",
        ] {
            assert!(text.iter().any(|t| t.contains(expected)), "{expected}: {text:?}");
        }
    }

    #[test]
    fn a_sound_graph_gets_its_ticket() {
        let mut graph = Graph::new("sound");
        let shape = Shape::new(1, 2, 2);
        let x = graph.add(Input { shape }, &[], Origin::named("x")).unwrap();
        graph.add(Output { rank: 4 }, &[x], Origin::named("y")).unwrap();
        assert_eq!(graph.verify().expect("sound").len(), 2);
    }
}
