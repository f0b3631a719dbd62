//! What can be wrong with the assignment that a file carries.

use thiserror::Error;
use tract_onnx::pb::NodeProto;
use trefoil_ir::{Patch, Shape};

use super::reader::described;
use crate::import::TensorError;
use crate::patches::{ASSIGNMENT_KEY, AssignmentError, LIMITS_KEY};

/// The assignment that a file carries cannot be used.
#[derive(Debug, Error, PartialEq)]
pub enum TwinError {
    /// It does not read, or does not fit the network.
    #[error(
        "the file's metadata `{ASSIGNMENT_KEY}` cannot be used; export the file again with `trefoil export-onnx`: {0}"
    )]
    Assignment(AssignmentError),
    /// The upper limits do not read.
    #[error(
        "the file's metadata `{LIMITS_KEY}` are no JSON object of clips and their upper limits ({0}): export the file \
         again with `trefoil export-onnx`"
    )]
    Limits(String),
    /// A key comes twice.
    #[error("the file has the metadata `{0}` twice: remove one of them")]
    Twice(&'static str),
    /// More text than any network needs.
    #[error("the file's metadata `{0}` are longer than any network needs: the file is damaged")]
    TooLarge(&'static str),
    /// A name that no gate and no cluster has.
    #[error(
        "the file carries an assignment for \"{0}\", and neither a ReLU nor a Block-ReLU has this name: nodes were \
         renamed or replaced since; export the file again with `trefoil export-onnx`"
    )]
    Unknown(String),
    /// Two gates of the same name.
    #[error("the file carries an assignment for \"{0}\", and two of its ReLUs have this name: rename one")]
    Ambiguous(String),
    /// The nodes compute something else.
    #[error(
        "the nodes of \"{name}\" do not compute the Block-ReLU that the file's assignment says: {reason}; export the \
         file again with `trefoil export-onnx`, or compile the plain network with --assignment"
    )]
    Mismatch {
        /// ONNX name of the ReLU.
        name: String,
        /// The first thing that does not fit.
        reason: ClusterError,
    },
}

