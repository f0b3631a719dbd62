//! `trefoil evaluate`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::ValueEnum;
use trefoil_runtime::cli::outputs::{OutputFiles, Rows};
use trefoil_runtime::data::DataSet;
use trefoil_runtime::terminal::{self, Bar};

use super::files::{open_data, preprocess_of, read_owner, read_preprocess};
use super::print::say;
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
        report(network, &data, &arguments)?;
        for breach in fixed.breaches() {
            terminal::warning(breach);
        }
        return Ok(());
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
    report(&network, &data, &arguments)
}

fn report(network: &dyn Network, data: &DataSet, arguments: &Arguments) -> Result<()> {
    let bar = Bar::new(data.len(), "evaluating");
    let logits = run_network(network, data, |done| bar.at(done))?;
    bar.clear();
    say!("images {}", logits.len());
    let (mut rows, mut labelled, mut correct) = (Rows::default(), 0u32, 0u32);
    for (at, logits) in logits.into_iter().enumerate() {
        let prediction = network.tail().run(logits.values());
        if let Some((class, label)) = prediction.class().zip(data.label(at)) {
            labelled += 1;
            correct += u32::from(class as i64 == label);
        }
        rows.add(&arguments.files, prediction);
    }
    if labelled > 0 {
        say!(
            "top1 {:.4} ({correct} of {labelled})",
            f64::from(correct) / f64::from(labelled)
        );
    }
    rows.write(&arguments.files)?;
    Ok(())
}
