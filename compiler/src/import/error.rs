//! What can be wrong with a model: errors that say where, then what, then what to do about it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;

use serde::Serialize;
use thiserror::Error;
use trefoil_ir::nn::{Diagnostic, GraphError};

use super::twin::TwinError;
use super::value::shape_text;

/// A model could not be imported.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// Path of the ONNX file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// An error with the file that it is about.
    #[error("{} cannot be imported", path.display())]
    InFile {
        /// Path of the ONNX file.
        path: PathBuf,
        /// Why it is refused.
        source: Box<ImportError>,
    },
    /// The file as a whole is at fault.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A constant of the file is at fault.
    #[error("the initializer \"{name}\" cannot be used")]
    Initializer {
        /// ONNX name of the initializer.
        name: String,
        /// Why it cannot be read.
        source: Box<TensorError>,
    },
    /// One node is at fault.
    #[error("the node \"{name}\" ({op}) cannot be imported")]
    Node {
        /// ONNX name of the node.
        name: String,
        /// Its ONNX operator.
        op: String,
        /// Why it is refused.
        source: Box<NodeError>,
    },
    /// Nodes that Trefoil does not support, all of them.
    #[error(transparent)]
    Unsupported(UnsupportedNodes),
    /// The assignment that the file carries is at fault.
    #[error(transparent)]
    Twin(#[from] TwinError),
    /// The imported graph does not hold together.
    #[error("the imported graph is not sound: {}", list(.0))]
    Unsound(Vec<Diagnostic>),
}

impl ImportError {
    /// The nodes that are not supported, if that is the reason.
    pub fn unsupported(&self) -> &[UnsupportedNode] {
        match self {
            ImportError::InFile { source, .. } => source.unsupported(),
            ImportError::Unsupported(nodes) => &nodes.0,
            ImportError::File { .. }
            | ImportError::Model(_)
            | ImportError::Initializer { .. }
            | ImportError::Node { .. }
            | ImportError::Twin(_)
            | ImportError::Unsound(_) => &[],
        }
    }
}

