//! Pixels that become channels, and the way back: SpaceToDepth and DepthToSpace.

use trefoil_ir::geometry::{Shuffle, ShuffleMode};

use crate::import::error::invalid;
use crate::import::site::{Outcome, Site, attribute_error};
use crate::import::value::Value;

/// SpaceToDepth.
pub(super) fn space_to_depth(site: &mut Site<'_>) -> Outcome {
    finish(site, ShuffleMode::ToDepth)
}

/// DepthToSpace; before opset 11 it knows one order.
pub(super) fn depth_to_space(site: &mut Site<'_>) -> Outcome {
    let mode = match site.string("mode", "DCR")?.as_str() {
        "DCR" => ShuffleMode::ToSpace,
        "CRD" => ShuffleMode::NeighboursToSpace,
        _ => return attribute_error("mode", "DCR or CRD"),
    };
    finish(site, mode)
}

fn finish(site: &mut Site<'_>, mode: ShuffleMode) -> Outcome {
    let view = site.image(0)?;
    let block = match usize::try_from(site.int("blocksize", 0)?) {
        Ok(block) if block > 0 => block,
        _ => return attribute_error("blocksize", "a positive number"),
    };
    let shuffle = Shuffle { block, mode };
    let Some(shape) = shuffle.output(site.shape(view.node)) else {
        return invalid(format!(
            "blocks of {block} x {block} pixels do not divide its operand: choose another blocksize, or pad the operand"
        ));
    };
    if block == 1 {
        return Ok(vec![Value::Map(view)]);
    }
    let node = site.add(shuffle, &[view.node])?;
    Ok(vec![Value::map(
        node,
        vec![view.dims[0], shape.c, shape.h, shape.w],
    )])
}
