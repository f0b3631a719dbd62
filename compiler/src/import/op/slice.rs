//! Parts of a value: Slice, Split, and Gather with constant indices at equal distances.

use trefoil_ir::Axis;
use trefoil_ir::nn::NodeId;
use trefoil_ir::nn::op::Slice;

use super::reshape::view_as;
use crate::import::error::{Refusal, invalid, unsupported};
use crate::import::site::{Outcome, Site, attribute_error, axes, axis, clamped, index, size};
use crate::import::value::{Value, View, shape_text};

/// Slice: bounds are attributes before opset 10 and operands since.
pub(super) fn slice(site: &mut Site<'_>) -> Outcome {
    let view = site.view(0)?;
    let Some(starts) = site.list("starts", 1)? else {
        return invalid("starts or ends are missing");
    };
    let Some(ends) = site.list("ends", 2)? else {
        return invalid("starts or ends are missing");
    };
    let along = match site.list("axes", 3)? {
        Some(list) => axes(&list, view.dims.len())?,
        None => (0..starts.len()).collect(),
    };
    let steps = site.int_list(4)?.unwrap_or_else(|| vec![1; starts.len()]);
    let count = along.len();
    if [starts.len(), ends.len(), steps.len()] != [count; 3] || count > view.dims.len() {
        return invalid("starts, ends, axes and steps differ in length");
    }
    let mut parts = Vec::new();
    for i in 0..count {
        let dim = view.dims[along[i]];
        let range = resolve(starts[i], ends[i], steps[i], dim)?;
        if range != Range::all(dim) {
            parts.push((along[i], range));
        }
    }
    cut(site, view, &parts).map(|view| vec![Value::Map(view)])
}

/// Split: sizes are an attribute before opset 13 and an operand since; by default equal parts.
pub(super) fn split(site: &mut Site<'_>) -> Outcome {
    let view = site.view(0)?;
    let along = axis(site.int("axis", 0)?, view.dims.len())?;
    let dim = view.dims[along];
    let outputs = site.proto.output.len();
    let counted = site.has("num_outputs");
    if counted && site.int("num_outputs", 0)? != outputs as i64 {
        return attribute_error("num_outputs", "the number of results");
    }
    let sizes: Vec<usize> = match site.list("split", 1)? {
        Some(_) if counted => return invalid("both sizes and a number of parts are given"),
        None if site.opset >= 18 && !counted => {
            return invalid("neither the sizes of its parts nor their number is given");
        }
        Some(sizes) => sizes.iter().map(|&s| size(s)).collect::<Result<_, _>>()?,
        None => {
            if site.opset < 18 && !dim.is_multiple_of(outputs.max(1)) {
                return invalid(format!("an axis of size {dim} has no {outputs} equal parts"));
            }
            // The last part may be smaller.
            let part = dim.div_ceil(outputs.max(1));
            (0..outputs)
                .map(|i| dim.saturating_sub(i * part).min(part))
                .collect()
        }
    };
    if sizes.len() != outputs || sizes.iter().sum::<usize>() != dim || sizes.contains(&0) {
        return invalid(format!(
            "the parts {sizes:?} do not divide the axis of size {dim} into {outputs}"
        ));
    }
    let mut start = 0;
    let mut parts = Vec::with_capacity(outputs);
    for (i, count) in sizes.into_iter().enumerate() {
        let range = Range {
            start,
            step: 1,
            count,
        };
        start += count;
        let mut part = View {
            dims: view.dims.clone(),
            ..view
        };
        if range != Range::all(dim) {
            part = cut_axis(site, &part, along, range, Some(&i.to_string()))?;
        }
        parts.push(Value::Map(part));
    }
    Ok(parts)
}

/// Gather with constant indices that a slice can express: one, or several at equal distances.
pub(super) fn gather(site: &mut Site<'_>) -> Outcome {
    let view = site.view(0)?;
    let along = axis(site.int("axis", 0)?, view.dims.len())?;
    let Some((indices, is_single)) = site.constant(1)?.and_then(|c| {
        let indices = c.ints()?.to_vec();
        Some((indices, c.dims().is_empty()))
    }) else {
        return invalid("the indices must be integers");
    };
    let dim = view.dims[along];
    let indices: Vec<usize> = indices.iter().map(|&i| index(i, dim)).collect::<Result<_, _>>()?;
    let step = match indices[..] {
        [first, second, ..] if second > first => second - first,
        [_] => 1,
        _ => 0,
    };
    let even = indices.windows(2).all(|pair| pair[0] + step == pair[1]);
    let is_list = is_single || site.constant(1)?.is_some_and(|c| c.dims().len() == 1);
    if step == 0 || !even || !is_list {
        return unsupported(
            "it gathers elements that are not at equal distances",
            "take slices of the value instead",
        );
    }
    let range = Range {
        start: indices[0],
        step,
        count: indices.len(),
    };
    let parts = if range == Range::all(dim) {
        vec![]
    } else {
        vec![(along, range)]
    };
    let part = cut(site, view, &parts)?;
    if !is_single {
        return Ok(vec![Value::Map(part)]);
    }
    let mut dims = part.dims.clone();
    dims.remove(along);
    view_as(site, part, dims)
}

