//! The compiler of Trefoil: from an ONNX file to the plans of three parties.
//!
//! The folders are the pipeline: [`import`] reads ONNX into the NN graph of `trefoil_ir`; [`pass`]
//! rewrites it; [`calibrate`] gathers ranges and distortions; [`budget`] chooses patches; [`lower`] turns it into the three-party program;
//! [`split`] makes three plans of that. [`driver`] runs it all, and [`cli`] is the command line of
//! `trefoil`. [`export`] is the way back: a network with its patches as an ONNX file.

pub mod budget;
pub mod calibrate;
pub mod cli;
pub mod driver;
pub mod export;
pub mod import;
pub mod lower;
pub mod pass;
pub mod patches;
pub mod quiet;
pub mod second_opinion;
pub mod split;
