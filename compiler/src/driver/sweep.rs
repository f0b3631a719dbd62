//! The trade-off over many budgets: cost, predicted distortion, and accuracy where there are labels.

use serde::Serialize;

use trefoil_runtime::data::DataSet;

use super::compile::{CompileError, CompileOptions, Compiled, PatchSource, Progress, compile};
use super::evaluate::{EvaluateError, Fixed, Float, Network, run};
use super::limits::Run;
use super::report::Report;
use crate::pass::Dump;

/// One point of a trade-off: a line of the table, whose columns are these fields.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Point {
    /// How the patches were chosen: a strategy, or the uniform patch.
    pub series: String,
    /// The budget, as it was given.
    pub goal: String,
    /// DReLUs as a part of those at 1x1.
    pub share: f64,
    /// DReLUs.
    pub drelus: usize,
    /// Bytes an image.
    pub bytes: u64,
    /// Bytes an image, online.
    pub online_bytes: u64,
    /// Round trips of the online phase.
    pub round_trips: usize,
    /// Predicted seconds an image on a local network.
    pub seconds_lan: f64,
    /// Predicted seconds an image between two continents.
    pub seconds_wan: f64,
    /// Predicted distortion, where something predicts it.
    pub distortion: Option<f64>,
    /// Top-1 in floats, Block-ReLUs in place.
    pub top1_f32: Option<f64>,
    /// Top-1 in the emulator: what the three parties will reach.
    pub top1: Option<f64>,
    /// Top-1 in floats minus that of the first line at the same cost, in points. The same images are
    /// run, so that the difference is known better than either figure.
    pub difference: Option<f64>,
    /// Half the width of its 95% confidence interval.
    pub half_width: Option<f64>,
    /// Labelled images of which a value left its range, if they were run in the emulator: on them the
    /// parties compute something else.
    pub breaches: Option<usize>,
    /// Which labelled images are right, in floats.
    #[serde(skip)]
    pub right: Vec<bool>,
}

/// A point, and what it was measured on.
pub struct Measured {
    /// The line of the table.
    pub point: Point,
    /// The compilation that it is of.
    pub compiled: Compiled,
    /// Warnings of the compilation and of the run.
    pub warnings: Vec<String>,
}

/// The difference of two accuracies on the same images in points, and half the width of its 95%
/// confidence interval (normal approximation of the paired differences).
pub fn paired_difference(of: &[bool], to: &[bool]) -> Option<(f64, f64)> {
    if of.len() != to.len() || of.len() < 2 {
        return None;
    }
    let n = of.len() as f64;
    let differences: Vec<f64> = of
        .iter()
        .zip(to)
        .map(|(a, b)| f64::from(u8::from(*a)) - f64::from(u8::from(*b)))
        .collect();
    let mean = differences.iter().sum::<f64>() / n;
    let variance = differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (n - 1.0);
    Some((100.0 * mean, 196.0 * (variance / n).sqrt()))
}

/// Compiles with these patches and measures accuracy on `data`, which holds labelled images: in
/// floats, and in the emulator if asked.
///
/// # Errors
/// If the network cannot be compiled so, or an image not be used.
pub fn point(
    options: &CompileOptions,
    series: &str,
    data: Option<&DataSet>,
    in_emulator: bool,
    progress: &mut dyn Progress,
) -> Result<Measured, SweepError> {
    let compiled = compile(options, &mut Dump::none(), progress)?;
    let report = &compiled.report;
    let mut point = Point {
        series: series.to_owned(),
        goal: goal(&options.patches),
        share: report.drelus as f64 / report.drelus_at_1x1.max(1) as f64,
        drelus: report.drelus,
        bytes: report.bytes.total,
        online_bytes: report.bytes.online,
        round_trips: report.round_trips,
        seconds_lan: seconds(report, "lan"),
        seconds_wan: seconds(report, "wan"),
        distortion: report
            .budget
            .as_ref()
            .map_or(Some(0.0), |budget| budget.distortion),
        ..Point::default()
    };
    let mut warnings = report.warnings.clone();
    if let Some(data) = data {
        let at_once = options
            .limits
            .images_at_once(&compiled.owner.graph, Run::FixedPoint);
        let at_once = at_once.map_err(CompileError::from)?;
        point.right = right(data, &Float::new(&compiled.owner.graph), at_once)?;
        point.top1_f32 = share(&point.right);
        if in_emulator {
            let fixed = Fixed::new(&compiled.owner);
            point.top1 = share(&right(data, &fixed, at_once)?);
            let breaches = fixed.breaches();
            point.breaches = Some(breaches.images());
            warnings.extend(breaches.warning(&compiled.owner.program, compiled.owner.calibration_images));
        }
    }
    Ok(Measured {
        point,
        compiled,
        warnings,
    })
}

