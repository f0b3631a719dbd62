//! Means and maxima over whole maps: GlobalAveragePool, GlobalMaxPool, ReduceMean, ReduceMax.

use trefoil_ir::nn::NodeId;
use trefoil_ir::nn::op::{AvgPool, GlobalAvgPool, MaxPool};
use trefoil_ir::{Shape, Window};

use super::reshape::view_as;
use crate::import::error::{Refusal, invalid, unsupported};
use crate::import::site::{Outcome, Site, axes};
use crate::import::value::{Value, View, shape_text};

/// What is taken of the values.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Mean,
    Max,
}

/// GlobalAveragePool.
pub(super) fn global_average_pool(site: &mut Site<'_>) -> Outcome {
    global(site, Of::Mean)
}

/// GlobalMaxPool.
pub(super) fn global_max_pool(site: &mut Site<'_>) -> Outcome {
    global(site, Of::Max)
}

/// ReduceMean over the map.
pub(super) fn reduce_mean(site: &mut Site<'_>) -> Outcome {
    reduce(site, Of::Mean)
}

/// ReduceMax over the map.
pub(super) fn reduce_max(site: &mut Site<'_>) -> Outcome {
    reduce(site, Of::Max)
}

fn global(site: &mut Site<'_>, of: Of) -> Outcome {
    let view = site.channelled(0)?;
    if view.dims.len() < 3 {
        return invalid(format!(
            "it pools a value of shape {}, which is no map",
            shape_text(&view.dims)
        ));
    }
    let mut dims = view.dims.clone();
    dims.iter_mut().skip(2).for_each(|d| *d = 1);
    let node = over(site, view.node, of, [true, true])?;
    Ok(vec![Value::map(node, dims)])
}

/// Axes are an attribute before opset 18 and an operand since.
fn reduce(site: &mut Site<'_>, of: Of) -> Outcome {
    let view = site.view(0)?;
    let rank = view.dims.len();
    let keep = site.flag("keepdims", true)?;
    let list = site.list("axes", 1)?.unwrap_or_default();
    let reduced = if list.is_empty() {
        if site.flag("noop_with_empty_axes", false)? {
            return Ok(vec![Value::Map(view)]);
        }
        (0..rank).collect()
    } else {
        axes(&list, rank)?
    };
    let is_reduced = |axis: &usize| reduced.contains(axis);
    // An axis of size one is the same before and after.
    let matters = |axis: usize| is_reduced(&axis) && view.dims[axis] > 1;
    let node = match rank {
        _ if is_reduced(&0) || matters(1) => return refuse(&view, &reduced),
        4 => {
            site.image(0)?;
            over(site, view.node, of, [matters(2), matters(3)])?
        }
        3 if matters(2) => {
            site.check_channels(&view)?;
            over(site, view.node, of, [true, true])?
        }
        2 | 3 => view.node,
        _ => return refuse(&view, &reduced),
    };
    let all = view.dims.iter().enumerate();
    let dims = if keep {
        all.map(|(axis, &d)| if is_reduced(&axis) { 1 } else { d })
            .collect()
    } else {
        all.filter(|(axis, _)| !is_reduced(axis))
            .map(|(_, &d)| d)
            .collect()
    };
    let view = View {
        node,
        dims: vec![view.dims[0], site.shape(node).len()],
    };
    view_as(site, view, dims)
}

fn refuse<T>(view: &View, axes: &[usize]) -> Result<T, Refusal> {
    unsupported(
        format!(
            "it reduces the axes {axes:?} of a value of shape {}",
            shape_text(&view.dims)
        ),
        "reduce over height and width only",
    )
}

/// The mean or maximum over rows, columns or both.
fn over(site: &mut Site<'_>, node: NodeId, of: Of, axes: [bool; 2]) -> Result<NodeId, Refusal> {
    let Shape { h, w, .. } = site.shape(node);
    let kernel = [if axes[0] { h } else { 1 }, if axes[1] { w } else { 1 }];
    let window = Window::dense(kernel);
    match of {
        _ if kernel == [1, 1] => Ok(node),
        Of::Max => site.add(MaxPool { window }, &[node]),
        Of::Mean if kernel == [h, w] => site.add(GlobalAvgPool, &[node]),
        Of::Mean => {
            let op = AvgPool {
                window,
                include_pad: false,
                overhang: [0, 0],
            };
            site.add(op, &[node])
        }
    }
}
