//! `trefoil profile`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use trefoil_runtime::amount::counted;
use trefoil_runtime::terminal::Bar;

use super::print::say;
use super::table::Table;
use super::{Format, images, say_json};
use crate::driver::measure::agreement;
use crate::driver::report::grouped;
use crate::profile::{LayerSummary, Profile, Sign, merge};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  trefoil profile show profile
  trefoil profile merge part-1 part-2 part-3 -o profile
  trefoil profile check profile --model resnet.onnx --preprocess p.toml --sample 500")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes one profile of shards.
    Merge {
        /// The shards.
        #[arg(required = true, value_name = "PROFILE")]
        shards: Vec<PathBuf>,
        /// Folder to write the whole to.
        #[arg(short, long = "out", alias = "output", value_name = "PROFILE")]
        output: PathBuf,
    },
    /// Measures a sample of a sketch's options exactly, and says how well the two agree.
    Check(Box<Check>),
    /// Shows what a profile holds.
    Show {
        /// The profile.
        profile: PathBuf,
        /// How to print.
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
}

#[derive(Debug, clap::Args)]
struct Check {
    /// The profile.
    profile: PathBuf,
    /// How many options.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = images::count())]
    sample: usize,
    #[command(flatten)]
    model: super::calibrate::ModelArguments,
}

pub(super) fn run(arguments: Arguments) -> Result<()> {
    match arguments.command {
        Command::Merge { shards, output } => {
            let header = merge(&shards, &output)?;
            say!(
                "{}: {} of {}",
                output.display(),
                counted(shards.len(), "shard"),
                header.model
            );
        }
        Command::Check(arguments) => check(&arguments)?,
        Command::Show { profile, format } => {
            let profile = Profile::open(&profile)?;
            match format {
                Format::Text => say!("{}", text(&profile)),
                Format::Json => say_json(json(&profile))?,
            }
        }
    }
    Ok(())
}

/// What a profile holds, for people.
pub(super) fn text(profile: &Profile) -> String {
    let header = &profile.header;
    let options: usize = header.layers.iter().map(|layer| layer.options()).sum();
    let mut table = Table::new(&["<sign of", "map", "patches", "largest distortion"]);
    for (layer, summary) in header.layers.iter().zip(&profile.summary.layers) {
        let sign = if layer.sign == Sign::Upper { " (upper)" } else { "" };
        table.row([
            format!("{}{sign}", layer.name),
            format!("{}x{}x{}", layer.channels, layer.map[0], layer.map[1]),
            layer.patches.len().to_string(),
            format!("{:.3e}", largest(summary)),
        ]);
    }
    format!(
        "{}  {:?}, {}\nimages {} of {}, shard {}\noptions {}\n{table}",
        header.model,
        header.method,
        counted(header.probes, "probe"),
        header.images,
        header.data,
        header.shard,
        grouped(options as u64)
    )
}

/// The same for programs.
pub(super) fn json(profile: &Profile) -> serde_json::Value {
    let header = &profile.header;
    let layers = header
        .layers
        .iter()
        .zip(&profile.summary.layers)
        .map(|(layer, summary)| {
            serde_json::json!({
                "name": layer.name,
                "sign": layer.sign,
                "map": layer.map,
                "channels": layer.channels,
                "patches": layer.patches.len(),
                "options": layer.options(),
                "largest_distortion": largest(summary),
            })
        });
    serde_json::json!({
        "kind": "profile",
        "model": header.model,
        "method": header.method,
        "probes": header.probes,
        "images": header.images,
        "data": header.data,
        "shard": header.shard,
        "layers": layers.collect::<Vec<_>>(),
    })
}

fn largest(layer: &LayerSummary) -> f64 {
    layer.mean.iter().copied().fold(0.0, f64::max)
}

fn check(arguments: &Check) -> Result<()> {
    let profile = Profile::open(&arguments.profile)?;
    let options = arguments.model.options(&profile.header)?;
    let bar = Bar::new(options.data.len(), "measuring");
    let agreement = agreement(&options, &profile, arguments.sample, |done| {
        bar.at(done);
    })?;
    bar.clear();
    for (layer, (correlation, count)) in profile.header.layers.iter().zip(&agreement.layers) {
        // Options that all change nothing have no order.
        let shown = match correlation.is_nan() {
            true => "     -".to_owned(),
            false => format!("{correlation:.4}"),
        };
        say!("{shown}  {}, {}", layer.name, counted(*count, "option"));
    }
    say!("{:.4}  over all", agreement.overall);
    Ok(())
}
