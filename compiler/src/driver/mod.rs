//! The pipeline as a whole: ONNX -> graph -> passes -> calibration -> program -> plans.
//!
//! - [`mod@compile`]: all of it
//! - [`report`]: what a compilation costs, for people and for `report.json`
//! - [`evaluate`]: running a network in floats, or a compiled one in the emulator

pub mod compile;
pub mod evaluate;
pub mod report;

pub use compile::{CompileError, CompileOptions, Compiled, compile};
pub use report::Report;
