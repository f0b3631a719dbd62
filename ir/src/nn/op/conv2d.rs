//! Two-dimensional convolution.

use serde::{Deserialize, Serialize};

use super::class::{Class, Layer};
use super::{Arity, OpError, Rule, mismatch};
use crate::convolution::{backward, convolve};
use crate::geometry::{Shape, Window};
use crate::nn::eval::FeatureMap;
use crate::tensor::Tensor;
use crate::text::{AttrError, Attrs};

/// Convolution (cross-correlation, as ONNX means it) with optional bias.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conv2d {
    /// `[out channels, in channels / groups, kernel height, kernel width]`.
    pub weight: Tensor,
    /// One value per output channel.
    pub bias: Option<Tensor>,
    /// Kernel, stride, dilation and padding (with zeros).
    pub window: Window,
    /// Groups into which the channels fall; as many as channels for a depthwise convolution.
    pub groups: usize,
}

impl Conv2d {
    /// Number of output channels.
    pub fn out_channels(&self) -> usize {
        self.weight.dims()[0]
    }
}

impl Rule for Conv2d {
    const NAME: &'static str = "conv2d";
    const ARITY: Arity = Arity::Exactly(1);

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        let &[out, per_group, kh, kw] = self.weight.dims() else {
            return mismatch("the weight of a convolution must have four dimensions");
        };
        if [kh, kw] != self.window.kernel || out == 0 {
            return mismatch("the weight's dimensions and the kernel's size differ");
        }
        if self.groups == 0 || !out.is_multiple_of(self.groups) {
            return mismatch(format!(
                "{} groups do not divide {out} output channels",
                self.groups
            ));
        }
        if per_group.checked_mul(self.groups) != Some(inputs[0].c) {
            return mismatch(format!(
                "the weight expects {per_group} channels in each of {} groups, and the operand has {}",
                self.groups, inputs[0].c
            ));
        }
        if self.bias.as_ref().is_some_and(|b| b.dims() != [out]) {
            return mismatch(format!("the bias must hold {out} values"));
        }
        let [h, w] = self.window.output(inputs[0].h, inputs[0].w)?;
        Ok(Shape::new(out, h, w))
    }

    fn class(&self) -> Class<'_> {
        Class::Linear(Layer {
            weight: &self.weight,
            bias: self.bias.as_ref(),
            window: self.window.clone(),
            groups: self.groups,
        })
    }

    fn attrs(&self) -> Attrs {
        Attrs::new()
            .with("weight", self.weight.clone())
            .with_some("bias", self.bias.clone())
            .with_unless([1, 1], "stride", self.window.stride)
            .with_unless([1, 1], "dilation", self.window.dilation)
            .with_unless([0; 4], "pads", self.window.pads)
            .with_unless(1, "groups", self.groups)
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        let weight: Tensor = attrs.require("weight")?;
        let kernel = match weight.dims() {
            &[_, _, kh, kw] => [kh, kw],
            _ => [0, 0],
        };
        Ok(Self {
            weight,
            bias: attrs.optional("bias")?,
            window: Window {
                kernel,
                stride: attrs.optional("stride")?.unwrap_or([1, 1]),
                dilation: attrs.optional("dilation")?.unwrap_or([1, 1]),
                pads: attrs.optional("pads")?.unwrap_or([0; 4]),
            },
            groups: attrs.optional("groups")?.unwrap_or(1),
        })
    }

    fn eval(&self, inputs: &[&FeatureMap], output: Shape) -> FeatureMap {
        let x = inputs[0];
        let weight = self.weight.values();
        let values = convolve(x.values(), x.shape(), weight, &self.window, self.groups, output);
        let mut result = FeatureMap::new(output, values);
        if let Some(bias) = &self.bias {
            result.add_per_channel(bias.values());
        }
        result
    }

    fn backward(&self, inputs: &[&FeatureMap], _: &FeatureMap, gradient: &FeatureMap) -> Vec<FeatureMap> {
        let weight = self.weight.values();
        let input = inputs[0].shape();
        let values = backward(
            gradient.values(),
            gradient.shape(),
            weight,
            &self.window,
            self.groups,
            input,
        );
        vec![FeatureMap::new(input, values)]
    }
}
