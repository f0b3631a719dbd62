//! What an ONNX file leaves open.

use super::DATA;
use crate::import::ImportOptions;

#[derive(Debug, clap::Args)]
pub(super) struct ImportArguments {
    /// Shape of the input where the ONNX file leaves it open.
    #[arg(long, value_name = "N,C,H,W", value_delimiter = ',', help_heading = DATA)]
    pub(super) input_shape: Option<Vec<usize>>,
    /// The output to compute, where the ONNX file has several; any value's name will do.
    #[arg(long, value_name = "NAME", help_heading = DATA)]
    pub(super) output_name: Option<String>,
}

impl ImportArguments {
    pub(super) fn options(&self) -> ImportOptions {
        ImportOptions {
            input_shape: self.input_shape.clone(),
            output: self.output_name.clone(),
        }
    }

    /// The same as flags, behind a space each.
    pub(super) fn flags(&self) -> String {
        let mut flags = String::new();
        if let Some(dims) = &self.input_shape {
            let dims: Vec<String> = dims.iter().map(usize::to_string).collect();
            flags += &format!(" --input-shape {}", dims.join(","));
        }
        if let Some(name) = &self.output_name {
            flags += &format!(" --output-name {name}");
        }
        flags
    }
}
