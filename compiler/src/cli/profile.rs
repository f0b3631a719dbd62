//! `trefoil profile`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;

use super::print::say;
use crate::calibrate::profile::{Profile, Sign, merge};
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
    /// Shows what a profile holds.
    Show {
        /// The profile.
        profile: PathBuf,
    },
}

pub(super) fn run(arguments: Arguments) -> Result<()> {
    match arguments.command {
        Command::Merge { shards, output } => {
            let header = merge(&shards, &output)?;
            say!("{}: {} shards of {}", output.display(), shards.len(), header.model);
        }
        Command::Show { profile } => show(&Profile::open(&profile)?)?,
    }
    Ok(())
}

fn show(profile: &Profile) -> Result<()> {
    let header = &profile.header;
    let options: usize = header.layers.iter().map(|layer| layer.options()).sum();
    say!("{}  {:?}, {} probes", header.model, header.method, header.probes);
    say!("images {} of {}, shard {}/{}", header.images, header.data, header.shard.index, header.shard.of);
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
