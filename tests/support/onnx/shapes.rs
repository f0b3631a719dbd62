//! Operators that move, join or scale pixels.

use super::builder::{Batch, ModelBuilder, Style, Value};
use super::proto;

/// The ways to turn a map into a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flatten {
    /// What the options' exporter writes.
    Native,
    /// `Flatten`.
    Operator,
    /// `Reshape` to a shape computed by Shape, Gather, Unsqueeze, Concat: `x.view(x.size(0), -1)`.
    ShapeChain,
    /// `Reshape` to the constant `[0, -1]`.
    ZeroMinusOne,
    /// `Reshape` to the constant `[batch, -1]`, or `[-1, features]` where the batch is dynamic.
    Constant,
    /// `Squeeze` of the two axes of a 1×1 map.
    Squeeze,
}

/// How a resize computes where a pixel comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resize {
    /// `nearest` or `linear`.
    pub(crate) mode: &'static str,
    /// `asymmetric`, `half_pixel`, `align_corners` or `pytorch_half_pixel`.
    pub(crate) coordinates: &'static str,
    /// The target is given as sizes, not as scales.
    pub(crate) by_sizes: bool,
}

impl Resize {
    /// PyTorch's nearest.
    pub(crate) const NEAREST: Self = Self {
        mode: "nearest",
        coordinates: "asymmetric",
        by_sizes: false,
    };
    /// PyTorch's bilinear with `align_corners=False`.
    pub(crate) const HALF_PIXEL: Self = Self {
        mode: "linear",
        coordinates: "half_pixel",
        by_sizes: true,
    };
    /// PyTorch's bilinear with `align_corners=True`.
    pub(crate) const ALIGN_CORNERS: Self = Self {
        mode: "linear",
        coordinates: "align_corners",
        by_sizes: true,
    };
}

/// A constant operand of an elementwise operator.
#[derive(Clone, Debug)]
pub(crate) enum Operand {
    /// One number for all.
    Scalar(f32),
    /// A number per channel, shaped `[1, C, 1, 1]`.
    PerChannel(Vec<f32>),
}

impl ModelBuilder {
    /// The sum of two values.
    pub(crate) fn add(&mut self, module: &str, x: &Value, y: &Value) -> Value {
        let moments = x
            .moments
            .iter()
            .zip(&y.moments)
            .map(|(x, y)| x.plus(*y))
            .collect();
        self.add_node(
            "Add",
            module,
            &[&x.name, &y.name],
            vec![],
            x.dims.clone(),
            moments,
        )
    }

    /// The channels of several values, one after another.
    pub(crate) fn concat(&mut self, module: &str, values: &[&Value]) -> Value {
        let names: Vec<_> = values.iter().map(|v| v.name.as_str()).collect();
        let mut dims = values[0].dims.clone();
        dims[0] = values.iter().map(|v| v.channels()).sum();
        let moments = values.iter().flat_map(|v| v.moments.iter().copied()).collect();
        self.add_node(
            "Concat",
            module,
            &names,
            vec![proto::int("axis", 1)],
            dims,
            moments,
        )
    }

    /// `op` (Add, Sub, Mul or Div) with a constant on the right.
    pub(crate) fn with_constant(&mut self, op: &str, x: &Value, operand: &Operand) -> Value {
        let channels = x.channels();
        let (dims, data) = match operand {
            Operand::Scalar(value) => (vec![], vec![*value]),
            Operand::PerChannel(values) => (vec![1, channels, 1, 1], values.clone()),
        };
        let constant = self.constant_floats("", &dims, &data);
        let moment = |(channel, moment): (usize, &super::moments::Moment)| {
            let value = data[channel % data.len()];
            let (scale, bias) = match op {
                "Add" => (1.0, value),
                "Sub" => (1.0, -value),
                "Mul" => (value, 0.0),
                _ => (1.0 / value, 0.0),
            };
            moment.affine(scale, bias)
        };
        let moments = x.moments.iter().enumerate().map(moment).collect();
        self.add_node(op, "", &[&x.name, &constant], vec![], x.dims.clone(), moments)
    }

    /// Zeros around: `[channels, top, left]` before and `[channels, bottom, right]` after.
    pub(crate) fn pad(&mut self, module: &str, x: &Value, before: [usize; 3], after: [usize; 3]) -> Value {
        let pads: Vec<i64> = [
            [0, before[0], before[1], before[2]],
            [0, after[0], after[1], after[2]],
        ]
        .concat()
        .iter()
        .map(|p| *p as i64)
        .collect();
        let mut attributes = vec![proto::string("mode", "constant")];
        let mut inputs = vec![x.name.clone()];
        if self.options.opset < 11 {
            attributes.push(proto::ints("pads", &pads));
        } else {
            inputs.push(self.constant_ints(module, &pads));
            inputs.push(self.constant_floats(module, &[], &[0.0]));
        }
        let dims: Vec<_> = (0..3).map(|i| x.dims[i] + before[i] + after[i]).collect();
        let zeros = |count: usize| vec![super::moments::Moment { mean: 0.0, var: 0.0 }; count];
        let moments = [zeros(before[0]), x.moments.clone(), zeros(after[0])].concat();
        let inputs: Vec<_> = inputs.iter().map(String::as_str).collect();
        self.add_node("Pad", module, &inputs, attributes, dims, moments)
    }

