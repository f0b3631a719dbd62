//! The emulator: a program in plain integers, as the parties compute it, with every breach of a bound
//! reported by layer.
//!
//! A value outside its bound corrupts silently in the protocol, where nobody sees it. Here it is seen,
//! and it corrupts in the same way: accumulators wrap modulo 2^32, truncated values modulo 2^16, and
//! gates work in their rings of 15 or 16 bits (`gate`). Of what the parties' masks decide, the rounding
//! coins foremost, [`Rounding`] says where it comes from (`masks`).
//!
//! Local steps are linear, so that they may be done in plain integers: reducing modulo 2^32 at the
//! truncation is as good as reducing at every step, and shows by how much a bound was broken.

mod demand;
mod gate;
mod map;
mod masks;
mod usage;

use std::collections::BTreeMap;
use std::num::Wrapping;

pub use gate::{GateOperand, Limit};
pub use map::IntMap;
pub(super) use map::reduce;
use masks::Source;
pub use masks::{Masks, Rounding};
pub use usage::{Bound, Outcome, Usage};

use super::Kind;
use super::op::{Class, Conv2d, Local};
use super::program::{ConstId, Program, ValueId};
use crate::convolution::convolve;
use crate::geometry::Shape;
use crate::tensor::Tensor;

/// A program with its constants, ready to run.
pub struct Emulator<'a> {
    program: &'a Program,
    constants: &'a [Tensor<i32>],
    /// By constant: those that are the weight of a convolution, and no larger than [`prepare`] takes.
    weights: Vec<Option<Weight>>,
}

/// A weight in the number type in which its products are fast.
struct Weight {
    values: Vec<f64>,
    /// Largest sum of magnitudes of an output channel's weights.
    largest: u64,
}

impl Weight {
    /// Whether no sum of products with operands of at most this magnitude is rounded.
    fn is_exact_on(&self, magnitude: u64) -> bool {
        let most = self.largest.checked_mul(magnitude);
        most.is_some_and(|sum| sum < EXACT)
    }
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
        for (declared, tensor) in program.constants.iter().zip(constants) {
            assert_eq!(
                declared.dims,
                tensor.dims(),
                "the constants are those of the program"
            );
        }
        let mut weights: Vec<Option<Weight>> = constants.iter().map(|_| None).collect();
        for step in &program.steps {
            if let Class::Local(Local::Conv2d(conv)) = step.op.class() {
                weights[conv.weight.index()] = prepare(&constants[conv.weight.index()]);
            }
        }
        Self {
            program,
            constants,
            weights,
        }
    }

    /// Runs the program on an image in units and hands every value, as the parties hold it between
    /// them, to `inspect`.
    ///
    /// # Panics
    /// If the image has another shape than the program's input.
    pub fn run(
        &self,
        image: &IntMap,
        rounding: Rounding<'_>,
        mut inspect: impl FnMut(ValueId, &IntMap),
    ) -> Outcome {
        let input = self.program.input();
        assert!(
            input.is_none_or(|id| self.program.ty(id).shape == image.shape()),
            "the image has the shape of the program's input"
        );
        let mut emulation = Emulation {
            emulator: self,
            image,
            source: Source::new(rounding),
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
            // What the parties hold of an accumulator is its residue.
            let residue = (step.ty.kind == Kind::Accumulator).then(|| value.reduced());
            inspect(id, residue.flatten().as_ref().unwrap_or(&value));
            if matches!(step.op.class(), Class::Reveal) {
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
            source: Source::new(Rounding::Nearest),
            current: id,
            usage: BTreeMap::new(),
        };
        let value = step.op.emulate(&mut emulation, args, &step.ty);
        value.reduced().unwrap_or(value)
    }
}

/// An f64 holds every integer up to this.
const EXACT: u64 = 1 << 53;

/// A weight, unless even operands of 16 bits would need integers.
fn prepare(weight: &Tensor<i32>) -> Option<Weight> {
    let row = weight.dims()[1..].iter().product::<usize>().max(1);
    let mut largest = 0u64;
    for weights in weight.values().chunks(row) {
        largest = largest.max(weights.iter().map(|w| u64::from(w.unsigned_abs())).sum());
    }
    (largest < EXACT >> 16).then(|| Weight {
        values: weight.values().iter().map(|&w| f64::from(w)).collect(),
        largest,
    })
}

/// A run in progress: what ops see of it.
pub struct Emulation<'a> {
    emulator: &'a Emulator<'a>,
    image: &'a IntMap,
    source: Source<'a>,
    current: ValueId,
    usage: BTreeMap<(ValueId, Bound), Usage>,
}

impl<'a> Emulation<'a> {
    /// The image that the run is given, in units.
    pub fn image(&self) -> &'a IntMap {
        self.image
    }

    /// The integers of a constant, in row-major order.
    pub fn constant(&self, id: ConstId) -> &'a [i32] {
        self.emulator.constants[id.index()].values()
    }

    /// The convolution of an activation, exact.
    ///
    /// In floats where they are exact: if the magnitudes of the products that make up a sum come to less
    /// than 2^53, so does every partial sum, in whatever order, and an f64 holds it as it is.
    pub fn convolve(&self, x: &IntMap, op: &Conv2d, output: Shape) -> Vec<i64> {
        if let Some(weight) = &self.emulator.weights[op.weight.index()]
            && weight.is_exact_on(map::magnitude(x.values()))
        {
            let floats: Vec<f64> = x.values().iter().map(|&v| v as f64).collect();
            let sums = convolve(&floats, x.shape(), &weight.values, &op.window, op.groups, output);
            return sums.into_iter().map(|v| v as i64).collect();
        }
        let integers: Vec<Wrapping<i64>> = x.values().iter().map(|&v| Wrapping(v)).collect();
        let weight = self.constant(op.weight).iter().map(|&w| Wrapping(i64::from(w)));
        let weight: Vec<Wrapping<i64>> = weight.collect();
        let sums = convolve(&integers, x.shape(), &weight, &op.window, op.groups, output);
        sums.into_iter().map(|v| v.0).collect()
    }
}
