//! Linear layers in their many spellings, softmax and argmax.

use super::builder::{ModelBuilder, Style, Value};
use super::layers::centring;
use super::moments::Moment;
use super::proto;
use super::rng::Rng;

/// The ways to write a linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Linear {
    /// `Gemm` with `transB = 1`, PyTorch's way.
    Gemm,
    /// `Gemm` with the weights the other way round.
    GemmPlain,
    /// `Gemm` with `alpha` and `beta` other than 1.
    GemmScaled,
    /// `Gemm` without a bias (from opset 11), `MatMul` before.
    NoBias,
    /// `MatMul`, then `Add`.
    MatMulAdd,
}

impl ModelBuilder {
    /// A linear layer on a vector: centred, scaled so that its outputs spread by about `gain`.
    pub(crate) fn linear(&mut self, module: &str, x: &Value, out: usize, form: Linear, gain: f32) -> Value {
        let x = &if self.options.sprinkle {
            self.dropout(module, x)
        } else {
            x.clone()
        };
        let features = x.channels();
        let power: f32 = x.moments.iter().map(|m| m.var).sum();
        let std = gain / power.sqrt().max(1e-3);
        let weight = format!("{module}.weight");
        let rows = Rng::named(self.seed, &weight).normals(out * features, std);
        let moment = |row: &[f32]| {
            row.iter()
                .zip(&x.moments)
                .fold(Moment { mean: 0.0, var: 0.0 }, |sum, (w, m)| {
                    sum.plus(m.affine(*w, 0.0))
                })
        };
        let moments: Vec<_> = rows.chunks(features).map(moment).collect();
        let bias = centring(&mut Rng::named(self.seed, &format!("{module}.bias")), &moments);
        let shape = LinearShape {
            features,
            out,
            rows: &rows,
            bias: &bias,
        };
        self.linear_node(module, x, form, &shape, moments)
    }

    fn linear_node(
        &mut self,
        module: &str,
        x: &Value,
        form: Linear,
        shape: &LinearShape<'_>,
        moments: Vec<Moment>,
    ) -> Value {
        let (weight, bias) = (format!("{module}.weight"), format!("{module}.bias"));
        let (out, centred) = (
            shape.out,
            vec![
                Moment {
                    mean: 0.0,
                    var: moments[0].var
                };
                shape.out
            ],
        );
        let (alpha, beta) = if form == Linear::GemmScaled {
            (0.5, 2.0)
        } else {
            (1.0, 1.0)
        };
        let gemm = |transposed: i64| {
            vec![
                proto::float("alpha", alpha),
                proto::float("beta", beta),
                proto::int("transB", transposed),
            ]
        };
        if form != Linear::NoBias {
            let data: Vec<_> = shape.bias.iter().map(|b| b * alpha / beta).collect();
            self.store_f32(&bias, &[out], &data);
        }
        match form {
            Linear::Gemm | Linear::GemmScaled => {
                self.store_f32(&weight, &[out, shape.features], shape.rows);
                let inputs = [&x.name, &weight, &bias].map(String::as_str);
                self.add_node("Gemm", module, &inputs, gemm(1), vec![out], centred)
            }
            Linear::GemmPlain => {
                self.store_f32(&weight, &[shape.features, out], &shape.columns());
                let inputs = [&x.name, &weight, &bias].map(String::as_str);
                self.add_node("Gemm", module, &inputs, gemm(0), vec![out], centred)
            }
            Linear::NoBias if self.options.opset >= 11 => {
                self.store_f32(&weight, &[out, shape.features], shape.rows);
                self.add_node("Gemm", module, &[&x.name, &weight], gemm(1), vec![out], moments)
            }
            Linear::NoBias | Linear::MatMulAdd => {
                self.store_f32(&weight, &[shape.features, out], &shape.columns());
                let y = self.add_node("MatMul", module, &[&x.name, &weight], vec![], vec![out], moments);
                if form == Linear::NoBias {
                    return y;
                }
                // The bias comes first in PyTorch's older files.
                let inputs = match self.options.style {
                    Style::TorchScript => [bias.as_str(), y.name.as_str()],
                    Style::Dynamo => [y.name.as_str(), bias.as_str()],
                };
                self.add_node("Add", module, &inputs, vec![], vec![out], centred)
            }
        }
    }

    /// A softmax over the classes.
    pub(crate) fn softmax(&mut self, x: &Value) -> Value {
        let attributes = vec![proto::int("axis", 1)];
        self.add_node(
            "Softmax",
            "softmax",
            &[&x.name],
            attributes,
            x.dims.clone(),
            x.moments.clone(),
        )
    }

    /// The index of the largest class; finish the model with [`ModelBuilder::finish_indices`].
    pub(crate) fn argmax(&mut self, x: &Value, keepdims: bool) -> Value {
        let attributes = vec![proto::int("axis", 1), proto::int("keepdims", i64::from(keepdims))];
        let kept: &[usize] = if keepdims { &[1] } else { &[] };
        let name = self.add_plain_node("ArgMax", "", &[&x.name], attributes);
        Value {
            name,
            dims: [kept, &x.dims[1..]].concat(),
            moments: vec![],
        }
    }
}

/// A linear layer's contents, a row per output.
struct LinearShape<'a> {
    features: usize,
    out: usize,
    rows: &'a [f32],
    bias: &'a [f32],
}

impl LinearShape<'_> {
    /// The weights transposed.
    fn columns(&self) -> Vec<f32> {
        let weight = |i: usize| self.rows[i % self.out * self.features + i / self.out];
        (0..self.rows.len()).map(weight).collect()
    }
}