    /// `start..end` in steps along one axis of the file's tensor (1 channels, 2 rows, 3 columns);
    /// attributes before opset 10, inputs from there on.
    pub(crate) fn slice(
        &mut self,
        module: &str,
        x: &Value,
        axis: usize,
        [start, end, step]: [usize; 3],
    ) -> Value {
        let (first, last) = (start as i64, end as i64);
        let mut dims = x.dims.clone();
        dims[axis - 1] = (end.min(dims[axis - 1]) - start).div_ceil(step);
        let moments = match axis {
            1 => x
                .moments
                .iter()
                .skip(start)
                .step_by(step)
                .take(dims[0])
                .copied()
                .collect(),
            _ => x.moments.clone(),
        };
        if self.options.opset < 10 {
            let attributes = vec![
                proto::sizes("axes", &[axis]),
                proto::ints("starts", &[first]),
                proto::ints("ends", &[last]),
            ];
            return self.add_node("Slice", module, &[&x.name], attributes, dims, moments);
        }
        let inputs =
            [first, last, axis as i64, step as i64].map(|value| self.constant_ints(module, &[value]));
        let [starts, ends, axes, steps] = &inputs;
        let inputs = [x.name.as_str(), starts, ends, axes, steps];
        self.add_node("Slice", module, &inputs, vec![], dims, moments)
    }

    /// Blocks of pixels as channels.
    pub(crate) fn space_to_depth(&mut self, module: &str, x: &Value, block: usize) -> Value {
        let [h, w] = x.map();
        let pixels = block * block;
        let dims = vec![x.channels() * pixels, h / block, w / block];
        let moments = x.moments.repeat(pixels);
        let attributes = vec![proto::int("blocksize", block as i64)];
        self.add_node("SpaceToDepth", module, &[&x.name], attributes, dims, moments)
    }

    /// Channels as blocks of pixels; the mode, `DCR` or `CRD`, is given from opset 11 on.
    pub(crate) fn depth_to_space(
        &mut self,
        module: &str,
        x: &Value,
        block: usize,
        mode: &'static str,
    ) -> Value {
        let [h, w] = x.map();
        let channels = x.channels() / (block * block);
        let dims = vec![channels, h * block, w * block];
        let moments = match mode {
            "DCR" => x.moments[..channels].to_vec(),
            _ => x.moments.iter().step_by(block * block).copied().collect(),
        };
        let mut attributes = vec![proto::int("blocksize", block as i64)];
        if self.options.opset >= 11 {
            attributes.push(proto::string("mode", mode));
        }
        self.add_node("DepthToSpace", module, &[&x.name], attributes, dims, moments)
    }

    /// A change of the map's size: `Upsample` before opset 10.
    pub(crate) fn resize(&mut self, module: &str, x: &Value, map: [usize; 2], resize: Resize) -> Value {
        let opset = self.options.opset;
        let mut attributes = vec![proto::string("mode", resize.mode)];
        if opset >= 11 {
            attributes.push(proto::string(
                "coordinate_transformation_mode",
                resize.coordinates,
            ));
            if resize.mode == "nearest" {
                attributes.push(proto::string("nearest_mode", "floor"));
            }
        }
        let scale = |i: usize| map[i] as f32 / x.map()[i] as f32;
        let mut inputs = vec![x.name.clone()];
        // Region and scales could not be left out before opset 13: empty tensors stood for them.
        let mut absent = || match opset {
            11 | 12 => self.constant_floats(module, &[0], &[]),
            _ => String::new(),
        };
        if opset >= 11 && resize.by_sizes {
            inputs.extend([absent(), absent()]);
            inputs.push(self.resize_target(module, x, map));
        } else {
            inputs.extend((opset >= 11).then(absent));
            inputs.push(self.constant_floats(module, &[4], &[1.0, 1.0, scale(0), scale(1)]));
        }
        let inputs: Vec<_> = inputs.iter().map(String::as_str).collect();
        let op = if opset < 10 { "Upsample" } else { "Resize" };
        let dims = vec![x.channels(), map[0], map[1]];
        self.add_node(op, module, &inputs, attributes, dims, x.moments.clone())
    }

