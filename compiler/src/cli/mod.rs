//! The command line of `trefoil`: raw arguments, checked options, commands.

mod budget;
mod calibrate;
mod check;
mod compare;
mod compile;
mod deploy;
mod evaluate;
mod export_onnx;
mod files;
mod images;
mod import;
mod inspect;
mod limits;
mod lowering;
mod print;
mod profile;
mod progress;
mod secret;
mod staging;
mod strict;
mod sweep;
mod table;
#[cfg(test)]
mod tests;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use trefoil_runtime::terminal;

use print::say;

/// Compiles ordinary CNNs into secure execution plans for three parties.
#[derive(Debug, Parser)]
#[command(
    name = "trefoil",
    version,
    long_version = terminal::long_version(),
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = AFTER_HELP
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
From a model to plans:
  trefoil check resnet.onnx
  trefoil secret -o secret
  trefoil compile resnet.onnx --calibration images/ --preprocess p.toml --secret secret -o plans
  trefoil evaluate plans --data test/ --labels labels.txt
  trefoil-party local --plans plans --data test/ --labels labels.txt

Exit codes:
  0  done
  1  an error, which is said on the standard error
  2  wrong usage
  3  with --strict: values left the ranges that they were calibrated for";

/// Commands, in the order in which they are used.
#[derive(Debug, Subcommand)]
enum Command {
    /// Imports an ONNX model, counts, and warns; needs no data.
    Check(check::Arguments),
    /// Writes the secret from which plans are made.
    Secret(secret::Arguments),
    /// Measures what sharing signs does to a network: ranges, and the distortion of every patch.
    Calibrate(Box<calibrate::Arguments>),
    /// Merges, checks and shows profiles.
    Profile(profile::Arguments),
    /// Compiles an ONNX model into the plans of client, server and helper.
    Compile(Box<compile::Arguments>),
    /// Makes a folder for each party of plans that are to run on machines of their own.
    Deploy(Box<deploy::Arguments>),
    /// Runs a model in floats, or a compiled one in fixed point without cryptography.
    Evaluate(evaluate::Arguments),
    /// Compares a compiled model with its floats, layer by layer.
    Compare(compare::Arguments),
    /// Compiles under many budgets and tabulates costs and accuracies.
    Sweep(Box<sweep::Arguments>),
    /// Shows an ONNX file, a plan, a profile, a text of either language, or a folder of plans.
    Inspect(inspect::Arguments),
    /// Proves of plans that no message of theirs tells its receiver anything.
    Verify(verify::Arguments),
    /// Writes a network with its Block-ReLUs in standard ONNX operators; the file carries the assignment.
    ExportOnnx(export_onnx::Arguments),
    /// Prints the completions of a shell.
    Completions(terminal::Completions),
    /// Writes manual pages.
    Man(terminal::Man),
}

// Headings of the help, the same for all commands.
const DATA: &str = "Data";
const PATCHES: &str = "Patches";
const NUMBERS: &str = "Numbers";
const OUTPUT: &str = "Output";

/// Where images come from.
#[derive(Debug, clap::Args)]
struct DataArguments {
    /// float32 NCHW .npy, uint8 NHWC .npy, or a folder of JPEG or PNG.
    #[arg(long, value_name = "DATA", help_heading = DATA)]
    data: PathBuf,
    /// Labels: .npy, or lines of "file class", which select and order the files.
    #[arg(long, value_name = "L", help_heading = DATA)]
    labels: Option<PathBuf>,
    /// At most so many images.
    #[arg(long, value_name = "N", value_parser = images::count(), help_heading = DATA)]
    images: Option<usize>,
}

/// How a result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Version of the JSON that commands print and write; the same for all of them.
const SCHEMA: u32 = trefoil_runtime::report::SCHEMA;

/// Prints JSON, which says of what version it is.
fn say_json(mut value: serde_json::Value) -> Result<()> {
    value["schema"] = SCHEMA.into();
    say!("{}", serde_json::to_string_pretty(&value)?);
    Ok(())
}

/// Ends the program as wrong usage does: with a sentence, the usage of the command, and code 2.
fn usage(command: &str, message: &str) -> ! {
    let mut whole = Arguments::command();
    whole.build();
    let kind = ErrorKind::MissingRequiredArgument;
    match whole.find_subcommand_mut(command) {
        Some(command) => command.error(kind, message).exit(),
        None => whole.error(kind, message).exit(),
    }
}

/// Runs the command line; errors become sentences on standard error and exit code 1.
pub fn main() -> ExitCode {
    let report_panic = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !crate::quiet::is_guarded() {
            report_panic(panic);
        }
    }));
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::error(error.as_ref());
            strict::exit_code(&error)
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Check(arguments) => check::run(&arguments),
        Command::Secret(arguments) => secret::run(&arguments),
        Command::Calibrate(arguments) => calibrate::run(*arguments),
        Command::Profile(arguments) => profile::run(arguments),
        Command::Compile(arguments) => compile::run(*arguments),
        Command::Deploy(arguments) => deploy::run(*arguments),
        Command::Evaluate(arguments) => evaluate::run(arguments),
        Command::Compare(arguments) => compare::run(arguments),
        Command::Sweep(arguments) => sweep::run(*arguments),
        Command::Inspect(arguments) => inspect::run(arguments),
        Command::Verify(arguments) => verify::run(arguments),
        Command::ExportOnnx(arguments) => export_onnx::run(arguments),
        Command::Completions(arguments) => {
            say!(
                "{}",
                terminal::completions(&arguments, Arguments::command()).trim_end()
            );
            Ok(())
        }
        Command::Man(arguments) => {
            for page in terminal::man(&arguments.folder, Arguments::command())? {
                say!("{}", page.display());
            }
            Ok(())
        }
    }
}
