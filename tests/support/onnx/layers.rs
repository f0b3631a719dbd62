//! Convolutions, batch norms and gates.

use super::builder::{ModelBuilder, Value};
use super::moments::Moment;
use super::proto;
use super::rng::Rng;
use super::window::Window;

/// A convolution: its output channels, window and groups.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conv {
    out: usize,
    window: Window,
    groups: usize,
    bias: bool,
}

impl Conv {
    /// `out` channels, a window as [`Window::square`] makes it, no bias.
    pub(crate) fn new(out: usize, kernel: usize, stride: usize, pad: usize) -> Self {
        Self::windowed(out, Window::square(kernel, stride, pad))
    }

    /// `out` channels over any window, no bias.
    pub(crate) fn windowed(out: usize, window: Window) -> Self {
        Self {
            out,
            window,
            groups: 1,
            bias: false,
        }
    }

    /// With channel groups.
    pub(crate) fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// With a bias.
    pub(crate) fn bias(self) -> Self {
        Self { bias: true, ..self }
    }
}

struct BatchNorm {
    gamma: Vec<f32>,
    beta: Vec<f32>,
    mean: Vec<f32>,
    var: Vec<f32>,
}

const EPSILON: f32 = 1e-5;

impl BatchNorm {
    /// Statistics near the true ones; scales spread by a factor or two, one in eight negative.
    fn draw(seed: u64, module: &str, gain: f32, input: &[Moment]) -> Self {
        let stream = |part: &str| Rng::named(seed, &format!("{module}.{part}"));
        let (mut gamma, mut beta) = (stream("weight"), stream("bias"));
        let (mut mean, mut var) = (stream("running_mean"), stream("running_var"));
        let sign = |rng: &mut Rng| if rng.below(8) == 0 { -1.0 } else { 1.0 };
        Self {
            gamma: input
                .iter()
                .map(|_| sign(&mut gamma) * gain * spread(&mut gamma, 0.3))
                .collect(),
            beta: input
                .iter()
                .map(|_| gain * (0.25 + 0.3 * beta.normal()))
                .collect(),
            mean: input
                .iter()
                .map(|m| m.mean + 0.1 * m.var.sqrt() * mean.normal())
                .collect(),
            var: input
                .iter()
                .map(|m| (m.var * spread(&mut var, 0.2)).max(1e-4))
                .collect(),
        }
    }

    /// The norm of one channel as `scale · x + bias`.
    fn affine(&self, channel: usize) -> (f32, f32) {
        let scale = self.gamma[channel] / (self.var[channel] + EPSILON).sqrt();
        (scale, self.beta[channel] - scale * self.mean[channel])
    }

    fn apply(&self, input: &[Moment]) -> Vec<Moment> {
        let affine = |(channel, moment): (usize, &Moment)| {
            let (scale, bias) = self.affine(channel);
            moment.affine(scale, bias)
        };
        input.iter().enumerate().map(affine).collect()
    }
}

/// A positive factor near 1.
fn spread(rng: &mut Rng, sigma: f32) -> f32 {
    (sigma * rng.normal()).exp()
}

impl ModelBuilder {
    /// A convolution with He-normal weights. Its bias, if any, cancels the expected mean.
    pub(crate) fn conv(&mut self, module: &str, x: &Value, conv: Conv) -> Value {
        let weights = self.conv_weights(module, x, conv);
        let (mut moments, dims) = self.conv_moments(x, conv, &weights);
        let weight = format!("{module}.weight");
        self.store_f32(&weight, &dims, &weights);
        if !conv.bias {
            return self.conv_node(module, x, conv, &[&weight], moments);
        }
        let name = format!("{module}.bias");
        let bias = self.parameter(&name, &[conv.out], |rng| centring(rng, &moments));
        for (moment, bias) in moments.iter_mut().zip(&bias) {
            moment.mean += bias;
        }
        self.conv_node(module, x, conv, &[&weight, &name], moments)
    }

    /// A batch norm whose scales lie around `gain`.
    pub(crate) fn bn(&mut self, module: &str, x: &Value, gain: f32) -> Value {
        let bn = BatchNorm::draw(self.seed, module, gain, &x.moments);
        let name = |part: &str| format!("{module}.{part}");
        let [weight, bias, mean, var] = ["weight", "bias", "running_mean", "running_var"].map(name);
        for (name, data) in [
            (&weight, &bn.gamma),
            (&bias, &bn.beta),
            (&mean, &bn.mean),
            (&var, &bn.var),
        ] {
            self.store_f32(name, &[data.len()], data);
        }
        // The older exporter writes initializers of equal contents once, and Identity for the rest.
        let bias = if self.options.sprinkle {
            self.add_plain_node("Identity", module, &[&bias], vec![])
        } else {
            bias
        };
        let attributes = vec![proto::float("epsilon", EPSILON), proto::float("momentum", 0.9)];
        let inputs = [&x.name, &weight, &bias, &mean, &var].map(String::as_str);
        let moments = bn.apply(&x.moments);
        self.add_node(
            "BatchNormalization",
            module,
            &inputs,
            attributes,
            x.dims.clone(),
            moments,
        )
    }

