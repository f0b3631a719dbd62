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
        let sizes = |dims: &Vec<usize>| dims.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        let shape = self.input_shape.as_ref().map(sizes);
        let shape = shape.map_or_else(String::new, |dims| format!(" --input-shape {dims}"));
        match &self.output_name {
            Some(name) => format!("{shape} --output-name {name}"),
            None => shape,
        }
    }
}