/// Why the nodes of a cluster do not compute the Block-ReLU that the assignment says; a phrase in the
/// sentence of [`TwinError::Mismatch`].
#[derive(Debug, Error, PartialEq)]
pub enum ClusterError {
    /// Not the computation that a node of a Block-ReLU does.
    #[error("{node} {fault}")]
    Node {
        /// Name and operator of the node.
        node: String,
        /// What it does, or does not.
        fault: NodeFault,
    },
    /// A product of a value and the mask of another one.
    #[error("{node} multiplies \"{value}\" with the sign of \"{gate}\"")]
    Sign {
        /// Name and operator of the node.
        node: String,
        /// The value that is multiplied.
        value: String,
        /// The value whose sign the mask holds.
        gate: String,
    },
    /// A node that is not there.
    #[error("no node computes \"{0}\"")]
    NoNode(String),
    /// An operator of another domain than ONNX's own.
    #[error("\"{value}\" comes from an operator of the domain \"{domain}\"")]
    Domain {
        /// The result of the node.
        value: String,
        /// The operator's domain.
        domain: String,
    },
    /// Another operator than the place asks for.
    #[error("\"{value}\" comes from {found}, and {expected} is expected")]
    Operator {
        /// The result of the node.
        value: String,
        /// The ONNX operator that computes it.
        found: String,
        /// The operator that stands there in a Block-ReLU.
        expected: &'static str,
    },
    /// A needed operand is left out.
    #[error("operand {at} of {node} is missing")]
    MissingOperand {
        /// Number of the operand, from 0.
        at: usize,
        /// Name and operator of the node.
        node: String,
    },
    /// An attribute has another value than it has in a Block-ReLU.
    #[error("the attribute `{attribute}` of {node} has another value")]
    Attribute {
        /// Name of the attribute.
        attribute: &'static str,
        /// Name and operator of the node.
        node: String,
    },
    /// A constant that is not there.
    #[error("the constant \"{0}\" is not there")]
    NoConstant(String),
    /// A constant that cannot be read.
    #[error("the constant \"{name}\" cannot be used: {reason}")]
    Constant {
        /// ONNX name of the constant.
        name: String,
        /// Why it cannot be read.
        reason: TensorError,
    },
    /// A constant of another type or rank than the place asks for.
    #[error("the constant \"{name}\" is no {expected}")]
    ConstantKind {
        /// ONNX name of the constant.
        name: String,
        /// What it must be, such as a list of integers.
        expected: &'static str,
    },
    /// More constants than are read of a file.
    #[error("its constants hold more than 2^26 numbers")]
    TooManyNumbers,
    /// Parts of the cluster take the channels of different values.
    #[error("its classes gate both \"{first}\" and \"{other}\"")]
    Sources {
        /// The value that the first part gates.
        first: String,
        /// The value that another part gates.
        other: String,
    },
    /// The parts have more channels than the Gather at the end has indices.
    #[error("its classes have more channels than it puts in order")]
    TooManyChannels,
    /// The Gather at the end does not undo the distribution of the channels among the parts.
    #[error("its channels are not put back where they were")]
    Order,
    /// Two upper limits in one clip.
    #[error("its channels have different upper limits")]
    Limits,
    /// An upper limit that is negative, 0, infinite or not a number.
    #[error("its upper limit {0} is no positive number")]
    Limit(f32),
    /// A clip whose limit stands nowhere.
    #[error("it is a clip without upper signs, and the metadata `{LIMITS_KEY}` do not state its limit")]
    NoLimit,
    /// Another number of channels than the map has.
    #[error("it gates {given} channels of {map}")]
    Channels {
        /// Channels that the cluster puts in order.
        given: usize,
        /// Channels of the map.
        map: usize,
    },
    /// Patches of another size than the assignment says.
    #[error("channel {channel} has patches of {computed}, and the assignment says {stated}")]
    Patch {
        /// Number of the channel, from 0.
        channel: usize,
        /// The patches that the nodes compute.
        computed: Patch,
        /// The patches of the assignment.
        stated: Patch,
    },
    /// The map is not padded to whole patches, or the mask not cut back to the map.
    #[error("patches of {patch} on a map of {}x{} are not padded or cut as they must be", .map.h, .map.w)]
    Frame {
        /// Size of the patches.
        patch: Patch,
        /// Shape of the gated map.
        map: Shape,
    },
    /// The assignment gives patches to an ordinary Relu or Clip.
    #[error("the node is an ordinary gate, and the assignment gives it patches")]
    PlainGate,
}

/// What one node does that no node of a Block-ReLU does in its place.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NodeFault {
    /// An operator that gates nothing.
    #[error("is no part of a Block-ReLU")]
    NoGate,
    /// A Clip whose lower bound is not 0.
    #[error("does not clip from 0")]
    ClipFrom,
    /// The limit is subtracted of something else than what is gated.
    #[error("compares another value with the limit")]
    OtherCompared,

    /// An operator that makes no mask.
    #[error("is no part of a mask")]
    NoMask,
    /// A comparison with another number.
    #[error("does not compare with 0")]
    Threshold,
    /// A Slice of a mask that no Resize has enlarged.
    #[error("cuts a mask that was not enlarged")]
    CutOfPixels,
    /// A pool with `auto_pad`.
    #[error("pads by itself")]
    AutoPad,
    /// A Pad with another number.
    #[error("does not pad with zeros")]
    PadValue,
    /// A Pad at the top or left, of the batch or of channels.
    #[error("pads other sides than below and right")]
    PadSides,
    /// A Resize that does more than to repeat.
    #[error("does not repeat whole rows and columns")]
    Spread,
    /// A Slice of something else.
    #[error("does not cut rows and columns")]
    Cut,
}

impl NodeFault {
    /// The fault, of this node.
    pub(super) fn of(self, node: &NodeProto) -> ClusterError {
        ClusterError::Node {
            node: described(node),
            fault: self,
        }
    }
}
