//! Scale and bias per channel.

use serde::{Deserialize, Serialize};

use super::class::{Class, PerChannel};
use super::{Arity, OpError, Rule, mismatch};
use crate::geometry::Shape;
use crate::nn::eval::FeatureMap;
use crate::tensor::Tensor;
use crate::text::{AttrError, Attrs};

/// `y = scale[c] * x + bias[c]`: Mul, Add, Sub or Div by constants, or what is left of a batch
/// norm that no convolution could take in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Affine {
    /// One factor per channel.
    pub scale: Tensor,
    /// One summand per channel.
    pub bias: Tensor,
}

impl Rule for Affine {
    const NAME: &'static str = "affine";
    const ARITY: Arity = Arity::Exactly(1);

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        let channels = [inputs[0].c];
        if self.scale.dims() != channels || self.bias.dims() != channels {
            return mismatch(format!("scale and bias must hold {} values each", inputs[0].c));
        }
        Ok(inputs[0])
    }

    fn class(&self) -> Class<'_> {
        Class::PerChannel(PerChannel::Affine(self))
    }

    fn attrs(&self) -> Attrs {
        Attrs::new()
            .with("scale", self.scale.clone())
            .with("bias", self.bias.clone())
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self {
            scale: attrs.require("scale")?,
            bias: attrs.require("bias")?,
        })
    }

    fn eval(&self, inputs: &[&FeatureMap], output: Shape) -> FeatureMap {
        let mut values = Vec::with_capacity(output.len());
        for (c, channel) in inputs[0].channels().enumerate() {
            let scale = self.scale.values()[c];
            let bias = self.bias.values()[c];
            values.extend(channel.iter().map(|v| scale * v + bias));
        }
        FeatureMap::new(output, values)
    }

    fn backward(&self, inputs: &[&FeatureMap], _: &FeatureMap, gradient: &FeatureMap) -> Vec<FeatureMap> {
        let shape = inputs[0].shape();
        let mut values = Vec::with_capacity(shape.len());
        for (channel, scale) in gradient.channels().zip(self.scale.values()) {
            values.extend(channel.iter().map(|g| scale * g));
        }
        vec![FeatureMap::new(shape, values)]
    }
}
