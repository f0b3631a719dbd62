//! What [Clip](super::Clip) and [Clamp](super::Clamp) share: two limits and a sign against each.

use crate::geometry::{Patch, Shape};
use crate::nn::eval::{FeatureMap, signs};

/// `low + b0 * (x - low) - b1 * (x - high)`, where b0 is the sign of x - low and b1 that of x - high, each
/// taken over its own patch; b1 = 0 without an upper limit.
pub(super) struct TwoSigns<'a> {
    pub(super) low: f32,
    pub(super) high: Option<f32>,
    /// Patches of b0, one per channel.
    pub(super) lower: &'a [Patch],
    /// Patches of b1, one per channel.
    pub(super) upper: &'a [Patch],
}

impl TwoSigns<'_> {
    /// Which pixels of channel `c` are above the lower limit, and which above the upper one.
    fn bits(&self, channel: &[f32], c: usize, shape: Shape) -> [Vec<bool>; 2] {
        let above = match self.high {
            Some(high) => signs(channel, self.upper[c], high, false, shape),
            None => vec![false; channel.len()],
        };
        [signs(channel, self.lower[c], self.low, true, shape), above]
    }

    /// The value. At most one rounding stands between a pixel and it, however far the limits are.
    pub(super) fn eval(&self, x: &FeatureMap, output: Shape) -> FeatureMap {
        let high = self.high.unwrap_or(f32::INFINITY);
        let mut values = Vec::with_capacity(output.len());
        for (c, channel) in x.channels().enumerate() {
            let [below, above] = self.bits(channel, c, output);
            let gate = |(i, x): (usize, &f32)| match (below[i], above[i]) {
                (false, false) => self.low,
                (true, false) => *x,
                (false, true) => self.low + (high - x),
                (true, true) => high,
            };
            values.extend(channel.iter().enumerate().map(gate));
        }
        FeatureMap::new(output, values)
    }

    /// The gradient of x: signs do not move.
    pub(super) fn backward(&self, x: &FeatureMap, gradient: &FeatureMap) -> FeatureMap {
        let shape = gradient.shape();
        let mut values = Vec::with_capacity(shape.len());
        for (c, (x, g)) in x.channels().zip(gradient.channels()).enumerate() {
            let [below, above] = self.bits(x, c, shape);
            let slope = |i: usize| f32::from(u8::from(below[i])) - f32::from(u8::from(above[i]));
            values.extend(g.iter().enumerate().map(|(i, g)| slope(i) * g));
        }
        FeatureMap::new(shape, values)
    }
}
