//! A factor and a summand per channel, in f64.

use trefoil_ir::Tensor;
use trefoil_ir::nn::Op;
use trefoil_ir::nn::op::{Affine, Conv2d, Linear};

/// `y = factor[c] * x + summand[c]`.
#[derive(Clone, Debug)]
pub(super) struct PerChannel {
    pub(super) factor: Vec<f64>,
    pub(super) summand: Vec<f64>,
}

impl PerChannel {
    /// The map that a batch norm or affine operator is.
    pub(super) fn of(op: &Op) -> Option<Self> {
        match op {
            Op::BatchNorm(op) => {
                let [gamma, beta, mean, variance] =
                    [&op.gamma, &op.beta, &op.mean, &op.variance].map(widened);
                let epsilon = f64::from(op.epsilon);
                let factor: Vec<f64> = gamma
                    .iter()
                    .zip(variance)
                    .map(|(g, v)| g / (v + epsilon).sqrt())
                    .collect();
                let shift = mean.iter().zip(&factor).map(|(m, f)| m * f);
                let summand = beta.iter().zip(shift).map(|(b, s)| b - s).collect();
                Some(Self { factor, summand })
            }
            Op::Affine(op) => Some(Self {
                factor: widened(&op.scale),
                summand: widened(&op.bias),
            }),
            _ => None,
        }
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
        let mut start = 0;
        let part = |size: usize| {
            let range = start..start + size;
            start += size;
            Self {
                factor: self.factor[range.clone()].to_vec(),
                summand: self.summand[range].to_vec(),
            }
        };
        sizes.map(part).collect()
    }

    /// The map on the flattened value of channels with `plane` pixels.
    pub(super) fn flattened(&self, plane: usize) -> Self {
        let repeat = |v: &[f64]| v.iter().flat_map(|x| std::iter::repeat_n(*x, plane)).collect();
        Self {
            factor: repeat(&self.factor),
            summand: repeat(&self.summand),
        }
    }

    /// The map before flattening, if the pixels of each channel agree.
    pub(super) fn unflattened(&self, plane: usize) -> Option<Self> {
        let agree = |v: &[f64]| {
            v.chunks(plane)
                .all(|pixels| pixels.iter().all(|p| *p == pixels[0]))
        };
        let first = |v: &[f64]| v.iter().step_by(plane).copied().collect();
        (agree(&self.factor) && agree(&self.summand)).then(|| Self {
            factor: first(&self.factor),
            summand: first(&self.summand),
        })
    }
}

/// A convolution or linear layer, seen as rows of weights per output channel.
pub(super) struct Layer<'a> {
    weight: &'a mut Tensor,
    bias: &'a mut Option<Tensor>,
    groups: usize,
}

impl<'a> Layer<'a> {
    pub(super) fn of(op: &'a mut Op) -> Option<Self> {
        match op {
            Op::Conv2d(Conv2d {
                weight, bias, groups, ..
            }) => Some(Self {
                weight,
                bias,
                groups: *groups,
            }),
            Op::Linear(Linear { weight, bias }) => Some(Self {
                weight,
                bias,
                groups: 1,
            }),
            _ => None,
        }
    }

    /// Does `map` behind the layer: scaled rows, and a new bias.
    pub(super) fn then(self, map: &PerChannel) {
        let row = self.weight.len() / map.factor.len();
        let weight = widened(self.weight);
        let scaled = weight
            .chunks(row)
            .zip(&map.factor)
            .flat_map(|(r, f)| r.iter().map(move |w| w * f));
        let bias = bias_or_zero(self.bias, map.factor.len());
        let shifted = bias
            .iter()
            .zip(map.factor.iter().zip(&map.summand))
            .map(|(b, (f, s))| b * f + s);
        *self.bias = Some(narrowed(&shifted.collect::<Vec<_>>()));
        *self.weight = rebuilt(self.weight, scaled.collect());
    }

    /// Does `map` before the layer: scaled columns, and what the summands come to in the bias.
    /// Exact if every tap reads a pixel, or the map has no summand.
    pub(super) fn after(self, map: &PerChannel) {
        let out = self.weight.dims()[0];
        let (per_group, out_per_group) = (self.weight.dims()[1], out / self.groups);
        let taps = self.weight.len() / (out * per_group);
        let mut weight = widened(self.weight);
        let mut bias = bias_or_zero(self.bias, out);
        for (i, filter) in weight.chunks_mut(taps).enumerate() {
            let (o, column) = (i / per_group, i % per_group);
            let channel = o / out_per_group * per_group + column;
            bias[o] += map.summand[channel] * filter.iter().sum::<f64>();
            filter.iter_mut().for_each(|w| *w *= map.factor[channel]);
        }
        if self.bias.is_some() || !map.has_no_summand() {
            *self.bias = Some(narrowed(&bias));
        }
        *self.weight = rebuilt(self.weight, weight);
    }
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
