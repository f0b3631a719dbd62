//! Means and maxima over whole maps: GlobalAveragePool, GlobalMaxPool, ReduceMean, ReduceMax.

use trefoil_ir::nn::NodeId;
use trefoil_ir::nn::op::{AvgPool, GlobalAvgPool, MaxPool};
use trefoil_ir::{Shape, Window};

use super::reshape::view_as;
use crate::import::error::{Refusal, invalid, unsupported};
use crate::import::site::{Outcome, Site, axes};
use crate::import::value::{Value, View, shape_text};

/// Which of the two reductions.
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
    let node = match rank {
        _ if reduced.contains(&0) || shrinks(&view, &reduced, 1) => return refuse(&view, &reduced),
        4 => {
            site.image(0)?;
            let axes = [2, 3].map(|axis| shrinks(&view, &reduced, axis));
            over(site, view.node, of, axes)?
        }
        3 if shrinks(&view, &reduced, 2) => {
            site.check_channels(&view)?;
            over(site, view.node, of, [true, true])?
        }
        2 | 3 => view.node,
        _ => return refuse(&view, &reduced),
    };
    let mut dims = Vec::with_capacity(rank);
    for (axis, &dim) in view.dims.iter().enumerate() {
        if !reduced.contains(&axis) {
            dims.push(dim);
        } else if keep {
            dims.push(1);
        }
    }
    let view = View {
        node,
        dims: vec![view.dims[0], site.shape(node).len()],
    };
    view_as(site, view, dims)
}

/// Whether an axis is reduced that has more than one element: of one, its element is left anyway.
fn shrinks(view: &View, reduced: &[usize], axis: usize) -> bool {
    reduced.contains(&axis) && view.dims[axis] > 1
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
