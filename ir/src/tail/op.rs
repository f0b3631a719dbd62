//! The operators of the tail: typing, meaning, and text form of each.

use serde::{Deserialize, Serialize};

use super::along::{Reduction, best, best_few, softmax};
use super::array::{Array, DType, Type};
use super::elementwise::{Binary, Unary};
use super::layout::{broadcast, broadcast_dims, transposed};
use crate::text::attr::{AttrError, Attrs, Word};

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
        /// Their sum, or another.
        how: Reduction,
        /// The axes, ascending.
        axes: Vec<usize>,
        /// Whether the axes stay, with one element each.
        keep: bool,
    },
    /// Index of the best along an axis.
    Arg {
        /// The axis.
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
        /// How many.
        count: usize,
        /// Whether the largest is the best.
        largest: bool,
        /// Whether their indices are meant, not their values.
        indices: bool,
    },
    /// Another type.
    Cast(DType),
    /// The same elements under other dimensions.
    Reshape(Vec<usize>),
    /// Axes in another order: axis i of the result is axis `perm[i]`.
    Transpose(Vec<usize>),
    /// Repeated along axes of one element.
    Expand(Vec<usize>),
}

fn unless<T>(holds: bool, problem: impl Into<String>, value: T) -> Result<T, String> {
    if holds { Ok(value) } else { Err(problem.into()) }
}

/// Typing.
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

    /// Type of the result; a sentence if the operator cannot take its operands.
    pub(super) fn infer(&self, operands: &[&Type]) -> Result<Type, String> {
        match (self, operands) {
            (Op::Number(value, dtype), []) => {
                let ty = Type {
                    dims: vec![],
                    dtype: *dtype,
                    batched: false,
                };
                unless(
                    value.is_finite() && dtype.cast(*value) == *value,
                    "it is no number of its type",
                    ty,
                )
            }
            (Op::Binary(op), [a, b]) => infer_binary(*op, a, b),
            (_, [x]) if self.arity() == 1 => self.infer_one(x),
            _ => Err(format!("it takes {} operands", self.arity())),
        }
    }

    fn infer_one(&self, x: &Type) -> Result<Type, String> {
        let rank = x.dims.len();
        match self {
            Op::Unary(op) => unless(op.takes(x.dtype), "it does not take this type", x.clone()),
            Op::HardSigmoid { alpha, beta } => {
                let fits = x.dtype.is_float() && alpha.is_finite() && beta.is_finite();
                unless(fits, "it takes floats and finite parameters", x.clone())
            }
            Op::Softmax { first, last, .. } => {
                if first >= last || !x.dtype.is_float() {
                    return Err("it takes floats, and at least one axis".to_owned());
                }
                if *last > rank {
                    return Err(missing_axis(last - 1, rank));
                }
                check_axes(x, &(*first..*last).collect::<Vec<_>>())?;
                Ok(x.clone())
            }
            Op::Reduce { axes, keep, .. } => {
                if axes.is_empty() {
                    return Err("it reduces over no axis".to_owned());
                }
                check_axes(x, axes)?;
                let numbers = x.dtype != DType::Bool;
                unless(numbers, "it does not take this type", without(x, axes, *keep))
            }
            Op::Arg { axis, keep, .. } => {
                check_axes(x, &[*axis])?;
                Ok(Type {
                    dtype: DType::I64,
                    ..without(x, &[*axis], *keep)
                })
            }
            Op::TopK {
                axis, count, indices, ..
            } => {
                check_axes(x, &[*axis])?;
                let mut dims = x.dims.clone();
                let size = std::mem::replace(&mut dims[*axis], *count);
                let dtype = if *indices { DType::I64 } else { x.dtype };
                let fits = (1..=size).contains(count);
                unless(
                    fits,
                    format!("of {size} it cannot take {count}"),
                    Type { dims, dtype, ..*x },
                )
            }
            Op::Cast(dtype) => Ok(Type {
                dtype: *dtype,
                ..x.clone()
            }),
            Op::Reshape(dims) => {
                let ty = Type {
                    dims: dims.clone(),
                    dtype: x.dtype,
                    batched: dims.first() == Some(&1),
                };
                unless(ty.volume() == x.volume(), "the number of elements changes", ty)
            }
            Op::Transpose(perm) => {
                let mut sorted = perm.clone();
                sorted.sort_unstable();
                let is_whole = sorted.iter().copied().eq(0..rank);
                let dims = || perm.iter().map(|&a| x.dims[a]).collect();
                match is_whole {
                    false => Err("it must name every axis once".to_owned()),
                    true => Ok(Type {
                        dims: dims(),
                        batched: x.batched && perm.first() == Some(&0),
                        ..*x
                    }),
                }
            }
            Op::Expand(dims) => {
                let fits = broadcast_dims(&x.dims, dims).as_ref() == Some(dims);
                let batched = x.batched && dims.len() == rank;
                let ty = Type {
                    dims: dims.clone(),
                    dtype: x.dtype,
                    batched,
                };
                unless(
                    fits && !(batched && dims[0] != 1),
                    "the dimensions do not go together",
                    ty,
                )
            }
            Op::Number(..) | Op::Binary(_) => Err(format!("it takes {} operands", self.arity())),
        }
    }
}

