//! What can be wrong with the assignment that a file carries.

use thiserror::Error;

use crate::patches::AssignmentError;
use crate::patches::{ASSIGNMENT_KEY, LIMITS_KEY};

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
        /// Name of the ReLU.
        name: String,
        /// What does not fit.
        reason: String,
    },
}
