//! `trefoil compare`.

use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;
use trefoil_runtime::terminal::{self, Bar};

use super::Format;
use super::files::{open_data, preprocess_of, read_owner};
use super::print::say;
use super::strict::Strict;
use crate::driver::breaches::BreachReport;
use crate::driver::evaluate::{LayerComparison, compare};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A folder that `trefoil compile` wrote.
    folder: PathBuf,
    #[command(flatten)]
    data: super::DataArguments,
    /// How the comparison is printed.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    strict: Strict,
}

/// What is printed for programs.
#[derive(Debug, Serialize)]
struct Comparison<'a> {
    images: usize,
    layers: &'a [LayerComparison],
    /// Where values left their ranges.
    breaches: &'a BreachReport,
}

pub(super) fn run(arguments: Arguments) -> Result<()> {
    let owner = read_owner(&arguments.folder)?;
    let preprocess = preprocess_of(&owner)?;
    let data = open_data(
        &arguments.data,
        preprocess.as_ref(),
        owner.program.steps[0].ty.shape,
    )?;
    let bar = Bar::new(data.len(), "comparing");
    let (layers, breaches) = compare(&owner, &data, |done| bar.at(done))?;
    bar.clear();
    let report = breaches.report(&owner.program);
    match arguments.format {
        Format::Text => print(&layers, &report)?,
        Format::Json => {
            let comparison = Comparison {
                images: data.len(),
                layers: &layers,
                breaches: &report,
            };
            say!("{}", serde_json::to_string_pretty(&comparison)?);
        }
    }
    if let Some(warning) = breaches.warning(&owner.program, owner.calibration_images) {
        terminal::warning(warning);
    }
    arguments.strict.check(report.images)
}

fn print(layers: &[LayerComparison], breaches: &BreachReport) -> Result<()> {
    say!(
        "{:>6} {:<12} {:<40} {:>10} {:>10} {:>10} {:>7}  range used",
        "step",
        "op",
        "name",
        "rms f32",
        "rms error",
        "largest",
        "error %"
    );
    layers.iter().try_for_each(print_layer)?;
    say!("breaches {} of {} images", breaches.images, breaches.of);
    Ok(())
}

fn print_layer(layer: &LayerComparison) -> Result<()> {
    let used = match &layer.used {
        Some(used) => format!(
            "{:.0}% of {}, channel {}",
            100.0 * used.part,
            used.bound,
            used.channel
        ),
        None => String::new(),
    };
    let breach = if layer.breaches > 0 {
        format!("  BREACH: {} values", layer.breaches)
    } else {
        String::new()
    };
    say!(
        "{:>6} {:<12} {:<40} {:>10.4} {:>10.6} {:>10.6} {:>7.3}  {used}{breach}",
        format!("%{}", layer.step),
        layer.op,
        layer.name,
        layer.rms,
        layer.error,
        layer.largest_error,
        100.0 * layer.error / layer.rms.max(f64::MIN_POSITIVE)
    );
    Ok(())
}
