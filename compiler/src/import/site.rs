//! One ONNX node on its way into the graph: what an operator's importer sees and may do.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, NodeProto};
use trefoil_ir::geometry::MAX_ELEMENTS;
use trefoil_ir::nn::op::Input;
use trefoil_ir::nn::{Graph, NodeId, Op, Origin};
use trefoil_ir::{Shape, Tensor};

use super::Warning;
use super::clipped::Clipped;
use super::error::{NodeError, Refusal, TensorError, invalid, unsupported};
use super::tensor::check_finite;
use super::value::{Constant, Value, View, shape_text, volume};

/// An operand of a node.
#[derive(Clone)]
pub(super) struct Operand {
    /// The value's name.
    pub(super) name: String,
    /// What is known of it.
    pub(super) value: Value,
    /// How many nodes read the value, the graph's output counted.
    pub(super) uses: usize,
}

/// A node with everything that its importer needs.
pub(super) struct Site<'a> {
    pub(super) proto: &'a NodeProto,
    pub(super) name: &'a str,
    /// Version of the ONNX operators.
    pub(super) opset: i64,
    /// Its operands; `None` where an optional one is left out.
    pub(super) operands: Vec<Option<Operand>>,
    /// The graph that is being built.
    pub(super) graph: &'a mut Graph,
    /// Whether the node stands for a cluster, whose gate must stay as it is.
    pub(super) is_cluster: bool,
    /// Clips in the graph that further bounds can be merged into, by the node of their result.
    pub(super) clips: &'a mut HashMap<NodeId, Clipped>,
    /// Nodes that stand in for the results of unsupported ones.
    pub(super) stand_ins: &'a mut HashSet<NodeId>,
    /// How many numbers may still be made out of single ones.
    pub(super) expansion: &'a mut usize,
    /// Where warnings go.
    pub(super) warnings: &'a mut Vec<Warning>,
}

/// What an operator's importer returns: the node's outputs, in order.
pub(super) type Outcome = Result<Vec<Value>, Refusal>;

/// Attributes.
impl Site<'_> {
    fn attribute(
        &self,
        name: &'static str,
        kind: AttributeType,
        expected: &str,
    ) -> Result<Option<&AttributeProto>, Refusal> {
        let Some(found) = self.proto.attribute.iter().find(|a| a.name == name) else {
            return Ok(None);
        };
        if found.r#type == kind as i32 {
            return Ok(Some(found));
        }
        attribute_error(name, expected)
    }

    /// Whether the node has this attribute.
    pub(super) fn has(&self, name: &str) -> bool {
        self.proto.attribute.iter().any(|a| a.name == name)
    }

    /// An integer attribute.
    pub(super) fn int(&self, name: &'static str, default: i64) -> Result<i64, Refusal> {
        let found = self.attribute(name, AttributeType::Int, "an integer")?;
        Ok(found.map_or(default, |a| a.i))
    }

    /// An integer attribute that is 0 or 1.
    pub(super) fn flag(&self, name: &'static str, default: bool) -> Result<bool, Refusal> {
        Ok(self.int(name, default.into())? != 0)
    }

    /// A list of integers.
    pub(super) fn ints(&self, name: &'static str) -> Result<Option<Vec<i64>>, Refusal> {
        let found = self.attribute(name, AttributeType::Ints, "a list of integers")?;
        Ok(found.map(|a| a.ints.clone()))
    }

    /// A finite number.
    pub(super) fn float(&self, name: &'static str, default: f32) -> Result<f32, Refusal> {
        match self.attribute(name, AttributeType::Float, "a number")? {
            None => Ok(default),
            Some(a) if a.f.is_finite() => Ok(a.f),
            Some(_) => attribute_error(name, "a finite number"),
        }
    }

    /// A list of numbers.
    pub(super) fn floats(&self, name: &'static str) -> Result<Option<Vec<f32>>, Refusal> {
        let found = self.attribute(name, AttributeType::Floats, "a list of numbers")?;
        Ok(found.map(|a| a.floats.clone()))
    }

    /// A word.
    pub(super) fn string(&self, name: &'static str, default: &str) -> Result<String, Refusal> {
        match self.attribute(name, AttributeType::String, "a word")? {
            None => Ok(default.to_owned()),
            Some(a) => match std::str::from_utf8(&a.s) {
                Ok(word) if word.len() <= 100 => Ok(word.to_owned()),
                _ => attribute_error(name, "a word"),
            },
        }
    }
}

