//! Mean over windows.

use serde::{Deserialize, Serialize};

use super::class::{Class, Mean};
use super::max_pool::{check_no_empty_window, window_attrs, window_from_attrs};
use super::{Arity, OpError, Rule, mismatch};
use crate::geometry::{Shape, Window, for_each_window};
use crate::nn::eval::FeatureMap;
use crate::text::{AttrError, Attrs};

/// Mean over windows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AvgPool {
    /// Geometry of the windows.
    pub window: Window,
    /// Whether padding counts in the divisor (ONNX `count_include_pad`).
    pub include_pad: bool,
    /// Rows and columns at the bottom and right that `ceil_mode` added: part of `window.pads`,
    /// never counted in the divisor.
    pub overhang: [usize; 2],
}

impl AvgPool {
    /// What each window's sum is divided by, in row-major order of the output map.
    pub fn divisors(&self, input: Shape, out: [usize; 2]) -> Vec<usize> {
        let rows: Vec<usize> = (0..out[0]).map(|y| self.counted(0, y, input.h)).collect();
        let columns: Vec<usize> = (0..out[1]).map(|x| self.counted(1, x, input.w)).collect();
        rows.iter()
            .flat_map(|r| columns.iter().map(move |c| r * c))
            .collect()
    }
}

impl AvgPool {
    /// Rows or columns that count in the divisor of window `at` along an axis of this size.
    fn counted(&self, axis: usize, at: usize, size: usize) -> usize {
        if !self.include_pad {
            return self.window.taps_inside(axis, at, size).len();
        }
        // As if the map were as large as the padding that counts.
        let padded = self.window.pads[axis] + size + self.window.pads[axis + 2];
        let end = padded - self.overhang[axis];
        let left = end.saturating_sub(at * self.window.stride[axis]);
        left.div_ceil(self.window.dilation[axis])
            .min(self.window.kernel[axis])
    }
}

impl Rule for AvgPool {
    const NAME: &'static str = "avg_pool";
    const ARITY: Arity = Arity::Exactly(1);

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        let [h, w] = self.window.output(inputs[0].h, inputs[0].w)?;
        check_no_empty_window(&self.window, inputs[0], [h, w])?;
        if (0..2).any(|axis| self.overhang[axis] > self.window.pads[axis + 2]) {
            return mismatch("the overhang must be part of the padding");
        }
        Ok(Shape::new(inputs[0].c, h, w))
    }

    fn class(&self) -> Class<'_> {
        Class::Mean(Mean::Windows(self))
    }

    fn attrs(&self) -> Attrs {
        window_attrs(&self.window)
            .with("include_pad", self.include_pad)
            .with_unless([0, 0], "overhang", self.overhang)
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self {
            window: window_from_attrs(attrs)?,
            include_pad: attrs.require("include_pad")?,
            overhang: attrs.optional("overhang")?.unwrap_or([0, 0]),
        })
    }

    fn eval(&self, inputs: &[&FeatureMap], output: Shape) -> FeatureMap {
        let divisors = self.divisors(inputs[0].shape(), [output.h, output.w]);
        let mut values = Vec::with_capacity(output.len());
        for channel in inputs[0].channels() {
            let mut divisor = divisors.iter();
            for_each_window(&self.window, inputs[0].shape(), output, |taps| {
                let sum: f32 = taps.iter().map(|&i| channel[i]).sum();
                let count = divisor.next().copied().unwrap_or(1);
                values.push(sum / count as f32);
            });
        }
        FeatureMap::new(output, values)
    }

    fn backward(&self, inputs: &[&FeatureMap], _: &FeatureMap, gradient: &FeatureMap) -> Vec<FeatureMap> {
        let input = inputs[0].shape();
        let output = gradient.shape();
        let divisors = self.divisors(input, [output.h, output.w]);
        let mut values = vec![0.0; input.len()];
        for (channel, of_channel) in values.chunks_mut(input.plane()).zip(gradient.channels()) {
            let mut windows = of_channel.iter().zip(&divisors);
            for_each_window(&self.window, input, output, |taps| {
                let share = windows.next().map_or(0.0, |(g, &count)| g / count as f32);
                taps.iter().for_each(|&i| channel[i] += share);
            });
        }
        vec![FeatureMap::new(input, values)]
    }
}
