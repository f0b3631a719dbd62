//! `trefoil check`.

use std::path::PathBuf;

use anyhow::{Error, Result};
use serde_json::{Value, json};
use trefoil_ir::demand::Demand;
use trefoil_ir::text::printable;
use trefoil_runtime::amount::{counted, size};
use trefoil_runtime::terminal;

use super::import::ImportArguments;
use super::limits::LimitArguments;
use super::print::say;
use super::table::Table;
use super::{Format, say_json};
use crate::driver::Limits;
use crate::driver::limits::{LimitError, Run};
use crate::driver::report::grouped;
use crate::import::{self, Description, ImportError, Imported, describe, import_file};
use crate::pass::{self, Dump, PassOptions};
use crate::patches::count::{Counts, count};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  trefoil check resnet.onnx
  trefoil check resnet.onnx --input-shape 1,3,224,224
  trefoil check resnet.onnx --format json    # for CI: \"supported\", and \"nodes\" that are not

The exit code is 1 where the network is not supported, in either format.")]
pub(super) struct Arguments {
    /// The ONNX file.
    model: PathBuf,
    #[command(flatten)]
    import: ImportArguments,
    #[command(flatten)]
    limits: LimitArguments,
    /// How to print.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let checked = import_file(&arguments.model, &arguments.import.options())
        .map_err(Error::new)
        .and_then(|imported| {
            let counts = counts(&imported)?;
            Ok((imported, counts))
        });
    let limits = arguments.limits.limits();
    match (checked, arguments.format) {
        (Ok((imported, counts)), Format::Text) => print(&imported, &counts, limits),
        (Ok((imported, counts)), Format::Json) => say_json(supported(&imported, &counts, limits)?),
        (Err(error), Format::Text) => Err(error),
        (Err(error), Format::Json) => {
            say_json(refused(arguments, &error)?)?;
            Err(error)
        }
    }
}

fn counts(imported: &Imported) -> Result<Counts> {
    let passed = pass::run(imported.graph.clone(), &PassOptions::default(), &mut Dump::none())?;
    Ok(count(&imported.graph, &passed.graph))
}

/// Why `trefoil compile` will refuse the network here: better known before there are images.
fn too_large(imported: &Imported, limits: Limits) -> Option<LimitError> {
    limits.images_at_once(&imported.graph, Run::FixedPoint).err()
}

fn supported(imported: &Imported, counts: &Counts, limits: Limits) -> Result<Value> {
    let mut value = json!({
        "supported": true,
        "model": imported.graph.name,
        "opset": imported.opset,
        "producer": imported.producer,
        "inputs": [{ "name": imported.input_name, "shape": imported.input_dims }],
        "outputs": [{ "name": imported.output_name, "shape": imported.output_dims }],
        "assigned_relus": imported.assignment.as_ref().map_or(0, |assignment| assignment.layers().count()),
        "warnings": imported.warnings,
        "nodes": [],
        "error": null,
        "too_large": too_large(imported, limits).map(|refused| refused.to_string()),
    });
    let counts = serde_json::to_value(counts)?;
    if let (Some(value), Value::Object(counts)) = (value.as_object_mut(), counts) {
        value.extend(counts);
    }
    if let Some(demand) = Demand::of_graph(&imported.graph) {
        value["memory"] = demand.peak.into();
        value["work"] = demand.work.into();
    }
    Ok(value)
}

/// What can be said of a file that is not supported.
fn refused(arguments: &Arguments, error: &Error) -> Result<Value> {
    // It may not even be there.
    let bytes = import::read(&arguments.model).unwrap_or_default();
    let Description {
        opset,
        producer,
        inputs,
        outputs,
    } = describe(&bytes).unwrap_or_default();
    let nodes = error
        .downcast_ref::<ImportError>()
        .map_or(&[][..], ImportError::unsupported);
    Ok(json!({
        "supported": false,
        "model": arguments.model.file_stem().map(|stem| printable(&stem.to_string_lossy()).into_owned()),
        "opset": opset,
        "producer": producer,
        "inputs": inputs,
        "outputs": outputs,
        "warnings": [],
        "nodes": nodes,
        "error": terminal::print::chain(error.as_ref()),
    }))
}

fn print(imported: &Imported, counts: &Counts, limits: Limits) -> Result<()> {
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
    say!("{}", table(counts));
    say!(
        "in all: {} DReLUs, {} comparisons of max-pools, {} multiply-adds, {} with weights",
        grouped(counts.drelus_at_1x1 as u64),
        grouped(counts.comparisons as u64),
        grouped(counts.macs),
        counted(counts.layers.len(), "layer")
    );
    if let Some(assignment) = &imported.assignment {
        say!(
            "the file carries an assignment for {}, which `trefoil compile` uses; counted is the network without it",
            counted(assignment.layers().count(), "ReLU")
        );
    }
    if let Some(demand) = Demand::of_graph(&imported.graph) {
        say!(
            "an image in floats: about {} of memory beside {} of constants, and as long as {:.1e} multiply-adds",
            size(demand.peak),
            size(demand.constants),
            demand.work as f64
        );
    }
    if let Some(refused) = too_large(imported, limits) {
        terminal::warning(format!("`trefoil compile` will refuse the network: {refused}"));
    }
    imported.warnings.iter().for_each(terminal::warning);
    Ok(())
}

fn table(counts: &Counts) -> Table {
    let mut table = Table::new(&["<ReLU", "map", "channels", "DReLUs", "<"]);
    for relu in &counts.relus {
        table.row(row(&relu.name, relu.map, relu.channels, relu.drelus_at_1x1, ""));
    }
    for pool in &counts.max_pools {
        let comparisons = pool.comparisons;
        table.row(row(
            &pool.name,
            pool.map,
            pool.channels,
            comparisons,
            "comparisons",
        ));
    }
    table
}

fn row(name: &str, [h, w]: [usize; 2], channels: usize, count: usize, unit: &str) -> [String; 5] {
    [
        name.to_owned(),
        format!("{h}x{w}"),
        grouped(channels as u64),
        grouped(count as u64),
        unit.to_owned(),
    ]
}
