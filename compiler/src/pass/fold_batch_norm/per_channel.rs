//! A factor and a summand per channel, in f64.

use trefoil_ir::Tensor;
use trefoil_ir::nn::op::class::{self, LayerMut};
use trefoil_ir::nn::op::{Affine, BatchNorm};
use trefoil_ir::nn::{Class, Op};

/// `y = factor[c] * x + summand[c]`.
#[derive(Clone, Debug)]
pub(super) struct PerChannel {
    pub(super) factor: Vec<f64>,
    pub(super) summand: Vec<f64>,
}

impl PerChannel {
    /// The map that a batch norm or affine operator is.
    pub(super) fn of(op: &Op) -> Option<Self> {
        let Class::PerChannel(map) = op.class() else {
            return None;
        };
        Some(match map {
            class::PerChannel::BatchNorm(op) => Self::of_batch_norm(op),
            class::PerChannel::Affine(op) => Self {
                factor: widened(&op.scale),
                summand: widened(&op.bias),
            },
        })
    }

    /// `gamma (x - mean) / sqrt(variance + epsilon) + beta`.
    fn of_batch_norm(op: &BatchNorm) -> Self {
        let [gamma, beta, mean, variance] = [&op.gamma, &op.beta, &op.mean, &op.variance].map(widened);
        let epsilon = f64::from(op.epsilon);
        let mut factor = Vec::with_capacity(gamma.len());
        let mut summand = Vec::with_capacity(gamma.len());
        for c in 0..gamma.len() {
            let scale = gamma[c] / (variance[c] + epsilon).sqrt();
            factor.push(scale);
            summand.push(beta[c] - mean[c] * scale);
        }
        Self { factor, summand }
    }

    /// As an operator, rounded.
    pub(super) fn to_affine(&self) -> Affine {
        Affine {
            scale: narrowed(&self.factor),
            bias: narrowed(&self.summand),
        }
    }

    pub(super) fn is_identity(&self) -> bool {
        self.factor.iter().all(|f| *f == 1.0) && self.has_no_summand()
    }

    /// Whether zero stays zero, as padding needs it.
    pub(super) fn has_no_summand(&self) -> bool {
        self.summand.iter().all(|s| *s == 0.0)
    }

    /// Whether larger stays larger, as maxima need it.
    pub(super) fn is_increasing(&self) -> bool {
        self.factor.iter().all(|f| *f > 0.0)
    }

    /// The map that does this first and then `next`.
    pub(super) fn then(&self, next: &Self) -> Self {
        let both = self.summand.iter().zip(next.factor.iter().zip(&next.summand));
        Self {
            factor: self.factor.iter().zip(&next.factor).map(|(a, b)| a * b).collect(),
            summand: both.map(|(a, (f, s))| a * f + s).collect(),
        }
    }

    /// The same without factors: what is left for the second operand of a sum.
    pub(super) fn without_summand(&self) -> Self {
        Self {
            factor: self.factor.clone(),
            summand: vec![0.0; self.factor.len()],
        }
    }

    /// Consecutive parts of these many channels.
    pub(super) fn split(&self, sizes: impl Iterator<Item = usize>) -> Vec<Self> {
        let mut parts = Vec::new();
        let mut start = 0;
        for size in sizes {
            parts.push(Self {
                factor: self.factor[start..start + size].to_vec(),
                summand: self.summand[start..start + size].to_vec(),
            });
            start += size;
        }
        parts
    }

    /// The map on the flattened value of channels with `plane` pixels.
    pub(super) fn flattened(&self, plane: usize) -> Self {
        Self {
            factor: repeated(&self.factor, plane),
            summand: repeated(&self.summand, plane),
        }
    }

    /// The map before flattening, if the pixels of each channel agree.
    pub(super) fn unflattened(&self, plane: usize) -> Option<Self> {
        Some(Self {
            factor: one_a_channel(&self.factor, plane)?,
            summand: one_a_channel(&self.summand, plane)?,
        })
    }
}

/// Each number `plane` times.
fn repeated(values: &[f64], plane: usize) -> Vec<f64> {
    let copies = values.iter().map(|value| std::iter::repeat_n(*value, plane));
    copies.flatten().collect()
}

/// The first of every `plane` numbers, if they agree.
fn one_a_channel(values: &[f64], plane: usize) -> Option<Vec<f64>> {
    let mut pixels = values.chunks(plane);
    let agree = pixels.all(|pixels| pixels.iter().all(|p| *p == pixels[0]));
    agree.then(|| values.iter().step_by(plane).copied().collect())
}

/// Does `map` behind a layer: scaled rows, and a new bias.
pub(super) fn then(layer: LayerMut<'_>, map: &PerChannel) {
    let row = layer.weight.len() / map.factor.len();
    let mut weight = widened(layer.weight);
    let mut bias = bias_or_zero(layer.bias, map.factor.len());
    for (out, weights) in weight.chunks_mut(row).enumerate() {
        weights.iter_mut().for_each(|w| *w *= map.factor[out]);
        bias[out] = bias[out] * map.factor[out] + map.summand[out];
    }
    *layer.bias = Some(narrowed(&bias));
    *layer.weight = rebuilt(layer.weight, weight);
}

/// Does `map` before a layer: scaled columns, and what the summands come to in the bias. Exact if
/// every tap reads a pixel, or the map has no summand.
pub(super) fn after(layer: LayerMut<'_>, map: &PerChannel) {
    let out = layer.weight.dims()[0];
    let per_group = layer.weight.dims()[1];
    let out_per_group = out / layer.groups;
    let taps = layer.weight.len() / (out * per_group);
    let mut weight = widened(layer.weight);
    let mut bias = bias_or_zero(layer.bias, out);
    for (i, filter) in weight.chunks_mut(taps).enumerate() {
        let o = i / per_group;
        let channel = o / out_per_group * per_group + i % per_group;
        bias[o] += map.summand[channel] * filter.iter().sum::<f64>();
        filter.iter_mut().for_each(|w| *w *= map.factor[channel]);
    }
    if layer.bias.is_some() || !map.has_no_summand() {
        *layer.bias = Some(narrowed(&bias));
    }
    *layer.weight = rebuilt(layer.weight, weight);
}

fn bias_or_zero(bias: &Option<Tensor>, channels: usize) -> Vec<f64> {
    bias.as_ref().map_or_else(|| vec![0.0; channels], widened)
}

fn widened(tensor: &Tensor) -> Vec<f64> {
    tensor.values().iter().map(|v| f64::from(*v)).collect()
}

fn narrowed(values: &[f64]) -> Tensor {
    Tensor::vector(values.iter().map(|v| *v as f32).collect())
}

fn rebuilt(like: &Tensor, values: Vec<f64>) -> Tensor {
    let values = values.into_iter().map(|v| v as f32).collect();
    Tensor::new(like.dims().to_vec(), values).expect("as many values as before")
}
