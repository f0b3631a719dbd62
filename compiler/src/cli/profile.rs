//! `trefoil profile`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use trefoil_runtime::terminal::Bar;

use super::print::say;
use crate::calibrate::profile::{Profile, Sign, merge};
use crate::driver::calibrate::agreement;
use crate::driver::report::grouped;

#[derive(Debug, clap::Args)]
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
        #[arg(short, value_name = "PROFILE")]
        output: PathBuf,
    },
    /// Measures a sample of a sketch's options exactly, and says how well the two agree.
    Check(Box<Check>),
    /// Shows what a profile holds.
    Show {
        /// The profile.
        profile: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct Check {
    /// The profile.
    profile: PathBuf,
    /// How many options.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    sample: usize,
    #[command(flatten)]
    model: super::calibrate::ModelArguments,
}

pub(super) fn run(arguments: Arguments) -> Result<()> {
    match arguments.command {
        Command::Merge { shards, output } => {
            let header = merge(&shards, &output)?;
            say!(
                "{}: {} shards of {}",
                output.display(),
                shards.len(),
                header.model
            );
        }
        Command::Check(arguments) => check(&arguments)?,
        Command::Show { profile } => show(&Profile::open(&profile)?)?,
    }
    Ok(())
}

fn show(profile: &Profile) -> Result<()> {
    let header = &profile.header;
    let options: usize = header.layers.iter().map(|layer| layer.options()).sum();
    say!("{}  {:?}, {} probes", header.model, header.method, header.probes);
    say!(
        "images {} of {}, shard {}/{}",
        header.images,
        header.data,
        header.shard.index,
        header.shard.of
    );
    say!("options {}", grouped(options as u64));
    for (layer, summary) in header.layers.iter().zip(&profile.summary.layers) {
        let largest = summary.mean.iter().copied().fold(0.0, f64::max);
        let sign = if layer.sign == Sign::Upper { " (upper)" } else { "" };
        say!(
            "  {}{sign}  {}x{}x{}  {} patches, distortions up to {largest:.3e}",
            layer.name,
            layer.channels,
            layer.map[0],
            layer.map[1],
            layer.patches.len()
        );
    }
    Ok(())
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
        say!("{shown}  {}, {count} options", layer.name);
    }
    say!("{:.4}  over all", agreement.overall);
    Ok(())
}
