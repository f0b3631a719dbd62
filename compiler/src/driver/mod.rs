//! The pipeline as a whole: ONNX -> graph -> passes -> calibration -> program -> plans.
//!
//! - [`mod@compile`]: all of it
//! - [`mod@calibrate`]: measuring a profile
//! - [`mod@assign`]: from a profile and a budget to an assignment
//! - [`trial`]: what an assignment costs, without an image
//! - [`sweep`]: the trade-off over many budgets, and its [`plot`]
//! - [`report`]: what a compilation costs, for people and for `report.json`
//! - [`limits`]: what all of these may take of the machine
//! - [`evaluate`]: running a network in floats, or a compiled one in the emulator
//! - [`breaches`]: on which images its values leave their ranges

pub mod assign;
pub mod breaches;
pub mod calibrate;
pub mod compile;
pub mod evaluate;
pub mod limits;
pub mod plot;
pub mod report;
pub mod sweep;
pub mod trial;

pub use compile::{CompileError, CompileOptions, Compiled, compile};
pub use limits::Limits;
pub use report::Report;
