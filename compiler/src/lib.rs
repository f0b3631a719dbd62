//! The compiler of Trefoil: from an ONNX file to the plans of three parties.
//!
//! - [`import`] reads ONNX into the NN graph of `trefoil_ir`.

pub mod import;
