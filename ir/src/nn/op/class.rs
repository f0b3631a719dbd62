//! What an operator is to the passes, to lowering and to the writer of ONNX.
//!
//! An op says here, once, what kind of operator it is ([`Rule::class`](super::Rule::class)). Whoever has
//! to decide something for every operator matches on [`Class`], whole: an op of a known class needs no
//! line there, and a new class does not compile until each of them knows it. [`Op`] itself is matched
//! only where the very operator matters: in its own pass, its importer, its form in ONNX.

use super::{Affine, AvgPool, BatchNorm, Conv2d, Linear, Op, Pad, Resize, Shuffle, Slice};
use crate::geometry::{Patches, Shape, Window};
use crate::tail::Tail;
use crate::tensor::Tensor;

/// What an operator is.
#[derive(Clone, Debug)]
pub enum Class<'a> {
    /// The image comes in.
    Input,
    /// A product with the model's weights: a convolution, or a fully connected layer.
    Linear(Layer<'a>),
    /// A factor and a summand per channel.
    PerChannel(PerChannel<'a>),
    /// Signs decide which values pass.
    Gate(GateView<'a>),
    /// The largest value of each window.
    Max(&'a Window),
    /// The mean of each window.
    Mean(Mean<'a>),
    /// The sum of two values.
    Add,
    /// Values get other places, and none is computed.
    Move(Move<'a>),
    /// Interpolation to another map size; of some sizes it only copies pixels.
    Resize(&'a Resize),
    /// What the client learns, and makes of it.
    Output(&'a Tail),
}

/// A layer with weights.
#[derive(Clone, Debug)]
pub struct Layer<'a> {
    /// `[out channels, in channels / groups, kernel height, kernel width]`; of a fully connected layer
    /// without the kernel, which is 1x1.
    pub weight: &'a Tensor,
    /// One summand per output channel.
    pub bias: Option<&'a Tensor>,
    /// Geometry.
    pub window: Window,
    /// Groups of channels that are convolved apart.
    pub groups: usize,
}

/// The same layer, to be changed. Its window and groups stay.
#[derive(Debug)]
pub struct LayerMut<'a> {
    /// As in [`Layer`].
    pub weight: &'a mut Tensor,
    /// As in [`Layer`].
    pub bias: &'a mut Option<Tensor>,
    /// As in [`Layer`].
    pub groups: usize,
}

/// A map of each channel by itself.
#[derive(Clone, Copy, Debug)]
pub enum PerChannel<'a> {
    /// By statistics.
    BatchNorm(&'a BatchNorm),
    /// By a factor and a summand.
    Affine(&'a Affine),
}

/// `y = low + b0 (x - low) - b1 (x - high)`, without the last summand if there is no upper sign.
#[derive(Clone, Copy, Debug)]
pub struct GateView<'a> {
    /// The lower limit: 0 for all gates but clamps.
    pub low: f32,
    /// Patches of the sign of x - low, one per channel; `None` where each pixel has a sign of its own.
    pub lower: Option<&'a Patches>,
    /// Upper limit and patches of the sign of x - high, one per channel.
    pub upper: Option<(f32, &'a Patches)>,
}

/// What the mean is taken over.
#[derive(Clone, Copy, Debug)]
pub enum Mean<'a> {
    /// Windows.
    Windows(&'a AvgPool),
    /// The whole map.
    Map,
}

/// Where values go.
#[derive(Clone, Copy, Debug)]
pub enum Move<'a> {
    /// The channels of all operands, one behind the other.
    Concat,
    /// Part of one axis.
    Slice(&'a Slice),
    /// Zeros around a value.
    Pad(&'a Pad),
    /// A map becomes a vector.
    Flatten,
    /// Pixels become channels, or channels pixels.
    Shuffle(&'a Shuffle),
}

impl Mean<'_> {
    /// What each window's sum is divided by, in row-major order of an output map of `[h, w]`.
    pub fn divisors(&self, input: Shape, out: [usize; 2]) -> Vec<usize> {
        match self {
            Mean::Windows(pool) => pool.divisors(input, out),
            Mean::Map => vec![input.plane()],
        }
    }

    /// The window that slides over a map of this shape.
    pub fn window(&self, input: Shape) -> Window {
        match self {
            Mean::Windows(pool) => pool.window.clone(),
            Mean::Map => Window::dense([input.h, input.w]),
        }
    }

    /// Whether a constant added to every pixel is added to every mean: no window counts padding that
    /// reads zero.
    pub fn keeps_constants(&self) -> bool {
        match self {
            Mean::Windows(pool) => !pool.include_pad || pool.window.pads == [0; 4],
            Mean::Map => true,
        }
    }
}

impl Op {
    /// Weight and bias of a layer that has them, to be changed.
    pub fn layer_mut(&mut self) -> Option<LayerMut<'_>> {
        match self {
            Op::Conv2d(Conv2d {
                weight, bias, groups, ..
            }) => Some(LayerMut {
                weight,
                bias,
                groups: *groups,
            }),
            Op::Linear(Linear { weight, bias }) => Some(LayerMut {
                weight,
                bias,
                groups: 1,
            }),
            Op::Input(_)
            | Op::BatchNorm(_)
            | Op::Affine(_)
            | Op::Relu(_)
            | Op::BlockRelu(_)
            | Op::Clip(_)
            | Op::Clamp(_)
            | Op::MaxPool(_)
            | Op::AvgPool(_)
            | Op::GlobalAvgPool(_)
            | Op::Add(_)
            | Op::Concat(_)
            | Op::Slice(_)
            | Op::Pad(_)
            | Op::Flatten(_)
            | Op::Resize(_)
            | Op::Output(_)
            | Op::Shuffle(_) => None,
        }
    }
}
