//! Whole networks with seeded weights: the ResNets and MobileNetV2, at their published shapes.

use super::builder::{ModelBuilder, Options, Value};
use super::layers::Conv;
use super::linear::Linear;
use super::shapes::Flatten;
use super::window::{GlobalPool, Window};

/// The gain of a residual branch's last batch norm: small, so that depth doesn't add up.
const BRANCH_GAIN: f32 = 0.25;

/// ResNet-50 for 3×224×224 as torchvision builds it: max-pool, bottlenecks, strides in the 3×3.
pub(crate) fn resnet50(seed: u64, classes: usize) -> Vec<u8> {
    Resnet::RESNET50.build(seed, 224, classes, Options::torchscript(17))
}

/// ResNet-18 for 3×32×32 and 100 classes: a 3×3 stem and no max-pool.
pub(crate) fn resnet18_cifar(seed: u64) -> Vec<u8> {
    Resnet::RESNET18_CIFAR.build(seed, 32, 100, Options::torchscript(17))
}

/// ResNet-20 for 3×32×32 and 10 classes: shortcuts that slice and pad.
pub(crate) fn resnet20(seed: u64) -> Vec<u8> {
    Resnet::RESNET20.build(seed, 32, 10, Options::torchscript(13))
}

/// MobileNetV2 for 3×resolution×resolution and 1000 classes, ReLU6 throughout.
pub(crate) fn mobilenet_v2(seed: u64, width: f32, resolution: usize) -> Vec<u8> {
    mobilenet_v2_with(seed, width, resolution, Options::torchscript(13))
}

/// What stands beside the residual branch where the shape changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortcut {
    /// A 1×1 convolution with a batch norm.
    Projection,
    /// Every second pixel, zero channels before and after ("option A").
    SlicePad,
}

/// The shape of a ResNet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resnet {
    /// Blocks per stage.
    pub(crate) blocks: &'static [usize],
    /// Channels of the first stage; each further stage has twice as many.
    pub(crate) width: usize,
    /// Output channels over inner channels: 1 for basic blocks, 4 for bottlenecks.
    pub(crate) expansion: usize,
    /// A 7×7 stem with stride 2 and a max-pool, in place of a 3×3 stem.
    pub(crate) imagenet_stem: bool,
    /// What stands beside a branch that changes the shape.
    pub(crate) shortcut: Shortcut,
}

impl Resnet {
    /// ResNet-50.
    pub(crate) const RESNET50: Self = Self {
        blocks: &[3, 4, 6, 3],
        width: 64,
        expansion: 4,
        imagenet_stem: true,
        shortcut: Shortcut::Projection,
    };
    /// ResNet-18 for small images.
    pub(crate) const RESNET18_CIFAR: Self = Self {
        blocks: &[2, 2, 2, 2],
        width: 64,
        expansion: 1,
        imagenet_stem: false,
        shortcut: Shortcut::Projection,
    };
    /// ResNet-20 for small images.
    pub(crate) const RESNET20: Self = Self {
        blocks: &[3, 3, 3],
        width: 16,
        expansion: 1,
        imagenet_stem: false,
        shortcut: Shortcut::SlicePad,
    };

    /// The network for square images of `resolution` pixels.
    pub(crate) fn build(&self, seed: u64, resolution: usize, classes: usize, options: Options) -> Vec<u8> {
        let mut b = ModelBuilder::new(seed, options);
        let mut x = b.input([3, resolution, resolution]);
        x = self.stem(&mut b, &x);
        for (stage, blocks) in self.blocks.iter().enumerate() {
            for block in 0..*blocks {
                let module = format!("layer{}.{block}", stage + 1);
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                x = self.block(&mut b, &module, &x, self.width << stage, stride);
            }
        }
        x = b.gap("avgpool", &x, GlobalPool::Native);
        x = b.flatten("", &x, Flatten::Native);
        x = b.linear("fc", &x, classes, Linear::Gemm, 3.0);
        b.finish(&x)
    }

    fn stem(&self, b: &mut ModelBuilder, x: &Value) -> Value {
        let conv = match self.imagenet_stem {
            true => Conv::new(self.width, 7, 2, 3),
            false => Conv::new(self.width, 3, 1, 1),
        };
        let x = b.conv_bn(["conv1", "bn1"], x, conv, 1.0);
        let x = b.relu("relu", &x);
        match self.imagenet_stem {
            true => b.maxpool("maxpool", &x, Window::square(3, 2, 1)),
            false => x,
        }
    }

