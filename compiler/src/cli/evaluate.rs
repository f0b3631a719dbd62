//! `trefoil evaluate`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::ValueEnum;
use serde::Serialize;
use trefoil_runtime::amount::counted;
use trefoil_runtime::cli::outputs::{OutputFiles, Rows};
use trefoil_runtime::data::DataSet;
use trefoil_runtime::report::Accuracy;
use trefoil_runtime::terminal::{self, Bar};

use super::files::{open_data, preprocess_of, read_owner, read_preprocess};
use super::import::ImportArguments;
use super::limits::LimitArguments;
use super::print::say;
use super::strict::Strict;
use super::{DATA, Format, NUMBERS, OUTPUT, say_json};
use crate::driver::breaches::BreachReport;
use crate::driver::evaluate::{Fixed, Float, Network, run as run_network};
use crate::driver::limits::Run;
use crate::import::import_file;
use crate::patches::with_patches;

/// In which arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Level {
    /// Floats, as the model's owner knows it.
    F32,
    /// Fixed point, as the parties compute it, without cryptography.
    Fixed,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  trefoil evaluate resnet.onnx --data test/ --labels labels.txt --preprocess p.toml
  trefoil evaluate plans --data test/ --labels labels.txt     # as the parties compute it
  trefoil evaluate plans --data images/ --format json         # the classes of all images")]
pub(super) struct Arguments {
    /// An ONNX file, or a folder that `trefoil compile` wrote.
    model: PathBuf,
    #[command(flatten)]
    data: super::DataArguments,
    /// Preprocessing of images, for an ONNX file (a compiled model has its own).
    #[arg(long, value_name = "P.toml", help_heading = DATA)]
    preprocess: Option<PathBuf>,
    #[command(flatten)]
    import: ImportArguments,
    /// In which arithmetic; fixed point for a compiled model unless stated.
    #[arg(long, value_enum, help_heading = NUMBERS)]
    level: Option<Level>,
    /// How the figures are printed; without labels, the class of every image.
    #[arg(long, value_enum, default_value = "text", help_heading = OUTPUT)]
    format: Format,
    #[command(flatten)]
    strict: Strict,
    #[command(flatten)]
    limits: LimitArguments,
    #[command(flatten)]
    files: OutputFiles,
}

pub(super) fn run(arguments: Arguments) -> Result<()> {
    arguments.files.check()?;
    let default = match arguments.model.is_dir() {
        true => Level::Fixed,
        false => Level::F32,
    };
    let level = arguments.level.unwrap_or(default);
    if level == Level::F32 && arguments.strict.is_strict() {
        bail!(
            "--strict is about the ranges of fixed point, which floats do not have: leave it out, or give a folder that \
             `trefoil compile` wrote, without --level f32"
        );
    }
    if arguments.model.is_dir() {
        return run_plans(&arguments, level);
    }
    if level == Level::Fixed {
        bail!(
            "fixed point needs scales: compile the model, and give the folder that `trefoil compile` wrote"
        );
    }
    run_model(&arguments)
}

/// Evaluates a folder that `trefoil compile` wrote.
fn run_plans(arguments: &Arguments, level: Level) -> Result<()> {
    let owner = read_owner(&arguments.model)?;
    refuse_options_of_a_model(arguments)?;
    let preprocess = preprocess_of(&owner)?;
    let run = match level {
        Level::F32 => Run::Floats,
        Level::Fixed => Run::FixedPoint,
    };
    let at_once = arguments.limits.limits().images_of_record(&owner, run)?;
    let float = Float::new(&owner.graph);
    let fixed = (level == Level::Fixed).then(|| Fixed::new(&owner));
    let network: &dyn Network = match &fixed {
        Some(fixed) => fixed,
        None => &float,
    };
    let data = open_data(&arguments.data, preprocess.as_ref(), network.input())?;
    let (predictions, rows) = run_all(network, &data, at_once, &owner.output.classes, arguments)?;
    let breaches = fixed.as_ref().map(Fixed::breaches);
    let seen = breaches.as_ref().map(|b| b.report(&owner.program));
    report(&data, predictions, seen, arguments.format)?;
    rows.write(&arguments.files)?;
    let Some(breaches) = breaches else { return Ok(()) };
    if let Some(warning) = breaches.warning(&owner.program, owner.calibration_images) {
        terminal::warning(warning);
    }
    arguments.strict.check(breaches.images())
}