/// Every `step`-th index from `start` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    start: usize,
    step: usize,
    count: usize,
}

impl Range {
    fn all(dim: usize) -> Self {
        Self {
            start: 0,
            step: 1,
            count: dim,
        }
    }
}

/// The indices that ONNX means: negative ones count from the end, and all are clamped.
fn resolve(start: i64, end: i64, step: i64, dim: usize) -> Result<Range, Refusal> {
    if step <= 0 {
        return unsupported(
            format!("its step is {step}"),
            "only steps forward are supported: do not reverse values",
        );
    }
    let start = clamped(start, dim);
    let end = clamped(end, dim);
    if end <= start {
        return invalid(format!("the slice of an axis of size {dim} is empty"));
    }
    let length = end - start;
    let step = usize::try_from(step).unwrap_or(usize::MAX).min(length);
    Ok(Range {
        start,
        // A single index has no distance to another.
        step: if step >= length { 1 } else { step },
        count: length.div_ceil(step),
    })
}

/// Slices one axis after the other; the last node carries the ONNX node's name.
fn cut(site: &mut Site<'_>, view: View, parts: &[(usize, Range)]) -> Result<View, Refusal> {
    let mut view = view;
    for (i, &(along, range)) in parts.iter().enumerate() {
        let suffix = (i + 1 < parts.len()).then(|| i.to_string());
        view = cut_axis(site, &view, along, range, suffix.as_deref())?;
    }
    Ok(view)
}

fn cut_axis(
    site: &mut Site<'_>,
    view: &View,
    along: usize,
    range: Range,
    suffix: Option<&str>,
) -> Result<View, Refusal> {
    let Range { start, step, count } = range;
    let op = Slice {
        axis: graph_axis(site, view, along)?,
        start,
        step,
        count,
    };
    let node: NodeId = match suffix {
        Some(suffix) => site.add_part(suffix, op, &[view.node])?,
        None => site.add(op, &[view.node])?,
    };
    let mut dims = view.dims.clone();
    dims[along] = count;
    Ok(View { node, dims })
}

/// The graph's axis that an ONNX axis is.
fn graph_axis(site: &Site<'_>, view: &View, along: usize) -> Result<Axis, Refusal> {
    let axis = match (view.dims.len(), along) {
        (2.., 1) => Axis::C,
        (4, 2) => Axis::H,
        (4, 3) => Axis::W,
        _ => {
            return unsupported(
                format!(
                    "it cuts axis {along} of a value of shape {}",
                    shape_text(&view.dims)
                ),
                "only channels, rows and columns can be cut",
            );
        }
    };
    match axis {
        Axis::C => site.check_channels(view)?,
        Axis::H | Axis::W => site.check_image(view)?,
    }
    Ok(axis)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Python's slice, which ONNX follows, index by index.
    fn naive(start: i64, end: i64, step: i64, dim: i64) -> Vec<i64> {
        let fix = |at: i64| if at < 0 { at + dim } else { at }.clamp(0, dim);
        (fix(start)..fix(end)).step_by(step as usize).collect()
    }

    #[test]
    fn ranges_are_those_of_python() {
        for dim in 1..7 {
            for start in -8..9 {
                for end in -8..9 {
                    for step in 1..5 {
                        let expected = naive(start, end, step, dim);
                        let got = resolve(start, end, step, dim as usize).ok();
                        let got: Vec<i64> = got.map_or(Vec::new(), |r| {
                            (0..r.count).map(|i| (r.start + i * r.step) as i64).collect()
                        });
                        assert_eq!(got, expected, "{start}:{end}:{step} of {dim}");
                    }
                }
            }
        }
    }

    #[test]
    fn extreme_bounds_are_clamped() {
        let all = Range::all(5);
        assert_eq!(resolve(0, i64::MAX, 1, 5).unwrap(), all);
        assert_eq!(resolve(i64::MIN, i64::MAX, 1, 5).unwrap(), all);
        let one = resolve(0, 5, i64::MAX, 5).unwrap();
        assert_eq!((one.start, one.count), (0, 1));
        assert!(
            resolve(3, 3, 1, 5).is_err() && resolve(0, 5, -1, 5).is_err() && resolve(0, 5, 0, 5).is_err()
        );
    }
}
