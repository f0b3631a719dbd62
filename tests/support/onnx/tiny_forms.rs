//! Small networks about branches, gates, resizes, and what exporters leave behind.

use super::builder::{ModelBuilder, Value};
use super::layers::Conv;
use super::linear::Linear;
use super::nets::{inverted_residual, option_a};
use super::shapes::{Operand, Resize};
use super::tiny::{Tiny, readout, stem};
use super::tiny_heads::head;
use super::window::{GlobalPool, Window};

/// Sums and concatenations.
pub(crate) fn residuals() -> Vec<Tiny> {
    vec![
        Tiny::new("residual_identity", [3, 9, 7], |b, x| {
            let x = stem(b, x, 8);
            let y = basic_branch(b, &x, 8, 1);
            let x = b.add("block", &y, &x);
            let x = b.relu("block.relu", &x);
            readout(b, &x)
        }),
        Tiny::new("residual_projection", [3, 11, 9], |b, x| {
            let x = stem(b, x, 8);
            let y = basic_branch(b, &x, 12, 2);
            let names = ["block.downsample.0", "block.downsample.1"];
            let shortcut = b.conv_bn(names, &x, Conv::new(12, 1, 2, 0), 1.0);
            let x = b.add("block", &y, &shortcut);
            let x = b.relu("block.relu", &x);
            readout(b, &x)
        }),
        Tiny::new("residual_option_a", [3, 11, 9], |b, x| {
            let x = stem(b, x, 8);
            let y = basic_branch(b, &x, 16, 2);
            let shortcut = option_a(b, "block", &x, 16);
            let x = b.add("block", &y, &shortcut);
            let x = b.relu("block.relu", &x);
            readout(b, &x)
        })
        .since(10),
        Tiny::new("residual_preactivation", [3, 9, 9], |b, x| {
            let x = b.conv("conv1", x, Conv::new(8, 3, 1, 1));
            let y = preactivation(b, "block.0", &x, 8);
            let x = b.add("block.0", &y, &x);
            let y = preactivation(b, "block.1", &x, 8);
            let x = b.add("block.1", &y, &x);
            let x = b.bn("bn", &x, 1.0);
            let x = b.relu("relu", &x);
            head(b, &x, Linear::Gemm)
        }),
        Tiny::new("residual_inverted", [3, 9, 11], |b, x| {
            let x = stem(b, x, 4);
            let x = inverted_residual(b, "block.0", &x, 3, 4, 1);
            let x = inverted_residual(b, "block.1", &x, 3, 6, 2);
            readout(b, &x)
        }),
        Tiny::new("add_three", [3, 7, 9], |b, x| {
            let x = stem(b, x, 6);
            let y = b.conv_bn(["conv1", "bn1"], &x, Conv::new(6, 3, 1, 1), 1.0);
            let z = b.conv_bn(["conv2", "bn2"], &x, Conv::new(6, 1, 1, 0), 1.0);
            let sum = b.add("", &y, &z);
            let sum = b.add("", &x, &sum);
            let x = b.relu("relu", &sum);
            readout(b, &x)
        }),
        Tiny::new("add_to_itself", [3, 7, 8], |b, x| {
            let x = stem(b, x, 6);
            let x = b.add("", &x, &x);
            readout(b, &x)
        }),
        Tiny::new("concat_two_widths", [3, 9, 8], |b, x| {
            let x = stem(b, x, 6);
            let y = b.conv_bn(["conv1", "bn1"], &x, Conv::new(5, 3, 1, 1), 1.0);
            let y = b.relu("relu", &y);
            let x = b.concat("", &[&x, &y]);
            readout(b, &x)
        }),
        Tiny::new("concat_then_norm", [3, 9, 11], |b, x| {
            let x = b.conv("conv0", x, Conv::new(6, 3, 1, 1));
            let y = dense_layer(b, "dense.0", &x);
            let x = b.concat("dense.0", &[&x, &y]);
            let y = dense_layer(b, "dense.1", &x);
            let x = b.concat("dense.1", &[&x, &y]);
            let x = b.bn("transition.norm", &x, 1.0);
            let x = b.relu("transition.relu", &x);
            readout(b, &x)
        }),
        Tiny::new("concat_with_pool", [3, 9, 7], |b, x| {
            let x = stem(b, x, 6);
            let narrow = b.conv_bn(["conv1", "bn1"], &x, Conv::new(4, 1, 1, 0), 1.0);
            let wide = b.conv_bn(["conv2", "bn2"], &x, Conv::new(5, 3, 1, 1), 1.0);
            let pooled = b.maxpool("maxpool", &x, Window::square(3, 1, 1));
            let x = b.concat("", &[&narrow, &wide, &pooled]);
            let x = b.relu("relu", &x);
            readout(b, &x)
        }),
        Tiny::new("unet", [3, 12, 10], |b, x| {
            let top = stem(b, x, 6);
            let down = b.maxpool("pool", &top, Window::square(2, 2, 0));
            let down = b.conv_bn(["conv1", "bn1"], &down, Conv::new(8, 3, 1, 1), 1.0);
            let down = b.relu("relu", &down);
            let up = b.resize("up", &down, top.map(), Resize::NEAREST);
            let x = b.concat("", &[&up, &top]);
            let x = b.conv_bn(["conv2", "bn2"], &x, Conv::new(6, 3, 1, 1), 1.0);
            let x = b.relu("relu", &x);
            readout(b, &x)
        }),
    ]
}

