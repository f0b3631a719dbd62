//! Looking things up in an ONNX graph that has not been checked: who computes a value, what a
//! constant holds, what an attribute says.

use std::collections::HashMap;

use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};

use super::error::ClusterError;
use crate::import::external::Folder;
use crate::import::structure::is_standard_domain;
use crate::import::tensor::load;
use crate::import::value::Constant;

/// Numbers that may be read in all: a small file may name one large constant again and again.
const MAX_READ: usize = 1 << 26;

/// A graph that is looked at.
pub(super) struct Reader<'a> {
    nodes: HashMap<&'a str, &'a NodeProto>,
    constants: HashMap<&'a str, &'a TensorProto>,
    folder: &'a Folder,
    left: usize,
}

impl<'a> Reader<'a> {
    /// A reader of this graph.
    pub(super) fn new(graph: &'a GraphProto, folder: &'a Folder) -> Self {
        let mut nodes = HashMap::new();
        let mut constants = HashMap::new();
        for tensor in &graph.initializer {
            constants.insert(tensor.name.as_str(), tensor);
        }
        for node in &graph.node {
            for output in node.output.iter().filter(|o| !o.is_empty()) {
                // A value that is defined twice is an error of the graph, found later.
                nodes.entry(output.as_str()).or_insert(node);
            }
            if let [output] = &node.output[..]
                && let Some(tensor) = value_of_constant(node)
            {
                constants.entry(output).or_insert(tensor);
            }
        }
        Self {
            nodes,
            constants,
            folder,
            left: MAX_READ,
        }
    }

    /// Whether a node puts channels in order that a Concat joins.
    pub(super) fn is_cluster_end(&self, node: &NodeProto) -> bool {
        if !is_standard(node, "Gather") {
            return false;
        }
        let joined = node
            .input
            .first()
            .and_then(|input| self.nodes.get(input.as_str()));
        joined.is_some_and(|joined| is_standard(joined, "Concat"))
    }

    /// The node that computes a value, if it is of the standard operators.
    pub(super) fn node(&self, value: &str) -> Result<&'a NodeProto, ClusterError> {
        match self.nodes.get(value) {
            Some(node) if is_standard_domain(&node.domain) => Ok(node),
            Some(node) => Err(ClusterError::Domain {
                value: value.to_owned(),
                domain: node.domain.clone(),
            }),
            None => Err(ClusterError::NoNode(value.to_owned())),
        }
    }

    /// The node of this operator that computes a value.
    pub(super) fn node_of(&self, value: &str, op: &'static str) -> Result<&'a NodeProto, ClusterError> {
        let node = self.node(value)?;
        if node.op_type == op {
            return Ok(node);
        }
        Err(ClusterError::Operator {
            value: value.to_owned(),
            found: node.op_type.clone(),
            expected: op,
        })
    }

    fn constant(&mut self, name: &str) -> Result<Constant, ClusterError> {
        let Some(proto) = self.constants.get(name) else {
            return Err(ClusterError::NoConstant(name.to_owned()));
        };
        let constant = load(proto, self.folder).map_err(|reason| ClusterError::Constant {
            name: name.to_owned(),
            reason,
        })?;
        match self.left.checked_sub(constant.len()) {
            Some(left) => self.left = left,
            None => return Err(ClusterError::TooManyNumbers),
        }
        Ok(constant)
    }

    /// A constant vector of integers.
    pub(super) fn ints(&mut self, name: &str) -> Result<Vec<i64>, ClusterError> {
        match self.constant(name)? {
            Constant::Int(tensor) if tensor.dims().len() == 1 => Ok(tensor.values().to_vec()),
            _ => Err(wrong_kind(name, "list of integers")),
        }
    }

    /// A constant vector of numbers.
    pub(super) fn floats(&mut self, name: &str) -> Result<Vec<f32>, ClusterError> {
        match self.constant(name)? {
            Constant::Float(tensor) if tensor.dims().len() == 1 => Ok(tensor.values().to_vec()),
            _ => Err(wrong_kind(name, "list of numbers")),
        }
    }

    /// A constant single number.
    pub(super) fn scalar(&mut self, name: &str) -> Result<f32, ClusterError> {
        match self.constant(name)? {
            Constant::Float(tensor) if tensor.dims().len() <= 4 && tensor.len() == 1 => {
                Ok(tensor.values()[0])
            }
            _ => Err(wrong_kind(name, "single number")),
        }
    }
}

fn wrong_kind(name: &str, expected: &'static str) -> ClusterError {
    ClusterError::ConstantKind {
        name: name.to_owned(),
        expected,
    }
}

/// The tensor that a Constant holds.
fn value_of_constant(node: &NodeProto) -> Option<&TensorProto> {
    if node.op_type != "Constant" {
        return None;
    }
    attribute(node, "value")?.t.as_ref()
}

fn is_standard(node: &NodeProto, op: &str) -> bool {
    node.op_type == op && is_standard_domain(&node.domain)
}

fn attribute<'n>(node: &'n NodeProto, name: &str) -> Option<&'n AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

/// An operand's name.
pub(super) fn operand(node: &NodeProto, at: usize) -> Result<&str, ClusterError> {
    optional(node, at).ok_or_else(|| ClusterError::MissingOperand {
        at,
        node: described(node),
    })
}

/// An operand's name, if it is given.
pub(super) fn optional(node: &NodeProto, at: usize) -> Option<&str> {
    node.input
        .get(at)
        .map(String::as_str)
        .filter(|name| !name.is_empty())
}

/// An attribute that must be one integer.
pub(super) fn expect_int(
    node: &NodeProto,
    name: &'static str,
    default: i64,
    expected: i64,
) -> Result<(), ClusterError> {
    let given = attribute(node, name).map_or(default, |given| given.i);
    expect(node, name, given == expected)
}

/// An attribute that must be one word.
pub(super) fn expect_word(
    node: &NodeProto,
    name: &'static str,
    default: &str,
    expected: &str,
) -> Result<(), ClusterError> {
    expect(node, name, word(node, name, default) == expected.as_bytes())
}

/// An attribute that is a word, which nobody has checked to be UTF-8.
pub(super) fn word<'n>(node: &'n NodeProto, name: &str, default: &'n str) -> &'n [u8] {
    attribute(node, name).map_or(default.as_bytes(), |given| &given.s)
}

/// An attribute that must be this list of integers, or be left out if that says the same.
pub(super) fn expect_ints(
    node: &NodeProto,
    name: &'static str,
    may_lack: bool,
    expected: &[i64],
) -> Result<(), ClusterError> {
    let holds = attribute(node, name).map_or(may_lack, |given| given.ints == expected);
    expect(node, name, holds)
}

fn expect(node: &NodeProto, attribute: &'static str, holds: bool) -> Result<(), ClusterError> {
    if holds {
        return Ok(());
    }
    Err(ClusterError::Attribute {
        attribute,
        node: described(node),
    })
}

/// A node as errors call it: `"name" (operator)`.
pub(super) fn described(node: &NodeProto) -> String {
    let name = super::node_name(node);
    format!("\"{name}\" ({})", node.op_type)
}
