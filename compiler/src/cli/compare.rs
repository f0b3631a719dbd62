//! `trefoil compare`.

use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;
use trefoil_runtime::amount::counted;
use trefoil_runtime::terminal::{self, Bar};

use super::files::{open_data, preprocess_of, read_owner};
use super::limits::LimitArguments;
use super::print::say;
use super::strict::Strict;
use super::table::Table;
use super::{Format, OUTPUT, say_json};
use crate::driver::breaches::BreachReport;
use crate::driver::evaluate::{LayerComparison, compare};
use crate::driver::limits::Run;

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  trefoil compare plans --data test/ --images 20")]
pub(super) struct Arguments {
    /// A folder that `trefoil compile` wrote.
    folder: PathBuf,
    #[command(flatten)]
    data: super::DataArguments,
    /// How the comparison is printed.
    #[arg(long, value_enum, default_value = "text", help_heading = OUTPUT)]
    format: Format,
    #[command(flatten)]
    strict: Strict,
    #[command(flatten)]
    limits: LimitArguments,
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
    let limits = arguments.limits.limits();
    limits.images_of_record(&owner, Run::Compare)?;
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
            say_json(serde_json::to_value(&comparison)?)?;
        }
    }
    if let Some(warning) = breaches.warning(&owner.program, owner.calibration_images) {
        terminal::warning(warning);
    }
    arguments.strict.check(report.images)
}

fn print(layers: &[LayerComparison], breaches: &BreachReport) -> Result<()> {
    let headings = [
        "step",
        "<op",
        "<name",
        "rms f32",
        "rms error",
        "largest",
        "error %",
        "<range used",
    ];
    let mut table = Table::new(&headings);
    for layer in layers {
        table.row(row(layer));
    }
    say!("{table}");
    say!(
        "breaches {} of {}",
        breaches.images,
        counted(breaches.of, "image")
    );
    Ok(())
}

fn row(layer: &LayerComparison) -> [String; 8] {
    let used = match &layer.used {
        Some(used) => format!(
            "{:.0}% of {}, channel {}",
            100.0 * used.part,
            used.bound,
            used.channel
        ),
        None => String::new(),
    };
    let breach = match layer.breaches {
        0 => String::new(),
        breaches => format!("  BREACH: {}", counted(breaches, "value")),
    };
    // A truncation is compared behind itself: it has no float of its own.
    let figures = match layer.rms > 0.0 || layer.error > 0.0 {
        true => [
            format!("{:.4}", layer.rms),
            format!("{:.6}", layer.error),
            format!("{:.6}", layer.largest_error),
            format!("{:.3}", 100.0 * layer.error / layer.rms.max(f64::MIN_POSITIVE)),
        ],
        false => std::array::from_fn(|_| "-".to_owned()),
    };
    let [rms, error, largest, percent] = figures;
    [
        format!("%{}", layer.step),
        layer.op.to_owned(),
        layer.name.clone(),
        rms,
        error,
        largest,
        percent,
        used + &breach,
    ]
}
