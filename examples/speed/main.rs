//! How fast networks run among three parties, beside the same networks in the clear: a Markdown
//! table, on the standard output.
//!
//! ```text
//! cargo run --release --example speed -- NETWORKS
//! ```
//!
//! `NETWORKS` is a folder with a subfolder for each network, or one of these subfolders:
//!
//! | file | |
//! | --- | --- |
//! | `client.plan`, `server.plan`, `helper.plan` | as `trefoil compile -o` writes them |
//! | `input.npy` | images, of which the first is taken |
//! | `model.onnx` | the network in floats; without it nothing is run in the clear |
//!
//! Everything is run in turns (three parties, tract, onnxruntime, three parties, ...), so that
//! whatever else the machine does slows all of them alike, and medians are taken. What is absent is
//! skipped, with a line on the standard error.

mod clear;
mod figures;
mod networks;
mod parties;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use clear::{Contender, OnnxRuntime, Tract};
use figures::{Clear, Row, median, print_table};
use networks::Network;
use parties::{Times, build, peak_memory, run_local};

/// Where Python with onnxruntime is, if no flag says so.
const PYTHON: &str = "TREFOIL_PYTHON";

/// Times networks among three parties and in the clear, in turns.
#[derive(Debug, Parser)]
struct Args {
    /// A folder of networks; each has its three plans, `input.npy` and, perhaps, `model.onnx`.
    networks: PathBuf,
    /// Turns; the medians are taken of so many runs.
    #[arg(long, value_name = "N", default_value = "9", value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Images a run, whose median is the run's time.
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// `trefoil-party`; without this it is built.
    #[arg(long, value_name = "FILE")]
    party: Option<PathBuf>,
    /// A Python that has onnxruntime; by default $TREFOIL_PYTHON, or python3.
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,
    /// Threads of onnxruntime.
    #[arg(long, value_name = "N", default_value = "2", value_parser = clap::value_parser!(u32).range(1..))]
    ort_threads: u32,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let networks = Network::all(&args.networks)?;
    let party = match &args.party {
        Some(path) => path.clone(),
        None => build()?,
    };
    let python = python(args);
    let mut rows = Vec::new();
    for network in networks {
        match measure(args, &network, &party, python.as_deref()) {
            Ok(row) => rows.push(row),
            Err(error) => eprintln!("{}: skipped, {error:#}", network.name),
        }
    }
    print_table(&rows, args.runs, args.repeat, args.ort_threads);
    Ok(())
}

/// A Python that has onnxruntime, if there is one.
fn python(args: &Args) -> Option<PathBuf> {
    let of_environment = || std::env::var_os(PYTHON).map(PathBuf::from);
    let python = args.python.clone().or_else(of_environment);
    let python = python.unwrap_or_else(|| PathBuf::from("python3"));
    match OnnxRuntime::version(&python) {
        Ok(version) => {
            eprintln!("onnxruntime {version}");
            Some(python)
        }
        Err(error) => {
            eprintln!("onnxruntime: skipped, {error:#} (--python FILE or ${PYTHON} names another Python)");
            None
        }
    }
}

/// Runs one network in turns.
fn measure(args: &Args, network: &Network, party: &Path, python: Option<&Path>) -> Result<Row> {
    eprintln!("{}: {} turns", network.name, args.runs);
    let mut tract = contender(network, "tract", |model| Tract::load(model, &network.input));
    let mut ort = python.and_then(|python| {
        contender(network, "onnxruntime", |model| {
            OnnxRuntime::start(python, model, &network.input, args.ort_threads)
        })
    });
    let mut secure: Vec<Times> = Vec::new();
    let (mut by_tract, mut by_ort) = (Vec::new(), Vec::new());
    let mut cost = None;
    for _ in 0..args.runs {
        let run = run_local(party, network, args.repeat)?;
        secure.push(run.times);
        cost = Some(run.cost);
        if let Some(tract) = &mut tract {
            by_tract.push(tract.run(args.repeat)?);
        }
        if let Some(ort) = &mut ort {
            by_ort.push(ort.run(args.repeat)?);
        }
    }
    Ok(Row {
        name: network.name.clone(),
        times: Times {
            offline: median(secure.iter().map(|times| times.offline)),
            online: median(secure.iter().map(|times| times.online)),
            total: median(secure.iter().map(|times| times.total)),
        },
        cost: cost.context("no run was asked for")?,
        memory: peak_memory(party, network)?,
        tract: Clear::of(by_tract),
        onnxruntime: Clear::of(by_ort),
    })
}

/// A way to run the network in the clear, if there is its model and it can be loaded.
fn contender<C>(network: &Network, name: &str, load: impl FnOnce(&Path) -> Result<C>) -> Option<C> {
    let Some(model) = &network.model else {
        eprintln!("{}: {name} skipped, there is no model.onnx", network.name);
        return None;
    };
    load(model)
        .inspect_err(|error| eprintln!("{}: {name} skipped, {error:#}", network.name))
        .ok()
}