/// Operands.
impl Site<'_> {
    /// Whether the operand is there.
    pub(super) fn is_given(&self, at: usize) -> bool {
        self.operands.get(at).is_some_and(Option::is_some)
    }

    fn operand(&self, at: usize) -> Result<&Operand, Refusal> {
        let operand = self.operands.get(at).and_then(Option::as_ref);
        operand.ok_or(Refusal::Invalid(NodeError::MissingOperand(at)))
    }

    /// The operand's value.
    pub(super) fn value(&self, at: usize) -> Result<&Value, Refusal> {
        Ok(&self.operand(at)?.value)
    }

    /// Whether this node alone reads the operand.
    pub(super) fn is_only_user(&self, at: usize) -> Result<bool, Refusal> {
        Ok(self.operand(at)?.uses == 1)
    }

    /// An operand that depends on the image.
    pub(super) fn view(&self, at: usize) -> Result<View, Refusal> {
        match self.value(at)? {
            Value::Map(view) => Ok(view.clone()),
            Value::Tail(_) => unsupported(
                "it takes a value that the client computes in the clear, behind the network",
                "end the network before that, or leave this operator out",
            ),
            Value::Constant(_) | Value::Unknown => unsupported(
                format!("operand {at} is a constant where a value that depends on the image is expected"),
                "export the model with constant folding (`do_constant_folding=True`)",
            ),
        }
    }

    /// An operand that is known, if it is given.
    pub(super) fn constant(&self, at: usize) -> Result<Option<&Constant>, Refusal> {
        if !self.is_given(at) {
            return Ok(None);
        }
        match self.value(at)? {
            Value::Constant(constant) => Ok(Some(constant)),
            Value::Map(_) | Value::Tail(_) | Value::Unknown => unsupported(
                format!("operand {at} depends on the image, and only a constant is supported there"),
                "export the model in eval mode, with weights and sizes as constants",
            ),
        }
    }

    /// A constant list of integers, if it is given.
    pub(super) fn int_list(&self, at: usize) -> Result<Option<Vec<i64>>, Refusal> {
        let Some(constant) = self.constant(at)? else {
            return Ok(None);
        };
        match constant.ints() {
            Some(values) => Ok(Some(values.to_vec())),
            None => invalid(format!("operand {at} must hold integers")),
        }
    }

    /// A list of integers that older operator sets write as an attribute and newer ones as an
    /// operand.
    pub(super) fn list(&self, name: &'static str, at: usize) -> Result<Option<Vec<i64>>, Refusal> {
        match self.ints(name)? {
            Some(list) => Ok(Some(list)),
            None => self.int_list(at),
        }
    }

    /// A constant single number, if it is given; it may be infinite.
    pub(super) fn scalar(&self, at: usize) -> Result<Option<f32>, Refusal> {
        let Some(constant) = self.constant(at)? else {
            return Ok(None);
        };
        if constant.len() != 1 {
            return invalid(format!("operand {at} must be a single number"));
        }
        match constant.floats()[0] {
            value if value.is_nan() => Err(self.constant_error(
                at,
                TensorError::NotFinite {
                    value: value.to_string(),
                    position: vec![0; constant.dims().len()],
                },
            )?),
            value => Ok(Some(value)),
        }
    }

    /// A constant tensor of finite numbers.
    pub(super) fn weight(&self, at: usize) -> Result<Tensor, Refusal> {
        match self.constant(at)? {
            None => Err(Refusal::Invalid(NodeError::MissingOperand(at))),
            Some(Constant::Float(tensor)) => match check_finite(tensor) {
                Ok(()) => Ok(tensor.clone()),
                Err(error) => Err(self.constant_error(at, error)?),
            },
            Some(Constant::Int(_) | Constant::Bool(_)) => {
                invalid(format!("operand {at} must hold floating-point numbers"))
            }
        }
    }

    fn constant_error(&self, at: usize, source: TensorError) -> Result<Refusal, Refusal> {
        let name = self.operand(at)?.name.clone();
        Ok(Refusal::Invalid(NodeError::Constant { name, source }))
    }
}

