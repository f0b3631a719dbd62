//! Clip to [0, high], such as ReLU6, with two signs.

use serde::{Deserialize, Serialize};

use super::block_relu::check_patches;
use super::{Arity, OpError, Rule, mismatch};
use crate::nn::eval::{FeatureMap, signs};
use crate::patch::{Patch, Patches};
use crate::shape::Shape;
use crate::text::{AttrError, Attrs};

/// `y = b0 * x - b1 * (x - high)`, where b0 is the sign of x and b1 the sign of x - high, each
/// taken over its own patch. With patches of one pixel this is `min(max(x, 0), high)`; an identity
/// below means b0 = 1, an identity above b1 = 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Clip {
    /// The upper limit; the lower one is 0.
    pub high: f32,
    /// Patches of the sign of x, one per channel.
    pub lower: Patches,
    /// Patches of the sign of x - high, one per channel.
    pub upper: Patches,
}

impl Clip {
    /// An ordinary clip of this many channels.
    pub fn pixelwise(high: f32, channels: usize) -> Self {
        Self {
            high,
            lower: vec![Patch::PIXEL; channels],
            upper: vec![Patch::PIXEL; channels],
        }
    }
}

impl Rule for Clip {
    const NAME: &'static str = "clip";
    const ARITY: Arity = Arity::Exactly(1);

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        if !(self.high.is_finite() && self.high > 0.0) {
            return mismatch("the upper limit must be a positive number");
        }
        check_patches(&self.lower, inputs[0])?;
        check_patches(&self.upper, inputs[0])?;
        Ok(inputs[0])
    }

    fn attrs(&self) -> Attrs {
        Attrs::new()
            .with("high", self.high)
            .with("lower", self.lower.clone())
            .with("upper", self.upper.clone())
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self {
            high: attrs.require("high")?,
            lower: attrs.require("lower")?,
            upper: attrs.require("upper")?,
        })
    }

    fn eval(&self, inputs: &[&FeatureMap], output: Shape) -> FeatureMap {
        let mut values = Vec::with_capacity(output.len());
        for (c, channel) in inputs[0].channels().enumerate() {
            let below = signs(channel, self.lower[c], 0.0, true, output);
            let above = signs(channel, self.upper[c], self.high, false, output);
            let gate = |(i, x): (usize, &f32)| match (below[i], above[i]) {
                (false, false) => 0.0,
                (true, false) => *x,
                (false, true) => self.high - x,
                (true, true) => self.high,
            };
            values.extend(channel.iter().enumerate().map(gate));
        }
        FeatureMap::new(output, values)
    }

    fn backward(&self, inputs: &[&FeatureMap], _: &FeatureMap, gradient: &FeatureMap) -> Vec<FeatureMap> {
        let shape = gradient.shape();
        let mut values = Vec::with_capacity(shape.len());
        for (c, (x, g)) in inputs[0].channels().zip(gradient.channels()).enumerate() {
            let below = signs(x, self.lower[c], 0.0, true, shape);
            let above = signs(x, self.upper[c], self.high, false, shape);
            let slope = |i: usize| f32::from(u8::from(below[i])) - f32::from(u8::from(above[i]));
            values.extend(g.iter().enumerate().map(|(i, g)| slope(i) * g));
        }
        vec![FeatureMap::new(shape, values)]
    }
}
