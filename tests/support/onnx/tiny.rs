//! Small networks on odd maps, each about one thing: the list, and the nets about windows.
//!
//! Most begin with the same stem (a 3×3 convolution, batch norm, ReLU) and end in a 1×1
//! convolution that keeps the map, so that a wrong pixel shows where it is.

use super::builder::{Batch, ModelBuilder, Options, Value};
use super::layers::Conv;
use super::window::{Padding, Window};
use super::{tiny_forms, tiny_heads, tiny_scales};

/// Name, file, and the input's channels, height and width.
pub(crate) type TinyModel = (&'static str, Vec<u8>, [usize; 3]);

/// A small network that can be written down in any style.
#[derive(Clone, Copy)]
pub(crate) struct Tiny {
    /// What it is about; also what its seed derives from.
    pub(crate) name: &'static str,
    /// Channels, height and width of the input.
    pub(crate) input: [usize; 3],
    /// The oldest operator set that can express it.
    pub(crate) min_opset: i64,
    /// It ends in class indices, not in floats.
    pub(crate) indices: bool,
    /// Adds its layers.
    pub(crate) layers: fn(&mut ModelBuilder, &Value) -> Value,
}

impl Tiny {
    pub(crate) const fn new(
        name: &'static str,
        input: [usize; 3],
        layers: fn(&mut ModelBuilder, &Value) -> Value,
    ) -> Self {
        Self {
            name,
            input,
            min_opset: 9,
            indices: false,
            layers,
        }
    }

    pub(crate) const fn since(self, min_opset: i64) -> Self {
        Self { min_opset, ..self }
    }

    pub(crate) const fn indices(self) -> Self {
        Self {
            indices: true,
            ..self
        }
    }

    /// The file; an older operator set than it needs is raised.
    pub(crate) fn build(&self, options: Options) -> Vec<u8> {
        let seed = self
            .name
            .bytes()
            .fold(7, |seed: u64, byte| seed * 31 % 1_000_003 + u64::from(byte));
        let opset = options.opset.max(self.min_opset);
        let mut b = ModelBuilder::new(seed, Options { opset, ..options });
        let x = b.input(self.input);
        let y = (self.layers)(&mut b, &x);
        if self.indices {
            b.finish_indices(&y)
        } else {
            b.finish(&y)
        }
    }
}

/// Every small network, in a mixture of operator sets, exporters and ways to store tensors.
pub(crate) fn all_tiny() -> Vec<TinyModel> {
    let mixture = mixture();
    let options = mixture.iter().cycle();
    tiny_nets()
        .iter()
        .zip(options)
        .map(|(net, o)| (net.name, net.build(*o), net.input))
        .collect()
}

/// Every small network, written down as asked (or with the next operator set that can).
pub(crate) fn all_tiny_with(options: Options) -> Vec<TinyModel> {
    tiny_nets()
        .iter()
        .map(|net| (net.name, net.build(options), net.input))
        .collect()
}

/// Eleven ways to write a file; a prime number, so that neighbours in the list don't share one.
fn mixture() -> [Options; 11] {
    let torchscript = Options::torchscript;
    let fixed = Batch::Fixed(1);
    [
        torchscript(13),
        Options::dynamo(18),
        torchscript(9),
        Options {
            sprinkle: true,
            ..torchscript(17)
        },
        torchscript(11),
        Options {
            batch: fixed,
            ..Options::dynamo(20)
        },
        Options {
            initializers_as_inputs: true,
            typed_data: true,
            ..torchscript(9)
        },
        Options {
            constant_nodes: false,
            batch: fixed,
            ..torchscript(14)
        },
        Options {
            sprinkle: true,
            typed_data: true,
            ..torchscript(10)
        },
        Options {
            fold_bn: false,
            ..Options::dynamo(21)
        },
        Options {
            fold_bn: true,
            typed_data: true,
            ..torchscript(16)
        },
    ]
}

/// The list of small networks.
pub(crate) fn tiny_nets() -> Vec<Tiny> {
    let mut nets = vec![
        Tiny::new("conv_3x3", [3, 9, 11], |b, x| {
            windowed(b, x, Window::square(3, 1, 1))
        }),
        Tiny::new("conv_1x1", [3, 7, 9], |b, x| {
            windowed(b, x, Window::square(1, 1, 0))
        }),
        Tiny::new("conv_7x7_stride_2", [3, 15, 13], |b, x| {
            windowed(b, x, Window::square(7, 2, 3))
        }),
        Tiny::new("conv_5x5_no_padding", [3, 11, 9], |b, x| {
            windowed(b, x, Window::square(5, 1, 0))
        }),
        Tiny::new("conv_stride_2_odd", [3, 11, 13], |b, x| {
            windowed(b, x, Window::square(3, 2, 1))
        }),
        Tiny::new("conv_stride_3_leftover", [3, 12, 10], |b, x| {
            windowed(b, x, Window::square(3, 3, 0))
        }),
        Tiny::new("conv_1x1_stride_2_odd", [3, 9, 15], |b, x| {
            windowed(b, x, Window::square(1, 2, 0))
        }),
        Tiny::new("conv_asymmetric_padding", [3, 10, 9], |b, x| {
            windowed(b, x, padded(Window::square(3, 2, 0), [0, 1, 2, 1]))
        }),
        Tiny::new("conv_tensorflow_padding", [3, 10, 12], |b, x| {
            windowed(b, x, padded(Window::square(3, 2, 0), [0, 0, 1, 1]))
        }),
        Tiny::new("conv_same_upper", [3, 10, 13], |b, x| {
            windowed(
                b,
                x,
                Window {
                    padding: Padding::SameUpper,
                    ..Window::square(3, 2, 0)
                },
            )
        }),
        Tiny::new("conv_same_lower", [3, 10, 13], |b, x| {
            windowed(
                b,
                x,
                Window {
                    padding: Padding::SameLower,
                    ..Window::square(4, 2, 0)
                },
            )
        }),
        Tiny::new("conv_rectangular", [3, 9, 14], |b, x| {
            let window = Window {
                kernel: [1, 5],
                stride: [1, 2],
                ..Window::square(1, 1, 0)
            };
            windowed(b, x, padded(window, [0, 2, 0, 2]))
        }),
        Tiny::new("conv_dilated", [3, 11, 9], |b, x| {
            windowed(
                b,
                x,
                Window {
                    dilation: [2, 2],
                    ..Window::square(3, 1, 2)
                },
            )
        }),
        Tiny::new("conv_dilated_unevenly", [3, 13, 10], |b, x| {
            let window = Window {
                dilation: [1, 3],
                stride: [2, 1],
                ..Window::square(3, 1, 0)
            };
            windowed(b, x, padded(window, [1, 3, 1, 3]))
        }),
        Tiny::new("conv_groups_2", [3, 9, 7], |b, x| grouped(b, x, 8, 12, 2)),
        Tiny::new("conv_groups_4_stride_2", [3, 9, 7], |b, x| {
            let x = stem(b, x, 8);
            let x = b.conv_bn(["conv", "bn"], &x, Conv::new(16, 3, 2, 1).groups(4), 1.0);
            readout(b, &x)
        }),
        Tiny::new("depthwise", [3, 9, 11], |b, x| grouped(b, x, 8, 8, 8)),
        Tiny::new("depthwise_stride_2_multiplier_2", [3, 11, 9], |b, x| {
            let x = stem(b, x, 6);
            let x = b.conv_bn(["conv", "bn"], &x, Conv::new(12, 3, 2, 1).groups(6), 1.0);
            readout(b, &x)
        }),
        Tiny::new("depthwise_dilated", [3, 11, 12], |b, x| {
            let x = stem(b, x, 6);
            let window = Window {
                dilation: [3, 3],
                ..Window::square(3, 1, 3)
            };
            let x = b.conv_bn(["conv", "bn"], &x, Conv::windowed(6, window).groups(6), 1.0);
            readout(b, &x)
        }),
        Tiny::new("conv_bias_without_norm", [3, 9, 8], |b, x| {
            let x = b.conv("conv1", x, Conv::new(8, 3, 1, 1).bias());
            let x = b.relu("relu", &x);
            let x = b.conv("conv2", &x, Conv::new(6, 3, 2, 1).bias());
            let x = b.relu("relu", &x);
            readout(b, &x)
        }),
        Tiny::new("maxpool_3x3_stride_2", [3, 13, 11], |b, x| {
            max_pooled(b, x, Window::square(3, 2, 1))
        }),
        Tiny::new("maxpool_2x2", [3, 9, 12], |b, x| {
            max_pooled(b, x, Window::square(2, 2, 0))
        }),
        Tiny::new("maxpool_stride_1", [3, 7, 9], |b, x| {
            max_pooled(b, x, Window::square(3, 1, 1))
        }),
        Tiny::new("maxpool_ceil", [3, 10, 12], |b, x| {
            max_pooled(
                b,
                x,
                Window {
                    ceil: true,
                    ..Window::square(3, 2, 0)
                },
            )
        })
        .since(10),
        Tiny::new("maxpool_asymmetric", [3, 9, 10], |b, x| {
            let window = Window {
                kernel: [3, 2],
                stride: [2, 1],
                ..Window::square(1, 1, 0)
            };
            max_pooled(b, x, padded(window, [1, 0, 0, 1]))
        }),
        Tiny::new("maxpool_before_relu", [3, 12, 10], |b, x| {
            let x = b.conv_bn(["conv1", "bn1"], x, Conv::new(8, 3, 1, 1), 1.0);
            let x = b.maxpool("maxpool", &x, Window::square(3, 2, 1));
            let x = b.relu("relu", &x);
            readout(b, &x)
        }),
        Tiny::new("maxpool_signed", [3, 9, 11], |b, x| {
            let x = b.conv_bn(["conv1", "bn1"], x, Conv::new(8, 3, 1, 1), 1.0);
            let x = b.maxpool("maxpool", &x, Window::square(3, 2, 1));
            readout(b, &x)
        }),
        Tiny::new("avgpool_2x2", [3, 9, 11], |b, x| {
            avg_pooled(b, x, Window::square(2, 2, 0), false)
        }),
        Tiny::new("avgpool_include_pad", [3, 9, 10], |b, x| {
            avg_pooled(b, x, Window::square(3, 2, 1), true)
        }),
        Tiny::new("avgpool_exclude_pad", [3, 9, 10], |b, x| {
            avg_pooled(b, x, Window::square(3, 2, 1), false)
        }),
        Tiny::new("avgpool_ceil", [3, 10, 13], |b, x| {
            avg_pooled(
                b,
                x,
                Window {
                    ceil: true,
                    ..Window::square(2, 3, 0)
                },
                false,
            )
        })
        .since(10),
        Tiny::new("avgpool_3x3_stride_1", [3, 7, 9], |b, x| {
            avg_pooled(b, x, Window::square(3, 1, 1), true)
        }),
    ];
    nets.extend(tiny_forms::residuals());
    nets.extend(tiny_forms::gates());
    nets.extend(tiny_forms::resizes());
    nets.extend(tiny_heads::heads());
    nets.extend(tiny_forms::oddities());
    nets.extend(tiny_scales::scales());
    nets.extend(tiny_forms::shuffles());
    nets
}

/// The common beginning: a 3×3 convolution, batch norm, ReLU.
pub(crate) fn stem(b: &mut ModelBuilder, x: &Value, channels: usize) -> Value {
    let x = b.conv_bn(["stem.conv", "stem.bn"], x, Conv::new(channels, 3, 1, 1), 1.0);
    b.relu("stem.relu", &x)
}

/// The common end: four channels, with a bias.
pub(crate) fn readout(b: &mut ModelBuilder, x: &Value) -> Value {
    b.conv("readout", x, Conv::new(4, 1, 1, 0).bias())
}

fn padded(window: Window, pads: [usize; 4]) -> Window {
    Window {
        padding: Padding::Explicit(pads),
        ..window
    }
}

fn windowed(b: &mut ModelBuilder, x: &Value, window: Window) -> Value {
    let x = stem(b, x, 6);
    let x = b.conv_bn(["conv", "bn"], &x, Conv::windowed(10, window), 1.0);
    let x = b.relu("relu", &x);
    readout(b, &x)
}

fn grouped(b: &mut ModelBuilder, x: &Value, inner: usize, out: usize, groups: usize) -> Value {
    let x = stem(b, x, inner);
    let x = b.conv_bn(["conv", "bn"], &x, Conv::new(out, 3, 1, 1).groups(groups), 1.0);
    let x = b.relu("relu", &x);
    readout(b, &x)
}

fn max_pooled(b: &mut ModelBuilder, x: &Value, window: Window) -> Value {
    let x = stem(b, x, 8);
    let x = b.maxpool("maxpool", &x, window);
    readout(b, &x)
}

fn avg_pooled(b: &mut ModelBuilder, x: &Value, window: Window, include_pad: bool) -> Value {
    let x = stem(b, x, 8);
    let x = b.avgpool("avgpool", &x, window, include_pad);
    readout(b, &x)
}
