//! The ops of the three-party program: one file each, with typing rule, class, messages, and meaning
//! in plain integers.

mod add;
mod block_relu;
mod class;
mod clip;
mod concat;
mod conv2d;
mod conv2d_sums;
mod gather;
mod input;
mod interpolate;
mod lift;
mod max;
mod pad;
mod pool_sums;
mod relu;
mod requant;
mod reshape;
mod reveal;
mod shuffle;
mod sum_pool;
mod truncate;
mod truncate_sums;

pub use add::Add;
pub use block_relu::BlockRelu;
pub use class::{Class, Gate, Local, Signs, Truncation, Upper};
pub use clip::Clip;
pub use concat::Concat;
pub use conv2d::Conv2d;
pub use conv2d_sums::Conv2dSums;
pub use gather::Gather;
pub use input::Input;
pub use interpolate::{Coefficient, Interpolate};
pub use lift::Lift;
pub use max::Max;
pub use pad::Pad;
pub use pool_sums::PoolSums;
pub use relu::Relu;
pub use requant::Requant;
pub use reshape::Reshape;
pub use reveal::Reveal;
pub use shuffle::Shuffle;
pub use sum_pool::SumPool;
pub use truncate::Truncate;
pub use truncate_sums::TruncateSums;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::emulate::{Emulation, IntMap};
use super::gate::{Group, Rounds};
use super::message::Message;
use super::program::{ConstId, ConstKind, Constant};
use super::types::{Kind, Type};
use crate::geometry::WindowError;
use crate::text::{AttrError, Attrs};

/// Why an op cannot take its operands.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum OpError {
    /// A window does not fit.
    #[error(transparent)]
    Window(#[from] WindowError),
    /// Anything else, as a sentence.
    #[error("{0}")]
    Invalid(String),
}

pub(crate) fn invalid<T>(message: impl Into<String>) -> Result<T, OpError> {
    Err(OpError::Invalid(message.into()))
}

/// What one party's part of a step takes beside its operands, its value and its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Multiply-adds of integers.
    pub macs: u64,
    /// Those of `macs` that take sums over large patches.
    pub sum_macs: u64,
    /// Words that are written on the way to the value; `None` if a `usize` does not hold their number.
    pub scratch_words: Option<usize>,
}

impl Effort {
    /// The effort of a step that only moves, adds or masks elements.
    pub const NOTHING: Self = Self {
        macs: 0,
        sum_macs: 0,
        scratch_words: Some(0),
    };
}

/// What every op defines. Nothing has a default: what is forgotten does not compile.
pub trait Rule: Sized {
    /// Name in the text form.
    const NAME: &'static str;

    /// Type of the result.
    ///
    /// # Errors
    /// If the op does not accept these operands and constants.
    fn infer(&self, args: &[&Type], constants: &[Constant]) -> Result<Type, OpError>;

    /// The attributes that the text form writes.
    fn attrs(&self) -> Attrs;

    /// Reads the attributes back.
    ///
    /// # Errors
    /// If one is missing or malformed.
    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError>;

    /// Constants that the op refers to.
    fn constants(&self) -> Vec<ConstId>;

    /// What the parties do at a step with this op.
    fn class(&self) -> Class<'_>;

    /// What it takes on operands that [`infer`](Rule::infer) accepted.
    fn effort(&self, args: &[&Type], ty: &Type) -> Effort;

