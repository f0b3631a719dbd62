//! `trefoil compare`.

use std::path::PathBuf;

use anyhow::Result;
use trefoil_runtime::terminal::Bar;

use super::files::{open_data, preprocess_of, read_owner};
use super::print::say;
use crate::driver::evaluate::{LayerComparison, compare};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A folder that `trefoil compile` wrote.
    folder: PathBuf,
    #[command(flatten)]
    data: super::DataArguments,
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
    let layers = compare(&owner, &data, |done| bar.at(done))?;
    bar.clear();
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
    let breaches: usize = layers.iter().map(|l| l.breaches).sum();
    if breaches > 0 {
        say!(
            "{breaches} values left their range: they would corrupt the result silently; compile with more --head-room"
        );
    }
    Ok(())
}

fn print_layer(layer: &LayerComparison) -> Result<()> {
    let used = match layer.used {
        Some((bound, used, channel)) => format!("{:.0}% of {bound:?}, channel {channel}", 100.0 * used),
        None => String::new(),
    };
    let breach = if layer.breaches > 0 {
        format!("  BREACH: {} values", layer.breaches)
    } else {
        String::new()
    };
    say!(
        "{:>6} {:<12} {:<40} {:>10.4} {:>10.6} {:>10.6} {:>7.3}  {used}{breach}",
        layer.step.to_string(),
        layer.op,
        layer.name,
        layer.rms,
        layer.error,
        layer.largest_error,
        100.0 * layer.error / layer.rms.max(f64::MIN_POSITIVE)
    );
    Ok(())
}
