//! The emulated program against the network in f32: every operator, every structure.

mod layers;
mod spread;
mod structure;
mod sums;

use trefoil_ir::Verified;
use trefoil_ir::mpc::emulate::{Emulator, IntMap, Outcome, Rounding};
use trefoil_ir::mpc::patch_sums::SumList;
use trefoil_ir::mpc::{Op, Program};
use trefoil_ir::nn::eval::{self, FeatureMap};
use trefoil_ir::nn::{Graph, NodeId};

use super::*;
use crate::pass::testing::{Net, Rng};
use crate::ranges::calibrate;

/// A lowered network and the images it was calibrated on.
pub(super) struct Trial {
    graph: Verified<Graph>,
    images: Vec<FeatureMap>,
    pub(super) lowered: Lowered,
}

impl Trial {
    /// The network that ends in `y`, calibrated on a few random images.
    pub(super) fn new(net: Net, y: NodeId) -> Self {
        Self::of(net.finish(y).verify().unwrap(), &LowerOptions::default())
    }

    pub(super) fn of(graph: Verified<Graph>, options: &LowerOptions) -> Self {
        Self::with_images(graph, options, |_, value| value)
    }

    /// The same on images of which each channel's values are changed.
    pub(super) fn with_images(
        graph: Verified<Graph>,
        options: &LowerOptions,
        change: impl Fn(usize, f32) -> f32,
    ) -> Self {
        let mut rng = Rng::new(99);
        let shape = graph.node(graph.input().unwrap()).shape;
        let mut image = || {
            let values = rng.image(shape).into_values().into_iter().enumerate();
            let changed = values.map(|(at, value)| change(at / shape.plane(), value));
            FeatureMap::new(shape, changed.collect())
        };
        let images: Vec<FeatureMap> = (0..6).map(|_| image()).collect();
        let calibration = calibrate(&graph, images.clone(), |_| {}).unwrap();
        let lowered = lower(&graph, &calibration, options).unwrap();
        let again = lower(&graph, &calibration, options).unwrap();
        assert!(lowered.program.public() == again.program.public() && lowered.constants == again.constants);
        Self {
            graph,
            images,
            lowered,
        }
    }

    pub(super) fn program(&self) -> &Program {
        &self.lowered.program
    }

    /// Number of steps of this name.
    pub(super) fn count(&self, name: &str) -> usize {
        self.program()
            .steps
            .iter()
            .filter(|s| s.op.name() == name)
            .count()
    }

    fn emulate(&self, image: &FeatureMap, rounding: Rounding<'_>) -> Outcome {
        let units = self.lowered.input.encode(image.values(), image.shape()).unwrap();
        let image = IntMap::new(image.shape(), units.into_iter().map(i64::from).collect());
        Emulator::new(&self.lowered.program, &self.lowered.constants).run(&image, rounding, |id, value| {
            self.check_note(id.index(), value);
        })
    }

    /// Notes hold a unit and a bound for each channel, and no value of the calibration exceeds
    /// its bound by more than rounding. (An accumulator's step is a tiny part of a unit.)
    fn check_note(&self, at: usize, value: &IntMap) {
        let step = &self.program().steps[at];
        let note = step.note.as_ref().expect("every step has a note");
        let channels = step.ty.shape.c;
        assert_eq!(
            (note.unit.len(), note.bound.len()),
            (channels, channels),
            "{}",
            step.op.name()
        );
        if note.node.is_some() {
            for (c, bound) in note.bound.iter().enumerate() {
                let largest = value.channel(c).iter().map(|v| v.abs()).max().unwrap_or(0);
                let slack = bound / 64
                    + if step.ty.kind == mpc::Kind::Accumulator {
                        1 << 22
                    } else {
                        64
                    };
                assert!(
                    largest <= bound + slack,
                    "{} {}: {largest} > {bound}",
                    step.op.name(),
                    step.origin
                );
            }
        }
    }

    /// The largest error on the calibration images, in units of the output. No bound may break.
    pub(super) fn error(&self, rounding: Rounding<'_>) -> f64 {
        let revealed = tail::split_off(&self.graph).revealed;
        let mut worst = 0.0f64;
        for image in &self.images {
            let outcome = self.emulate(image, rounding);
            let breaches: Vec<_> = outcome.breaches().collect();
            assert!(breaches.is_empty(), "{breaches:?}\n{:?}", self.program());
            let mut expected = None;
            let last = eval::run_with(&self.graph, image, |id, value| {
                if id == revealed {
                    expected = Some(value.clone());
                }
            });
            let expected = expected.unwrap();
            let values = self
                .lowered
                .output
                .decode(outcome.output.values(), expected.shape());
            let pairs = values.iter().zip(expected.values()).enumerate();
            for (at, (value, expected)) in pairs {
                let unit = self.lowered.output.unit[at / outcome.output.shape().plane()];
                worst = worst.max(f64::from(value - expected).abs() / unit);
            }
            let logits = self.lowered.output.logits(values, expected.shape());
            assert_eq!(logits.shape(), last.unwrap().shape());
        }
        worst
    }

    /// Asserts that the error is at most `units`, whichever way truncations round.
    pub(super) fn assert_close(&self, units: f64) {
        for rounding in [Rounding::Nearest, Rounding::Coin(5)] {
            let error = self.error(rounding);
            assert!(
                error <= units,
                "{rounding:?}: off by {error:.2} units\n{:?}",
                self.program().steps
            );
        }
    }
}

/// Whether a program has a step like this.
pub(super) fn has(program: &Program, wanted: impl Fn(&Op) -> bool) -> bool {
    program.steps.iter().any(|s| wanted(&s.op))
}
