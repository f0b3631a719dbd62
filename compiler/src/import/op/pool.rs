//! MaxPool and AveragePool.

use trefoil_ir::nn::op::{AvgPool, MaxPool};
use trefoil_ir::shape::Window;

use super::window;
use crate::import::error::{Refusal, invalid};
use crate::import::site::{Outcome, Site};
use crate::import::value::Value;

/// MaxPool, its values only.
pub(super) fn max_pool(site: &mut Site<'_>) -> Outcome {
    site.at_most(1)?;
    let image = site.image(0)?;
    let fitted = window::window(site, site.shape(image.node), None)?;
    check_pads(&fitted.window)?;
    let op = MaxPool {
        window: fitted.window,
    };
    let node = site.add(op, &[image.node])?;
    let shape = site.shape(node);
    Ok(vec![Value::map(
        node,
        vec![image.dims[0], shape.c, shape.h, shape.w],
    )])
}

/// AveragePool.
pub(super) fn average_pool(site: &mut Site<'_>) -> Outcome {
    site.at_most(1)?;
    let image = site.image(0)?;
    let fitted = window::window(site, site.shape(image.node), None)?;
    check_pads(&fitted.window)?;
    let op = AvgPool {
        window: fitted.window,
        include_pad: site.flag("count_include_pad", false)?,
        overhang: fitted.overhang,
    };
    let node = site.add(op, &[image.node])?;
    let shape = site.shape(node);
    Ok(vec![Value::map(
        node,
        vec![image.dims[0], shape.c, shape.h, shape.w],
    )])
}

/// A pad as large as the window would make windows that see nothing.
fn check_pads(window: &Window) -> Result<(), Refusal> {
    let extent = window.extent();
    if (0..4).all(|side| window.pads[side] < extent[side % 2]) {
        return Ok(());
    }
    invalid("a pad reaches the size of the window")
}
