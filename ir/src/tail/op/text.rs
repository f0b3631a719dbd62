//! How the tail's operators are written and read.

use super::Op;
use crate::tail::along::Reduction;
use crate::tail::array::DType;
use crate::tail::elementwise::{Binary, Unary};
use crate::text::attr::{AttrError, Attrs, Word};

impl Op {
    /// The attributes that the text form writes behind name and operands.
    pub(in crate::tail) fn attrs(&self) -> Attrs {
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
    pub(in crate::tail) fn from_attrs(name: &str, attrs: &mut Attrs) -> Result<Option<Op>, AttrError> {
        if let Some(op) = Unary::of_word(name) {
            return Ok(Some(Op::Unary(op)));
        }
        if let Some(op) = Binary::of_word(name) {
            return Ok(Some(Op::Binary(op)));
        }
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

fn word(word: &str) -> Word {
    Word(word.to_owned())
}

/// `true` or `false`, or the default where nothing is written.
fn flag(attrs: &mut Attrs, name: &str, default: bool) -> Result<bool, AttrError> {
    Ok(attrs.optional(name)?.unwrap_or(default))
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
