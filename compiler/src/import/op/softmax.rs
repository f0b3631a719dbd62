//! Softmax and ArgMax over the channels.

use trefoil_ir::nn::op::{ArgMax, Softmax};

use super::reshape::view_as;
use crate::import::error::unsupported;
use crate::import::site::{Outcome, Site, axis};
use crate::import::value::{Value, View, shape_text};

/// Softmax over the channels.
pub(super) fn softmax(site: &mut Site<'_>) -> Outcome {
    let view = site.channelled(0)?;
    // Before opset 13 the axis and all behind it were one.
    let flattens = site.opset < 13;
    let along = axis(site.int("axis", if flattens { 1 } else { -1 })?, view.dims.len())?;
    let behind: usize = view.dims[2..].iter().product();
    if along != 1 || (flattens && behind != 1) {
        return unsupported(
            format!(
                "it does not run over the channels of a value of shape {}",
                shape_text(&view.dims)
            ),
            "take the softmax over the channels (axis 1), with opset 13 or later",
        );
    }
    let node = site.add(Softmax, &[view.node])?;
    Ok(vec![Value::map(node, view.dims)])
}

/// ArgMax over the channels.
pub(super) fn arg_max(site: &mut Site<'_>) -> Outcome {
    let view = site.channelled(0)?;
    let along = axis(site.int("axis", 0)?, view.dims.len())?;
    if along != 1 {
        return unsupported(
            format!(
                "it runs over axis {along} of a value of shape {}",
                shape_text(&view.dims)
            ),
            "take the largest channel (axis 1)",
        );
    }
    if site.flag("select_last_index", false)? {
        return unsupported(
            "it selects the last among equals",
            "select the first one (select_last_index=0)",
        );
    }
    let mut dims = view.dims.clone();
    match site.flag("keepdims", true)? {
        true => dims[1] = 1,
        false => {
            dims.remove(1);
        }
    }
    let node = site.add(ArgMax, &[view.node])?;
    let rows = View {
        node,
        dims: vec![view.dims[0]],
    };
    view_as(site, rows, dims)
}
