//! The pipeline as a whole: ONNX -> graph -> passes -> calibration -> program -> plans.
//!
//! - [`mod@compile`]: all of it
//! - [`mod@measure`]: measuring a profile
//! - [`mod@assign`]: from a profile and a budget to an assignment
//! - [`trial`]: what an assignment costs, without an image
//! - [`sweep`]: the trade-off over many budgets, and its [`plot`]
//! - [`report`]: what a compilation costs, for people and for `report.json`
//! - [`images`]: images as the evaluator takes them
//! - [`limits`]: what all of these may take of the machine
//! - [`evaluate`]: running a network in floats, or a compiled one in the emulator
//! - [`breaches`]: on which images its values leave their ranges

#![cfg_attr(not(test), warn(clippy::wildcard_enum_match_arm))]

pub mod assign;
pub mod breaches;
pub mod compile;
pub mod evaluate;
pub mod images;
pub mod limits;
pub mod measure;
pub mod plot;
pub mod report;
pub mod sweep;
pub mod trial;

pub use compile::{CompileError, CompileOptions, Compiled, compile};
pub use limits::Limits;
pub use report::Report;
