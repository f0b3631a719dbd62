//! Fully connected layer.

use serde::{Deserialize, Serialize};

use super::class::{Class, Layer};
use super::{Arity, OpError, Rule, mismatch};
use crate::convolution::{backward, convolve};
use crate::geometry::{Shape, Window};
use crate::nn::eval::FeatureMap;
use crate::tensor::Tensor;
use crate::text::{AttrError, Attrs};

/// Fully connected layer on a vector (ONNX Gemm, or MatMul and Add).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Linear {
    /// `[out features, in features]`.
    pub weight: Tensor,
    /// One value per output feature.
    pub bias: Option<Tensor>,
}

impl Rule for Linear {
    const NAME: &'static str = "linear";
    const ARITY: Arity = Arity::Exactly(1);

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        let &[out, features] = self.weight.dims() else {
            return mismatch("the weight of a fully connected layer must have two dimensions");
        };
        if inputs[0] != Shape::vector(features) || out == 0 {
            return mismatch(format!(
                "the weight expects a vector of {features} features, and the operand is {}",
                inputs[0]
            ));
        }
        if self.bias.as_ref().is_some_and(|b| b.dims() != [out]) {
            return mismatch(format!("the bias must hold {out} values"));
        }
        Ok(Shape::vector(out))
    }

    fn class(&self) -> Class<'_> {
        Class::Linear(Layer {
            weight: &self.weight,
            bias: self.bias.as_ref(),
            window: Window::dense([1, 1]),
            groups: 1,
        })
    }

    fn attrs(&self) -> Attrs {
        Attrs::new()
            .with("weight", self.weight.clone())
            .with_some("bias", self.bias.clone())
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self {
            weight: attrs.require("weight")?,
            bias: attrs.optional("bias")?,
        })
    }

    fn eval(&self, inputs: &[&FeatureMap], output: Shape) -> FeatureMap {
        let pixel = Window::dense([1, 1]);
        let x = inputs[0];
        let weight = self.weight.values();
        let values = convolve(x.values(), x.shape(), weight, &pixel, 1, output);
        let mut result = FeatureMap::new(output, values);
        if let Some(bias) = &self.bias {
            result.add_per_channel(bias.values());
        }
        result
    }

    fn backward(&self, inputs: &[&FeatureMap], _: &FeatureMap, gradient: &FeatureMap) -> Vec<FeatureMap> {
        let pixel = Window::dense([1, 1]);
        let weight = self.weight.values();
        let input = inputs[0].shape();
        let values = backward(gradient.values(), gradient.shape(), weight, &pixel, 1, input);
        vec![FeatureMap::new(input, values)]
    }
}
