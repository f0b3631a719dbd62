//! Images on which values left their ranges: there the parties compute something else than the
//! network, and nobody notices but the emulator.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use rayon::prelude::*;
use serde::Serialize;
use trefoil_ir::mpc::emulate::{Bound, Emulator, IntMap, Outcome, Rounding};
use trefoil_ir::mpc::{Program, ValueId};
use trefoil_ir::nn::eval::FeatureMap;
use trefoil_runtime::amount::counted;
use trefoil_runtime::data::{DataError, DataSet};

use super::images::batches;
use crate::lower::{ENOUGH_IMAGES, Lowered};

/// Layers that a warning names.
const NAMED: usize = 3;

/// Values that left their ranges in the runs so far.
#[derive(Clone, Debug, Default)]
pub struct Breaches {
    runs: usize,
    images: usize,
    found: BTreeMap<(ValueId, Bound), Found>,
}

/// What left one bound at one step.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    images: usize,
    values: usize,
    most: f64,
}

/// What `report.json` and the other JSON outputs say of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BreachReport {
    /// Images that were run.
    pub of: usize,
    /// Images of which a value left its range.
    pub images: usize,
    /// Values that did, on all images.
    pub values: usize,
    /// Where, the most images first.
    pub layers: Vec<BreachedLayer>,
}

/// What left one bound at one step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BreachedLayer {
    /// Number of the step.
    pub step: usize,
    /// Name of the op.
    pub op: &'static str,
    /// ONNX name of its origin.
    pub name: String,
    /// Which bound, such as that of an activation.
    pub bound: String,
    /// Images with a value beyond it.
    pub images: usize,
    /// Values beyond it, on all images.
    pub values: usize,
    /// The largest value as a part of the bound.
    pub used: f64,
}

impl fmt::Display for BreachedLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, op, name, .. } = self;
        let images = counted(self.images, "image");
        write!(f, "{op} \"{name}\" (%{step}; {} on {images})", self.bound)
    }
}

impl Breaches {
    /// Adds what came of one image.
    pub fn add(&mut self, outcome: &Outcome) {
        self.runs += 1;
        self.images += usize::from(outcome.breaches().next().is_some());
        for (id, bound, usage) in outcome.breaches() {
            let found = self.found.entry((id, bound)).or_default();
            found.images += 1;
            found.values += usage.breaches;
            found.most = found.most.max(usage.largest);
        }
    }

    /// Images of which a value left its range.
    pub fn images(&self) -> usize {
        self.images
    }

    /// The breaches by layer, for programs.
    pub fn report(&self, program: &Program) -> BreachReport {
        let mut layers = Vec::with_capacity(self.found.len());
        for (&(id, bound), found) in &self.found {
            let step = program.step(id);
            layers.push(BreachedLayer {
                step: id.index(),
                op: step.op.name(),
                name: step.origin.clone(),
                bound: format!("{bound:?}"),
                images: found.images,
                values: found.values,
                used: found.most,
            });
        }
        layers.sort_by_key(|layer| Reverse((layer.images, layer.values)));
        BreachReport {
            of: self.runs,
            images: self.images,
            values: layers.iter().map(|layer| layer.values).sum(),
            layers,
        }
    }

    /// In words, if there were any: the worst layers, and what to do about a program that was
    /// calibrated with so many images.
    pub fn warning(&self, program: &Program, calibrated: usize) -> Option<String> {
        let BreachReport {
            of, images, layers, ..
        } = self.report(program);
        if images == 0 {
            return None;
        }
        let named: Vec<String> = layers.iter().take(NAMED).map(ToString::to_string).collect();
        let more = match layers.len() - named.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let advice = if calibrated < ENOUGH_IMAGES {
            format!("calibrate with {ENOUGH_IMAGES} images or more (the ranges are those of {calibrated})")
        } else {
            "raise --head-room".to_owned()
        };
        Some(format!(
            "values left their ranges on {images} of {}, and there the parties compute something else than \
             the network: most in {}{more}: {advice}",
            counted(of, "image"),
            named.join(", "),
        ))
    }
}