    /// The four sizes of a resize: where the batch is dynamic, batch and channels are sliced from
    /// the input's shape, as exporters do.
    fn resize_target(&mut self, module: &str, x: &Value, map: [usize; 2]) -> String {
        let map = map.map(|size| size as i64);
        if let Batch::Fixed(batch) = self.options.batch {
            return self.constant_ints(module, &[batch as i64, x.channels() as i64, map[0], map[1]]);
        }
        let shape = self.add_plain_node("Shape", module, &[&x.name], vec![]);
        let [starts, ends, axes] = [0, 2, 0].map(|value| self.constant_ints(module, &[value]));
        let front = self.add_plain_node("Slice", module, &[&shape, &starts, &ends, &axes], vec![]);
        let back = self.constant_ints(module, &map);
        self.add_plain_node("Concat", module, &[&front, &back], vec![proto::int("axis", 0)])
    }

    /// A map as a vector, channel by channel.
    pub(crate) fn flatten(&mut self, module: &str, x: &Value, form: Flatten) -> Value {
        let features: usize = x.dims.iter().product();
        let per_channel = features / x.channels();
        let moments: Vec<_> = x
            .moments
            .iter()
            .flat_map(|m| std::iter::repeat_n(*m, per_channel))
            .collect();
        let dims = vec![features];
        let target = match form {
            Flatten::Native => {
                let native = match self.options.style {
                    Style::TorchScript => Flatten::Operator,
                    Style::Dynamo => Flatten::Constant,
                };
                return self.flatten(module, x, native);
            }
            Flatten::Operator => {
                let axis = vec![proto::int("axis", 1)];
                return self.add_node("Flatten", module, &[&x.name], axis, dims, moments);
            }
            Flatten::Squeeze => {
                let (inputs, attributes) = self.axes(module, x, &[2, 3]);
                let inputs: Vec<_> = inputs.iter().map(String::as_str).collect();
                return self.add_node("Squeeze", module, &inputs, attributes, dims, moments);
            }
            Flatten::ShapeChain => self.flat_shape(module, x),
            Flatten::ZeroMinusOne => self.constant_ints(module, &[0, -1]),
            Flatten::Constant => match self.options.batch {
                Batch::Fixed(batch) => self.constant_ints(module, &[batch as i64, -1]),
                Batch::Dynamic => self.constant_ints(module, &[-1, features as i64]),
            },
        };
        // With `allowzero` a zero in the shape would mean an empty axis, not "as before".
        let allow_zero =
            self.options.style == Style::Dynamo && self.options.opset >= 14 && form == Flatten::Constant;
        let attributes = if allow_zero {
            vec![proto::int("allowzero", 1)]
        } else {
            vec![]
        };
        self.add_node("Reshape", module, &[&x.name, &target], attributes, dims, moments)
    }

    /// `[batch, -1]` as the older exporter computes it.
    fn flat_shape(&mut self, module: &str, x: &Value) -> String {
        let shape = self.add_plain_node("Shape", module, &[&x.name], vec![]);
        let zero = self.constant_int(module, 0);
        let gather = vec![proto::int("axis", 0)];
        let batch = self.add_plain_node("Gather", module, &[&shape, &zero], gather);
        let batch = Value {
            name: batch,
            dims: vec![],
            moments: vec![],
        };
        let (inputs, attributes) = self.axes(module, &batch, &[0]);
        let inputs: Vec<_> = inputs.iter().map(String::as_str).collect();
        let batch = self.add_plain_node("Unsqueeze", module, &inputs, attributes);
        let rest = self.constant_ints(module, &[-1]);
        self.add_plain_node("Concat", module, &[&batch, &rest], vec![proto::int("axis", 0)])
    }

    /// Inputs and attributes of Squeeze and Unsqueeze: the axes are an input from opset 13 on.
    fn axes(
        &mut self,
        module: &str,
        x: &Value,
        axes: &[i64],
    ) -> (Vec<String>, Vec<tract_onnx::pb::AttributeProto>) {
        if self.options.opset < 13 {
            return (vec![x.name.clone()], vec![proto::ints("axes", axes)]);
        }
        let axes = self.constant_ints(module, axes);
        (vec![x.name.clone(), axes], vec![])
    }

    /// A node that does nothing.
    pub(crate) fn identity(&mut self, module: &str, x: &Value) -> Value {
        let moments = x.moments.clone();
        self.add_node("Identity", module, &[&x.name], vec![], x.dims.clone(), moments)
    }

    /// A dropout, which does nothing outside training.
    pub(crate) fn dropout(&mut self, module: &str, x: &Value) -> Value {
        let (dims, moments) = (x.dims.clone(), x.moments.clone());
        if self.options.opset < 12 {
            let ratio = vec![proto::float("ratio", 0.2)];
            return self.add_node("Dropout", module, &[&x.name], ratio, dims, moments);
        }
        let ratio = self.constant_floats(module, &[], &[0.2]);
        let training = self.constant_bool(module, false);
        self.add_node(
            "Dropout",
            module,
            &[&x.name, &ratio, &training],
            vec![],
            dims,
            moments,
        )
    }
}
