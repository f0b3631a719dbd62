//! The command line of `trefoil-party`: raw arguments become checked options, which are run.
//!
//! * [`args`]: the arguments as they are written
//! * [`plans`]: plan files, read and checked
//! * [`images`]: what the client feeds in
//! * [`results`]: what it makes of what comes out; [`outputs`]: files for it, [`predictions`]: how it is printed
//! * [`client`], [`serve`], [`local`], [`doctor`], [`keygen`], [`timeline`]: the commands
//! * `secrecy`: no dump of the memory, and no look into it
//! * [`log`]: what operators see

pub mod args;
pub mod client;
pub mod doctor;
pub mod error;
pub mod exit;
pub mod images;
pub mod keygen;
pub mod local;
pub mod log;
pub mod outputs;
pub mod plans;
pub mod predictions;
pub mod results;
mod secrecy;
pub mod serve;
pub mod timeline;

#[cfg(test)]
mod tests;

pub use error::CliError;
pub use exit::Exit;

use std::num::NonZero;
use std::path::Path;
use std::sync::OnceLock;

use clap::{CommandFactory, Parser};

use args::{Args, Command};

use crate::kernel::Isa;
use crate::terminal;

/// Runs the command that the process was called with. Wrong usage ends the process with code 2.
///
/// # Errors
/// If the command fails.
pub fn run() -> Result<(), CliError> {
    let args = Args::parse();
    secrecy::keep_memory_private();
    Isa::requested()?;
    dispatch(args)
}

fn dispatch(args: Args) -> Result<(), CliError> {
    match args.command {
        Command::Local(args) => local::run(&args),
        Command::Client(args) => client::run(&args),
        Command::Keygen(args) => keygen::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Timeline(args) => timeline::run(&args),
        Command::Completions(args) => print(&terminal::completions(&args, Args::command())).map(drop),
        Command::Man(args) => man(&args.folder),
    }
}

fn man(folder: &Path) -> Result<(), CliError> {
    let pages = terminal::man(folder, Args::command());
    let pages = pages.map_err(|source| CliError::Write {
        path: folder.to_owned(),
        source,
    })?;
    let lines = pages.iter().map(|page| format!("{}\n", page.display()));
    print(&lines.collect::<String>()).map(drop)
}

/// Writes to the standard output; false if nobody reads it any more.
fn print(text: &str) -> Result<bool, CliError> {
    terminal::text(text).map_err(CliError::Stdout)
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
