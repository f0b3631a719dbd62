//! Integers of linear layers: weights, biases, and the multipliers of lifts and means.

use trefoil_ir::Window;
use trefoil_ir::mpc::{ACTIVATION_BOUND, UNIT};
use trefoil_ir::nn::{Class, Graph, NodeId, Op};

/// A convolution or fully connected layer, the latter as one on a map of one pixel.
pub(super) struct Weights<'a> {
    /// `[out channels, in channels / groups, kernel height, kernel width]`.
    pub(super) dims: Vec<usize>,
    /// Geometry.
    pub(super) window: Window,
    /// Groups.
    pub(super) groups: usize,
    values: &'a [f32],
    bias: Option<&'a [f32]>,
}

/// A number that stays below 2^31 in units of this part of it: `2^16 v / unit < 2^31`.
const SMALLEST_UNIT: f64 = (1.0 + 1e-6) / 32768.0;

impl<'a> Weights<'a> {
    /// The weights of an operator that has any.
    pub(super) fn of(op: &'a Op) -> Option<Self> {
        let Class::Linear(layer) = op.class() else {
            return None;
        };
        let [kh, kw] = layer.window.kernel;
        let dims = layer.weight.dims();
        Some(Self {
            dims: vec![dims[0], dims[1], kh, kw],
            window: layer.window,
            groups: layer.groups,
            values: layer.weight.values(),
            bias: layer.bias.map(|bias| bias.values()),
        })
    }

    /// Number of output channels.
    pub(super) fn channels(&self) -> usize {
        self.dims[0]
    }

    /// Values of one output channel, each with the unit of the operand's channel that it weighs.
    fn row<'b>(&'b self, out: usize, operand: &'b [f64]) -> impl Iterator<Item = (f64, f64)> + 'b {
        let per_group = self.dims[1];
        let taps = self.window.kernel[0] * self.window.kernel[1];
        let first = out / (self.channels() / self.groups) * per_group;
        let length = per_group * taps;
        let values = self.values[out * length..(out + 1) * length].iter().enumerate();
        values.map(move |(at, w)| (f64::from(*w), operand[first + at / taps]))
    }

    /// Per output channel the smallest unit for which weights and bias are 32-bit integers.
    pub(super) fn smallest_units(&self, operand: &[f64]) -> Vec<f64> {
        let mut units = Vec::with_capacity(self.channels());
        for out in 0..self.channels() {
            let bias = self.bias_of(out).abs();
            let weights = self.row(out, operand).map(|(w, unit)| w.abs() * unit);
            units.push(weights.fold(bias, f64::max) * SMALLEST_UNIT);
        }
        units
    }

    /// The bias of one output channel; 0 where there is none.
    fn bias_of(&self, out: usize) -> f64 {
        self.bias.map_or(0.0, |bias| f64::from(bias[out]))
    }

    /// Per output channel the sum of the squares of the bias and of each weight times the room of the
    /// operand's channel that it weighs.
    pub(super) fn squares(&self, rooms: &[f64]) -> Vec<f64> {
        let mut squares = Vec::with_capacity(self.channels());
        for out in 0..self.channels() {
            let weights = self.row(out, rooms).map(|(w, room)| (w * room).powi(2));
            squares.push(self.bias_of(out).powi(2) + weights.sum::<f64>());
        }
        squares
    }

    /// The weights as integers, for these units of operand and result.
    pub(super) fn integers(&self, operand: &[f64], unit: &[f64]) -> Vec<i32> {
        let mut integers = Vec::with_capacity(self.values.len());
        for (out, unit) in unit.iter().enumerate() {
            let scale = UNIT as f64 / unit;
            integers.extend(self.row(out, operand).map(|(w, unit)| integer(w * unit * scale)));
        }
        integers
    }

    /// The weights of these channels' patch sums, each for sums in its own units. They are few bits
    /// long, and so rounded with care: the error of every weight is carried on to the next. Box sums
    /// of neighbouring taps are nearly the same, and those of all channels behind a ReLU positive, so
    /// that what is lost at one weight is regained at the next, where rounding each for itself would
    /// add up the errors of a whole row.
    pub(super) fn of_sums(&self, channels: &[usize], operand: &[f64], unit: &[f64]) -> Vec<i32> {
        let mut integers = Vec::new();
        for (&channel, unit) in channels.iter().zip(unit) {
            let scale = UNIT as f64 / unit;
            let mut carried = 0.0;
            for (w, unit) in self.row(channel, operand) {
                let exact = w * unit * scale + carried;
                let rounded = exact.round();
                carried = exact - rounded;
                integers.push(integer(rounded));
            }
        }
        integers
    }

