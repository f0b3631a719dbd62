//! The emulator: a program in plain integers, as the parties will compute it but for the rounding
//! coins, with every breach of a bound reported by layer.
//!
//! A value outside its bound corrupts silently in the protocol, where nobody sees it; here it is
//! seen.

use std::collections::BTreeMap;

use super::op::Conv2d;
use super::program::{ConstId, ConstKind, Program, ValueId};
use super::sums::{SumList, SumPlaces, sum_threshold};
use super::{ACCUMULATOR_BOUND, ACTIVATION_BOUND, Op, PATCH_SUM_BOUND, TRUNCATED_BITS, UNIT};
use crate::nn::eval::conv;
use crate::patch::{Patch, patch_area};
use crate::shape::Shape;
use crate::tensor::Tensor;

/// A value of the emulator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntMap {
    shape: Shape,
    values: Vec<i64>,
    // Of a truncated value: the accumulator before rounding, of which patch sums are taken.
    exact: Option<Vec<i64>>,
}

impl IntMap {
    /// A map of these values.
    ///
    /// # Panics
    /// If their number is not that of the shape.
    pub fn new(shape: Shape, values: Vec<i64>) -> Self {
        assert_eq!(shape.len(), values.len(), "a map of {shape} needs as many values");
        Self {
            shape,
            values,
            exact: None,
        }
    }

    pub(crate) fn with_exact(mut self, exact: Vec<i64>) -> Self {
        self.exact = Some(exact);
        self
    }

    /// Its shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Values, channel after channel.
    pub fn values(&self) -> &[i64] {
        &self.values
    }

    /// Values of one channel.
    pub fn channel(&self, c: usize) -> &[i64] {
        let plane = self.shape.plane();
        &self.values[c * plane..(c + 1) * plane]
    }

    /// The accumulator that a truncated value was made of; the value itself for any other.
    pub fn exact_channel(&self, c: usize) -> &[i64] {
        let plane = self.shape.plane();
        let values = self.exact.as_ref().unwrap_or(&self.values);
        &values[c * plane..(c + 1) * plane]
    }
}

/// How a truncation rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// To the nearest unit: the expected result, the same every time.
    Nearest,
    /// Down or up with the probability of the fraction, as the parties do, from this seed.
    Coin(u64),
}

/// Which bound a value broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bound {
    /// An activation left 2^14 units.
    Activation,
    /// An accumulator left 2^30 - 2^17.
    Accumulator,
    /// A patch sum left 2^31 - 2^17.
    PatchSum,
    /// An operand that the program declares non-negative is negative.
    NonNegative,
}

impl Bound {
    /// The limit in integer steps.
    pub fn limit(self) -> i64 {
        match self {
            Bound::Activation => ACTIVATION_BOUND,
            Bound::Accumulator => ACCUMULATOR_BOUND,
            Bound::PatchSum => PATCH_SUM_BOUND,
            Bound::NonNegative => 0,
        }
    }
}

/// Use of one bound at one step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Largest magnitude as a fraction of the limit; above 1 is a breach.
    pub largest: f64,
    /// Channel in which it occurred.
    pub channel: usize,
    /// Values beyond the limit.
    pub breaches: usize,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the client learns, in units.
    pub output: IntMap,
    /// Use of every bound that was checked.
    pub usage: BTreeMap<(ValueId, Bound), Usage>,
}

impl Outcome {
    /// The bounds that were broken.
    pub fn breaches(&self) -> impl Iterator<Item = (ValueId, Bound, Usage)> {
        self.usage
            .iter()
            .filter(|(_, u)| u.breaches > 0)
            .map(|(&(id, bound), &u)| (id, bound, u))
    }
}

/// A program with its constants, ready to run.
pub struct Emulator<'a> {
    program: &'a Program,
    constants: &'a [Tensor<i32>],
    weights: Vec<Weight>,
}

