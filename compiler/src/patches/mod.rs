//! Which pixels share a sign: assignments, what they make of a network, and what it then costs.
//!
//! An [`Assignment`] is a file that names patches for ReLUs; `resolve` checks one against a network, and
//! [`with_patches`] gives the network its patches where every gate stays where it was imported. (The
//! pass `assign` does the same on the way to lowering.) [`count`] says what a graph costs in DReLUs, the
//! currency of budgets.

#![cfg_attr(not(test), warn(clippy::wildcard_enum_match_arm))]

mod assignment;
pub mod catalogue;
pub mod count;
mod patched;
mod resolve;

pub(crate) use assignment::Entries;
pub use assignment::{Assignment, AssignmentError, AssignmentFault, Choice, LayerChoice};
pub(crate) use patched::patches_by_name;
pub use patched::{PatchError, assignment_for_imported, with_patches};
pub(crate) use resolve::resolve;

/// Key of an ONNX file's metadata that holds the assignment of its own patches.
pub(crate) const ASSIGNMENT_KEY: &str = "trefoil.assignment";

/// Key of an ONNX file's metadata that holds the upper limits of clips whose pixels share signs, by name.
pub(crate) const LIMITS_KEY: &str = "trefoil.limits";
