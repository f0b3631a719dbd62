//! Which operands the tail's operators take, and of which type their results are.

use thiserror::Error;

use super::Op;
use crate::geometry::MAX_ELEMENTS;
use crate::tail::array::{DType, Type};
use crate::tail::elementwise::Binary;
use crate::tail::layout::broadcast_dims;

/// Why a step of a tail cannot take its operands; its subject is the step's operator.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StepError {
    /// An operand is no value before the step.
    #[error("it reads a value behind it")]
    LaterOperand,
    /// The number of operands is wrong.
    #[error("it takes {0} operands")]
    OperandCount(usize),
    /// A number that its element type does not hold.
    #[error("it is no number of its type")]
    Number,
    /// The operand's element type is not one that the operator is defined on.
    #[error("it does not take this type")]
    ElementType,
    /// The operands' element types differ, or are truth values.
    #[error("its operands are not numbers of one type")]
    ElementTypes,
    /// A hard sigmoid of other elements than floats, or with infinite parameters.
    #[error("it takes floats and finite parameters")]
    HardSigmoid,
    /// A softmax of other elements than floats, or over no axis.
    #[error("it takes floats, and at least one axis")]
    Softmax,
    /// A reduction without an axis.
    #[error("it reduces over no axis")]
    NoAxis,
    /// Axes are given twice, or not in order.
    #[error("its axes must ascend")]
    AxisOrder,
    /// An axis that the operand lacks.
    #[error("axis {axis} does not exist in a value of rank {rank}")]
    MissingAxis {
        /// The axis, counted from 0.
        axis: usize,
        /// Number of the operand's axes.
        rank: usize,
    },
    /// Images of a batch would depend on each other.
    #[error("it runs over axis 0, the images of a batch: take the axis behind it")]
    BatchAxis,
    /// Images of a batch would depend on each other.
    #[error("it mixes the images of a batch")]
    BatchMixed,
    /// More of the best are wanted than there are.
    #[error("of {size} it cannot take {count}")]
    TopK {
        /// Elements along the axis.
        size: usize,
        /// How many are wanted.
        count: usize,
    },
    /// The new dimensions hold another number of elements.
    #[error("the number of elements changes")]
    ElementCount,
    /// The new order of axes is no permutation.
    #[error("it must name every axis once")]
    Permutation,
    /// Dimensions that cannot be broadcast to each other.
    #[error("the dimensions do not go together")]
    Dimensions,
    /// The tail would take more memory than its logits allow.
    #[error(
        "its result would be larger than the logits, or all results together than {MAX_ELEMENTS} elements"
    )]
    TooLarge,
}

impl Op {
    /// Type of the result.
    pub(in crate::tail) fn infer(&self, operands: &[&Type]) -> Result<Type, StepError> {
        match (self, operands) {
            (Op::Number(value, dtype), []) => number(*value, *dtype),
            (Op::Binary(op), [a, b]) => binary(*op, a, b),
            (_, [x]) if self.arity() == 1 => self.infer_one(x),
            _ => Err(StepError::OperandCount(self.arity())),
        }
    }

    fn infer_one(&self, x: &Type) -> Result<Type, StepError> {
        match self {
            Op::Unary(op) => {
                ensure(op.takes(x.dtype), StepError::ElementType)?;
                Ok(x.clone())
            }
            Op::HardSigmoid { alpha, beta } => {
                let fits = x.dtype.is_float() && alpha.is_finite() && beta.is_finite();
                ensure(fits, StepError::HardSigmoid)?;
                Ok(x.clone())
            }
            Op::Softmax { first, last, .. } => softmax(x, *first, *last),
            Op::Reduce { axes, keep, .. } => reduce(x, axes, *keep),
            Op::Arg { axis, keep, .. } => arg(x, *axis, *keep),
            Op::TopK {
                axis, count, indices, ..
            } => top_k(x, *axis, *count, *indices),
            Op::Cast(dtype) => Ok(Type {
                dtype: *dtype,
                ..x.clone()
            }),
            Op::Reshape(dims) => reshape(x, dims),
            Op::Transpose(perm) => transpose(x, perm),
            Op::Expand(dims) => expand(x, dims),
            Op::Number(..) | Op::Binary(_) => Err(StepError::OperandCount(self.arity())),
        }
    }
}

fn ensure(holds: bool, problem: StepError) -> Result<(), StepError> {
    if holds { Ok(()) } else { Err(problem) }
}

