//! Clip to [0, high], such as ReLU6, with two signs.

use serde::{Deserialize, Serialize};

use super::block_relu::check_patches;
use super::class::{Class, GateView};
use super::two_signs::TwoSigns;
use super::{Arity, OpError, Rule, mismatch};
use crate::geometry::{Patch, Patches, Shape};
use crate::nn::eval::FeatureMap;
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

    fn signs(&self) -> TwoSigns<'_> {
        TwoSigns {
            low: 0.0,
            high: Some(self.high),
            lower: &self.lower,
            upper: &self.upper,
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

    fn class(&self) -> Class<'_> {
        Class::Gate(GateView {
            low: 0.0,
            lower: Some(&self.lower),
            upper: Some((self.high, &self.upper)),
        })
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
        self.signs().eval(inputs[0], output)
    }

    fn backward(&self, inputs: &[&FeatureMap], _: &FeatureMap, gradient: &FeatureMap) -> Vec<FeatureMap> {
        vec![self.signs().backward(inputs[0], gradient)]
    }
}
