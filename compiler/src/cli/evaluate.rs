//! `trefoil evaluate`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::ValueEnum;
use serde::Serialize;
use trefoil_ir::nn::eval::FeatureMap;
use trefoil_runtime::data::{DataSet, top1, write_logits};
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
    /// Writes the logits, float32 [N, classes] or [N, C, H, W].
    #[arg(long, value_name = "O.npy")]
    output: Option<PathBuf>,
}

pub(super) fn run(arguments: Arguments) -> Result<()> {
    if arguments.model.is_dir() {
        let owner = read_owner(&arguments.model)?;
        let preprocess = match read_preprocess(arguments.preprocess.as_deref())? {
            Some((preprocess, _)) => Some(preprocess),
            None => preprocess_of(&owner)?,
        };
        let rank = owner.output.rank;
        let (float, fixed) = (Float::new(&owner.graph), Fixed::new(&owner));
        let network: &dyn Network = match arguments.level.unwrap_or(Level::Fixed) {
            Level::F32 => &float,
            Level::Fixed => &fixed,
        };
        let data = open_data(&arguments.data, preprocess.as_ref(), network.input())?;
        let rows = run_all(network, &data)?;
        let level = arguments.level.unwrap_or(Level::Fixed);
        let breaches = (level == Level::Fixed).then(|| fixed.breaches());
        report(
            &rows,
            &data,
            breaches.as_ref().map(|b| b.report(&owner.program)),
            &arguments,
        )?;
        write(rows, rank, &arguments)?;
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
        output: None,
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
    let rows = run_all(&network, &data)?;
    report(&rows, &data, None, &arguments)?;
    write(rows, imported.output_dims.len(), &arguments)
}

fn run_all(network: &dyn Network, data: &DataSet) -> Result<Vec<FeatureMap>> {
    let bar = Bar::new(data.len(), "evaluating");
    let rows = run_network(network, data, |done| bar.at(done))?;
    bar.clear();
    Ok(rows)
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

#[derive(Debug, Serialize)]
struct Accuracy {
    labelled: usize,
    correct: usize,
    top1: f64,
}

impl Accuracy {
    fn of(rows: &[FeatureMap], data: &DataSet) -> Option<Self> {
        if !data.has_labels() || rows[0].shape().plane() > 1 {
            return None;
        }
        let right = |(at, row): &(usize, &FeatureMap)| data.label(*at) == Some(top1(row.values()) as i64);
        let labelled = (0..rows.len()).filter(|&at| data.label(at).is_some()).count();
        let correct = rows.iter().enumerate().filter(right).count();
        Some(Self {
            labelled,
            correct,
            top1: correct as f64 / labelled.max(1) as f64,
        })
    }
}

fn report(
    rows: &[FeatureMap],
    data: &DataSet,
    breaches: Option<BreachReport>,
    arguments: &Arguments,
) -> Result<()> {
    let evaluation = Evaluation {
        images: rows.len(),
        accuracy: Accuracy::of(rows, data),
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

fn write(rows: Vec<FeatureMap>, rank: usize, arguments: &Arguments) -> Result<()> {
    let Some(path) = &arguments.output else {
        return Ok(());
    };
    let shape = rows[0].shape();
    let dims = if rank == 2 && shape.plane() == 1 {
        vec![shape.c]
    } else {
        vec![shape.c, shape.h, shape.w]
    };
    let rows: Vec<Vec<f32>> = rows.into_iter().map(FeatureMap::into_values).collect();
    Ok(write_logits(path, &rows, &dims)?)
}