fn number(value: f64, dtype: DType) -> Result<Type, StepError> {
    ensure(value.is_finite() && dtype.cast(value) == value, StepError::Number)?;
    Ok(Type {
        dims: Vec::new(),
        dtype,
        batched: false,
    })
}

fn binary(op: Binary, a: &Type, b: &Type) -> Result<Type, StepError> {
    let dims = broadcast_dims(&a.dims, &b.dims).ok_or(StepError::Dimensions)?;
    ensure(
        a.dtype == b.dtype && a.dtype != DType::Bool,
        StepError::ElementTypes,
    )?;
    // A batch stays in front only if no axis is put before it.
    let batched = [a, b].iter().any(|x| x.batched && x.dims.len() == dims.len());
    ensure(!batched || dims[0] == 1, StepError::BatchMixed)?;
    Ok(Type {
        dims,
        dtype: op.result(a.dtype),
        batched,
    })
}

fn softmax(x: &Type, first: usize, last: usize) -> Result<Type, StepError> {
    ensure(first < last && x.dtype.is_float(), StepError::Softmax)?;
    let rank = x.dims.len();
    if last > rank {
        let axis = last - 1;
        return Err(StepError::MissingAxis { axis, rank });
    }
    check_axes(x, &(first..last).collect::<Vec<_>>())?;
    Ok(x.clone())
}

fn reduce(x: &Type, axes: &[usize], keep: bool) -> Result<Type, StepError> {
    ensure(!axes.is_empty(), StepError::NoAxis)?;
    check_axes(x, axes)?;
    ensure(x.dtype != DType::Bool, StepError::ElementType)?;
    Ok(without(x, axes, keep))
}

fn arg(x: &Type, axis: usize, keep: bool) -> Result<Type, StepError> {
    check_axes(x, &[axis])?;
    Ok(Type {
        dtype: DType::I64,
        ..without(x, &[axis], keep)
    })
}

fn top_k(x: &Type, axis: usize, count: usize, indices: bool) -> Result<Type, StepError> {
    check_axes(x, &[axis])?;
    let size = x.dims[axis];
    ensure((1..=size).contains(&count), StepError::TopK { size, count })?;
    let mut ty = x.clone();
    ty.dims[axis] = count;
    if indices {
        ty.dtype = DType::I64;
    }
    Ok(ty)
}

fn reshape(x: &Type, dims: &[usize]) -> Result<Type, StepError> {
    let ty = Type {
        dims: dims.to_vec(),
        dtype: x.dtype,
        batched: dims.first() == Some(&1),
    };
    ensure(ty.volume() == x.volume(), StepError::ElementCount)?;
    Ok(ty)
}

fn transpose(x: &Type, perm: &[usize]) -> Result<Type, StepError> {
    let mut sorted = perm.to_vec();
    sorted.sort_unstable();
    ensure(sorted.into_iter().eq(0..x.dims.len()), StepError::Permutation)?;
    Ok(Type {
        dims: perm.iter().map(|&axis| x.dims[axis]).collect(),
        dtype: x.dtype,
        batched: x.batched && perm.first() == Some(&0),
    })
}

fn expand(x: &Type, dims: &[usize]) -> Result<Type, StepError> {
    let fits = broadcast_dims(&x.dims, dims).as_deref() == Some(dims);
    let batched = x.batched && dims.len() == x.dims.len();
    ensure(fits && !(batched && dims[0] != 1), StepError::Dimensions)?;
    Ok(Type {
        dims: dims.to_vec(),
        dtype: x.dtype,
        batched,
    })
}

/// Axes must exist, ascend, and leave the batch alone.
fn check_axes(x: &Type, axes: &[usize]) -> Result<(), StepError> {
    ensure(
        axes.windows(2).all(|pair| pair[0] < pair[1]),
        StepError::AxisOrder,
    )?;
    let rank = x.dims.len();
    if let Some(&axis) = axes.iter().find(|&&axis| axis >= rank) {
        return Err(StepError::MissingAxis { axis, rank });
    }
    ensure(!(x.batched && axes.contains(&0)), StepError::BatchAxis)
}

/// The type without these axes, or with one element along each.
fn without(x: &Type, axes: &[usize], keep: bool) -> Type {
    let mut dims = Vec::with_capacity(x.dims.len());
    for (axis, &dim) in x.dims.iter().enumerate() {
        if !axes.contains(&axis) {
            dims.push(dim);
        } else if keep {
            dims.push(1);
        }
    }
    Type { dims, ..*x }
}