/// Pixels that become channels, and channels that become pixels.
pub(crate) fn shuffles() -> Vec<Tiny> {
    vec![
        Tiny::new("space_to_depth", [3, 8, 6], |b, x| {
            let x = stem(b, x, 6);
            let x = b.space_to_depth("down", &x, 2);
            let x = b.conv_bn(["conv", "bn"], &x, Conv::new(8, 3, 1, 1), 1.0);
            let x = b.relu("relu", &x);
            readout(b, &x)
        }),
        Tiny::new("space_to_depth_of_input", [3, 6, 9], |b, x| {
            let x = b.space_to_depth("down", x, 3);
            let x = stem(b, &x, 6);
            readout(b, &x)
        }),
        Tiny::new("depth_to_space", [3, 5, 4], |b, x| {
            let x = stem(b, x, 12);
            let x = b.depth_to_space("up", &x, 2, "DCR");
            let x = b.conv_bn(["conv", "bn"], &x, Conv::new(8, 3, 1, 1), 1.0);
            let x = b.relu("relu", &x);
            readout(b, &x)
        }),
        Tiny::new("depth_to_space_before_relu", [3, 5, 4], |b, x| {
            let x = b.conv_bn(["conv", "bn"], x, Conv::new(12, 3, 1, 1), 1.0);
            let x = b.depth_to_space("up", &x, 2, "CRD");
            let x = b.relu("relu", &x);
            readout(b, &x)
        })
        .since(11),
        Tiny::new("depth_to_space_added", [3, 6, 4], |b, x| {
            let top = stem(b, x, 6);
            let down = b.maxpool("pool", &top, Window::square(2, 2, 0));
            let down = b.conv_bn(["conv1", "bn1"], &down, Conv::new(24, 3, 1, 1), 1.0);
            let up = b.depth_to_space("up", &down, 2, "CRD");
            let x = b.add("", &up, &top);
            let x = b.relu("relu", &x);
            readout(b, &x)
        })
        .since(11),
        Tiny::new("depth_to_space_of_concat_with_input", [3, 5, 4], |b, x| {
            let y = b.conv_bn(["conv", "bn"], x, Conv::new(6, 3, 1, 1), 1.0);
            let y = b.relu6("relu", &y);
            let x = b.concat("", &[x, &y]);
            let x = b.depth_to_space("up", &x, 3, "DCR");
            readout(b, &x)
        }),
        Tiny::new("depth_to_space_output", [3, 5, 7], |b, x| {
            let x = stem(b, x, 6);
            let x = b.conv("readout", &x, Conv::new(8, 3, 1, 1).bias());
            b.depth_to_space("up", &x, 2, "CRD")
        })
        .since(11),
    ]
}