fn infer_binary(op: Binary, a: &Type, b: &Type) -> Result<Type, String> {
    let dims = broadcast_dims(&a.dims, &b.dims).ok_or("the dimensions do not go together")?;
    let leads = |x: &Type| x.batched && x.dims.len() == dims.len();
    let batched = leads(a) || leads(b);
    if a.dtype != b.dtype || a.dtype == DType::Bool {
        return Err("its operands are not numbers of one type".to_owned());
    }
    if batched && dims[0] != 1 {
        return Err("it mixes the images of a batch".to_owned());
    }
    Ok(Type {
        dims,
        dtype: op.result(a.dtype),
        batched,
    })
}

/// Axes must exist, ascend, and leave the batch alone.
fn check_axes(x: &Type, axes: &[usize]) -> Result<(), String> {
    if !axes.windows(2).all(|pair| pair[0] < pair[1]) {
        return Err("its axes must ascend".to_owned());
    }
    match axes.iter().find(|&&a| a >= x.dims.len()) {
        Some(&axis) => Err(missing_axis(axis, x.dims.len())),
        None if x.batched && axes.contains(&0) => {
            Err("it runs over axis 0, the images of a batch: take the axis behind it".to_owned())
        }
        None => Ok(()),
    }
}

fn missing_axis(axis: usize, rank: usize) -> String {
    format!("axis {axis} does not exist in a value of rank {rank}")
}

fn without(x: &Type, axes: &[usize], keep: bool) -> Type {
    let all = x.dims.iter().enumerate();
    let left = all.filter_map(|(a, &dim)| match axes.contains(&a) {
        true => keep.then_some(1),
        false => Some(dim),
    });
    Type {
        dims: left.collect(),
        ..*x
    }
}

/// Meaning.
impl Op {
    /// The result, whose type is known, on operands of which [`infer`](Self::infer) was told.
    pub(super) fn eval(&self, operands: &[&Array], ty: &Type) -> Array {
        let mut values = match (self, operands) {
            (Op::Number(value, _), _) => vec![*value],
            (Op::Binary(op), [a, b]) => {
                let [a, b] = [a, b].map(|x| broadcast(&x.values, &x.dims, &ty.dims));
                a.into_iter().zip(b).map(|(a, b)| op.of(a, b)).collect()
            }
            (_, [x]) => self.eval_one(x),
            (_, _) => Vec::new(),
        };
        values.iter_mut().for_each(|v| *v = ty.dtype.cast(*v));
        Array {
            dims: ty.dims.clone(),
            dtype: ty.dtype,
            values,
        }
    }

    fn eval_one(&self, x: &Array) -> Vec<f64> {
        let each = |f: &dyn Fn(f64) -> f64| x.values.iter().map(|&v| f(v)).collect();
        match self {
            Op::Unary(op) => each(&|v| op.of(v)),
            Op::HardSigmoid { alpha, beta } => each(&|v| (alpha * v + beta).clamp(0.0, 1.0)),
            Op::Softmax { first, last, log } => along(x, *first, *last, |lane| {
                softmax(lane, *log);
                lane.to_vec()
            }),
            Op::Reduce { how, axes, .. } => {
                // The axes that go are made the last.
                let stay = (0..x.dims.len()).filter(|a| !axes.contains(a));
                let perm: Vec<usize> = stay.chain(axes.iter().copied()).collect();
                let count: usize = axes.iter().map(|&a| x.dims[a]).product();
                let values = transposed(&x.values, &x.dims, &perm);
                values.chunks(count).map(|lane| how.of(lane)).collect()
            }
            Op::Arg {
                axis, largest, last, ..
            } => along(
                x,
                *axis,
                axis + 1,
                |lane| vec![best(lane, *largest, *last) as f64],
            ),
            Op::TopK {
                axis,
                count,
                largest,
                indices,
            } => along(x, *axis, axis + 1, |lane| {
                let few = best_few(lane, *largest, *count).into_iter();
                few.map(|at| if *indices { at as f64 } else { lane[at] })
                    .collect()
            }),
            Op::Transpose(perm) => transposed(&x.values, &x.dims, perm),
            Op::Expand(dims) => broadcast(&x.values, &x.dims, dims),
            Op::Cast(_) | Op::Reshape(_) | Op::Number(..) | Op::Binary(_) => x.values.clone(),
        }
    }
}

