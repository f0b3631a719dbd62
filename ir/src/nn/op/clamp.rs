//! Clip to any two bounds, or from any lower one.

use serde::{Deserialize, Serialize};

use super::block_relu::check_patches;
use super::class::{Class, GateView};
use super::two_signs::TwoSigns;
use super::{Arity, OpError, Rule, mismatch};
use crate::geometry::{Patch, Patches, Shape, all_identities};
use crate::nn::eval::FeatureMap;
use crate::text::{AttrError, Attrs};

/// `y = low + b0 * (x - low) - b1 * (x - high)`, where b0 is the sign of x - low and b1 that of
/// x - high, each taken over its own patch; b1 = 0 without an upper limit. With patches of one pixel
/// this is `min(max(x, low), high)`, exactly.
///
/// This is what a model says. The protocol knows [Relu](super::Relu) and [Clip](super::Clip), whose
/// lower limit is 0, and shifts by a limit that no value comes near would cost all precision: a pass
/// makes the one of the other, or of nothing, once values have been seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Clamp {
    /// The lower limit.
    pub low: f32,
    /// The upper limit, if there is one.
    pub high: Option<f32>,
    /// Patches of the sign of x - low, one per channel.
    pub lower: Patches,
    /// Patches of the sign of x - high, one per channel; identities where there is no limit.
    pub upper: Patches,
}

impl Clamp {
    /// An ordinary clamp of this many channels.
    pub fn pixelwise(low: f32, high: Option<f32>, channels: usize) -> Self {
        let above = high.map_or(Patch::Identity, |_| Patch::PIXEL);
        Self {
            low,
            high,
            lower: vec![Patch::PIXEL; channels],
            upper: vec![above; channels],
        }
    }

    fn signs(&self) -> TwoSigns<'_> {
        TwoSigns {
            low: self.low,
            high: self.high,
            lower: &self.lower,
            upper: &self.upper,
        }
    }
}

impl Rule for Clamp {
    const NAME: &'static str = "clamp";
    const ARITY: Arity = Arity::Exactly(1);

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        if !self.low.is_finite()
            || self
                .high
                .is_some_and(|high| !high.is_finite() || high <= self.low)
        {
            return mismatch("the limits must be numbers, the lower one below the upper one");
        }
        if self.high.is_none() && !all_identities(&self.upper) {
            return mismatch("an upper sign needs an upper limit");
        }
        check_patches(&self.lower, inputs[0])?;
        check_patches(&self.upper, inputs[0])?;
        Ok(inputs[0])
    }

    fn class(&self) -> Class<'_> {
        Class::Gate(GateView {
            low: self.low,
            lower: Some(&self.lower),
            upper: self.high.map(|high| (high, &self.upper)),
        })
    }

    fn attrs(&self) -> Attrs {
        let attrs = Attrs::new().with("low", self.low);
        let attrs = match self.high {
            Some(high) => attrs.with("high", high),
            None => attrs,
        };
        attrs
            .with("lower", self.lower.clone())
            .with("upper", self.upper.clone())
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self {
            low: attrs.require("low")?,
            high: attrs.optional("high")?,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_is_too_far_to_be_exact() {
        let values = [-3.0e38f32, -7.25, -0.1, 0.0, 1.0e-7, 0.3, 5.5, 1.0e9, 3.0e38];
        let limits = [
            f32::MIN,
            -1.0e30,
            -1.0e9,
            -7.0,
            -0.1,
            0.25,
            6.0,
            1.0e9,
            1.0e30,
            f32::MAX,
        ];
        let shape = Shape::vector(values.len());
        let x = FeatureMap::new(shape, values.to_vec());
        for low in limits {
            let highs = limits.iter().filter(|&&high| high > low).copied().map(Some);
            for high in highs.chain([None]) {
                let clamp = Clamp::pixelwise(low, high, values.len());
                clamp.infer(&[shape]).unwrap();
                let expected: Vec<f32> = values
                    .iter()
                    .map(|v| v.max(low).min(high.unwrap_or(f32::INFINITY)))
                    .collect();
                assert_eq!(clamp.eval(&[&x], shape).values(), expected, "{low} {high:?}");
            }
        }
    }
}