/// The graph.
impl Site<'_> {
    /// Shape of a node's value.
    pub(super) fn shape(&self, node: NodeId) -> Shape {
        self.graph.node(node).shape
    }

    /// An operand that is a map `[N, C, H, W]`.
    pub(super) fn image(&self, at: usize) -> Result<View, Refusal> {
        let view = self.view(at)?;
        self.check_image(&view)?;
        Ok(view)
    }

    /// Refuses a view that is not the map `[N, C, H, W]` of its node.
    pub(super) fn check_image(&self, view: &View) -> Result<(), Refusal> {
        let Shape { c, h, w } = self.shape(view.node);
        if view.dims.len() == 4 && view.dims[1..] == [c, h, w] {
            return Ok(());
        }
        unsupported(
            format!(
                "its operand has the shape {}, not [N, C, H, W]",
                shape_text(&view.dims)
            ),
            "only two-dimensional images are supported: use the two-dimensional form of the layer",
        )
    }

    /// An operand whose dimension 1 are the channels of the graph's value.
    pub(super) fn channelled(&self, at: usize) -> Result<View, Refusal> {
        let view = self.view(at)?;
        self.check_channels(&view)?;
        Ok(view)
    }

    /// Refuses a view whose dimension 1 are not the channels.
    pub(super) fn check_channels(&self, view: &View) -> Result<(), Refusal> {
        if view.dims.get(1) == Some(&self.shape(view.node).c) {
            return Ok(());
        }
        unsupported(
            format!(
                "dimension 1 of its operand of shape {} is not that of the channels",
                shape_text(&view.dims)
            ),
            "keep values in the form [N, C, H, W] or [N, F]",
        )
    }

    /// A node in place of a value that cannot be computed, so that the nodes behind it can be
    /// looked at; a graph with such a node is never handed out.
    pub(super) fn stand_in(&mut self, dims: &[usize]) -> Result<NodeId, Refusal> {
        let shape = match *dims {
            [_, c, h, w] => Shape::new(c, h, w),
            [_, c, ref rest @ ..] => Shape::new(c, volume(rest).unwrap_or(0), 1),
            _ => Shape::vector(1),
        };
        let node = self.add_part("unsupported", Input { shape }, &[])?;
        self.stand_ins.insert(node);
        Ok(node)
    }

    /// Refuses to make ever more numbers, one per channel, out of single ones: a small file could
    /// fill the memory with them.
    pub(super) fn expand(&mut self, count: usize) -> Result<(), Refusal> {
        let Some(left) = self.expansion.checked_sub(count) else {
            return invalid("the network has more channels than any memory holds");
        };
        *self.expansion = left;
        Ok(())
    }

    /// Adds the node that carries this ONNX node's name.
    pub(super) fn add(&mut self, op: impl Into<Op>, inputs: &[NodeId]) -> Result<NodeId, Refusal> {
        self.add_called(self.name.to_owned(), op, inputs)
    }

    /// Adds a further node, named with a suffix.
    pub(super) fn add_part(
        &mut self,
        suffix: &str,
        op: impl Into<Op>,
        inputs: &[NodeId],
    ) -> Result<NodeId, Refusal> {
        self.add_called(format!("{}/{suffix}", self.name), op, inputs)
    }

    fn add_called(&mut self, name: String, op: impl Into<Op>, inputs: &[NodeId]) -> Result<NodeId, Refusal> {
        Ok(self.graph.add(op, inputs, Origin::named(name))?)
    }

    /// Notes something that the user should know.
    pub(super) fn warn(&mut self, message: impl Into<String>) {
        self.warnings.push(Warning {
            node: Some(self.name.to_owned()),
            message: message.into(),
        });
    }
}

/// The error of an attribute that is not what it should be.
pub(super) fn attribute_error<T>(name: &'static str, expected: &str) -> Result<T, Refusal> {
    Err(Refusal::Invalid(NodeError::Attribute {
        name,
        expected: expected.to_owned(),
    }))
}

/// An axis that may count from the end, as an index below `rank`.
pub(super) fn axis(axis: i64, rank: usize) -> Result<usize, Refusal> {
    let signed = rank as i64;
    if (-signed..signed).contains(&axis) {
        return Ok(axis.rem_euclid(signed) as usize);
    }
    invalid(format!("axis {axis} does not exist in a value of rank {rank}"))
}

/// An index that may count from the end, as one below `count`.
pub(super) fn index(index: i64, count: usize) -> Result<usize, Refusal> {
    match axis(index, count) {
        Ok(index) => Ok(index),
        Err(_) => invalid(format!("index {index} does not exist in an axis of size {count}")),
    }
}

/// An end of a part of an axis, as Python's slices take it: negative ones count from the end, and all are
/// clamped to what there is.
pub(super) fn clamped(at: i64, count: usize) -> usize {
    let signed = count as i64;
    let from_start = if at < 0 { at.saturating_add(signed) } else { at };
    from_start.clamp(0, signed) as usize
}

/// Distinct axes that may count from the end.
pub(super) fn axes(list: &[i64], rank: usize) -> Result<Vec<usize>, Refusal> {
    let axes: Vec<usize> = list.iter().map(|&a| axis(a, rank)).collect::<Result<_, _>>()?;
    let mut sorted = axes.clone();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return invalid(format!("an axis is named twice in {list:?}"));
    }
    Ok(axes)
}

/// A size, offset or count that is not negative and not absurd.
pub(super) fn size(value: i64) -> Result<usize, Refusal> {
    match usize::try_from(value) {
        Ok(size) if size <= MAX_ELEMENTS => Ok(size),
        _ => invalid(format!("{value} is not a sensible size")),
    }
}
