//! Passes over the NN graph: from what ONNX says to what lowering wants.
//!
//! One pass, one file, one signature:
//!
//! ```text
//! fn run(graph: &mut Graph, options: &PassOptions) -> Result<Changed, PassError>
//! ```
//!
//! [`PASSES`] is the one list of them, in order. Only the manager runs them ([`run`]): after each
//! it drops dead nodes, renumbers, verifies and, if asked, dumps. How to add a pass: a file here
//! and a line in `manager.rs`.
//!
//! Every pass but `relu6_as_relu` and `assign` keeps the graph's meaning in exact arithmetic, and
//! the tests hold each to that on random graphs. Constants are combined in f64 and rounded once.

#![cfg_attr(not(test), warn(clippy::wildcard_enum_match_arm))]

mod affine_to_conv;
mod assign;
mod bounds;
mod drop_redundant;
mod fold_batch_norm;
mod manager;
mod merge_pads;
mod move_relu;
mod normal_form;
mod relu6_as_relu;
mod rewrite;
mod settle_clamps;
#[cfg(test)]
pub(crate) mod testing;

pub use manager::{
    Cause, Dump, PASSES, Pass, PassFailure, Passed, UnknownPass, run, run_for_profile, run_for_ranges,
};
pub(crate) use settle_clamps::with_shifted_patches;
pub use settle_clamps::{Foreseen, Interval, open_gates};

use thiserror::Error;
use trefoil_ir::nn::{Graph, GraphError, NodeId};

use crate::patches::{Assignment, AssignmentError};

/// What the user may choose.
#[derive(Clone, Debug, Default)]
pub struct PassOptions {
    /// Take every clip for a ReLU (`--relu6 as-relu`).
    pub relu6_as_relu: bool,
    /// The patches of each ReLU (`--assignment`); without it every pixel keeps its own sign.
    pub assignment: Option<Assignment>,
    /// What the operands of open gates are foreseen to be; limits of which nothing is known stay.
    pub foreseen: Foreseen,
}

/// Whether a pass has changed the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// Something is different.
    Yes,
    /// The graph is as it was.
    No,
}

impl Changed {
    /// `Yes` if `changed`.
    pub fn when(changed: bool) -> Self {
        if changed { Self::Yes } else { Self::No }
    }

    /// `Yes` if either is.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self::when(self == Self::Yes || other == Self::Yes)
    }
}

/// Why a pass gave up.
#[derive(Debug, Error)]
pub enum PassError {
    /// An operator did not accept what the pass made of it.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The assignment does not fit the network.
    #[error(transparent)]
    Assignment(#[from] AssignmentError),
    /// The network holds something that no pass can bring into a form that runs.
    #[error("{op} \"{name}\": {reason}")]
    Unsupported {
        /// The operator's name.
        op: &'static str,
        /// Name of the ONNX node.
        name: String,
        /// What is wrong and what to do, as a sentence.
        reason: String,
    },
}

impl PassError {
    fn unsupported(graph: &Graph, id: NodeId, reason: impl Into<String>) -> Self {
        let node = graph.node(id);
        Self::Unsupported {
            op: node.op.name(),
            name: node.origin.name.clone(),
            reason: reason.into(),
        }
    }
}