/// Evaluates an ONNX file in floats.
fn run_model(arguments: &Arguments) -> Result<()> {
    let imported = import_file(&arguments.model, &arguments.import.options())?;
    let preprocess = read_preprocess(arguments.preprocess.as_deref())?;
    // A file that carries an assignment computes the network with its patches.
    let graph = match &imported.assignment {
        Some(assignment) => with_patches(&imported.graph, assignment)?,
        None => imported.graph.into_inner(),
    };
    let at_once = arguments.limits.limits().images_at_once(&graph, Run::Floats)?;
    let network = Float::new(&graph);
    let data = open_data(
        &arguments.data,
        preprocess.as_ref().map(|(p, _)| p),
        network.input(),
    )?;
    let (predictions, rows) = run_all(&network, &data, at_once, &[], arguments)?;
    report(&data, predictions, None, arguments.format)?;
    rows.write(&arguments.files)?;
    Ok(())
}

/// What a compiled model has itself must not be thought to have been given.
fn refuse_options_of_a_model(arguments: &Arguments) -> Result<()> {
    let folder = arguments.model.display();
    if arguments.preprocess.is_some() {
        bail!(
            "--preprocess belongs to an ONNX file: the plans in {folder} hold their own preprocessing, which is what \
             the client will use; leave it out, or compile with another one"
        );
    }
    if arguments.import.input_shape.is_some() {
        bail!(
            "--input-shape belongs to an ONNX file: the plans in {folder} have the shape that they were compiled for"
        );
    }
    if arguments.import.output_name.is_some() {
        bail!(
            "--output-name belongs to an ONNX file: the plans in {folder} have the output that they were compiled for"
        );
    }
    Ok(())
}

/// Runs all images; what the network says of each, where it says a class, and the outputs that are to
/// be written. The classes may have names.
fn run_all(
    network: &dyn Network,
    data: &DataSet,
    at_once: usize,
    classes: &[String],
    arguments: &Arguments,
) -> Result<(Vec<Classified>, Rows)> {
    let bar = Bar::new(data.len(), "evaluating");
    let logits = run_network(network, data, at_once, |done| bar.at(done))?;
    bar.clear();
    let mut rows = Rows::default();
    let mut predictions = Vec::new();
    for (at, logits) in logits.into_iter().enumerate() {
        let prediction = network.tail().run(logits.values());
        predictions.extend(prediction.class().map(|class| Classified {
            image: data.name(at),
            class,
            name: classes.get(class).cloned(),
            score: prediction.scores().and_then(|scores| scores.get(class).copied()),
            label: data.label(at),
        }));
        rows.add(&arguments.files, prediction);
    }
    Ok((predictions, rows))
}

/// What a network says of an image.
#[derive(Debug, Serialize)]
struct Classified {
    /// The image.
    image: String,
    /// Its class.
    class: usize,
    /// The class's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Its score.
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    /// The class that it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<i64>,
}

impl Classified {
    fn line(&self) -> String {
        let Self {
            image, class, name, ..
        } = self;
        match name {
            Some(name) => format!("{image}\t{class}\t{name}"),
            None => format!("{image}\t{class}"),
        }
    }
}

/// What is printed for programs.
#[derive(Debug, Serialize)]
struct Evaluation {
    images: usize,
    /// None where there are no labels of classes.
    #[serde(flatten)]
    accuracy: Option<Accuracy>,
    /// Where values left their ranges; none in floats.
    breaches: Option<BreachReport>,
    /// What the network says of every image that has a class.
    predictions: Vec<Classified>,
}

/// The accuracy on the images with a label, if there are any.
fn accuracy(predictions: &[Classified]) -> Option<Accuracy> {
    let mut accuracy = Accuracy::default();
    for Classified { label, class, .. } in predictions {
        if let Some(label) = label {
            accuracy.count(*label == *class as i64);
        }
    }
    Some(accuracy).filter(Accuracy::is_of_some)
}

fn report(
    data: &DataSet,
    predictions: Vec<Classified>,
    breaches: Option<BreachReport>,
    format: Format,
) -> Result<()> {
    let evaluation = Evaluation {
        images: data.len(),
        accuracy: accuracy(&predictions),
        breaches,
        predictions,
    };
    if format == Format::Json {
        return say_json(serde_json::to_value(&evaluation)?);
    }
    // With labels, whoever wants every class has --format json.
    for prediction in evaluation.predictions.iter().filter(|_| !data.has_labels()) {
        say!("{}", prediction.line());
    }
    say!("images {}", evaluation.images);
    if let Some(accuracy) = evaluation.accuracy {
        say!("top-1 {accuracy}");
    }
    if let Some(BreachReport { images, of, .. }) = evaluation.breaches {
        say!("breaches {images} of {}", counted(of, "image"));
    }
    Ok(())
}