    /// A convolution with its batch norm, folded into one if the options say so: then the file
    /// computes the same function with other weights.
    pub(crate) fn conv_bn(
        &mut self,
        [conv_module, bn_module]: [&str; 2],
        x: &Value,
        conv: Conv,
        gain: f32,
    ) -> Value {
        if !self.options.fold_bn || conv.bias {
            let y = self.conv(conv_module, x, conv);
            return self.bn(bn_module, &y, gain);
        }
        let mut weights = self.conv_weights(conv_module, x, conv);
        let (moments, dims) = self.conv_moments(x, conv, &weights);
        let bn = BatchNorm::draw(self.seed, bn_module, gain, &moments);
        let per_channel = weights.len() / conv.out;
        let mut bias = Vec::with_capacity(conv.out);
        for (channel, weights) in weights.chunks_mut(per_channel).enumerate() {
            let (scale, shift) = bn.affine(channel);
            weights.iter_mut().for_each(|weight| *weight *= scale);
            bias.push(shift);
        }
        let names = [
            format!("{conv_module}.weight"),
            format!("{conv_module}.weight_bias"),
        ];
        self.store_f32(&names[0], &dims, &weights);
        self.store_f32(&names[1], &[conv.out], &bias);
        let moments = bn.apply(&moments);
        self.conv_node(conv_module, x, conv, &[&names[0], &names[1]], moments)
    }

    fn conv_weights(&self, module: &str, x: &Value, conv: Conv) -> Vec<f32> {
        let fan_in = x.channels() / conv.groups * conv.window.area();
        let std = (2.0 / fan_in as f32).sqrt();
        Rng::named(self.seed, &format!("{module}.weight")).normals(conv.out * fan_in, std)
    }

    /// What a convolution's channels hold before its bias, and the shape of its weights.
    fn conv_moments(&self, x: &Value, conv: Conv, weights: &[f32]) -> (Vec<Moment>, Vec<usize>) {
        let group_in = x.channels() / conv.groups;
        let group_out = conv.out / conv.groups;
        let area = conv.window.area();
        let moment = |(channel, weights): (usize, &[f32])| {
            let first = channel / group_out * group_in;
            let inputs = &x.moments[first..first + group_in];
            weights
                .chunks(area)
                .zip(inputs)
                .fold(Moment { mean: 0.0, var: 0.0 }, |sum, (window, input)| {
                    let total: f32 = window.iter().sum();
                    let power: f32 = window.iter().map(|w| w * w).sum();
                    sum.plus(Moment {
                        mean: total * input.mean,
                        var: power * input.var,
                    })
                })
        };
        let moments = weights.chunks(group_in * area).enumerate().map(moment).collect();
        let [height, width] = conv.window.kernel;
        (moments, vec![conv.out, group_in, height, width])
    }

    fn conv_node(
        &mut self,
        module: &str,
        x: &Value,
        conv: Conv,
        parameters: &[&str],
        moments: Vec<Moment>,
    ) -> Value {
        let mut attributes = conv.window.attributes();
        attributes.push(proto::int("group", conv.groups as i64));
        let mut inputs = vec![x.name.as_str()];
        inputs.extend(parameters);
        let [height, width] = conv.window.output(x.map());
        self.add_node(
            "Conv",
            module,
            &inputs,
            attributes,
            vec![conv.out, height, width],
            moments,
        )
    }

    /// A ReLU; every second one is followed by an Identity if the options sprinkle them.
    pub(crate) fn relu(&mut self, module: &str, x: &Value) -> Value {
        let moments = x.moments.iter().map(|m| m.relu()).collect();
        let y = self.add_node("Relu", module, &[&x.name], vec![], x.dims.clone(), moments);
        if self.options.sprinkle {
            self.identity(module, &y)
        } else {
            y
        }
    }

    /// A ReLU6: `Clip` with attributes before opset 11, with inputs from there on.
    pub(crate) fn relu6(&mut self, module: &str, x: &Value) -> Value {
        let moments = x.moments.iter().map(|m| m.relu()).collect();
        if self.options.opset < 11 {
            let attributes = vec![proto::float("min", 0.0), proto::float("max", 6.0)];
            return self.add_node("Clip", module, &[&x.name], attributes, x.dims.clone(), moments);
        }
        let min = self.constant_floats(module, &[], &[0.0]);
        let max = self.constant_floats(module, &[], &[6.0]);
        self.add_node(
            "Clip",
            module,
            &[&x.name, &min, &max],
            vec![],
            x.dims.clone(),
            moments,
        )
    }
}

/// Biases that take the expected means away and add a little of their own.
pub(crate) fn centring(rng: &mut Rng, moments: &[Moment]) -> Vec<f32> {
    moments
        .iter()
        .map(|m| 0.3 * m.var.sqrt() * rng.normal() - m.mean)
        .collect()
}
