//! The verifier of NN graphs: collects everything that is wrong, and hands out the ticket that
//! lowering asks for.

use std::collections::HashMap;
use std::fmt;

use super::{Graph, NodeId, Op};
use crate::geometry::{MAX_CHANNELS, Shape};
use crate::tensor::Tensor;
use crate::text::{Attr, UNPRINTABLE, is_printable};
use crate::verified::Verified;

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
    check_channels(graph, &mut faults);
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
        let mut ordered = vec![false; graph.id_bound()];
        order.iter().for_each(|id| ordered[id.index()] = true);
        let stuck = graph.ids().into_iter().find(|id| !ordered[id.index()]);
        fault(faults, stuck, "the value depends on itself");
    }
}

/// ReLUs are addressed by name in assignments and profiles; every name goes into messages.
fn check_names(graph: &Graph, faults: &mut Vec<Diagnostic>) {
    if !is_printable(&graph.name) {
        fault(faults, None, format!("the name of the graph {UNPRINTABLE}"));
    }
    let mut seen = HashMap::new();
    for id in graph.ids() {
        let node = graph.node(id);
        if !is_printable(&node.origin.name) {
            fault(faults, id, format!("the name {UNPRINTABLE}"));
            continue;
        }
        let is_relu = matches!(
            node.op,
            Op::Relu(_) | Op::BlockRelu(_) | Op::Clip(_) | Op::Clamp(_)
        );
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
    check_shapes(graph, id, faults);
    let shapes: Vec<_> = graph.inputs(id).iter().map(|&i| graph.node(i).shape).collect();
    if !shapes.iter().all(Shape::is_sane) {
        return; // reported at the operand: rules rely on what is true of every shape
    }
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

fn check_channels(graph: &Graph, faults: &mut Vec<Diagnostic>) {
    let channels = graph.ids().into_iter().map(|id| graph.node(id).shape.c);
    if channels.fold(0, usize::saturating_add) > MAX_CHANNELS {
        fault(
            faults,
            None,
            "the values have more channels together than any network has",
        );
    }
}

/// A file can state any shape, and says itself on which map DReLUs are counted.
fn check_shapes(graph: &Graph, id: NodeId, faults: &mut Vec<Diagnostic>) {
    let node = graph.node(id);
    if !node.shape.is_sane() {
        fault(
            faults,
            id,
            format!("the value of shape {} is empty or beyond all measure", node.shape),
        );
    }
    if node.origin.counted_on.is_some_and(|map| !map.is_sane()) {
        fault(
            faults,
            id,
            "the map on which its DReLUs are counted is empty or beyond all measure",
        );
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
    use crate::geometry::Window;
    use crate::nn::Origin;
    use crate::nn::op::{Affine, Flatten, Input, MaxPool, Output, Relu};

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

    /// Shapes as a forged file can state them: no rule may work with one, least of all in a loop.
    #[test]
    fn shapes_beyond_all_measure_are_faults_and_reach_no_rule() {
        let huge = Shape::new(1 << 20, 1 << 57, 1 << 57);
        for (op, name) in [
            (
                Op::from(MaxPool {
                    window: Window::dense([1, 1]),
                }),
                "pool",
            ),
            (Op::from(Flatten), "flat"),
        ] {
            let mut graph = Graph::new("forged");
            let input = Input {
                shape: Shape::new(1, 2, 2),
            };
            let x = graph.add(input, &[], Origin::named("x")).unwrap();
            let a = graph.add(op, &[x], Origin::named(name)).unwrap();
            let b = graph
                .add(Output::map(Shape::new(4, 1, 1)), &[a], Origin::named("y"))
                .unwrap();
            graph.node_mut(x).shape = huge;
            graph.node_mut(b).origin.counted_on = Some(huge);
            let faults = graph.verify().unwrap_err();
            let count = |text: &str| faults.iter().filter(|f| f.message.contains(text)).count();
            assert_eq!(count("beyond all measure"), 2, "{faults:?}");
            assert_eq!(count("must be"), 1, "the input's own shape: {faults:?}");
        }
    }

    /// Legal shapes, and as much work as a loop over them would be: 2^28 windows a node.
    #[test]
    fn large_maps_take_no_longer_than_small_ones() {
        let mut graph = Graph::new("long");
        let shape = Shape::new(1, 1 << 28, 1);
        let mut at = graph.add(Input { shape }, &[], Origin::named("x")).unwrap();
        for number in 0..2000 {
            let window = Window {
                pads: [1, 0, 1, 0],
                ..Window::dense([3, 1])
            };
            at = graph
                .add(MaxPool { window }, &[at], Origin::named(format!("{number}")))
                .unwrap();
        }
        graph.add(Output::map(shape), &[at], Origin::named("y")).unwrap();
        assert!(graph.verify().is_ok());
    }

    /// Of a plain ReLU on a vector of 2^28 features every pass would make lists as long.
    #[test]
    fn channels_are_limited_in_all() {
        let chain = |channels: usize, length: usize| {
            let mut graph = Graph::new("vectors");
            let shape = Shape::vector(channels);
            let mut at = graph.add(Input { shape }, &[], Origin::named("x")).unwrap();
            for number in 0..length {
                at = graph
                    .add(Relu, &[at], Origin::named(format!("{number}")))
                    .unwrap();
            }
            let output = Output::map(shape);
            graph.add(output, &[at], Origin::named("y")).unwrap();
            graph.verify().is_ok()
        };
        assert!(chain(1 << 20, 20) && !chain(1 << 20, 70) && !chain(1 << 28, 1));
    }

    #[test]
    fn a_sound_graph_gets_its_ticket() {
        let mut graph = Graph::new("sound");
        let shape = Shape::new(1, 2, 2);
        let x = graph.add(Input { shape }, &[], Origin::named("x")).unwrap();
        graph.add(Output::map(shape), &[x], Origin::named("y")).unwrap();
        assert_eq!(graph.verify().expect("sound").len(), 2);
    }
}
