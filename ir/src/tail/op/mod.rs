//! The operators of the tail: what there is (here), its typing, its meaning, and its text form.

mod eval;
mod text;
mod typing;

use serde::{Deserialize, Serialize};

pub use typing::StepError;

use super::along::Reduction;
use super::array::DType;
use super::elementwise::{Binary, Unary};

/// An operator with its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Op {
    /// A single number of a type.
    Number(f64, DType),
    /// A function of every element.
    Unary(Unary),
    /// max(0, min(1, alpha x + beta))
    HardSigmoid {
        /// Slope.
        alpha: f64,
        /// Value at 0.
        beta: f64,
    },
    /// A function of pairs of elements, dimensions broadcast.
    Binary(Binary),
    /// Softmax over the axes `first..last` taken as one.
    Softmax {
        /// The first axis.
        first: usize,
        /// The axis behind the last.
        last: usize,
        /// Whether its logarithm is taken.
        log: bool,
    },
    /// What the numbers along axes become.
    Reduce {
        /// What the numbers become.
        how: Reduction,
        /// The axes, ascending.
        axes: Vec<usize>,
        /// Whether the axes stay, with one element each.
        keep: bool,
    },
    /// Index of the best along an axis.
    Arg {
        /// The axis along which elements are compared.
        axis: usize,
        /// Whether the largest is the best.
        largest: bool,
        /// Whether the axis stays, with one element.
        keep: bool,
        /// Whether the last among equals is meant, not the first.
        last: bool,
    },
    /// The best few along an axis, the best one first.
    TopK {
        /// The axis.
        axis: usize,
        /// How many of the best are kept.
        count: usize,
        /// Whether the largest is the best.
        largest: bool,
        /// Whether their indices are meant, not their values.
        indices: bool,
    },
    /// The same numbers as elements of another type, see [`DType::cast`].
    Cast(DType),
    /// The same elements under other dimensions.
    Reshape(Vec<usize>),
    /// Axes in another order: axis i of the result is axis `perm[i]`.
    Transpose(Vec<usize>),
    /// Repeated along axes of one element.
    Expand(Vec<usize>),
}

impl Op {
    /// Name in the text form.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Number(..) => "number",
            Op::Unary(op) => op.word(),
            Op::HardSigmoid { .. } => "hard_sigmoid",
            Op::Binary(op) => op.word(),
            Op::Softmax { .. } => "softmax",
            Op::Reduce { .. } => "reduce",
            Op::Arg { .. } => "arg",
            Op::TopK { .. } => "top_k",
            Op::Cast(_) => "cast",
            Op::Reshape(_) => "reshape",
            Op::Transpose(_) => "transpose",
            Op::Expand(_) => "expand",
        }
    }

    /// How many operands it takes.
    pub fn arity(&self) -> usize {
        match self {
            Op::Number(..) => 0,
            Op::Binary(_) => 2,
            _ => 1,
        }
    }
}