/// Weights in the number type in which the convolution is exact.
enum Weight {
    None,
    /// No sum of products of this weight reaches 2^53.
    Float(Vec<f64>),
    Integer(Vec<i64>),
}

impl<'a> Emulator<'a> {
    /// Prepares a program.
    ///
    /// # Panics
    /// If the constants are not those that the program declares.
    pub fn new(program: &'a Program, constants: &'a [Tensor<i32>]) -> Self {
        assert_eq!(
            program.constants.len(),
            constants.len(),
            "one tensor per declared constant"
        );
        let weight = |(declared, tensor): (&super::Constant, &Tensor<i32>)| {
            assert_eq!(
                declared.dims,
                tensor.dims(),
                "the constants are those of the program"
            );
            if declared.kind == ConstKind::Weight {
                prepare(tensor)
            } else {
                Weight::None
            }
        };
        Self {
            program,
            constants,
            weights: program.constants.iter().zip(constants).map(weight).collect(),
        }
    }

    /// Runs the program on an image in units and hands every value to `inspect`.
    ///
    /// # Panics
    /// If the image has another shape than the program's input.
    pub fn run(
        &self,
        image: &IntMap,
        rounding: Rounding,
        mut inspect: impl FnMut(ValueId, &IntMap),
    ) -> Outcome {
        let input = self.program.steps.iter().find(|s| matches!(s.op, Op::Input(_)));
        assert!(
            input.is_none_or(|s| s.ty.shape == image.shape()),
            "the image has the shape of the program's input"
        );
        let seed = match rounding {
            Rounding::Nearest => 0,
            Rounding::Coin(seed) => seed,
        };
        let mut emulation = Emulation {
            emulator: self,
            image,
            rounding,
            state: seed,
            current: ValueId(0),
            usage: BTreeMap::new(),
        };
        let mut last_use = vec![0; self.program.steps.len()];
        for (at, step) in self.program.steps.iter().enumerate() {
            step.args.iter().for_each(|a| last_use[a.index()] = at);
        }
        let mut values: Vec<Option<IntMap>> = vec![None; self.program.steps.len()];
        let mut output = IntMap::new(Shape::vector(1), vec![0]);
        for id in self.program.ids() {
            let step = self.program.step(id);
            emulation.current = id;
            let args: Vec<&IntMap> = step
                .args
                .iter()
                .map(|a| values[a.index()].as_ref().expect("operands precede their users"))
                .collect();
            let value = step.op.emulate(&mut emulation, &args, &step.ty);
            inspect(id, &value);
            if matches!(step.op, Op::Reveal(_)) {
                output = value.clone();
            }
            for arg in &step.args {
                if last_use[arg.index()] == id.index() {
                    values[arg.index()] = None;
                }
            }
            values[id.index()] = Some(value);
        }
        Outcome {
            output,
            usage: emulation.usage,
        }
    }
}

impl Emulator<'_> {
    /// The meaning of one step on these operands, rounded to the nearest unit where it rounds.
    ///
    /// # Panics
    /// If the operands are not of the step's types, or the step is the input.
    pub fn step(&self, id: ValueId, args: &[&IntMap]) -> IntMap {
        let none = IntMap::new(Shape::vector(1), vec![0]);
        let step = self.program.step(id);
        let mut emulation = Emulation {
            emulator: self,
            image: &none,
            rounding: Rounding::Nearest,
            state: 0,
            current: id,
            usage: BTreeMap::new(),
        };
        step.op.emulate(&mut emulation, args, &step.ty)
    }
}

/// Above this sum of magnitudes a product with 16-bit values could leave the 53 bits of an f64.
const FLOAT_LIMIT: u64 = 1 << 37;

