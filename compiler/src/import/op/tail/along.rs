//! Softmax, norms, sums and the like, the best and the best few.

use trefoil_ir::tail::{Binary, DType, Op, Reduction};

use super::value;
use crate::import::error::{Refusal, invalid, unsupported};
use crate::import::site::{Outcome, Site, axes, axis, size};
use crate::import::tail::{Side, TailValue};
use crate::import::value::Value;

/// Softmax, or its logarithm. Before opset 13 the axis and all behind it were taken as one.
pub(super) fn softmax(site: &mut Site<'_>, log: bool) -> Outcome {
    let x = site.tail(0)?;
    let rank = x.dims().len();
    let (default, flattens) = if site.opset < 13 { (1, true) } else { (-1, false) };
    let first = axis(site.int("axis", default)?, rank)?;
    let last = if flattens { rank } else { first + 1 };
    value(x.then(Op::Softmax { first, last, log })?)
}

/// ArgMax or ArgMin.
pub(super) fn arg(site: &mut Site<'_>, largest: bool) -> Outcome {
    let x = site.tail(0)?;
    let op = Op::Arg {
        axis: axis(site.int("axis", 0)?, x.dims().len())?,
        largest,
        keep: site.flag("keepdims", true)?,
        last: site.flag("select_last_index", false)?,
    };
    value(x.then(op)?)
}

/// TopK: the count is an attribute before opset 10 and an operand since.
pub(super) fn top_k(site: &mut Site<'_>) -> Outcome {
    let x = site.tail(0)?;
    let axis = axis(site.int("axis", -1)?, x.dims().len())?;
    let count = match site.has("k") {
        true => site.int("k", 0)?,
        false => match site.int_list(1)?.as_deref() {
            Some([count]) => *count,
            _ => return invalid("the count `k` must be a single integer"),
        },
    };
    let count = size(count)?;
    let largest = site.flag("largest", true)?;
    let mut results = Vec::new();
    for indices in [false, true] {
        let op = Op::TopK {
            axis,
            count,
            largest,
            indices,
        };
        results.push(Value::Tail(x.then(op)?));
    }
    Ok(results)
}

/// A reduction: axes are an attribute in older operator sets and an operand in newer ones.
pub(super) fn reduce(site: &mut Site<'_>, how: Reduction) -> Outcome {
    let x = site.tail(0)?;
    let rank = x.dims().len();
    let list = site.list("axes", 1)?.unwrap_or_default();
    let mut reduced = match list.as_slice() {
        [] if site.flag("noop_with_empty_axes", false)? => Vec::new(),
        [] => (0..rank).collect(),
        list => axes(list, rank)?,
    };
    if reduced.is_empty() {
        return reduce_nothing(x, how);
    }
    reduced.sort_unstable();
    let keep = site.flag("keepdims", true)?;
    value(x.then(Op::Reduce {
        how,
        axes: reduced,
        keep,
    })?)
}

/// A reduction over no axis. Of what it makes of single numbers, where that is something else than the
/// number, the versions of ONNX and the runtimes have different notions.
fn reduce_nothing(x: TailValue, how: Reduction) -> Outcome {
    match how {
        Reduction::Sum | Reduction::Mean | Reduction::Max | Reduction::Min => value(x),
        Reduction::L1 | Reduction::L2 | Reduction::SumSquare | Reduction::LogSumExp => unsupported(
            "it reduces over no axis, of which runtimes make different things",
            "name the axes, or use the function of single elements that is meant, such as Abs",
        ),
    }
}

/// LpNormalization: a quotient, and 0 where the norm is 0.
pub(super) fn lp_normalization(site: &mut Site<'_>) -> Outcome {
    let x = site.tail(0)?;
    let axis = axis(site.int("axis", -1)?, x.dims().len())?;
    let how = match site.int("p", 2)? {
        1 => Reduction::L1,
        2 => Reduction::L2,
        _ => return invalid("`p` must be 1 or 2"),
    };
    let norm = x.then(Op::Reduce {
        how,
        axes: vec![axis],
        keep: true,
    })?;
    value(quotient(&x, &norm)?)
}

fn quotient(x: &TailValue, norm: &TailValue) -> Result<TailValue, Refusal> {
    // No larger than any norm but 0, and a number of its type.
    let least = match norm.dtype() {
        DType::F16 => 2f64.powi(-24),
        _ => f32::MIN_POSITIVE.into(),
    };
    let norm = TailValue::combine(Op::Binary(Binary::Max), &Side::Value(norm), &Side::Number(least))?;
    TailValue::combine(Op::Binary(Binary::Div), &Side::Value(x), &Side::Value(&norm))
}
