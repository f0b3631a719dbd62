//! `trefoil check`.

use std::path::PathBuf;

use anyhow::Result;
use trefoil_runtime::terminal;

use super::Format;
use super::print::say;
use crate::driver::report::grouped;
use crate::import::{ImportOptions, import_file};
use crate::pass::count::{Counts, count};
use crate::pass::{self, Dump, PassOptions};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The ONNX file.
    model: PathBuf,
    /// Shape of the input where the model leaves it open.
    #[arg(long, value_name = "N,C,H,W", value_delimiter = ',')]
    input_shape: Option<Vec<usize>>,
    /// The output to compute, where the model has several.
    #[arg(long, value_name = "NAME")]
    output_name: Option<String>,
    /// How to print.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(super) fn run(arguments: Arguments) -> Result<()> {
    let options = ImportOptions {
        input_shape: arguments.input_shape,
        output: arguments.output_name,
    };
    let imported = import_file(&arguments.model, &options)?;
    let passed = pass::run(imported.graph.clone(), &PassOptions::default(), &mut Dump::none())?;
    let counts = count(&imported.graph, &passed.graph);
    if arguments.format == Format::Json {
        say!("{}", serde_json::to_string_pretty(&counts)?);
    } else {
        say!(
            "{}: opset {}, from {}; input \"{}\" {:?}, output \"{}\" {:?}",
            imported.graph.name,
            imported.opset,
            if imported.producer.is_empty() {
                "an unknown exporter"
            } else {
                &imported.producer
            },
            imported.input_name,
            imported.input_dims,
            imported.output_name,
            imported.output_dims
        );
        print_counts(&counts)?;
    }
    if let Some(assignment) = imported.assignment.filter(|_| arguments.format == Format::Text) {
        say!(
            "the file carries an assignment for {} ReLUs, which `trefoil compile` uses; counted is the network without it",
            assignment.layers().count()
        );
    }
    for warning in &imported.warnings {
        terminal::warning(warning);
    }
    Ok(())
}

fn print_counts(counts: &Counts) -> Result<()> {
    say!("{:<48} {:>9} {:>6} {:>14}", "ReLU", "map", "chan.", "DReLUs");
    for relu in &counts.relus {
        let map = format!("{}x{}", relu.map[0], relu.map[1]);
        say!(
            "{:<48} {map:>9} {:>6} {:>14}",
            relu.name,
            relu.channels,
            grouped(relu.drelus_at_1x1 as u64)
        );
    }
    for pool in &counts.max_pools {
        let map = format!("{}x{}", pool.map[0], pool.map[1]);
        say!(
            "{:<48} {map:>9} {:>6} {:>14} comparisons",
            pool.name,
            pool.channels,
            grouped(pool.comparisons as u64)
        );
    }
    say!(
        "in all: {} DReLUs, {} comparisons of max-pools, {} multiply-adds, {} layers with weights",
        grouped(counts.drelus_at_1x1 as u64),
        grouped(counts.comparisons as u64),
        grouped(counts.macs),
        counts.layers.len()
    );
    Ok(())
}
