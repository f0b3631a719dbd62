//! The command line of `trefoil-party`: raw arguments become checked options, which are run.
//!
//! * [`args`]: the arguments as they are written
//! * [`plans`]: plan files, read and checked
//! * [`images`]: what the client feeds in and makes of the results
//! * [`outputs`]: files of outputs and logits
//! * [`client`], [`listen`], [`local`]: the commands

pub mod args;
pub mod client;
pub mod error;
pub mod images;
pub mod listen;
pub mod local;
pub mod outputs;
pub mod plans;

#[cfg(test)]
mod tests;

pub use error::CliError;

use clap::Parser;

use args::{Args, Command};

use crate::terminal;

/// Runs the command that the process was called with. Wrong usage ends the process with code 2.
///
/// # Errors
/// If the command fails.
pub fn run() -> Result<(), CliError> {
    dispatch(Args::parse())
}

fn dispatch(args: Args) -> Result<(), CliError> {
    match args.command {
        Command::Local(args) => local::run(&args),
        Command::Client(args) => client::run(&args),
        Command::Server(args) => listen::server(&args),
        Command::Helper(args) => listen::helper(&args),
    }
}

/// Writes a line of results.
fn print(line: &str) -> Result<(), CliError> {
    terminal::line(format_args!("{line}")).map_err(CliError::Stdout)
}

/// Sets the number of computing threads, which is otherwise that of the cores.
fn set_threads(threads: Option<usize>) -> Result<(), CliError> {
    let Some(threads) = threads else { return Ok(()) };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    pool.build_global().map_err(CliError::Threads)
}