/// What is wrong with a file as a whole.
#[derive(Debug, Error)]
pub enum ModelError {
    /// The path leads to a folder, a pipe or a device.
    #[error("{} is not a regular file: name an ONNX file", .0.display())]
    NotAFile(PathBuf),
    /// No ONNX file is that large.
    #[error(
        "the file has {0} bytes, and an ONNX file has at most 2 GiB: keep larger weights as external data"
    )]
    FileTooLarge(u64),
    /// The file is something else.
    #[error("an ONNX model is needed, and this is {0}")]
    Kind(&'static str),
    /// The bytes are no ONNX model.
    #[error("this is not an ONNX model, or it is damaged ({0}): export it again")]
    Protobuf(String),
    /// More messages than any network has: decoding them would fill the memory.
    #[error("the file claims more nodes, attributes and tensors than any network has: it is damaged")]
    TooManyMessages,
    /// No graph in the model.
    #[error("the file holds no graph: it is empty or damaged, so export the model again")]
    NoGraph,
    /// No operator set.
    #[error("the file does not state its ONNX operator set: export it again with opset 9 to 21")]
    NoOpset,
    /// An operator set out of range.
    #[error(
        "the file uses ONNX opset {0}, and opsets 9 to 21 are understood: export it with `opset_version=17`"
    )]
    Opset(i64),
    /// A name stands for two values.
    #[error("the value \"{0}\" is defined twice: the file is damaged, so export the model again")]
    DuplicateValue(String),
    /// A name stands for no value.
    #[error(
        "the node \"{node}\" reads \"{value}\", which is neither an input nor an initializer nor the output of a node"
    )]
    MissingValue {
        /// The node that reads it.
        node: String,
        /// The name that nothing defines.
        value: String,
    },
    /// The output is the result of no node.
    #[error("the output \"{0}\" is the result of no node: the file is damaged, so export the model again")]
    UndefinedOutput(String),
    /// Nodes depend on each other in a circle.
    #[error("the node \"{0}\" depends on its own output: the file is damaged, so export the model again")]
    Cycle(String),
    /// Not exactly one input.
    #[error("the network has {} inputs ({}), and exactly one image is expected: export it with one input", .0.len(), quoted(.0))]
    Inputs(Vec<String>),
    /// Not exactly one output, and none chosen.
    #[error("the network has {} outputs ({}), and exactly one is expected: choose one with --output-name NAME", .0.len(), quoted(.0))]
    Outputs(Vec<String>),
    /// The chosen output does not exist.
    #[error("there is no output or value \"{name}\": the outputs are {}", quoted(.outputs))]
    NoSuchOutput {
        /// The name that was chosen.
        name: String,
        /// The names there are.
        outputs: Vec<String>,
    },
    /// The output is the same for every image.
    #[error("the output \"{0}\" does not depend on the input: choose another one with --output-name NAME")]
    ConstantOutput(String),
    /// The output is a sum or the like of what the client would learn.
    #[error(
        "the output \"{0}\" reduces values that the client would learn for it, and they tell more: end the network before it, or put it before a layer that the parties compute"
    )]
    ReducedOutput(String),
    /// The output's declared type is another than its node's.
    #[error(
        "the output \"{name}\" is declared as {kind}, and its node gives another type: export the model again"
    )]
    OutputType {
        /// ONNX name of the output.
        name: String,
        /// Its declared element type, as ONNX names it.
        kind: String,
    },
    /// Input or output of another type.
    #[error("\"{name}\" has the element type {kind}, and float32 is expected: export the model in float32")]
    ElementType {
        /// ONNX name of the input or output.
        name: String,
        /// Its element type, as ONNX names it.
        kind: String,
    },
    /// The input's shape cannot be told from the file.
    #[error(
        "the input \"{name}\" has the shape {declared}: state the missing sizes with --input-shape N,C,H,W"
    )]
    InputOpen {
        /// ONNX name of the input.
        name: String,
        /// The shape that the file declares.
        declared: String,
    },
    /// The stated shape does not match the file.
    #[error("the input \"{name}\" has the shape {declared} in the file, and --input-shape says {}", shape_text(.stated))]
    InputMismatch {
        /// ONNX name of the input.
        name: String,
        /// The shape that the file declares.
        declared: String,
        /// The shape from the command line.
        stated: Vec<usize>,
    },
    /// Not an image, or an absurd one.
    #[error("the input \"{name}\" has the shape {}, and an image [N, C, H, W] or a vector [N, F] of at most 2^28 values is expected", shape_text(.dims))]
    InputShape {
        /// ONNX name of the input.
        name: String,
        /// Its dimensions, batch included.
        dims: Vec<usize>,
    },
}

/// What is wrong with a constant.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TensorError {
    /// A negative, overflowing or enormous dimension.
    #[error("its dimensions {0:?} are negative, or hold more than 2^28 elements, or are more than 16")]
    Dims(Vec<i64>),
    /// An element type that no network of ours needs.
    #[error("its element type {0} is not supported: export the model in float32")]
    ElementType(String),
    /// Too few or too many data.
    #[error("its dimensions call for {expected} {unit}, and {given} are stored")]
    Length {
        /// What is counted: bytes or values.
        unit: &'static str,
        /// How many there should be.
        expected: usize,
        /// How many there are.
        given: usize,
    },
    /// Stored in pieces, which ONNX has given up.
    #[error("it is stored in segments, which are not supported: export the model again")]
    Segment,
    /// Stored outside of the file.
    #[error("its external data {0}")]
    External(ExternalError),
    /// NaN or infinite.
    #[error("it holds {value} at position {}, which is not a finite number", shape_text(.position))]
    NotFinite {
        /// NaN or an infinity.
        value: String,
        /// Indices of the element.
        position: Vec<usize>,
    },
}

/// What is wrong with data outside of the ONNX file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ExternalError {
    /// There is no folder to look in.
    #[error("cannot be found, since the model does not come from a file")]
    NoFolder,
    /// No `location`.
    #[error("have no location: the file is damaged, so export the model again")]
    NoLocation,
    /// Not in the model's folder.
    #[error("lie in \"{0}\", and only files in the model's own folder are read: move them beside the model")]
    Outside(String),
    /// The operating system cannot read it.
    #[error("in \"{location}\" cannot be read: {reason}")]
    Unreadable {
        /// The file's name.
        location: String,
        /// What the operating system says.
        reason: String,
    },
    /// `offset` or `length` is not a number.
    #[error("have the {key} \"{value}\", which is not a number of bytes")]
    NotANumber {
        /// `offset` or `length`.
        key: &'static str,
        /// The text that stands there.
        value: String,
    },
    /// Not the length that the tensor has.
    #[error("have the length {given}, and the tensor has {expected} bytes")]
    Length {
        /// Length in the file.
        given: u64,
        /// Length that the dimensions call for.
        expected: u64,
    },
    /// Beyond the end of the file.
    #[error("claim {length} bytes at {offset} of \"{location}\", which has {size}")]
    OutOfBounds {
        /// The file's name.
        location: String,
        /// First byte.
        offset: u64,
        /// Number of bytes.
        length: u64,
        /// Size of the file.
        size: u64,
    },
}