/// Predicted seconds of an image on a network of this name, both phases.
fn seconds(report: &Report, network: &str) -> f64 {
    let seconds = report.predicted_seconds.get(network);
    seconds.map_or(0.0, |seconds| seconds.total)
}

/// Why a trade-off cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// One of the compilations.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The labelled images.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
}

/// A budget, or what stands in its place, in words.
pub fn goal(patches: &PatchSource) -> String {
    match patches {
        PatchSource::Model => "model".to_owned(),
        PatchSource::Assignment(_) => "assignment".to_owned(),
        PatchSource::Budget { goals, .. } => {
            let goals: Vec<String> = goals.iter().map(|goal| goal.to_string()).collect();
            goals.join(", ")
        }
        PatchSource::Uniform { patch, .. } => format!("uniform {patch}"),
    }
}

/// Whether the class is the label's, for each labelled image.
fn right(data: &DataSet, network: &dyn Network, at_once: usize) -> Result<Vec<bool>, EvaluateError> {
    let rows = run(network, data, at_once, |_| {})?;
    let mut right = Vec::new();
    for (at, logits) in rows.iter().enumerate() {
        let class = network.tail().run(logits.values()).class();
        if let (Some(label), Some(class)) = (data.label(at), class) {
            right.push(label == class as i64);
        }
    }
    Ok(right)
}

fn share(right: &[bool]) -> Option<f64> {
    let count = right.iter().filter(|right| **right).count();
    (!right.is_empty()).then(|| count as f64 / right.len() as f64)
}

/// The points as a table for programs: one line each, under a line of names.
///
/// # Errors
/// None that memory does not give: it is written to a string.
pub fn to_csv(points: &[Point]) -> Result<String, csv::Error> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    points.iter().try_for_each(|point| csv.serialize(point))?;
    let bytes = csv.into_inner().map_err(|error| error.into_error())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_empty_and_what_holds_commas_is_quoted() {
        let point = Point {
            series: "uniform".to_owned(),
            goal: "seconds=1@100Mbit,20ms".to_owned(),
            share: 0.25,
            top1: Some(0.5),
            ..Point::default()
        };
        let csv = to_csv(&[point.clone(), point]).unwrap();
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(
            lines[0],
            "series,goal,share,drelus,bytes,online_bytes,round_trips,seconds_lan,seconds_wan,distortion,top1_f32,top1,difference,half_width,breaches"
        );
        assert_eq!(
            lines[1],
            "uniform,\"seconds=1@100Mbit,20ms\",0.25,0,0,0,0,0.0,0.0,,,0.5,,,"
        );
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn differences_are_paired() {
        let (a, b) = (vec![true, true, false, true], vec![true, false, false, true]);
        let (difference, half) = paired_difference(&a, &b).unwrap();
        assert!((difference - 25.0).abs() < 1e-9);
        // Differences 0, 1, 0, 0: variance 1/4, over four images.
        assert!((half - 49.0).abs() < 1e-9);
        assert_eq!(paired_difference(&a, &a), Some((0.0, 0.0)));
        assert_eq!(paired_difference(&a, &b[..3]), None);
    }
}