    /// The biases of these channels' patch sums, for each pixel of a patch.
    pub(super) fn bias_of_sums(&self, channels: &[usize], unit: &[f64]) -> Option<Vec<i32>> {
        let bias = self.bias?;
        let pairs = channels.iter().zip(unit);
        Some(pairs.map(|(&c, unit)| bias_integer(bias[c], *unit)).collect())
    }

    /// The bias as integers.
    pub(super) fn bias_integers(&self, unit: &[f64]) -> Option<Vec<i32>> {
        let pairs = self.bias?.iter().zip(unit);
        Some(pairs.map(|(bias, unit)| bias_integer(*bias, *unit)).collect())
    }
}

/// An operand may be this much coarser than a sum that it joins: its multiplier must fit.
const COARSEST_OPERAND: f64 = 16384.0;

/// The smallest units of a sum that operands of these units can join.
pub(super) fn coarsest(operand: &[f64]) -> Vec<f64> {
    operand.iter().map(|u| u / COARSEST_OPERAND).collect()
}

/// The upper limit of a clip in units. Where a channel stays far below the limit, its unit is too
/// fine for the limit to be a number of the ring; the largest such number does the same to every
/// value within the channel's bound.
pub(super) fn level(high: f64, unit: f64) -> i32 {
    (high / unit).round().clamp(1.0, ACTIVATION_BOUND as f64) as i32
}

/// A bias in 2^-16 of a unit.
fn bias_integer(bias: f32, unit: f64) -> i32 {
    integer(f64::from(bias) * UNIT as f64 / unit)
}

/// Units are chosen so that nothing saturates here.
fn integer(value: f64) -> i32 {
    value.round() as i32
}

/// The multiplier that makes of a sum of `divisor` values in units of `operand` their mean in
/// 2^-16 of `unit`. Never 0: what so small a multiplier is for adds less than a unit.
pub(super) fn multiplier(operand: f64, unit: f64, divisor: usize) -> i32 {
    nearest_multiplier(operand, unit, divisor).max(1)
}

/// The same to the nearest integer, which is 0 if it adds next to nothing.
pub(super) fn nearest_multiplier(operand: f64, unit: f64, divisor: usize) -> i32 {
    integer(UNIT as f64 * operand / (unit * divisor as f64))
}

/// The largest number of pixels that a mean is taken over, if the node is one.
pub(super) fn pooled_pixels(graph: &Graph, id: NodeId) -> Option<usize> {
    divisors(graph, id).and_then(|divisors| divisors.into_iter().max())
}

/// What each window's sum is divided by, if the node is a mean.
pub(super) fn divisors(graph: &Graph, id: NodeId) -> Option<Vec<usize>> {
    let node = graph.node(id);
    let Class::Mean(mean) = node.op.class() else {
        return None;
    };
    let input = graph.node(graph.inputs(id)[0]).shape;
    Some(mean.divisors(input, [node.shape.h, node.shape.w]))
}

/// The window of a mean.
pub(super) fn pool_window(graph: &Graph, id: NodeId) -> Option<Window> {
    let Class::Mean(mean) = graph.node(id).op.class() else {
        return None;
    };
    Some(mean.window(graph.node(graph.inputs(id)[0]).shape))
}

#[cfg(test)]
mod tests {
    use super::*;
    use trefoil_ir::Tensor;
    use trefoil_ir::nn::op::Conv2d;

    #[test]
    fn weights_take_in_the_units_of_both_sides() {
        let op = Op::Conv2d(Conv2d {
            weight: Tensor::new(vec![4, 1, 1, 2], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]).unwrap(),
            bias: Some(Tensor::vector(vec![0.5, 1.0, 1.5, 2.0])),
            window: Window::dense([1, 2]),
            groups: 2,
        });
        let weights = Weights::of(&op).unwrap();
        let unit = [65536.0, 65536.0, 65536.0, 6553.6];
        assert_eq!(
            weights.integers(&[1.0, 10.0], &unit),
            [1, 2, 3, 4, 50, 60, 700, 800]
        );
        assert_eq!(weights.bias_integers(&unit).unwrap(), [1, 1, 2, 20]);
        let smallest = weights.smallest_units(&[1.0, 10.0]);
        for (smallest, largest) in smallest.iter().zip([2.0, 4.0, 60.0, 80.0]) {
            assert!(largest * 65536.0 / smallest < 2f64.powi(31));
            assert!(largest * 65536.0 / smallest > 2f64.powi(31) * 0.999);
        }
    }

    #[test]
    fn multipliers_are_positive_integers() {
        assert_eq!(multiplier(0.25, 0.5, 1), 1 << 15);
        assert_eq!(multiplier(1.0, 1.0 / 9.0, 9), 1 << 16);
        assert_eq!(multiplier(1e-9, 1.0, 1), 1);
    }
}