/// What is wrong with one node.
#[derive(Debug, Error)]
pub enum NodeError {
    /// An attribute is missing or not what the operator needs.
    #[error("the attribute `{name}` must be {expected}")]
    Attribute {
        /// Name of the attribute.
        name: &'static str,
        /// What it must be, such as a list of integers.
        expected: String,
    },
    /// A needed operand is missing.
    #[error("operand {0} is missing")]
    MissingOperand(usize),
    /// A constant is at fault.
    #[error("the constant \"{name}\" cannot be used")]
    Constant {
        /// ONNX name of the constant.
        name: String,
        /// Why it cannot be used.
        source: TensorError,
    },
    /// The operator does not accept its operands.
    #[error("{0}")]
    Operands(String),
    /// Constants cannot be worked out.
    #[error("its constant value cannot be worked out: {0}")]
    Fold(String),
}

// By hand, for the sentence holds its cause: as a source it would be printed twice.
impl From<ExternalError> for TensorError {
    fn from(error: ExternalError) -> Self {
        TensorError::External(error)
    }
}

impl From<GraphError> for NodeError {
    fn from(error: GraphError) -> Self {
        // The graph's error repeats the name that stands around this one: only its source is kept.
        let source = std::error::Error::source(&error).map(ToString::to_string);
        NodeError::Operands(source.unwrap_or_else(|| error.to_string()))
    }
}

/// One node that cannot be computed securely, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnsupportedNode {
    /// The node's name.
    pub name: String,
    /// Its ONNX operator.
    pub op: String,
    /// What is not supported, as a clause.
    pub reason: String,
    /// What to do about it, in the imperative.
    pub remedy: String,
}

impl fmt::Display for UnsupportedNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\"{}\" ({}): {}: {}",
            self.name, self.op, self.reason, self.remedy
        )
    }
}

/// All unsupported nodes of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsupportedNodes(pub Vec<UnsupportedNode>);

impl UnsupportedNodes {
    /// How many of which operator, the most frequent first.
    fn by_op(&self) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for node in &self.0 {
            *counts.entry(&node.op).or_default() += 1;
        }
        let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
        counts.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        let counts: Vec<String> = counts
            .iter()
            .map(|(op, count)| format!("{op} x{count}"))
            .collect();
        counts.join(", ")
    }
}

impl fmt::Display for UnsupportedNodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("1 node is not supported:")?,
            n => write!(f, "{n} nodes are not supported ({}):", self.by_op())?,
        }
        self.0.iter().try_for_each(|node| write!(f, "\n  {node}"))
    }
}

impl std::error::Error for UnsupportedNodes {}

/// Why an operator's importer gives up on a node.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The node is sound ONNX that Trefoil does not support.
    Unsupported {
        /// What is not supported, as a clause.
        reason: String,
        /// What to do about it, in the imperative.
        remedy: String,
    },
    /// The node is wrong.
    Invalid(NodeError),
}

impl From<NodeError> for Refusal {
    fn from(error: NodeError) -> Self {
        Refusal::Invalid(error)
    }
}

impl From<GraphError> for Refusal {
    fn from(error: GraphError) -> Self {
        Refusal::Invalid(error.into())
    }
}

/// Refuses a node as unsupported.
pub(super) fn unsupported<T>(reason: impl Into<String>, remedy: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Unsupported {
        reason: reason.into(),
        remedy: remedy.into(),
    })
}

/// Refuses a node as wrong.
pub(super) fn invalid<T>(message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Invalid(NodeError::Operands(message.into())))
}

fn list(faults: &[Diagnostic]) -> String {
    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
    faults.join("; ")
}

fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|n| format!("\"{n}\"")).collect();
    names.join(", ")
}
