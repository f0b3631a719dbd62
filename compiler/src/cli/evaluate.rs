//! `trefoil evaluate`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::ValueEnum;
use serde::Serialize;
use trefoil_runtime::cli::outputs::{OutputFiles, Rows};
use trefoil_runtime::data::DataSet;
use trefoil_runtime::terminal::{self, Bar};

use super::Format;
use super::files::{open_data, preprocess_of, read_owner, read_preprocess};
use super::print::say;
use super::strict::Strict;
use crate::driver::breaches::BreachReport;
use crate::driver::evaluate::{Fixed, Float, Network, run as run_network};
use crate::import::{ImportOptions, import_file};
use crate::pass::with_patches;

/// In which arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Level {
    /// Floats, as the model's owner knows it.
    F32,
    /// Fixed point, as the parties compute it, without cryptography.
    Fixed,
}

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// An ONNX file, or a folder that `trefoil compile` wrote.
    model: PathBuf,
    #[command(flatten)]
    data: super::DataArguments,
    /// Preprocessing of images, for an ONNX file (a compiled model has its own).
    #[arg(long, value_name = "P.toml")]
    preprocess: Option<PathBuf>,
    /// Shape of the input where an ONNX file leaves it open.
    #[arg(long, value_name = "N,C,H,W", value_delimiter = ',')]
    input_shape: Option<Vec<usize>>,
    /// In which arithmetic; fixed point for a compiled model unless stated.
    #[arg(long, value_enum)]
    level: Option<Level>,
    /// How the figures are printed.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    strict: Strict,
    /// The output to compute, where an ONNX file has several.
    #[arg(long, value_name = "NAME")]
    output_name: Option<String>,
    #[command(flatten)]
    files: OutputFiles,
}

pub(super) fn run(arguments: Arguments) -> Result<()> {
    arguments.files.check()?;
    if arguments.model.is_dir() {
        let owner = read_owner(&arguments.model)?;
        let preprocess = match read_preprocess(arguments.preprocess.as_deref())? {
            Some((preprocess, _)) => Some(preprocess),
            None => preprocess_of(&owner)?,
        };
        let (float, fixed) = (Float::new(&owner.graph), Fixed::new(&owner));
        let network: &dyn Network = match arguments.level.unwrap_or(Level::Fixed) {
            Level::F32 => &float,
            Level::Fixed => &fixed,
        };
        let data = open_data(&arguments.data, preprocess.as_ref(), network.input())?;
        let (accuracy, rows) = run_all(network, &data, &arguments)?;
        let level = arguments.level.unwrap_or(Level::Fixed);
        let breaches = (level == Level::Fixed).then(|| fixed.breaches());
        let seen = breaches.as_ref().map(|b| b.report(&owner.program));
        report(data.len(), accuracy, seen, &arguments)?;
        rows.write(&arguments.files)?;
        let Some(breaches) = breaches else { return Ok(()) };
        if let Some(warning) = breaches.warning(&owner.program, owner.calibration_images) {
            terminal::warning(warning);
        }
        return arguments.strict.check(breaches.images());
    }
    if arguments.level == Some(Level::Fixed) {
        bail!(
            "fixed point needs scales: compile the model, and give the folder that `trefoil compile` wrote"
        );
    }
    let options = ImportOptions {
        input_shape: arguments.input_shape.clone(),
        output: arguments.output_name.clone(),
    };
    let imported = import_file(&arguments.model, &options)?;
    let preprocess = read_preprocess(arguments.preprocess.as_deref())?;
    // A file that carries an assignment computes the network with its patches.
    let graph = match &imported.assignment {
        Some(assignment) => with_patches(&imported.graph, assignment)?,
        None => imported.graph.into_inner(),
    };
    let network = Float::new(&graph);
    let data = open_data(
        &arguments.data,
        preprocess.as_ref().map(|(p, _)| p),
        network.input(),
    )?;
    let (accuracy, rows) = run_all(&network, &data, &arguments)?;
    report(data.len(), accuracy, None, &arguments)?;
    rows.write(&arguments.files)?;
    Ok(())
}

/// Runs all images; the outputs that are to be written, and how many classes were right.
fn run_all(network: &dyn Network, data: &DataSet, arguments: &Arguments) -> Result<(Option<Accuracy>, Rows)> {
    let bar = Bar::new(data.len(), "evaluating");
    let logits = run_network(network, data, |done| bar.at(done))?;
    bar.clear();
    let (mut rows, mut accuracy) = (Rows::default(), Accuracy::default());
    for (at, logits) in logits.into_iter().enumerate() {
        let prediction = network.tail().run(logits.values());
        if let Some((class, label)) = prediction.class().zip(data.label(at)) {
            accuracy.labelled += 1;
            accuracy.correct += usize::from(class as i64 == label);
        }
        rows.add(&arguments.files, prediction);
    }
    accuracy.top1 = accuracy.correct as f64 / accuracy.labelled.max(1) as f64;
    Ok(((accuracy.labelled > 0).then_some(accuracy), rows))
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Evaluation {
    images: usize,
    /// None where there are no labels of classes.
    #[serde(flatten)]
    accuracy: Option<Accuracy>,
    /// Where values left their ranges; none in floats.
    breaches: Option<BreachReport>,
}

#[derive(Debug, Default, Serialize)]
struct Accuracy {
    labelled: usize,
    correct: usize,
    top1: f64,
}

fn report(
    images: usize,
    accuracy: Option<Accuracy>,
    breaches: Option<BreachReport>,
    arguments: &Arguments,
) -> Result<()> {
    let evaluation = Evaluation {
        images,
        accuracy,
        breaches,
    };
    if arguments.format == Format::Json {
        say!("{}", serde_json::to_string_pretty(&evaluation)?);
        return Ok(());
    }
    say!("images {}", evaluation.images);
    if let Some(Accuracy {
        labelled,
        correct,
        top1,
    }) = evaluation.accuracy
    {
        say!("top1 {top1:.4} ({correct} of {labelled})");
    }
    if let Some(BreachReport { images, of, .. }) = evaluation.breaches {
        say!("breaches {images} of {of} images");
    }
    Ok(())
}
