//! The compiler of Trefoil: from an ONNX file to the plans of three parties.
//!
//! The folders are the pipeline: [`import`] reads ONNX into the NN graph of `trefoil_ir`; [`pass`]
//! rewrites it; [`ranges`] says how large its values get; [`lower`] turns it into the three-party program;
//! [`split`] makes three plans of that. [`patches`] is which pixels share a sign, [`profile`] what that does
//! to the output, and [`budget`] chooses by it. [`driver`] runs it all, and [`cli`] is the command line of
//! `trefoil`. [`export`] is the way back: a network with its patches as an ONNX file.

pub mod budget;
pub mod cli;
pub mod deploy;
pub mod driver;
pub mod export;
pub mod import;
pub mod lower;
pub mod pass;
pub mod patches;
pub mod profile;
pub mod quiet;
pub mod ranges;
pub mod second_opinion;
pub mod split;