/// ReLUs, clips and norms in unusual places.
pub(crate) fn gates() -> Vec<Tiny> {
    vec![
        Tiny::new("relu6", [3, 9, 11], |b, x| {
            let x = b.conv_bn(["conv1", "bn1"], x, Conv::new(8, 3, 1, 1), 4.0);
            let x = b.relu6("relu", &x);
            readout(b, &x)
        }),
        Tiny::new("relu_of_relu", [3, 7, 9], |b, x| {
            let x = stem(b, x, 6);
            let x = b.relu("again", &x);
            readout(b, &x)
        }),
        Tiny::new("relu_output", [3, 9, 7], |b, x| {
            let x = b.conv_bn(["conv1", "bn1"], x, Conv::new(5, 3, 2, 1), 1.0);
            b.relu("relu", &x)
        }),
        Tiny::new("relu_on_input", [3, 7, 9], |b, x| {
            let x = b.relu("relu", x);
            readout(b, &x)
        }),
        Tiny::new("conv_used_twice", [3, 9, 8], |b, x| {
            let x = b.conv_bn(["conv1", "bn1"], x, Conv::new(6, 3, 1, 1), 1.0);
            let y = b.relu("relu", &x);
            let y = b.conv_bn(["conv2", "bn2"], &y, Conv::new(6, 3, 1, 1), 1.0);
            let x = b.add("", &x, &y);
            readout(b, &x)
        }),
        Tiny::new("norm_of_input", [3, 9, 7], |b, x| {
            let x = b.bn("bn0", x, 1.0);
            let x = stem(b, &x, 6);
            readout(b, &x)
        }),
        Tiny::new("norm_after_relu", [3, 7, 9], |b, x| {
            let x = stem(b, x, 6);
            let x = b.bn("bn1", &x, 1.0);
            let x = b.conv_bn(["conv2", "bn2"], &x, Conv::new(6, 3, 1, 1), 1.0);
            let x = b.relu("relu", &x);
            readout(b, &x)
        }),
        Tiny::new("norm_output", [3, 7, 9], |b, x| {
            let x = stem(b, x, 6);
            b.bn("bn1", &x, 2.0)
        }),
        Tiny::new("scale_and_bias", [3, 9, 7], |b, x| {
            let mean = Operand::PerChannel(vec![0.485, 0.456, 0.406]);
            let x = b.with_constant("Sub", x, &mean);
            let std = Operand::PerChannel(vec![0.229, 0.224, 0.225]);
            let x = b.with_constant("Div", &x, &std);
            let x = stem(b, &x, 6);
            let scale = Operand::PerChannel(vec![0.5, -1.5, 2.0, 0.25, 1.0, 3.0]);
            let x = b.with_constant("Mul", &x, &scale);
            let x = b.with_constant("Add", &x, &Operand::Scalar(0.75));
            readout(b, &x)
        }),
        Tiny::new("channels_of_very_different_range", [3, 9, 7], |b, x| {
            let x = stem(b, x, 6);
            let scale = Operand::PerChannel(vec![0.02, 20.0, 1.0, 0.1, 5.0, 0.5]);
            let x = b.with_constant("Mul", &x, &scale);
            let x = b.conv_bn(["conv2", "bn2"], &x, Conv::new(8, 3, 1, 1), 1.0);
            let x = b.relu("relu", &x);
            readout(b, &x)
        }),
    ]
}

/// Resizes, in the middle (a convolution follows) and at the end.
pub(crate) fn resizes() -> Vec<Tiny> {
    vec![
        Tiny::new("resize_nearest_middle", [3, 6, 7], |b, x| {
            resized(b, x, [12, 14], Resize::NEAREST, true)
        }),
        Tiny::new("resize_half_pixel_middle", [3, 6, 7], |b, x| {
            resized(b, x, [12, 14], Resize::HALF_PIXEL, true)
        })
        .since(11),
        Tiny::new("resize_align_corners_middle", [3, 6, 7], |b, x| {
            resized(b, x, [11, 13], Resize::ALIGN_CORNERS, true)
        })
        .since(11),
        Tiny::new("resize_asymmetric_linear_middle", [3, 6, 7], |b, x| {
            resized(
                b,
                x,
                [12, 14],
                Resize {
                    coordinates: "asymmetric",
                    by_sizes: false,
                    ..Resize::HALF_PIXEL
                },
                true,
            )
        })
        .since(11),
        Tiny::new("resize_nearest_end", [3, 6, 9], |b, x| {
            resized(b, x, [18, 18], Resize::NEAREST, false)
        }),
        Tiny::new("resize_half_pixel_end", [3, 6, 7], |b, x| {
            resized(
                b,
                x,
                [15, 13],
                Resize {
                    coordinates: "pytorch_half_pixel",
                    ..Resize::HALF_PIXEL
                },
                false,
            )
        })
        .since(11),
        Tiny::new("resize_align_corners_end", [3, 6, 7], |b, x| {
            resized(b, x, [21, 19], Resize::ALIGN_CORNERS, false)
        })
        .since(11),
        Tiny::new("resize_from_one_pixel", [3, 7, 9], |b, x| {
            let x = stem(b, x, 6);
            let pooled = b.gap("pool", &x, GlobalPool::Native);
            let pooled = b.conv("conv1", &pooled, Conv::new(5, 1, 1, 0).bias());
            let pooled = b.relu("relu", &pooled);
            let pooled = b.resize("up", &pooled, x.map(), Resize::ALIGN_CORNERS);
            let x = b.concat("", &[&pooled, &x]);
            readout(b, &x)
        })
        .since(11),
    ]
}

