//! Looking things up in an ONNX graph that has not been checked: who computes a value, what a
//! constant holds, what an attribute says. Whatever does not fit is a phrase for an error.

use std::collections::HashMap;

use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

use crate::import::external::Folder;
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
        let mut constants: HashMap<_, _> = graph.initializer.iter().map(|t| (t.name.as_str(), t)).collect();
        for node in &graph.node {
            for output in node.output.iter().filter(|o| !o.is_empty()) {
                // A value that is defined twice is an error of the graph, found later.
                nodes.entry(output.as_str()).or_insert(node);
            }
            let value = node.attribute.iter().find(|a| a.name == "value");
            if let ("Constant", Some(tensor), [output]) = (
                node.op_type.as_str(),
                value.and_then(|a| a.t.as_ref()),
                &node.output[..],
            ) {
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
        let joined = || node.input.first().and_then(|i| self.nodes.get(i.as_str()));
        is_standard(node, "Gather") && joined().is_some_and(|n| is_standard(n, "Concat"))
    }

    /// The node that computes a value, if it is of the standard operators.
    pub(super) fn node(&self, value: &str) -> Result<&'a NodeProto, String> {
        match self.nodes.get(value) {
            Some(node) if is_own_domain(node) => Ok(node),
            Some(node) => Err(format!(
                "\"{value}\" comes from an operator of the domain \"{}\"",
                node.domain
            )),
            None => Err(format!("no node computes \"{value}\"")),
        }
    }

    /// The node of this operator that computes a value.
    pub(super) fn node_of(&self, value: &str, op: &str) -> Result<&'a NodeProto, String> {
        let node = self.node(value)?;
        if node.op_type == op {
            return Ok(node);
        }
        Err(format!(
            "\"{value}\" comes from {}, and {op} is expected",
            node.op_type
        ))
    }

    fn constant(&mut self, value: &str) -> Result<Constant, String> {
        let fail = |reason: String| format!("the constant \"{value}\" {reason}");
        let proto = self.constants.get(value);
        let proto = proto.ok_or_else(|| fail("is not there".to_owned()))?;
        let constant = load(proto, self.folder).map_err(|e| fail(format!("cannot be used: {e}")))?;
        match self.left.checked_sub(constant.len()) {
            Some(left) => self.left = left,
            None => return Err("its constants are beyond all measure".to_owned()),
        }
        Ok(constant)
    }

    /// A constant vector of integers.
    pub(super) fn ints(&mut self, value: &str) -> Result<Vec<i64>, String> {
        match self.constant(value)? {
            Constant::Int(tensor) if tensor.dims().len() == 1 => Ok(tensor.values().to_vec()),
            _ => Err(format!("the constant \"{value}\" is no list of integers")),
        }
    }

    /// A constant vector of numbers.
    pub(super) fn floats(&mut self, value: &str) -> Result<Vec<f32>, String> {
        match self.constant(value)? {
            Constant::Float(tensor) if tensor.dims().len() == 1 => Ok(tensor.values().to_vec()),
            _ => Err(format!("the constant \"{value}\" is no list of numbers")),
        }
    }

    /// A constant single number.
    pub(super) fn scalar(&mut self, value: &str) -> Result<f32, String> {
        match self.constant(value)? {
            Constant::Float(tensor) if tensor.dims().len() <= 4 && tensor.len() == 1 => {
                Ok(tensor.values()[0])
            }
            _ => Err(format!("the constant \"{value}\" is no single number")),
        }
    }
}

fn is_own_domain(node: &NodeProto) -> bool {
    matches!(node.domain.as_str(), "" | "ai.onnx")
}

fn is_standard(node: &NodeProto, op: &str) -> bool {
    node.op_type == op && is_own_domain(node)
}

/// An operand's name.
pub(super) fn operand(node: &NodeProto, at: usize) -> Result<&str, String> {
    match optional(node, at) {
        Some(name) => Ok(name),
        None => Err(format!("operand {at} of {} is missing", describe(node))),
    }
}

/// An operand's name, if it is given.
pub(super) fn optional(node: &NodeProto, at: usize) -> Option<&str> {
    node.input
        .get(at)
        .map(String::as_str)
        .filter(|name| !name.is_empty())
}

/// An attribute that must be one integer.
pub(super) fn expect_int(node: &NodeProto, name: &str, default: i64, expected: i64) -> Result<(), String> {
    let given = node.attribute.iter().find(|a| a.name == name);
    expect(node, name, given.map_or(default, |a| a.i) == expected)
}

/// An attribute that must be one word.
pub(super) fn expect_word(node: &NodeProto, name: &str, default: &str, expected: &str) -> Result<(), String> {
    let given = node.attribute.iter().find(|a| a.name == name);
    expect(
        node,
        name,
        given.map_or(default.as_bytes(), |a| &a.s) == expected.as_bytes(),
    )
}

/// An attribute that must be this list of integers, or be left out if that says the same.
pub(super) fn expect_ints(
    node: &NodeProto,
    name: &str,
    may_lack: bool,
    expected: &[i64],
) -> Result<(), String> {
    let given = node.attribute.iter().find(|a| a.name == name);
    expect(node, name, given.map_or(may_lack, |a| a.ints == expected))
}

fn expect(node: &NodeProto, attribute: &str, holds: bool) -> Result<(), String> {
    if holds {
        return Ok(());
    }
    Err(format!(
        "the attribute `{attribute}` of {} has another value",
        describe(node)
    ))
}

/// A node as errors call it.
pub(super) fn describe(node: &NodeProto) -> String {
    let name = super::node_name(node);
    format!("\"{name}\" ({})", node.op_type)
}
