//! Small networks about what ends a network: global pools, reshapes, linear layers, softmax and
//! argmax, each in the ways that exporters write it.

use super::builder::{ModelBuilder, Value};
use super::layers::Conv;
use super::linear::Linear;
use super::shapes::{Flatten, Resize};
use super::tiny::{Tiny, readout, stem};
use super::window::{GlobalPool, Window};

/// What ends a network: pools, reshapes, linear layers, softmax and argmax.
pub(crate) fn heads() -> Vec<Tiny> {
    use {Flatten as F, GlobalPool as G, Linear as L};
    let input = [3, 9, 7];
    vec![
        Tiny::new("head_gemm", input, |b, x| {
            pooled(b, x, G::Operator, F::Operator, L::Gemm)
        }),
        Tiny::new("head_gemm_plain", input, |b, x| {
            pooled(b, x, G::Operator, F::ZeroMinusOne, L::GemmPlain)
        }),
        Tiny::new("head_gemm_scaled", input, |b, x| {
            pooled(b, x, G::ReduceMean, F::Constant, L::GemmScaled)
        }),
        Tiny::new("head_no_bias", input, |b, x| {
            pooled(b, x, G::ReduceMeanNegativeAxes, F::ShapeChain, L::NoBias)
        }),
        Tiny::new("head_matmul_add", input, |b, x| {
            pooled(b, x, G::FullWindow, F::Squeeze, L::MatMulAdd)
        }),
        Tiny::new("head_mean_dropped", input, |b, x| {
            let x = stem(b, x, 8);
            let x = b.gap("", &x, G::ReduceMeanDropped);
            b.linear("fc", &x, 7, L::Gemm, 3.0)
        }),
        Tiny::new("head_convolution", input, |b, x| {
            let x = stem(b, x, 8);
            let x = b.gap("pool", &x, G::Native);
            let x = b.conv("fc", &x, Conv::new(7, 1, 1, 0).bias());
            b.flatten("", &x, F::Native)
        }),
        Tiny::new("head_flat_map", [3, 7, 6], |b, x| {
            let x = stem(b, x, 5);
            let x = b.flatten("", &x, F::ShapeChain);
            b.linear("fc", &x, 7, L::Gemm, 1.0)
        }),
        Tiny::new("head_two_layers", [3, 8, 9], |b, x| {
            let x = stem(b, x, 6);
            let x = b.maxpool("pool", &x, Window::square(2, 2, 0));
            let x = b.flatten("", &x, F::Native);
            let x = b.linear("fc1", &x, 13, L::Gemm, 1.0);
            let x = b.relu("relu", &x);
            b.linear("fc2", &x, 7, L::MatMulAdd, 2.0)
        }),
        Tiny::new("head_softmax", input, |b, x| {
            let x = stem(b, x, 8);
            let x = head(b, &x, L::Gemm);
            b.softmax(&x)
        }),
        Tiny::new("head_argmax", input, |b, x| {
            let x = stem(b, x, 8);
            let x = head(b, &x, L::Gemm);
            b.argmax(&x, false)
        })
        .indices(),
        Tiny::new("map_softmax", [3, 6, 7], |b, x| {
            let x = stem(b, x, 6);
            let x = readout(b, &x);
            let x = b.resize("up", &x, [12, 14], Resize::HALF_PIXEL);
            b.softmax(&x)
        })
        .since(13),
        Tiny::new("map_argmax", [3, 6, 7], |b, x| {
            let x = stem(b, x, 6);
            let x = readout(b, &x);
            let x = b.resize("up", &x, [21, 19], Resize::ALIGN_CORNERS);
            b.argmax(&x, true)
        })
        .since(11)
        .indices(),
        Tiny::new("mean_then_convolution", input, |b, x| {
            let x = stem(b, x, 8);
            let x = b.gap("", &x, G::ReduceMean);
            let x = b.conv("conv2", &x, Conv::new(6, 1, 1, 0).bias());
            let x = b.relu("relu", &x);
            readout(b, &x)
        }),
    ]
}

/// Stem, global pool, vector, seven classes.
fn pooled(b: &mut ModelBuilder, x: &Value, pool: GlobalPool, flatten: Flatten, linear: Linear) -> Value {
    let x = stem(b, x, 8);
    let x = b.gap("avgpool", &x, pool);
    let x = b.flatten("", &x, flatten);
    b.linear("fc", &x, 7, linear, 3.0)
}

/// Global pool, vector, seven classes.
pub(crate) fn head(b: &mut ModelBuilder, x: &Value, linear: Linear) -> Value {
    let x = b.gap("avgpool", x, GlobalPool::Native);
    let x = b.flatten("", &x, Flatten::Native);
    b.linear("fc", &x, 7, linear, 3.0)
}
