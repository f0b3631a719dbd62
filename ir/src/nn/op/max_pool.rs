//! Maximum over windows.

use serde::{Deserialize, Serialize};

use super::class::Class;
use super::{Arity, OpError, Rule, mismatch};
use crate::geometry::{Shape, Window, for_each_window};
use crate::nn::eval::FeatureMap;
use crate::text::{AttrError, Attrs};

/// Maximum over windows; padding is never the maximum. (A `ceil_mode` of ONNX is resolved into
/// padding by the importer.)
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MaxPool {
    /// Geometry of the windows.
    pub window: Window,
}

impl Rule for MaxPool {
    const NAME: &'static str = "max_pool";
    const ARITY: Arity = Arity::Exactly(1);

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        let [h, w] = self.window.output(inputs[0].h, inputs[0].w)?;
        check_no_empty_window(&self.window, inputs[0], [h, w])?;
        Ok(Shape::new(inputs[0].c, h, w))
    }

    fn class(&self) -> Class<'_> {
        Class::Max(&self.window)
    }

    fn attrs(&self) -> Attrs {
        window_attrs(&self.window)
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self {
            window: window_from_attrs(attrs)?,
        })
    }

    fn eval(&self, inputs: &[&FeatureMap], output: Shape) -> FeatureMap {
        let mut values = Vec::with_capacity(output.len());
        for channel in inputs[0].channels() {
            for_each_window(&self.window, inputs[0].shape(), output, |taps| {
                values.push(taps.iter().fold(f32::NEG_INFINITY, |m, &i| m.max(channel[i])));
            });
        }
        FeatureMap::new(output, values)
    }

    fn backward(&self, inputs: &[&FeatureMap], _: &FeatureMap, gradient: &FeatureMap) -> Vec<FeatureMap> {
        let input = inputs[0].shape();
        let output = gradient.shape();
        let mut values = vec![0.0; input.len()];
        let planes = values.chunks_mut(input.plane()).zip(inputs[0].channels());
        for ((channel, x), of_channel) in planes.zip(gradient.channels()) {
            let mut windows = of_channel.iter();
            for_each_window(&self.window, input, output, |taps| {
                let first = taps
                    .iter()
                    .copied()
                    .reduce(|m, i| if x[i] > x[m] { i } else { m });
                if let (Some(first), Some(g)) = (first, windows.next()) {
                    channel[first] += g;
                }
            });
        }
        vec![FeatureMap::new(input, values)]
    }
}

/// Refuses windows that lie in the padding altogether: they have neither maximum nor mean.
pub(super) fn check_no_empty_window(window: &Window, input: Shape, out: [usize; 2]) -> Result<(), OpError> {
    let sizes = [input.h, input.w];
    if (0..2).all(|axis| window.every_window_sees(axis, sizes[axis], out[axis])) {
        return Ok(());
    }
    mismatch("a window lies in the padding altogether")
}

pub(super) fn window_attrs(window: &Window) -> Attrs {
    Attrs::new()
        .with("kernel", window.kernel)
        .with_unless([1, 1], "stride", window.stride)
        .with_unless([1, 1], "dilation", window.dilation)
        .with_unless([0; 4], "pads", window.pads)
}

pub(super) fn window_from_attrs(attrs: &mut Attrs) -> Result<Window, AttrError> {
    Ok(Window {
        kernel: attrs.require("kernel")?,
        stride: attrs.optional("stride")?.unwrap_or([1, 1]),
        dilation: attrs.optional("dilation")?.unwrap_or([1, 1]),
        pads: attrs.optional("pads")?.unwrap_or([0; 4]),
    })
}
