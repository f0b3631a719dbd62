//! Sliding windows, and the pools that use them.

use super::builder::{ModelBuilder, Style, Value};
use super::proto;
use tract_onnx::pb::AttributeProto;

/// How a window pads the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Padding {
    /// Top, left, bottom, right.
    Explicit([usize; 4]),
    /// `auto_pad = SAME_UPPER`: the odd row at the bottom and right.
    SameUpper,
    /// `auto_pad = SAME_LOWER`: the odd row at the top and left.
    SameLower,
}

/// A sliding window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// Height and width.
    pub(crate) kernel: [usize; 2],
    /// Steps down and right.
    pub(crate) stride: [usize; 2],
    /// Distance of the taps.
    pub(crate) dilation: [usize; 2],
    /// The rim around the map.
    pub(crate) padding: Padding,
    /// Pools only: a last window that hangs over the edge counts too.
    pub(crate) ceil: bool,
}

impl Window {
    /// The same in both directions and on all sides.
    pub(crate) fn square(kernel: usize, stride: usize, pad: usize) -> Self {
        Self {
            kernel: [kernel; 2],
            stride: [stride; 2],
            dilation: [1; 2],
            padding: Padding::Explicit([pad; 4]),
            ceil: false,
        }
    }

    /// Taps.
    pub(crate) fn area(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// The map that comes out of a map.
    pub(crate) fn output(&self, map: [usize; 2]) -> [usize; 2] {
        let Padding::Explicit(pads) = self.padding else {
            return std::array::from_fn(|i| map[i].div_ceil(self.stride[i]));
        };
        std::array::from_fn(|i| {
            let extent = self.dilation[i] * (self.kernel[i] - 1) + 1;
            let steps = map[i] + pads[i] + pads[i + 2] - extent;
            let whole = steps / self.stride[i] + 1;
            // A window that hangs over the edge counts only if it begins on the map.
            let begins_inside = whole * self.stride[i] < map[i] + pads[i];
            let hangs = self.ceil && !steps.is_multiple_of(self.stride[i]) && begins_inside;
            whole + usize::from(hangs)
        })
    }

    /// As a convolution's attributes.
    pub(crate) fn attributes(&self) -> Vec<AttributeProto> {
        let mut attributes = self.pool_attributes();
        attributes.push(proto::sizes("dilations", &self.dilation));
        attributes
    }

    /// As a pool's attributes: no dilations, and `ceil_mode` where it is set.
    fn pool_attributes(&self) -> Vec<AttributeProto> {
        let mut attributes = vec![
            proto::sizes("kernel_shape", &self.kernel),
            proto::sizes("strides", &self.stride),
        ];
        attributes.push(match &self.padding {
            Padding::Explicit(pads) => proto::sizes("pads", pads),
            Padding::SameUpper => proto::string("auto_pad", "SAME_UPPER"),
            Padding::SameLower => proto::string("auto_pad", "SAME_LOWER"),
        });
        if self.ceil {
            attributes.push(proto::int("ceil_mode", 1));
        }
        attributes
    }
}

/// The ways to write a global average pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GlobalPool {
    /// What the options' exporter writes.
    Native,
    /// `GlobalAveragePool`.
    Operator,
    /// `ReduceMean` over the axes 2 and 3, which stay as 1×1.
    ReduceMean,
    /// `ReduceMean` over the axes −1 and −2, which stay as 1×1.
    ReduceMeanNegativeAxes,
    /// `ReduceMean` that drops the axes: the result is a vector already.
    ReduceMeanDropped,
    /// `AveragePool` with a window as large as the map.
    FullWindow,
}

impl ModelBuilder {
    /// A max-pool.
    pub(crate) fn maxpool(&mut self, module: &str, x: &Value, window: Window) -> Value {
        let moments = x.moments.iter().map(|m| m.max_of(window.area())).collect();
        let [height, width] = window.output(x.map());
        let dims = vec![x.channels(), height, width];
        self.add_node(
            "MaxPool",
            module,
            &[&x.name],
            window.pool_attributes(),
            dims,
            moments,
        )
    }

    /// An average pool; `include_pad` counts the rim's zeros.
    pub(crate) fn avgpool(&mut self, module: &str, x: &Value, window: Window, include_pad: bool) -> Value {
        let moments = x.moments.iter().map(|m| m.mean_of(window.area())).collect();
        let [height, width] = window.output(x.map());
        let mut attributes = window.pool_attributes();
        attributes.push(proto::int("count_include_pad", i64::from(include_pad)));
        let dims = vec![x.channels(), height, width];
        self.add_node("AveragePool", module, &[&x.name], attributes, dims, moments)
    }

    /// A global average pool.
    pub(crate) fn gap(&mut self, module: &str, x: &Value, form: GlobalPool) -> Value {
        match form {
            GlobalPool::Native => {
                let native = match self.options.style {
                    Style::TorchScript => GlobalPool::Operator,
                    Style::Dynamo => GlobalPool::ReduceMeanNegativeAxes,
                };
                self.gap(module, x, native)
            }
            GlobalPool::Operator => {
                let moments = global_moments(x);
                let dims = vec![x.channels(), 1, 1];
                self.add_node("GlobalAveragePool", module, &[&x.name], vec![], dims, moments)
            }
            GlobalPool::ReduceMean => self.reduce_mean(module, x, [2, 3], true),
            GlobalPool::ReduceMeanNegativeAxes => self.reduce_mean(module, x, [-1, -2], true),
            GlobalPool::ReduceMeanDropped => self.reduce_mean(module, x, [2, 3], false),
            GlobalPool::FullWindow => {
                let window = Window {
                    kernel: x.map(),
                    ..Window::square(1, 1, 0)
                };
                self.avgpool(module, x, window, false)
            }
        }
    }

    /// The axes are an attribute before opset 18, an input from there on.
    fn reduce_mean(&mut self, module: &str, x: &Value, axes: [i64; 2], keepdims: bool) -> Value {
        let mut attributes = vec![proto::int("keepdims", i64::from(keepdims))];
        let mut inputs = vec![x.name.clone()];
        if self.options.opset < 18 {
            attributes.push(proto::ints("axes", &axes));
        } else {
            inputs.push(self.constant_ints(module, &axes));
        }
        let inputs: Vec<_> = inputs.iter().map(String::as_str).collect();
        let dims = if keepdims {
            vec![x.channels(), 1, 1]
        } else {
            vec![x.channels()]
        };
        self.add_node("ReduceMean", module, &inputs, attributes, dims, global_moments(x))
    }
}

fn global_moments(x: &Value) -> Vec<super::moments::Moment> {
    let [height, width] = x.map();
    x.moments.iter().map(|m| m.mean_of(height * width)).collect()
}
