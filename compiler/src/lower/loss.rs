//! What rounding to units costs, layer by layer, and a word on layers where it costs much.

use trefoil_ir::nn::{Class, Graph, NodeId};

use super::form::{Form, Forms, gate};
use super::scale::Scales;
use super::{Warning, warning};
use crate::ranges::Calibration;

/// The part of the output's deviation that a layer may lose to rounding before the user is told. All
/// layers of the networks that this was tried on together lose less.
const TOLERATED: f64 = 0.005;

/// Mean square error of a truncation, in units: it rounds up with the probability of the fraction.
const OF_TRUNCATION: f64 = 1.0 / 6.0;

/// Mean square error of the image, which is rounded to the nearest, in units.
const OF_IMAGE: f64 = 1.0 / 12.0;

/// A warning for each layer that loses more than is tolerated, by what the calibration says that an
/// error does to the output. (A calibration that says nothing of that gives no warning.)
pub(super) fn warnings(
    graph: &Graph,
    forms: &Forms,
    scales: &Scales,
    calibration: &Calibration,
) -> Vec<Warning> {
    let variance = calibration.gains.output_variance();
    let tolerated = TOLERATED * TOLERATED * variance;
    let mut warnings = Vec::new();
    for &id in forms.order().iter().filter(|_| variance > 0.0) {
        let errors = errors(graph, forms, scales, calibration, id);
        let sum: f64 = errors.iter().sum();
        if sum > tolerated {
            let loss = (sum / variance).sqrt();
            let message = message(loss, &errors, scales.unit(id), &calibration.magnitudes(id));
            warnings.push(warning(graph, id, message));
        }
        let errors = of_switch(graph, forms, scales, calibration, id);
        let sum: f64 = errors.iter().sum();
        if sum > tolerated {
            let loss = (sum / variance).sqrt();
            warnings.push(warning(graph, id, message_of_switch(loss, &errors)));
        }
    }
    warnings
}

/// Mean square errors of the output that come from each channel of a gate whose limits are less than a
/// unit of its operand apart. Then all that is of the size of its values is at one limit or at the
/// other, and exact; of what is within a unit of the lower limit, the rounding decides. How many values
/// that are is not known: as many as there would be if they were spread evenly over half of the
/// channel's range. (Where the limits are farther apart, gains say what rounding costs.)
fn of_switch(
    graph: &Graph,
    forms: &Forms,
    scales: &Scales,
    calibration: &Calibration,
    id: NodeId,
) -> Vec<f64> {
    let Some((high, low)) = gate(graph, id).and_then(|gate| Some((gate.upper?.0, gate.low))) else {
        return Vec::new();
    };
    let slope = f64::from(high) - f64::from(low);
    let units = scales.gated(graph, forms, id);
    let magnitudes = calibration.magnitudes(graph.inputs(id)[0]);
    let mut errors = Vec::with_capacity(units.len());
    for ((unit, most), gain) in units.iter().zip(&magnitudes).zip(calibration.gains.of(id)) {
        let variance = match *unit > slope {
            true => slope * slope / 2.0 * (unit / f64::from(*most)).min(1.0),
            false => 0.0,
        };
        errors.push(variance * gain);
    }
    errors
}

fn message_of_switch(loss: f64, errors: &[f64]) -> String {
    let worst = argmax(errors.iter().copied());
    format!(
        "rounding costs about {:.2} % of the output's deviation, most of it in channel {worst}, whose values are so \
         far beyond the limits that they are all at the one or at the other, and those next to zero at either: if \
         that is too much, train with an operand of the clip that is of the size of its limits",
        100.0 * loss
    )
}

/// Mean square errors of the output that come from each channel of a value.
fn errors(graph: &Graph, forms: &Forms, scales: &Scales, calibration: &Calibration, id: NodeId) -> Vec<f64> {
    let magnitudes = calibration.magnitudes(id);
    let is_image = matches!(graph.node(id).op.class(), Class::Input);
    let mut variances = match forms.of(id) {
        Form::Root => rounding(scales.unit(id), &magnitudes, OF_TRUNCATION),
        Form::Activation if is_image => rounding(scales.unit(id), &magnitudes, OF_IMAGE),
        Form::Absent | Form::Joined | Form::Activation => vec![0.0; magnitudes.len()],
    };
    if let Some(units) = scales.relifted(id) {
        let again = rounding(units, &magnitudes, OF_TRUNCATION);
        variances.iter_mut().zip(again).for_each(|(v, again)| *v += again);
    }
    let gains = calibration.gains.of(id);
    variances.iter().zip(gains).map(|(v, gain)| v * gain).collect()
}

/// Mean square error of each channel, in real values: `of` in squares of its unit, but a channel that
/// is rounded away loses no more than all.
fn rounding(units: &[f64], magnitudes: &[f32], of: f64) -> Vec<f64> {
    let pairs = units.iter().zip(magnitudes);
    pairs.map(|(u, m)| u * (of * u).min(f64::from(*m))).collect()
}

fn message(loss: f64, errors: &[f64], units: &[f64], magnitudes: &[f32]) -> String {
    let worst = argmax(errors.iter().copied());
    let largest = argmax(magnitudes.iter().map(|m| f64::from(*m)));
    let [value, most] = [worst, largest].map(|c| f64::from(magnitudes[c]));
    format!(
        "rounding costs about {:.2} % of the output's deviation, most of it in channel {worst}, whose unit of {:.2e} \
         is {:.1} % of its largest value ({value:.2e}; that of channel {largest} is {most:.2e}): before the export, \
         bring channels that are added or clipped here to like scales, and take out biases that later layers cancel",
        100.0 * loss,
        units[worst],
        100.0 * (units[worst] / value).min(1.0),
    )
}

fn argmax(values: impl Iterator<Item = f64>) -> usize {
    let most = values.enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
    most.map_or(0, |(at, _)| at)
}
