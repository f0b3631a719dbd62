//! The operators of the NN graph: one file each, with its typing rule, its attributes in the text
//! form and its meaning in f32.

mod add;
mod affine;
mod avg_pool;
mod batch_norm;
mod block_relu;
mod clamp;
pub mod class;
mod clip;
mod concat;
mod conv2d;
mod flatten;
mod global_avg_pool;
mod input;
mod linear;
mod max_pool;
mod output;
mod pad;
mod relu;
mod resize;
mod shuffle;
mod slice;
mod two_signs;

pub use add::Add;
pub use affine::Affine;
pub use avg_pool::AvgPool;
pub use batch_norm::BatchNorm;
pub use block_relu::BlockRelu;
pub use clamp::Clamp;
pub use class::Class;
pub use clip::Clip;
pub use concat::Concat;
pub use conv2d::Conv2d;
pub use flatten::Flatten;
pub use global_avg_pool::GlobalAvgPool;
pub use input::Input;
pub use linear::Linear;
pub use max_pool::MaxPool;
pub use output::Output;
pub use pad::Pad;
pub use relu::Relu;
pub use resize::Resize;
pub use shuffle::Shuffle;
pub use slice::Slice;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::geometry::{Shape, WindowError};
use crate::nn::eval::FeatureMap;
use crate::text::{AttrError, Attrs};

/// How many operands an operator takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// Exactly this many.
    Exactly(usize),
    /// This many or more.
    AtLeast(usize),
}

impl Arity {
    /// Whether `count` operands are right.
    pub fn accepts(self, count: usize) -> bool {
        match self {
            Arity::Exactly(n) => count == n,
            Arity::AtLeast(n) => count >= n,
        }
    }
}

/// Why an operator cannot take its operands.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum OpError {
    /// The number of operands is wrong.
    #[error("{given} operands are given, and the operator takes {expected}")]
    Arity {
        /// How many are given.
        given: usize,
        /// How many it takes.
        expected: String,
    },
    /// A window does not fit.
    #[error(transparent)]
    Window(#[from] WindowError),
    /// Anything else, as a sentence.
    #[error("{0}")]
    Shape(String),
}

pub(crate) fn mismatch<T>(message: impl Into<String>) -> Result<T, OpError> {
    Err(OpError::Shape(message.into()))
}

/// What every operator defines.
pub trait Rule: Sized {
    /// Name in the text form.
    const NAME: &'static str;
    /// How many operands it takes.
    const ARITY: Arity;

    /// Shape of the result.
    ///
    /// # Errors
    /// If the operator's parameters do not fit the operands (whose number has been checked).
    fn infer(&self, inputs: &[Shape]) -> Result<Shape, OpError>;

    /// What kind of operator it is to whoever rewrites, lowers or writes graphs.
    fn class(&self) -> Class<'_>;

    /// The attributes that the text form writes.
    fn attrs(&self) -> Attrs;

    /// Reads the attributes back.
    ///
    /// # Errors
    /// If one is missing or malformed.
    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError>;

    /// The operator's meaning in f32, on operands whose shapes [`infer`](Rule::infer) accepted.
    fn eval(&self, inputs: &[&FeatureMap], output: Shape) -> FeatureMap;

    /// From the gradient of some number with respect to the operator's `output`, that with respect
    /// to each operand: the transposed derivative at `inputs`. Signs count as constants, so that a
    /// gate's derivative is its mask.
    fn backward(&self, inputs: &[&FeatureMap], output: &FeatureMap, gradient: &FeatureMap)
    -> Vec<FeatureMap>;
}

macro_rules! operators {
    ($($(#[$doc:meta])* $op:ident),* $(,)?) => {
        /// An operator with its parameters.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        pub enum Op { $($(#[$doc])* $op($op)),* }

        impl Op {
            /// Names of all operators in the text form.
            pub const NAMES: &[&str] = &[$($op::NAME),*];

            /// Name in the text form.
            pub fn name(&self) -> &'static str {
                match self { $(Op::$op(_) => $op::NAME),* }
            }

            /// Shape of the result.
            ///
            /// # Errors
            /// If the number of operands is wrong or the parameters do not fit them.
            pub fn infer(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
                let arity = match self { $(Op::$op(_) => $op::ARITY),* };
                if !arity.accepts(inputs.len()) {
                    return Err(OpError::Arity { given: inputs.len(), expected: format!("{arity:?}") });
                }
                match self { $(Op::$op(op) => op.infer(inputs)),* }
            }

            /// What kind of operator it is.
            pub fn class(&self) -> Class<'_> {
                match self { $(Op::$op(op) => op.class()),* }
            }

            /// The attributes that the text form writes.
            pub fn attrs(&self) -> Attrs {
                match self { $(Op::$op(op) => op.attrs()),* }
            }

            /// Reads an operator from its name and attributes; `Ok(None)` if no operator has this
            /// name.
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

            /// The operator's meaning in f32.
            pub fn eval(&self, inputs: &[&FeatureMap], output: Shape) -> FeatureMap {
                match self { $(Op::$op(op) => op.eval(inputs, output)),* }
            }

            /// From the gradient with respect to the `output`, that with respect to each operand
            /// (see [`Rule::backward`]).
            pub fn backward(
                &self,
                inputs: &[&FeatureMap],
                output: &FeatureMap,
                gradient: &FeatureMap,
            ) -> Vec<FeatureMap> {
                match self { $(Op::$op(op) => op.backward(inputs, output, gradient)),* }
            }
        }

        $(impl From<$op> for Op {
            fn from(op: $op) -> Op { Op::$op(op) }
        })*
    };
}

operators! {
    /// The image.
    Input,
    /// Two-dimensional convolution.
    Conv2d,
    /// Fully connected layer.
    Linear,
    /// Batch normalisation with running statistics.
    BatchNorm,
    /// Scale and bias per channel.
    Affine,
    /// max(x, 0).
    Relu,
    /// x where the sum over its patch is positive, else 0.
    BlockRelu,
    /// min(max(x, 0), high), each sign with its own patches.
    Clip,
    /// Maximum over windows.
    MaxPool,
    /// Mean over windows.
    AvgPool,
    /// Mean over the map.
    GlobalAvgPool,
    /// Sum of two values.
    Add,
    /// Concatenation along the channels.
    Concat,
    /// Part of one axis.
    Slice,
    /// Constant rows, columns or channels around a value.
    Pad,
    /// A map as a vector.
    Flatten,
    /// Interpolation to another map size.
    Resize,
    /// What the client learns.
    Output,
    /// min(max(x, low), high), each sign with its own patches.
    Clamp,
    /// Blocks of pixels as channels, or channels as blocks of pixels.
    Shuffle,
}
