//! What the tail's operators compute.

use super::Op;
use crate::tail::along::{Reduction, best, best_few, softmax};
use crate::tail::array::{Array, Type};
use crate::tail::layout::{broadcast, transposed};

impl Op {
    /// The result, whose type is known, on operands that [`infer`](Self::infer) accepted.
    pub(in crate::tail) fn eval(&self, operands: &[&Array], ty: &Type) -> Array {
        let mut values = match (self, operands) {
            (Op::Number(value, _), _) => vec![*value],
            (Op::Binary(op), [a, b]) => {
                let [a, b] = [a, b].map(|x| broadcast(&x.values, &x.dims, &ty.dims));
                a.into_iter().zip(b).map(|(a, b)| op.of(a, b)).collect()
            }
            (_, [x]) => self.eval_one(x),
            (_, _) => Vec::new(),
        };
        values.iter_mut().for_each(|v| *v = ty.dtype.cast(*v));
        Array {
            dims: ty.dims.clone(),
            dtype: ty.dtype,
            values,
        }
    }

    fn eval_one(&self, x: &Array) -> Vec<f64> {
        match self {
            Op::Unary(op) => x.values.iter().map(|&v| op.of(v)).collect(),
            Op::HardSigmoid { alpha, beta } => {
                let values = x.values.iter();
                values.map(|&v| (alpha * v + beta).clamp(0.0, 1.0)).collect()
            }
            Op::Softmax { first, last, log } => along(x, *first, *last, |lane| {
                softmax(lane, *log);
                lane.to_vec()
            }),
            Op::Reduce { how, axes, .. } => reduce(x, *how, axes),
            Op::Arg {
                axis, largest, last, ..
            } => along(
                x,
                *axis,
                axis + 1,
                |lane| vec![best(lane, *largest, *last) as f64],
            ),
            Op::TopK {
                axis,
                count,
                largest,
                indices,
            } => along(x, *axis, axis + 1, |lane| {
                let few = best_few(lane, *largest, *count).into_iter();
                few.map(|at| if *indices { at as f64 } else { lane[at] })
                    .collect()
            }),
            Op::Transpose(perm) => transposed(&x.values, &x.dims, perm),
            Op::Expand(dims) => broadcast(&x.values, &x.dims, dims),
            Op::Cast(_) | Op::Reshape(_) | Op::Number(..) | Op::Binary(_) => x.values.clone(),
        }
    }
}

fn reduce(x: &Array, how: Reduction, axes: &[usize]) -> Vec<f64> {
    // The axes that go are made the last.
    let stay = (0..x.dims.len()).filter(|a| !axes.contains(a));
    let perm: Vec<usize> = stay.chain(axes.iter().copied()).collect();
    let count: usize = axes.iter().map(|&a| x.dims[a]).product();
    let values = transposed(&x.values, &x.dims, &perm);
    values.chunks(count).map(|lane| how.of(lane)).collect()
}

/// Applies `f` to each lane along the axes `first..last`, taken as one; lanes may become shorter, all
/// alike.
fn along(x: &Array, first: usize, last: usize, f: impl Fn(&mut [f64]) -> Vec<f64>) -> Vec<f64> {
    let outer: usize = x.dims[..first].iter().product();
    let count: usize = x.dims[first..last].iter().product();
    let inner: usize = x.dims[last..].iter().product();
    let mut values = Vec::new();
    let mut lane = vec![0.0; count];
    for at in 0..outer * inner {
        let from = at / inner;
        let offset = at % inner;
        for (i, value) in lane.iter_mut().enumerate() {
            *value = x.values[(from * count + i) * inner + offset];
        }
        let result = f(&mut lane);
        if values.is_empty() {
            values = vec![0.0; outer * inner * result.len()];
        }
        for (i, value) in result.iter().enumerate() {
            values[(from * result.len() + i) * inner + offset] = *value;
        }
    }
    values
}
