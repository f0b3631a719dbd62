//! The tail: what the client computes, in the clear, of the logits that it has learned.
//!
//! A short straight program on arrays of any rank, for one image at a time. Value 0 are the logits
//! under the dimensions that the network gives them, step `i` gives value `i + 1`, and the last value
//! is the network's output. A tail holds no weights: operators, axes, and single numbers.
//!
//! All is computed in f64 and rounded to the value's element type after each step. No value has more
//! elements than the logits, and all together are bounded, so that a hostile plan fills no memory.

mod along;
mod array;
mod elementwise;
mod layout;
mod op;
mod prediction;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use along::{Reduction, best};
pub use array::{Array, DType, MAX_RANK, Type};
pub use elementwise::{Binary, Unary};
pub use layout::broadcast_dims;
pub use op::Op;
pub use prediction::{Prediction, Scores};

use crate::geometry::{MAX_ELEMENTS, Shape};
use crate::text::attr::{Attr, Attrs, FromAttr, Word};

/// Most steps of a tail.
pub const MAX_STEPS: usize = 64;

/// One operator on values that precede it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The operator.
    pub op: Op,
    /// Its operands: 0 are the logits, `i + 1` is the result of step `i`.
    pub args: Vec<usize>,
}

/// What the client computes of its logits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tail {
    /// Dimensions of the logits; the first one is the batch's, 1.
    pub dims: Vec<usize>,
    /// The steps, in order.
    pub steps: Vec<Step>,
}

/// Why a tail cannot be run.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TailError {
    /// Its dimensions are not those of the logits.
    #[error("an output of dimensions {dims:?} cannot hold a value of shape {shape}")]
    Logits {
        /// Its dimensions.
        dims: Vec<usize>,
        /// What the network gives.
        shape: Shape,
    },
    /// It is longer than any.
    #[error("it has {0} steps, and at most {MAX_STEPS} are allowed")]
    Length(usize),
    /// A step is at fault.
    #[error("step {step} ({op}): {problem}")]
    Step {
        /// Which one.
        step: usize,
        /// Its operator.
        op: &'static str,
        /// What is wrong.
        problem: String,
    },
}

impl Tail {
    /// The tail that gives the logits themselves, as a map `[N, C, H, W]` of this shape.
    pub fn map(shape: Shape) -> Self {
        Self {
            dims: vec![1, shape.c, shape.h, shape.w],
            steps: Vec::new(),
        }
    }

    /// The tail that gives the logits themselves, as a vector `[N, count]`.
    pub fn vector(count: usize) -> Self {
        Self {
            dims: vec![1, count],
            steps: Vec::new(),
        }
    }

    /// Type of the logits.
    pub fn logits(&self) -> Type {
        Type {
            dims: self.dims.clone(),
            dtype: DType::F32,
            batched: true,
        }
    }

    /// Types of all values, the logits first.
    ///
    /// # Errors
    /// If a step cannot take its operands, or its result would be larger than the logits.
    pub fn types(&self) -> Result<Vec<Type>, TailError> {
        let mut types = vec![self.logits()];
        if self.steps.len() > MAX_STEPS {
            return Err(TailError::Length(self.steps.len()));
        }
        let most = types[0].volume().unwrap_or(0);
        let mut left = MAX_ELEMENTS;
        for (at, step) in self.steps.iter().enumerate() {
            let ty = infer(step, &types).and_then(|ty| match ty.volume() {
                Some(volume) if volume <= most.min(left) => {
                    left -= volume;
                    Ok(ty)
                }
                _ => Err("its result would be larger than the logits, or beyond all measure".to_owned()),
            });
            types.push(ty.map_err(|problem| TailError::Step {
                step: at,
                op: step.op.name(),
                problem,
            })?);
        }
        Ok(types)
    }

    /// Checks the tail of logits of this shape.
    ///
    /// # Errors
    /// If it cannot be run on them.
    pub fn check(&self, shape: Shape) -> Result<(), TailError> {
        let logits = self.logits();
        let fits = self.dims.first() == Some(&1) && shape.is_sane() && logits.volume() == Some(shape.len());
        if !fits {
            return Err(TailError::Logits {
                dims: self.dims.clone(),
                shape,
            });
        }
        self.types().map(drop)
    }

    /// Type of the output.
    ///
    /// # Panics
    /// If the tail has not been [checked](Self::check).
    pub fn output(&self) -> Type {
        let mut types = self.types().expect("a tail is checked before it is used");
        types.pop().expect("there are the logits at least")
    }

    /// Whether the client cannot learn more from the logits than a step that reduces them would have
    /// told: the output depends on them by a way that no reduction lies on. Decisions (the index of
    /// the largest) are no reductions here: whoever asks for a class is told the logits.
    pub fn shows_logits(&self) -> bool {
        let mut shows = vec![true];
        for Step { op, args } in &self.steps {
            let reduces = matches!(op, Op::Reduce { .. } | Op::Number(..));
            shows.push(!reduces && args.iter().any(|&a| shows[a]));
        }
        shows.last() == Some(&true)
    }
}

fn infer(step: &Step, types: &[Type]) -> Result<Type, String> {
    let operand = |&at: &usize| types.get(at).ok_or("it reads a value behind it".to_owned());
    let operands: Vec<&Type> = step.args.iter().map(operand).collect::<Result<_, _>>()?;
    step.op.infer(&operands)
}

/// Text form: `[softmax, [0], first, 1, last, 2]`.
impl From<Step> for Attr {
    fn from(step: Step) -> Attr {
        let mut list = vec![Attr::from(Word(step.op.name().to_owned())), Attr::from(step.args)];
        for (name, value) in step.op.attrs().iter() {
            list.extend([Attr::from(Word(name.to_owned())), value.clone()]);
        }
        Attr::List(list)
    }
}

impl FromAttr for Step {
    const EXPECTED: &'static str = "a list of steps such as [softmax, [0], first, 1, last, 2]";

    fn from_attr(attr: Attr) -> Option<Self> {
        let Attr::List(list) = attr else {
            return None;
        };
        let mut list = list.into_iter();
        let Word(name) = Word::from_attr(list.next()?)?;
        let args = FromAttr::from_attr(list.next()?)?;
        let mut attrs = Attrs::new();
        while let Some(name) = list.next() {
            let Word(name) = Word::from_attr(name)?;
            attrs = attrs.with(&name, list.next()?);
        }
        let op = Op::from_attrs(&name, &mut attrs).ok()??;
        attrs.finish().ok()?;
        Some(Step { op, args })
    }
}