/// Applies `f` to each lane along the axes `first..last`, taken as one; lanes may become shorter, all
/// alike.
fn along(x: &Array, first: usize, last: usize, f: impl Fn(&mut [f64]) -> Vec<f64>) -> Vec<f64> {
    let outer: usize = x.dims[..first].iter().product();
    let count: usize = x.dims[first..last].iter().product();
    let inner: usize = x.dims[last..].iter().product();
    let mut values = Vec::new();
    let mut lane = vec![0.0; count];
    for at in 0..outer * inner {
        let (from, offset) = (at / inner, at % inner);
        for (i, value) in lane.iter_mut().enumerate() {
            *value = x.values[(from * count + i) * inner + offset];
        }
        let result = f(&mut lane);
        if values.is_empty() {
            values = vec![0.0; outer * inner * result.len()];
        }
        for (i, value) in result.iter().enumerate() {
            values[(from * result.len() + i) * inner + offset] = *value;
        }
    }
    values
}

/// Text form.
impl Op {
    pub(super) fn attrs(&self) -> Attrs {
        let word = |word: &str| Word(word.to_owned());
        let none = Attrs::new();
        match self {
            Op::Number(value, dtype) => none.with("value", *value).with("type", word(dtype.word())),
            Op::Unary(_) | Op::Binary(_) => none,
            Op::HardSigmoid { alpha, beta } => none.with("alpha", *alpha).with("beta", *beta),
            Op::Softmax { first, last, log } => none
                .with("first", *first)
                .with("last", *last)
                .with_unless(false, "log", *log),
            Op::Reduce { how, axes, keep } => none
                .with("how", word(how.word()))
                .with("axes", axes.clone())
                .with("keep", *keep),
            Op::Arg {
                axis,
                largest,
                keep,
                last,
            } => none
                .with("axis", *axis)
                .with_unless(true, "largest", *largest)
                .with("keep", *keep)
                .with_unless(false, "last", *last),
            Op::TopK {
                axis,
                count,
                largest,
                indices,
            } => none
                .with("axis", *axis)
                .with("count", *count)
                .with_unless(true, "largest", *largest)
                .with("indices", *indices),
            Op::Cast(dtype) => none.with("to", word(dtype.word())),
            Op::Reshape(dims) | Op::Expand(dims) => none.with("dims", dims.clone()),
            Op::Transpose(perm) => none.with("perm", perm.clone()),
        }
    }

    /// The operator of this name; `None` if there is none.
    pub(super) fn from_attrs(name: &str, attrs: &mut Attrs) -> Result<Option<Op>, AttrError> {
        if let Some(op) = Unary::of_word(name) {
            return Ok(Some(Op::Unary(op)));
        }
        if let Some(op) = Binary::of_word(name) {
            return Ok(Some(Op::Binary(op)));
        }
        let flag = |attrs: &mut Attrs, name: &str, default: bool| {
            attrs.optional(name).map(|flag| flag.unwrap_or(default))
        };
        Ok(Some(match name {
            "number" => Op::Number(attrs.require("value")?, dtype(attrs, "type")?),
            "hard_sigmoid" => Op::HardSigmoid {
                alpha: attrs.require("alpha")?,
                beta: attrs.require("beta")?,
            },
            "softmax" => Op::Softmax {
                first: attrs.require("first")?,
                last: attrs.require("last")?,
                log: flag(attrs, "log", false)?,
            },
            "reduce" => Op::Reduce {
                how: of_word(attrs, "how", Reduction::of_word, "sum, mean, max, l2 or the like")?,
                axes: attrs.require("axes")?,
                keep: attrs.require("keep")?,
            },
            "arg" => Op::Arg {
                axis: attrs.require("axis")?,
                largest: flag(attrs, "largest", true)?,
                keep: attrs.require("keep")?,
                last: flag(attrs, "last", false)?,
            },
            "top_k" => Op::TopK {
                axis: attrs.require("axis")?,
                count: attrs.require("count")?,
                largest: flag(attrs, "largest", true)?,
                indices: attrs.require("indices")?,
            },
            "cast" => Op::Cast(dtype(attrs, "to")?),
            "reshape" => Op::Reshape(attrs.require("dims")?),
            "expand" => Op::Expand(attrs.require("dims")?),
            "transpose" => Op::Transpose(attrs.require("perm")?),
            _ => return Ok(None),
        }))
    }
}

fn dtype(attrs: &mut Attrs, name: &str) -> Result<DType, AttrError> {
    of_word(attrs, name, DType::of_word, "an element type such as f32 or i64")
}

fn of_word<T>(
    attrs: &mut Attrs,
    name: &str,
    read: impl Fn(&str) -> Option<T>,
    expected: &'static str,
) -> Result<T, AttrError> {
    let Word(word) = attrs.require(name)?;
    read(&word).ok_or(AttrError::Form {
        name: name.to_owned(),
        expected,
    })
}