fn prepare(weight: &Tensor<i32>) -> Weight {
    let row = weight.dims()[1..].iter().product::<usize>().max(1);
    let sum = |r: &[i32]| r.iter().map(|w| u64::from(w.unsigned_abs())).sum::<u64>();
    if weight.values().chunks(row).all(|r| sum(r) < FLOAT_LIMIT) {
        Weight::Float(weight.values().iter().map(|&w| f64::from(w)).collect())
    } else {
        Weight::Integer(weight.values().iter().map(|&w| i64::from(w)).collect())
    }
}

/// What a gate takes signs of.
pub struct SignOperand<'a> {
    value: &'a IntMap,
    /// Truncated patch sums, and where those of a channel's patch begin.
    sums: Option<(&'a IntMap, SumPlaces)>,
}

impl<'a> SignOperand<'a> {
    /// The operands of a gate with these patches.
    pub fn new(args: &[&'a IntMap], lower: &[Patch], upper: Option<&[Patch]>) -> Self {
        let Shape { h, w, .. } = args[0].shape();
        let places = || SumList::of_gate(lower, upper).places(h, w);
        Self {
            value: args[0],
            sums: args.get(1).map(|&sums| (sums, places())),
        }
    }

    /// The truncated value.
    pub fn value(&self) -> &'a IntMap {
        self.value
    }

    /// Sums over a patch, exact and rounded to units, if they are computed apart.
    fn sums_of(&self, c: usize, patch: Patch, count: usize) -> Option<(&'a [i64], &'a [i64])> {
        let (sums, places) = self.sums.as_ref()?;
        let &start = places.get(&(c, patch))?;
        let exact = sums.exact.as_deref().unwrap_or(&sums.values);
        Some((&exact[start..start + count], &sums.values[start..start + count]))
    }
}

/// What a value, or a sum, is compared with.
#[derive(Clone, Copy, Debug)]
pub struct Threshold {
    /// In units, for each pixel.
    pub level: i64,
    /// For each pixel of a sum that is computed apart, in 2^-16 of its units.
    pub sum_level: i64,
}

impl Threshold {
    /// The sign of the value itself.
    pub const ZERO: Self = Self {
        level: 0,
        sum_level: 0,
    };

    /// The threshold of a sum over `area` pixels, in its units.
    fn of(self, area: i64, apart: bool) -> i64 {
        if apart {
            sum_threshold(self.sum_level, area)
        } else {
            self.level * area
        }
    }
}

/// A run in progress: what ops see of it.
pub struct Emulation<'a> {
    emulator: &'a Emulator<'a>,
    image: &'a IntMap,
    rounding: Rounding,
    state: u64,
    current: ValueId,
    usage: BTreeMap<(ValueId, Bound), Usage>,
}

