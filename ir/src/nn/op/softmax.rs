//! Softmax over the channels of each pixel.

use serde::{Deserialize, Serialize};

use super::{Arity, OpError, Rule};
use crate::nn::eval::FeatureMap;
use crate::shape::Shape;
use crate::text::{AttrError, Attrs};

/// Softmax over the channels of each pixel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Softmax;

impl Rule for Softmax {
    const NAME: &'static str = "softmax";
    const ARITY: Arity = Arity::Exactly(1);

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        Ok(inputs[0])
    }

    fn attrs(&self) -> Attrs {
        Attrs::new()
    }

    fn from_attrs(_: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self)
    }

    fn eval(&self, inputs: &[&FeatureMap], output: Shape) -> FeatureMap {
        let plane = output.plane();
        let mut values = inputs[0].values().to_vec();
        for pixel in 0..plane {
            let channel = |c: usize| c * plane + pixel;
            let max = (0..output.c).fold(f32::NEG_INFINITY, |m, c| m.max(values[channel(c)]));
            let sum: f32 = (0..output.c).map(|c| (values[channel(c)] - max).exp()).sum();
            for c in 0..output.c {
                values[channel(c)] = (values[channel(c)] - max).exp() / sum;
            }
        }
        FeatureMap::new(output, values)
    }

    fn backward(&self, _: &[&FeatureMap], output: &FeatureMap, gradient: &FeatureMap) -> Vec<FeatureMap> {
        let plane = output.shape().plane();
        let (y, g) = (output.values(), gradient.values());
        let mut values = vec![0.0; y.len()];
        for pixel in 0..plane {
            let channels = || (pixel..y.len()).step_by(plane);
            let mean: f32 = channels().map(|i| y[i] * g[i]).sum();
            channels().for_each(|i| values[i] = y[i] * (g[i] - mean));
        }
        vec![FeatureMap::new(output.shape(), values)]
    }
}
