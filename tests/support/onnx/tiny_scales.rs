//! Small networks whose channels have unlike scales, over a factor of 10^4, in some layers; the
//! layers behind undo them.

use super::builder::{ModelBuilder, Value};
use super::layers::Conv;
use super::linear::Linear;
use super::shapes::Operand;
use super::tiny::{Tiny, readout};
use super::tiny_heads::head;
use super::window::Window;

/// The factors: powers of ten and a half, in no order.
const FACTORS: [f32; 8] = [1.0, 0.01, 31.6, 0.0316, 100.0, 3.16, 0.1, 10.0];

/// Channels of unlike scales.
pub(crate) fn scales() -> Vec<Tiny> {
    vec![
        Tiny::new("scales_relu", [3, 9, 7], |b, x| {
            let x = unlike(b, "conv1", x, 3, 1);
            let x = b.relu("relu1", &x);
            let x = undoing(b, "conv2", &x);
            readout(b, &x)
        }),
        Tiny::new("scales_residual", [3, 9, 7], |b, x| {
            let x = unlike(b, "conv1", x, 3, 1);
            let x = b.relu("relu1", &x);
            let y = undoing(b, "conv2", &x);
            let y = unlike(b, "conv3", &y, 3, 1);
            let x = b.add("block", &y, &x);
            let x = b.relu("relu3", &x);
            let x = undoing(b, "conv4", &x);
            readout(b, &x)
        }),
        Tiny::new("scales_depthwise", [3, 9, 7], |b, x| {
            let x = b.conv("conv1", x, Conv::new(8, 3, 1, 1));
            let x = b.relu("relu1", &x);
            let x = unlike(b, "conv2", &x, 3, 8);
            let x = b.relu("relu2", &x);
            let x = undoing(b, "conv3", &x);
            readout(b, &x)
        }),
        Tiny::new("scales_clip", [3, 9, 7], |b, x| {
            let x = unlike(b, "conv1", x, 3, 1);
            let x = b.with_constant("Div", &x, &Operand::Scalar(100.0));
            let x = b.relu6("relu1", &x);
            let x = b.with_constant("Mul", &x, &Operand::Scalar(100.0));
            let x = undoing(b, "conv2", &x);
            readout(b, &x)
        }),
        Tiny::new("scales_pools", [3, 11, 9], |b, x| {
            let x = unlike(b, "conv1", x, 3, 1);
            let x = b.relu("relu1", &x);
            let x = b.maxpool("maxpool", &x, Window::square(2, 2, 0));
            let x = b.avgpool("avgpool", &x, Window::square(3, 1, 1), false);
            let x = undoing(b, "conv2", &x);
            head(b, &x, Linear::Gemm)
        }),
    ]
}

/// A convolution whose channels have the factors.
fn unlike(b: &mut ModelBuilder, module: &str, x: &Value, kernel: usize, groups: usize) -> Value {
    let conv = Conv::new(FACTORS.len(), kernel, 1, kernel / 2).groups(groups);
    let x = b.conv(module, x, conv.bias());
    b.with_constant("Mul", &x, &Operand::PerChannel(FACTORS.to_vec()))
}

/// A convolution, with its ReLU, of an operand whose factors are undone.
fn undoing(b: &mut ModelBuilder, module: &str, x: &Value) -> Value {
    let x = b.with_constant("Div", x, &Operand::PerChannel(FACTORS.to_vec()));
    let x = b.conv(module, &x, Conv::new(8, 3, 1, 1).bias());
    b.relu(&format!("{module}.relu"), &x)
}
