//! The command line of `trefoil`: raw arguments, checked options, commands.

mod budget;
mod calibrate;
mod check;
mod compare;
mod compile;
mod evaluate;
mod export_onnx;
mod files;
mod inspect;
mod print;
mod profile;
mod progress;
mod strict;
mod sweep;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

/// Compiles ordinary CNNs into secure execution plans for three parties.
#[derive(Debug, Parser)]
#[command(name = "trefoil", version, about, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compiles an ONNX model into the plans of client, server and helper.
    Compile(compile::Arguments),
    /// Measures what sharing signs does to a network: ranges, and the distortion of every patch.
    Calibrate(calibrate::Arguments),
    /// Merges and shows profiles.
    Profile(profile::Arguments),
    /// Compiles under many budgets and tabulates costs and accuracies.
    Sweep(sweep::Arguments),
    /// Shows an ONNX file, a plan, or a text of either language.
    Inspect(inspect::Arguments),
    /// Imports an ONNX model, counts, and warns; needs no data.
    Check(check::Arguments),
    /// Runs a model in floats, or a compiled one in fixed point without cryptography.
    Evaluate(evaluate::Arguments),
    /// Compares a compiled model with its floats, layer by layer.
    Compare(compare::Arguments),
    /// Writes a network with its Block-ReLUs in standard ONNX operators; the file carries the assignment.
    ExportOnnx(export_onnx::Arguments),
}

/// Where images come from.
#[derive(Debug, clap::Args)]
struct DataArguments {
    /// float32 NCHW .npy, uint8 NHWC .npy, or a folder of JPEG or PNG.
    #[arg(long, value_name = "DATA")]
    data: PathBuf,
    /// Labels: .npy, or lines of "file class", which select and order the files.
    #[arg(long, value_name = "L")]
    labels: Option<PathBuf>,
    /// At most so many images.
    #[arg(long, value_name = "N")]
    images: Option<usize>,
}

/// How a text is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Runs the command line; errors become sentences on standard error and exit code 1.
pub fn main() -> ExitCode {
    let report_panic = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !crate::quiet::is_guarded() {
            report_panic(panic);
        }
    }));
    let result = match Arguments::parse().command {
        Command::Compile(arguments) => compile::run(arguments),
        Command::Calibrate(arguments) => calibrate::run(arguments),
        Command::Profile(arguments) => profile::run(arguments),
        Command::Sweep(arguments) => sweep::run(arguments),
        Command::Inspect(arguments) => inspect::run(arguments),
        Command::Check(arguments) => check::run(arguments),
        Command::Evaluate(arguments) => evaluate::run(arguments),
        Command::Compare(arguments) => compare::run(arguments),
        Command::ExportOnnx(arguments) => export_onnx::run(arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            trefoil_runtime::terminal::error(error.as_ref());
            strict::exit_code(&error)
        }
    }
}
