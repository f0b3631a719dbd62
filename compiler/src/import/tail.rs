//! Values behind the network, which the client computes in the clear of its logits, and the nodes
//! that may give such values: those from which nothing but others of them leads to the output.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::{GraphProto, NodeProto};
use trefoil_ir::tail::{DType, Op, Step, Tail, TailError, Type};

use super::error::{Refusal, unsupported};
use super::op::tail::is_known;
use super::structure::is_standard_domain;
use super::value::{View, shape_text};

const REMEDY: &str = "leave it out of the export and apply it to the result";

/// A value of the tail: the last step's.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TailValue {
    /// The value of the graph that the client learns.
    pub(super) logits: View,
    /// The steps from the logits to this value.
    pub(super) tail: Tail,
    ty: Type,
}

/// An operand of an operator of two.
pub(super) enum Side<'a> {
    /// A value of the tail.
    Value(&'a TailValue),
    /// A single number.
    Number(f64),
}

impl TailValue {
    /// A value of the graph, on which nothing has been computed yet.
    pub(super) fn of(logits: View) -> Self {
        let tail = Tail {
            dims: [&[1], &logits.dims[1..]].concat(),
            steps: Vec::new(),
        };
        let ty = tail.logits();
        Self { logits, tail, ty }
    }

    /// ONNX dimensions, the file's batch included.
    pub(super) fn dims(&self) -> Vec<usize> {
        let mut dims = self.ty.dims.clone();
        if self.ty.batched {
            dims[0] = self.batch();
        }
        dims
    }

    /// Type of the elements.
    pub(super) fn dtype(&self) -> DType {
        self.ty.dtype
    }

    fn batch(&self) -> usize {
        self.logits.dims[0]
    }

    /// Dimensions for one image, of those that an ONNX node gives a value and leaves its elements in
    /// their order; the batch must stay the first of them where the file's is more than one image.
    pub(super) fn dims_of_one(&self, mut dims: Vec<usize>) -> Result<Vec<usize>, Refusal> {
        match dims.first_mut() {
            _ if self.batch() == 1 => {}
            Some(first) if self.ty.batched && *first == self.batch() => *first = 1,
            _ => self.expect_single_image(&dims)?,
        }
        Ok(dims)
    }

    /// Refuses what moves the axis of the batch, on the way to these dimensions, where the file's batch
    /// is more than one image.
    pub(super) fn expect_single_image(&self, dims: &[usize]) -> Result<(), Refusal> {
        if self.batch() == 1 {
            return Ok(());
        }
        unsupported(
            format!(
                "it turns the shape {} into {}, which mixes the images of a batch",
                shape_text(&self.dims()),
                shape_text(dims)
            ),
            "export the model with a batch of one image, or with an open one",
        )
    }

    /// The value with one more step behind it.
    pub(super) fn then(&self, op: Op) -> Result<Self, Refusal> {
        let mut steps = self.tail.steps.clone();
        let args = vec![steps.len()];
        steps.push(Step { op, args });
        self.with(steps)
    }

    /// What an operator makes of two operands, of which at least one is a value.
    pub(super) fn combine(op: Op, a: &Side<'_>, b: &Side<'_>) -> Result<Self, Refusal> {
        let ((Side::Value(base), _) | (_, Side::Value(base))) = (a, b) else {
            return unsupported("none of its operands depends on the image", REMEDY);
        };
        let mut steps = base.tail.steps.clone();
        let args = vec![base.place_side(a, &mut steps)?, base.place_side(b, &mut steps)?];
        steps.push(Step { op, args });
        base.with(steps)
    }

    /// Adds the steps that an operand needs and that are not there; returns its place among the values.
    fn place_side(&self, side: &Side<'_>, steps: &mut Vec<Step>) -> Result<usize, Refusal> {
        match side {
            Side::Number(number) => {
                let op = number_of(self.dtype(), *number)?;
                Ok(shared(steps, Step { op, args: vec![] }))
            }
            Side::Value(value) => self.place_value(value, steps),
        }
    }

    fn place_value(&self, other: &Self, steps: &mut Vec<Step>) -> Result<usize, Refusal> {
        if other.logits.node != self.logits.node {
            return unsupported(
                "it takes two values that the client would have to learn both",
                "end the network before it, and apply it to the results",
            );
        }
        let mut places = vec![0];
        if other.tail.dims != self.tail.dims {
            let op = Op::Reshape(other.tail.dims.clone());
            places[0] = shared(steps, Step { op, args: vec![0] });
        }
        for step in &other.tail.steps {
            let args = step.args.iter().map(|&arg| places[arg]).collect();
            let op = step.op.clone();
            places.push(shared(steps, Step { op, args }));
        }
        Ok(places[places.len() - 1])
    }

    fn with(&self, steps: Vec<Step>) -> Result<Self, Refusal> {
        let tail = Tail {
            dims: self.tail.dims.clone(),
            steps,
        };
        let mut types = match tail.types() {
            Ok(types) => types,
            Err(TailError::Step { problem, .. }) => return unsupported(problem.to_string(), REMEDY),
            Err(error) => return unsupported(error.to_string(), REMEDY),
        };
        let ty = types.pop().unwrap_or_else(|| self.ty.clone());
        Ok(Self {
            logits: self.logits.clone(),
            tail,
            ty,
        })
    }
}

/// A single number of a type, which must hold it.
fn number_of(dtype: DType, number: f64) -> Result<Op, Refusal> {
    if dtype.cast(number) == number {
        return Ok(Op::Number(number, dtype));
    }
    unsupported(
        format!(
            "its constant {number} is no number of the type {} that its other operand has",
            dtype.word()
        ),
        "convert the other operand (Cast) before",
    )
}

/// The value of a step, which is added unless there is one like it.
fn shared(steps: &mut Vec<Step>, step: Step) -> usize {
    let at = steps.iter().position(|other| *other == step);
    at.unwrap_or_else(|| {
        steps.push(step);
        steps.len() - 1
    }) + 1
}

/// The nodes at the end: of operators that the tail knows, and read by nothing but others of them
/// (and by what asks for shapes). `order` are the nodes that the output needs, sorted.
pub(super) fn nodes_at_the_end(graph: &GraphProto, order: &[usize]) -> HashSet<usize> {
    let mut readers: HashMap<&str, Vec<usize>> = HashMap::new();
    for &at in order {
        for input in &graph.node[at].input {
            readers.entry(input).or_default().push(at);
        }
    }
    let mut ends = HashSet::new();
    for &at in order.iter().rev() {
        let node = &graph.node[at];
        if !is_standard_domain(&node.domain) || !is_known(&node.op_type) {
            continue;
        }
        let read_by = node.output.iter().filter_map(|name| readers.get(name.as_str()));
        let mut read_by = read_by.flatten();
        if read_by.all(|&reader| ends.contains(&reader) || asks_for_shape(&graph.node[reader])) {
            ends.insert(at);
        }
    }
    ends
}

fn asks_for_shape(node: &NodeProto) -> bool {
    matches!(node.op_type.as_str(), "Shape" | "Size")
}
