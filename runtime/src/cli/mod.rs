//! The command line of `trefoil-party`: raw arguments become checked options, which are run.
//!
//! * [`args`]: the arguments as they are written
//! * [`plans`]: plan files, read and checked
//! * [`images`]: what the client feeds in and makes of the results
//! * [`outputs`]: files of outputs and logits
//! * [`client`], [`listen`], [`local`]: the commands
//! * `secrecy`: no dump of the memory, and no look into it

pub mod args;
pub mod client;
pub mod error;
pub mod images;
pub mod listen;
pub mod local;
pub mod outputs;
pub mod plans;
mod secrecy;

#[cfg(test)]
mod tests;

pub use error::CliError;

use std::num::NonZero;
use std::sync::OnceLock;

use clap::Parser;

use args::{Args, Command};

use crate::terminal;

/// Runs the command that the process was called with. Wrong usage ends the process with code 2.
///
/// # Errors
/// If the command fails.
pub fn run() -> Result<(), CliError> {
    let args = Args::parse();
    secrecy::keep_memory_private();
    dispatch(args)
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

/// More threads than this for a core only get into each other's way.
const THREADS_OF_A_CORE: usize = 4;

/// Starts the computing threads, as many as there are cores unless another number is given. Later
/// could be too late: a system that gives no threads then would end the process.
fn set_threads(threads: Option<usize>) -> Result<(), CliError> {
    static STARTED: OnceLock<()> = OnceLock::new();
    if STARTED.set(()).is_err() {
        return Ok(());
    }
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let most = cores * THREADS_OF_A_CORE;
    if let Some(wanted) = threads.filter(|&wanted| wanted > most) {
        terminal::note(format_args!(
            "--threads {wanted} is more than {cores} cores can use: {most} are started"
        ));
    }
    // None is rayon's own choice, which knows RAYON_NUM_THREADS.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.map_or(0, |wanted| wanted.min(most)));
    pool.build_global().map_err(CliError::Threads)
}
