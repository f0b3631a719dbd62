//! Batch normalisation with running statistics.

use serde::{Deserialize, Serialize};

use super::class::{Class, PerChannel};
use super::{Affine, Arity, OpError, Rule, mismatch};
use crate::geometry::Shape;
use crate::nn::eval::FeatureMap;
use crate::tensor::Tensor;
use crate::text::{AttrError, Attrs};

/// `y = gamma * (x - mean) / sqrt(variance + epsilon) + beta`, per channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchNorm {
    /// Factor per channel.
    pub gamma: Tensor,
    /// Summand per channel.
    pub beta: Tensor,
    /// Running mean per channel.
    pub mean: Tensor,
    /// Running variance per channel.
    pub variance: Tensor,
    /// Added to the variance.
    pub epsilon: f32,
}

impl BatchNorm {
    /// The same map as one factor and one summand per channel, worked out in f64.
    pub fn to_affine(&self) -> Affine {
        let channels = self.gamma.len();
        let mut scale = Vec::with_capacity(channels);
        let mut bias = Vec::with_capacity(channels);
        for c in 0..channels {
            let [gamma, beta, mean, variance] =
                [&self.gamma, &self.beta, &self.mean, &self.variance].map(|t| f64::from(t.values()[c]));
            let factor = gamma / (variance + f64::from(self.epsilon)).sqrt();
            scale.push(factor as f32);
            bias.push((beta - mean * factor) as f32);
        }
        Affine {
            scale: Tensor::vector(scale),
            bias: Tensor::vector(bias),
        }
    }
}

impl Rule for BatchNorm {
    const NAME: &'static str = "batch_norm";
    const ARITY: Arity = Arity::Exactly(1);

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        let parameters = [&self.gamma, &self.beta, &self.mean, &self.variance];
        if parameters.iter().any(|t| t.dims() != [inputs[0].c]) {
            return mismatch(format!(
                "gamma, beta, mean and variance must hold {} values each",
                inputs[0].c
            ));
        }
        let positive = |v: &f32| f64::from(*v) + f64::from(self.epsilon) > 0.0;
        if !self.variance.values().iter().all(positive) {
            return mismatch("variance plus epsilon must be positive in every channel");
        }
        Ok(inputs[0])
    }

    fn class(&self) -> Class<'_> {
        Class::PerChannel(PerChannel::BatchNorm(self))
    }

    fn attrs(&self) -> Attrs {
        Attrs::new()
            .with("gamma", self.gamma.clone())
            .with("beta", self.beta.clone())
            .with("mean", self.mean.clone())
            .with("variance", self.variance.clone())
            .with("epsilon", self.epsilon)
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self {
            gamma: attrs.require("gamma")?,
            beta: attrs.require("beta")?,
            mean: attrs.require("mean")?,
            variance: attrs.require("variance")?,
            epsilon: attrs.require("epsilon")?,
        })
    }

    fn eval(&self, inputs: &[&FeatureMap], output: Shape) -> FeatureMap {
        self.to_affine().eval(inputs, output)
    }

    fn backward(
        &self,
        inputs: &[&FeatureMap],
        output: &FeatureMap,
        gradient: &FeatureMap,
    ) -> Vec<FeatureMap> {
        self.to_affine().backward(inputs, output, gradient)
    }
}