/// What exporters leave in a graph, and explicit pads and slices.
pub(crate) fn oddities() -> Vec<Tiny> {
    vec![
        Tiny::new("identity_and_dropout", [3, 7, 9], |b, x| {
            let x = b.identity("", x);
            let x = stem(b, &x, 6);
            let x = b.identity("", &x);
            let x = b.dropout("drop", &x);
            let x = readout(b, &x);
            b.identity("", &x)
        }),
        Tiny::new("shared_weights", [3, 7, 9], |b, x| {
            let x = stem(b, x, 6);
            let y = b.conv("conv", &x, Conv::new(6, 3, 1, 1));
            let y = b.bn("bn1", &y, 1.0);
            let y = b.relu("relu", &y);
            let y = b.conv("conv", &y, Conv::new(6, 3, 1, 1));
            let y = b.bn("bn2", &y, 1.0);
            let y = b.relu("relu", &y);
            readout(b, &y)
        }),
        Tiny::new("dead_branch", [3, 7, 9], |b, x| {
            let x = stem(b, x, 6);
            let unused = b.conv("auxiliary", &x, Conv::new(9, 3, 1, 1).bias());
            b.relu("auxiliary.relu", &unused);
            readout(b, &x)
        }),
        Tiny::new("pad_before_conv", [3, 9, 8], |b, x| {
            let x = stem(b, x, 6);
            let x = b.pad("pad", &x, [0, 0, 0], [0, 1, 1]);
            let x = b.conv_bn(["conv", "bn"], &x, Conv::new(8, 3, 2, 0), 1.0);
            let x = b.relu("relu", &x);
            readout(b, &x)
        }),
        Tiny::new("pad_before_maxpool", [3, 9, 8], |b, x| {
            let x = b.conv_bn(["conv1", "bn1"], x, Conv::new(6, 3, 1, 1), 1.0);
            let x = b.pad("pad", &x, [0, 1, 1], [0, 1, 1]);
            let x = b.maxpool("pool", &x, Window::square(3, 2, 0));
            readout(b, &x)
        }),
        Tiny::new("slice_of_map", [3, 11, 9], |b, x| {
            let x = stem(b, x, 6);
            let x = b.slice("", &x, 2, [1, 10, 1]);
            let x = b.slice("", &x, 3, [2, i64::MAX as usize, 1]);
            readout(b, &x)
        }),
        Tiny::new("slice_of_channels", [3, 7, 9], |b, x| {
            let x = stem(b, x, 8);
            let front = b.slice("", &x, 1, [0, 3, 1]);
            let back = b.slice("", &x, 1, [3, 8, 1]);
            let front = b.conv_bn(["conv1", "bn1"], &front, Conv::new(3, 3, 1, 1), 1.0);
            let front = b.relu("relu", &front);
            let x = b.concat("", &[&back, &front]);
            readout(b, &x)
        }),
        Tiny::new("one_channel", [1, 8, 8], |b, x| {
            let x = stem(b, x, 3);
            head(b, &x, Linear::Gemm)
        }),
        Tiny::new("linear_only", [3, 6, 7], readout),
    ]
}

fn basic_branch(b: &mut ModelBuilder, x: &Value, out: usize, stride: usize) -> Value {
    let y = b.conv_bn(["block.conv1", "block.bn1"], x, Conv::new(out, 3, stride, 1), 1.0);
    let y = b.relu("block.relu", &y);
    b.conv_bn(["block.conv2", "block.bn2"], &y, Conv::new(out, 3, 1, 1), 0.5)
}

fn preactivation(b: &mut ModelBuilder, module: &str, x: &Value, out: usize) -> Value {
    let names = ["bn1", "relu", "conv1", "bn2", "conv2"].map(|part| format!("{module}.{part}"));
    let [bn1, relu, conv1, bn2, conv2] = &names;
    let y = b.bn(bn1, x, 1.0);
    let y = b.relu(relu, &y);
    let y = b.conv_bn([conv1, bn2], &y, Conv::new(out, 3, 1, 1), 1.0);
    let y = b.relu(relu, &y);
    b.conv(conv2, &y, Conv::new(out, 3, 1, 1))
}

fn dense_layer(b: &mut ModelBuilder, module: &str, x: &Value) -> Value {
    let [norm, relu, conv] = ["norm", "relu", "conv"].map(|part| format!("{module}.{part}"));
    let y = b.bn(&norm, x, 1.0);
    let y = b.relu(&relu, &y);
    b.conv(&conv, &y, Conv::new(4, 3, 1, 1))
}

fn resized(b: &mut ModelBuilder, x: &Value, map: [usize; 2], resize: Resize, middle: bool) -> Value {
    let x = stem(b, x, 6);
    if !middle {
        let x = readout(b, &x);
        return b.resize("up", &x, map, resize);
    }
    let x = b.resize("up", &x, map, resize);
    let x = b.conv_bn(["conv", "bn"], &x, Conv::new(8, 3, 1, 1), 1.0);
    let x = b.relu("relu", &x);
    readout(b, &x)
}
