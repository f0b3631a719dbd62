//! Executes Trefoil plans as client, server or helper.
//!
//! From the inside out: [`kernel`] (integer convolutions), [`prg`] (mask streams) and
//! [`wire`] (payloads and links) know nothing of each other; [`protocol`] says what each party
//! computes and sends; [`exec`] walks a plan with it; [`session`] agrees on keys of masks; [`keys`] are
//! what parties and clients know each other by; [`accounts`] says who may be a client, and
//! how much; [`net`] alone knows sockets; [`cli`] is the command line of `trefoil-party`. [`data`] reads
//! images and labels, for the compiler too; [`terminal`] and [`amount`] are what both commands have in common before a
//! person; [`report`] and [`trace`] say what a run took; [`files`] writes what is private. There is no
//! ONNX code in this crate.

pub mod accounts;
pub mod amount;
pub mod cli;
pub mod data;
pub mod exec;
pub mod files;
pub mod kernel;
pub mod keys;
pub mod net;
pub mod operations;
mod pool;
pub mod prg;
pub mod protocol;
pub mod report;
pub mod session;
pub mod settings;
pub mod terminal;
pub mod trace;
mod wipe;
pub mod wire;
mod workers;