    fn block(&self, b: &mut ModelBuilder, module: &str, x: &Value, inner: usize, stride: usize) -> Value {
        let out = inner * self.expansion;
        let branch = if self.expansion == 1 {
            vec![Conv::new(inner, 3, stride, 1), Conv::new(out, 3, 1, 1)]
        } else {
            vec![
                Conv::new(inner, 1, 1, 0),
                Conv::new(inner, 3, stride, 1),
                Conv::new(out, 1, 1, 0),
            ]
        };
        let relu = format!("{module}.relu");
        let last = branch.len();
        let mut y = x.clone();
        for (i, conv) in (1..).zip(branch) {
            let names = [format!("{module}.conv{i}"), format!("{module}.bn{i}")];
            let gain = if i == last { BRANCH_GAIN } else { 1.0 };
            y = b.conv_bn([&names[0], &names[1]], &y, conv, gain);
            if i < last {
                y = b.relu(&relu, &y);
            }
        }
        let shortcut = if x.channels() == out && stride == 1 {
            x.clone()
        } else {
            self.shortcut(b, module, x, out, stride)
        };
        let sum = b.add(module, &y, &shortcut);
        b.relu(&relu, &sum)
    }

    fn shortcut(&self, b: &mut ModelBuilder, module: &str, x: &Value, out: usize, stride: usize) -> Value {
        match self.shortcut {
            Shortcut::Projection => {
                let names = [0, 1].map(|i| format!("{module}.downsample.{i}"));
                let conv = Conv::new(out, 1, stride, 0);
                b.conv_bn([&names[0], &names[1]], x, conv, 1.0)
            }
            Shortcut::SlicePad => option_a(b, module, x, out),
        }
    }
}

/// The shortcut that has no weights: every second pixel, the new channels zero on both sides.
pub(crate) fn option_a(b: &mut ModelBuilder, module: &str, x: &Value, out: usize) -> Value {
    let x = b.slice(module, x, 2, [0, i64::MAX as usize, 2]);
    let x = b.slice(module, &x, 3, [0, i64::MAX as usize, 2]);
    let new = out - x.channels();
    b.pad(module, &x, [new / 2, 0, 0], [new - new / 2, 0, 0])
}

/// [`mobilenet_v2`] written down in another way.
pub(crate) fn mobilenet_v2_with(seed: u64, width: f32, resolution: usize, options: Options) -> Vec<u8> {
    /// Expansion, channels, blocks, stride of each stage.
    const STAGES: [(usize, usize, usize, usize); 7] = [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ];
    let mut b = ModelBuilder::new(seed, options);
    let mut x = b.input([3, resolution, resolution]);
    x = conv_bn_relu6(
        &mut b,
        "features.0",
        &x,
        Conv::new(round_to_8(32, width), 3, 2, 1),
    );
    let mut index = 1;
    for (expansion, channels, blocks, stride) in STAGES {
        for block in 0..blocks {
            let stride = if block == 0 { stride } else { 1 };
            let module = format!("features.{index}");
            x = inverted_residual(
                &mut b,
                &module,
                &x,
                expansion,
                round_to_8(channels, width),
                stride,
            );
            index += 1;
        }
    }
    let last = round_to_8(1280, width.max(1.0));
    x = conv_bn_relu6(&mut b, "features.18", &x, Conv::new(last, 1, 1, 0));
    x = b.gap("", &x, GlobalPool::Native);
    x = b.flatten("", &x, Flatten::Native);
    x = b.linear("classifier.1", &x, 1000, Linear::Gemm, 3.0);
    b.finish(&x)
}

/// MobileNetV2's block: expand, depthwise, project; added to its input where the shape stays.
pub(crate) fn inverted_residual(
    b: &mut ModelBuilder,
    module: &str,
    x: &Value,
    expansion: usize,
    out: usize,
    stride: usize,
) -> Value {
    let inner = x.channels() * expansion;
    let mut y = x.clone();
    let mut index = 0;
    if expansion != 1 {
        y = conv_bn_relu6(b, &format!("{module}.conv.0"), &y, Conv::new(inner, 1, 1, 0));
        index += 1;
    }
    let depthwise = Conv::new(inner, 3, stride, 1).groups(inner);
    y = conv_bn_relu6(b, &format!("{module}.conv.{index}"), &y, depthwise);
    let names = [index + 1, index + 2].map(|i| format!("{module}.conv.{i}"));
    let residual = stride == 1 && x.channels() == out;
    let gain = if residual { BRANCH_GAIN } else { 1.0 };
    y = b.conv_bn([&names[0], &names[1]], &y, Conv::new(out, 1, 1, 0), gain);
    if residual { b.add(module, x, &y) } else { y }
}

fn conv_bn_relu6(b: &mut ModelBuilder, module: &str, x: &Value, conv: Conv) -> Value {
    let names = [format!("{module}.0"), format!("{module}.1")];
    let x = b.conv_bn([&names[0], &names[1]], x, conv, 1.0);
    b.relu6(&format!("{module}.2"), &x)
}

/// Channels times the width, to the nearest multiple of 8 that isn't more than 10 % too small.
fn round_to_8(channels: usize, width: f32) -> usize {
    let wanted = channels as f32 * width;
    let rounded = (((wanted + 4.0) / 8.0) as usize * 8).max(8);
    if (rounded as f32) < 0.9 * wanted {
        rounded + 8
    } else {
        rounded
    }
}
