//! Bounds, and the use that a run makes of them.

use std::collections::BTreeMap;

use super::{Emulation, IntMap};
use crate::mpc::{ACCUMULATOR_BOUND, ACTIVATION_BOUND, PATCH_SUM_BOUND, ValueId};

/// The bounds that a run checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bound {
    /// Activations are below 2^14 units in magnitude.
    Activation,
    /// Accumulators are at most 2^30 - 2^17 in magnitude.
    Accumulator,
    /// Patch sums are at most 2^31 - 2^17 in magnitude.
    PatchSum,
    /// Operands that the program declares non-negative are.
    NonNegative,
}

impl Bound {
    /// The limit in integer steps.
    pub fn limit(self) -> i64 {
        match self {
            Bound::Activation => ACTIVATION_BOUND,
            Bound::Accumulator => ACCUMULATOR_BOUND,
            Bound::PatchSum => PATCH_SUM_BOUND,
            Bound::NonNegative => 0,
        }
    }
}

/// Use of one bound at one step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Largest magnitude as a fraction of the limit; above 1 is a breach.
    pub largest: f64,
    /// Channel in which it occurred.
    pub channel: usize,
    /// Number of values beyond the limit.
    pub breaches: usize,
}

/// What a run of the emulator computed, and how near it came to its bounds.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the client learns, in units.
    pub output: IntMap,
    /// Use of every bound that was checked.
    pub usage: BTreeMap<(ValueId, Bound), Usage>,
}

impl Outcome {
    /// The bounds that were broken.
    pub fn breaches(&self) -> impl Iterator<Item = (ValueId, Bound, Usage)> {
        self.usage
            .iter()
            .filter(|(_, u)| u.breaches > 0)
            .map(|(&(id, bound), &u)| (id, bound, u))
    }
}

impl Emulation<'_> {
    /// Checks the bound of accumulators.
    pub fn check_accumulator(&mut self, z: &IntMap) {
        self.check(Bound::Accumulator, z);
    }

    /// Checks the bound of activations.
    pub fn check_activation(&mut self, x: &IntMap) {
        self.check(Bound::Activation, x);
    }

    /// Checks that no value is negative.
    pub fn check_non_negative(&mut self, x: &IntMap) {
        for c in 0..x.shape().c {
            let negative = x.channel(c).iter().filter(|&&v| v < 0).count();
            self.record_all(Bound::NonNegative, c, negative.min(1) as i64, negative);
        }
    }

    fn check(&mut self, bound: Bound, map: &IntMap) {
        for c in 0..map.shape().c {
            let magnitudes = map.channel(c).iter().map(|v| v.saturating_abs());
            let largest = magnitudes.clone().max().unwrap_or(0);
            let mut beyond = 0;
            if largest > bound.limit() {
                beyond = magnitudes.filter(|&magnitude| magnitude > bound.limit()).count();
            }
            self.record_all(bound, c, largest, beyond);
        }
    }

    /// Records the magnitude of one value.
    pub(super) fn record(&mut self, bound: Bound, channel: usize, magnitude: i64) {
        self.record_all(bound, channel, magnitude, usize::from(magnitude > bound.limit()));
    }

    /// Records the values of a channel: the largest magnitude, and how many are beyond the limit.
    fn record_all(&mut self, bound: Bound, channel: usize, magnitude: i64, beyond: usize) {
        let usage = self.usage.entry((self.current, bound)).or_default();
        let fraction = magnitude as f64 / bound.limit().max(1) as f64;
        if fraction > usage.largest {
            usage.largest = fraction;
            usage.channel = channel;
        }
        usage.breaches += beyond;
    }
}
