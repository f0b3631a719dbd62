//! Pad with zeros.

use trefoil_ir::nn::op::Pad;

use crate::import::error::{invalid, unsupported};
use crate::import::site::{Outcome, Site, axes, size};
use crate::import::value::Value;

/// Pad: amounts are an attribute before opset 11 and an operand since.
pub(super) fn pad(site: &mut Site<'_>) -> Outcome {
    let view = site.view(0)?;
    let rank = view.dims.len();
    let mode = site.string("mode", "constant")?;
    if mode != "constant" {
        return unsupported(format!("its mode is {mode:?}"), "pad with zeros (mode constant)");
    }
    let fill = match site.scalar(2)? {
        Some(fill) => fill,
        None if site.has("value") => site.float("value", 0.0)?,
        None => 0.0,
    };
    let Some(pads) = site.list("pads", 1)? else {
        return invalid("the amounts are missing");
    };
    let along = match site.int_list(3)? {
        Some(list) => axes(&list, rank)?,
        None => (0..rank).collect(),
    };
    if pads.len() != 2 * along.len() {
        return invalid(format!(
            "{} amounts are given for {} axes",
            pads.len(),
            along.len()
        ));
    }
    if pads.iter().all(|p| *p == 0) {
        return Ok(vec![Value::Map(view)]);
    }
    if fill != 0.0 {
        return unsupported(format!("it pads with {fill}"), "pad with zeros");
    }
    if pads.iter().any(|p| *p < 0) {
        return unsupported("it crops with a negative amount", "crop with a slice instead");
    }
    let mut before = vec![0; rank];
    let mut after = vec![0; rank];
    for (i, &axis) in along.iter().enumerate() {
        before[axis] = size(pads[i])?;
        after[axis] = size(pads[i + along.len()])?;
    }
    if before[0] + after[0] > 0 {
        return unsupported("it pads the batch", "pad channels, rows or columns only");
    }
    match rank {
        2 => site.check_channels(&view)?,
        _ => site.check_image(&view)?,
    }
    let op = Pad {
        before: behind_the_batch(&before),
        after: behind_the_batch(&after),
    };
    let node = site.add(op, &[view.node])?;
    let mut dims = view.dims;
    for axis in 0..rank {
        dims[axis] += before[axis] + after[axis];
    }
    Ok(vec![Value::map(node, dims)])
}

/// The amounts of channels, rows and columns, of those of all axes; 0 where there is no such axis.
fn behind_the_batch(amounts: &[usize]) -> [usize; 3] {
    [1, 2, 3].map(|axis| amounts.get(axis).copied().unwrap_or(0))
}