    /// The op's meaning in plain integers, on operands that [`infer`](Rule::infer) accepted.
    fn emulate(&self, emulation: &mut Emulation<'_>, args: &[&IntMap], ty: &Type) -> IntMap;
}

macro_rules! operations {
    ($($(#[$doc:meta])* $op:ident),* $(,)?) => {
        /// An op with its parameters.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        pub enum Op { $($(#[$doc])* $op($op)),* }

        impl Op {
            /// Names of all ops in the text form.
            pub const NAMES: &[&str] = &[$($op::NAME),*];

            /// Name in the text form.
            pub fn name(&self) -> &'static str {
                match self { $(Op::$op(_) => $op::NAME),* }
            }

            /// Type of the result.
            ///
            /// # Errors
            /// If the op does not accept these operands and constants.
            pub fn infer(&self, args: &[&Type], constants: &[Constant]) -> Result<Type, OpError> {
                match self { $(Op::$op(op) => op.infer(args, constants)),* }
            }

            /// The attributes that the text form writes.
            pub fn attrs(&self) -> Attrs {
                match self { $(Op::$op(op) => op.attrs()),* }
            }

            /// Reads an op from its name and attributes; `Ok(None)` if no op has this name.
            ///
            /// # Errors
            /// If an attribute is missing, malformed or unknown.
            pub fn from_attrs(name: &str, mut attrs: Attrs) -> Result<Option<Op>, AttrError> {
                let op = match name {
                    $($op::NAME => Op::$op($op::from_attrs(&mut attrs)?),)*
                    _ => return Ok(None),
                };
                attrs.finish()?;
                Ok(Some(op))
            }

            /// Constants that the op refers to.
            pub fn constants(&self) -> Vec<ConstId> {
                match self { $(Op::$op(op) => op.constants()),* }
            }

            /// What the parties do at a step with this op.
            pub fn class(&self) -> Class<'_> {
                match self { $(Op::$op(op) => op.class()),* }
            }

            /// What it takes on operands that [`infer`](Op::infer) accepted.
            pub fn effort(&self, args: &[&Type], ty: &Type) -> Effort {
                match self { $(Op::$op(op) => op.effort(args, ty)),* }
            }

            /// The op's meaning in plain integers.
            pub fn emulate(&self, emulation: &mut Emulation<'_>, args: &[&IntMap], ty: &Type) -> IntMap {
                match self { $(Op::$op(op) => op.emulate(emulation, args, ty)),* }
            }
        }

        $(impl From<$op> for Op {
            fn from(op: $op) -> Op { Op::$op(op) }
        })*
    };
}

operations! {
    /// The masked image.
    Input,
    /// Convolution with a shared weight.
    Conv2d,
    /// Patch sums of a convolution, with a weight of their own.
    Conv2dSums,
    /// An activation as an accumulator.
    Lift,
    /// Sums over windows as an accumulator.
    SumPool,
    /// Patch sums of an activation, or of sums over windows.
    PoolSums,
    /// Bilinear interpolation as an accumulator.
    Interpolate,
    /// Sum of two accumulators.
    Add,
    /// Concatenation along the channels.
    Concat,
    /// Chosen indices of one axis.
    Gather,
    /// Zeros around a value.
    Pad,
    /// A map as a vector.
    Reshape,
    /// First half of every gate on an accumulator.
    Truncate,
    /// First half of a gate on patch sums, of which only signs are taken.
    TruncateSums,
    /// A truncated accumulator as an activation.
    Requant,
    /// Block-ReLU.
    BlockRelu,
    /// Clip with two signs.
    Clip,
    /// ReLU of an activation.
    Relu,
    /// Maximum of two activations.
    Max,
    /// The client learns a value.
    Reveal,
    /// Blocks of pixels as channels, or channels as blocks of pixels.
    Shuffle,
}

impl Op {
    /// Makes a gate with signs take them in so many rounds; says whether it is one.
    pub fn set_rounds(&mut self, rounds: Rounds) -> bool {
        match self {
            Op::BlockRelu(op) => op.rounds = rounds,
            Op::Clip(op) => op.rounds = rounds,
            Op::Relu(op) => op.rounds = rounds,
            Op::Max(op) => op.rounds = rounds,
            Op::Input(_)
            | Op::Conv2d(_)
            | Op::Conv2dSums(_)
            | Op::Lift(_)
            | Op::SumPool(_)
            | Op::PoolSums(_)
            | Op::Interpolate(_)
            | Op::Add(_)
            | Op::Concat(_)
            | Op::Gather(_)
            | Op::Pad(_)
            | Op::Reshape(_)
            | Op::Truncate(_)
            | Op::TruncateSums(_)
            | Op::Requant(_)
            | Op::Reveal(_)
            | Op::Shuffle(_) => return false,
        }
        true
    }

    /// Messages, in order of their stages; none for a local op.
    pub fn messages(&self, args: &[&Type], ty: &Type) -> Vec<Message> {
        self.class().messages(args, ty)
    }

    /// Groups of a gate on operands of these types; `None` for anything else.
    pub fn gate_groups(&self, args: &[&Type]) -> Option<Vec<Group>> {
        match self.class() {
            Class::Gate(gate) => Some(gate.groups(args)),
            Class::Input | Class::Local(_) | Class::Truncate(_) | Class::Reveal => None,
        }
    }
}

/// The only operand, of one of these kinds.
fn unary<'a>(args: &[&'a Type], kinds: &[Kind]) -> Result<&'a Type, OpError> {
    match args {
        [arg] if kinds.contains(&arg.kind) => Ok(arg),
        [arg] => invalid(format!("the operand must be {}, and it is {arg}", words(kinds))),
        _ => invalid(format!("one operand is needed, and {} are given", args.len())),
    }
}

fn words(kinds: &[Kind]) -> String {
    let words: Vec<&str> = kinds.iter().map(|k| k.word()).collect();
    words.join(" or ")
}

/// The constant of this id, of this kind and dimensions.
fn constant(constants: &[Constant], id: ConstId, kind: ConstKind, dims: &[usize]) -> Result<(), OpError> {
    match constants.get(id.index()) {
        None => invalid(format!("the constant {id} is not declared")),
        Some(c) if c.kind != kind => invalid(format!(
            "{id} must be a {}, and it is a {}",
            kind.word(),
            c.kind.word()
        )),
        Some(c) if c.dims != dims => invalid(format!(
            "{id} must have the dimensions {dims:?}, and it has {:?}",
            c.dims
        )),
        Some(_) => Ok(()),
    }
}
