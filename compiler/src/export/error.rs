//! Why a network cannot be written as ONNX.

use thiserror::Error;
use trefoil_ir::nn::GraphError;

/// A network could not be exported.
#[derive(Debug, Error, PartialEq)]
pub enum ExportError {
    /// More than a protobuf message holds.
    #[error(
        "the model would have {0} bytes, and an ONNX file has at most 2 GiB (weights in separate files are not \
         written): export a smaller network"
    )]
    TooLarge(usize),
    /// Pixels share the sign of a distance that f32 cannot tell from the limit itself.
    #[error(
        "\"{name}\": its lower limit {low} is far from all values, and patches on it cannot be written: give its lower \
         sign the patch [0, 1]"
    )]
    FarLimit {
        /// Name of the gate.
        name: String,
        /// The limit.
        low: f32,
    },
    /// A clamp could not be rewritten.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Scale and size of an interpolation contradict each other.
    #[error(
        "resize \"{name}\": the scale {scale} does not make {to} rows or columns of {from}, and its coordinates depend \
         on it, which ONNX cannot say: use a scale that does"
    )]
    Resize {
        /// Name of the node.
        name: String,
        /// Rows or columns of the operand.
        from: usize,
        /// Rows or columns of the result.
        to: usize,
        /// The scale between them.
        scale: f32,
    },
}