/// Calibration images on which the emulator looks for breaches: ranges come from the same images,
/// so this finds faults of scales, not unseen inputs.
const CHECKED_IMAGES: usize = 16;

/// Runs the emulator on the first calibration images, so many at a time.
pub(super) fn breaches_of(lowered: &Lowered, data: &DataSet, at_once: usize) -> Result<Breaches, DataError> {
    let emulator = Emulator::new(&lowered.program, &lowered.constants);
    let mut breaches = Breaches::default();
    for images in batches(data, data.len().min(CHECKED_IMAGES), at_once) {
        let images = images?;
        let outcomes: Vec<Outcome> = images
            .par_iter()
            .filter_map(|image| emulated(lowered, &emulator, image))
            .collect();
        for outcome in &outcomes {
            breaches.add(outcome);
        }
    }
    Ok(breaches)
}

/// Runs the emulator on an image; `None` if it is not of the network's shape.
fn emulated(lowered: &Lowered, emulator: &Emulator<'_>, image: &FeatureMap) -> Option<Outcome> {
    let shape = lowered.program.steps[0].ty.shape;
    let units = lowered.input.encode(image.values(), shape).ok()?;
    let image = IntMap::new(shape, units.into_iter().map(i64::from).collect());
    Some(emulator.run(&image, Rounding::Nearest, |_, _| {}))
}

#[cfg(test)]
mod tests {
    use trefoil_ir::Shape;
    use trefoil_ir::text::TensorStore;

    use super::*;

    /// Lifts four pixels by a whole unit each, through a ReLU: activations leave 2^14.
    fn breaches(images: &[i64]) -> (Program, Breaches) {
        let text = r#"program "lift" {
  const c0 : multiplier[1]{65536}
  const c1 : multiplier[1]{1}
  %0 = input {shape=[1, 2, 2]} @"image"
  %1 = lift %0 {multiplier=c0} @"first"
  %2 = truncate %1 {keep=[16]} @"first"
  %3 = requant %2 @"first"
  %4 = lift %3 {multiplier=c1} @"second"
  %5 = truncate %4 {keep=[16]} @"second"
  %6 = reveal %5 @"second"
}"#;
        let (program, values) = Program::parse(text, &TensorStore::new()).unwrap();
        let values: Vec<_> = values.into_iter().flatten().collect();
        let mut breaches = Breaches::default();
        for &value in images {
            let image = IntMap::new(Shape::new(1, 2, 2), vec![value, value, 0, 0]);
            breaches.add(&Emulator::new(&program, &values).run(&image, Rounding::Nearest, |_, _| {}));
        }
        (program, breaches)
    }

    #[test]
    fn images_are_counted_beside_values() {
        let (program, within) = breaches(&[5, -16_000]);
        assert_eq!((within.images(), within.warning(&program, 1)), (0, None));
        let (program, beyond) = breaches(&[5, -17_000, 18_000]);
        let report = beyond.report(&program);
        assert_eq!((report.images, report.of, report.values), (2, 3, 12));
        let places: Vec<_> = report
            .layers
            .iter()
            .map(|l| (l.step, l.images, l.values))
            .collect();
        assert_eq!(places, [(0, 2, 4), (2, 2, 4), (3, 2, 4)]);
        assert!((1.09..1.2).contains(&report.layers[0].used), "{report:?}");
    }

    #[test]
    fn the_advice_is_what_the_calibration_lacks() {
        let (program, beyond) = breaches(&[17_000]);
        let few = beyond.warning(&program, 3).unwrap();
        assert!(
            few.contains("calibrate with 100 images or more (the ranges are those of 3)"),
            "{few}"
        );
        assert!(few.contains("on 1 of 1 image, and"), "{few}");
        let enough = beyond.warning(&program, 100).unwrap();
        assert!(enough.ends_with("raise --head-room"), "{enough}");
    }
}