impl<'a> Emulation<'a> {
    /// The image in units.
    pub fn image(&self) -> &'a IntMap {
        self.image
    }

    /// Values of a constant.
    pub fn constant(&self, id: ConstId) -> &'a [i32] {
        self.emulator.constants[id.index()].values()
    }

    /// The convolution of an activation, exact.
    pub fn convolve(&self, x: &IntMap, op: &Conv2d, output: Shape) -> Vec<i64> {
        let (shape, window) = (x.shape(), &op.window);
        match &self.emulator.weights[op.weight.index()] {
            Weight::Float(weight) => {
                let x: Vec<f64> = x.values().iter().map(|&v| v as f64).collect();
                let sums = conv::conv2d_slice(&x, shape, weight, window, op.groups, output);
                sums.into_iter().map(|v| v as i64).collect()
            }
            Weight::Integer(weight) => {
                conv::conv2d_slice(x.values(), shape, weight, window, op.groups, output)
            }
            Weight::None => unreachable!("typing gives a convolution a weight"),
        }
    }

    /// An accumulator in units, rounded.
    pub fn round(&mut self, z: i64) -> i64 {
        let coin = match self.rounding {
            Rounding::Nearest => UNIT / 2,
            Rounding::Coin(_) => (self.next_random() >> (64 - TRUNCATED_BITS)) as i64,
        };
        (z + coin) >> TRUNCATED_BITS
    }

    // splitmix64: rounding in a simulation, no secret depends on it.
    fn next_random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.state;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// The sign of `z - level` for every pixel of channel `c` of a gate's operand, taken over its
    /// patch, for each of `levels`: they share one opening, and so its rounding. Of the identity
    /// there is no sign.
    pub fn signs(
        &mut self,
        operand: &SignOperand<'_>,
        c: usize,
        patch: Patch,
        levels: &[Threshold],
    ) -> Option<Vec<Vec<bool>>> {
        let Patch::Block { h, w } = patch else { return None };
        if patch.is_pixel() {
            let pixels = operand.value.channel(c);
            let positive = |l: &Threshold| pixels.iter().map(|&z| z >= l.level).collect();
            return Some(levels.iter().map(positive).collect());
        }
        let Shape {
            h: height, w: width, ..
        } = operand.value.shape();
        let [rows, columns] = patch.grid(height, width);
        let (h, w) = (usize::from(h), usize::from(w));
        let at = |i: usize| (i / width / h) * columns + (i % width) / w;
        let apart = operand.sums_of(c, patch, rows * columns);
        let (sums, rounded) = match apart {
            Some((sums, rounded)) => (sums.to_vec(), rounded.to_vec()),
            None => {
                let mut sums = vec![0i64; rows * columns];
                for (i, z) in operand.value.exact_channel(c).iter().enumerate() {
                    sums[at(i)] += z;
                }
                // Beyond its bound a sum wraps, as it does for the parties.
                let rounded = sums.iter().map(|&sum| self.round(i64::from(sum as i32)));
                let rounded = rounded.collect();
                (sums, rounded)
            }
        };
        let mut signs = Vec::with_capacity(levels.len());
        for level in levels {
            let threshold = |p: usize| {
                let area = patch_area(patch, p / columns, p % columns, height, width) as i64;
                level.of(area, apart.is_some())
            };
            // The sign of the difference modulo 2^16, which is all that is opened.
            let positive = |p: usize| (rounded[p] - threshold(p)) as i16 >= 0;
            let positive: Vec<bool> = (0..sums.len()).map(positive).collect();
            for (p, sum) in sums.iter().enumerate() {
                let shifted = sum - threshold(p) * UNIT;
                self.record(Bound::PatchSum, c, sum.abs().max(shifted.abs()));
            }
            signs.push((0..width * height).map(|i| positive[at(i)]).collect());
        }
        Some(signs)
    }

    /// Checks the bound of accumulators.
    pub fn check_accumulator(&mut self, z: &IntMap) {
        self.check(Bound::Accumulator, z);
    }

    /// Checks the bound of activations.
    pub fn check_activation(&mut self, x: &IntMap) {
        self.check(Bound::Activation, x);
    }

    /// Checks that no value is negative.
    pub fn check_non_negative(&mut self, x: &IntMap) {
        if let Some(at) = x.values().iter().position(|&v| v < 0) {
            self.record(Bound::NonNegative, at / x.shape().plane(), 1);
        }
    }

    fn check(&mut self, bound: Bound, map: &IntMap) {
        for c in 0..map.shape().c {
            let largest = map.channel(c).iter().map(|v| v.abs()).max().unwrap_or(0);
            self.record(bound, c, largest);
            if largest > bound.limit() {
                let others = map.channel(c).iter().filter(|v| v.abs() > bound.limit()).count() - 1;
                self.usage.entry((self.current, bound)).or_default().breaches += others;
            }
        }
    }

    fn record(&mut self, bound: Bound, channel: usize, magnitude: i64) {
        let usage = self.usage.entry((self.current, bound)).or_default();
        let fraction = magnitude as f64 / bound.limit().max(1) as f64;
        if fraction > usage.largest {
            usage.largest = fraction;
            usage.channel = channel;
        }
        usage.breaches += usize::from(magnitude > bound.limit());
    }
}
