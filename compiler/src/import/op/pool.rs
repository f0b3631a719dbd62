//! MaxPool and AveragePool.

use trefoil_ir::nn::op::{AvgPool, MaxPool};

use super::window::{self, Fitted};
use crate::import::error::{Refusal, invalid};
use crate::import::site::{Outcome, Site};
use crate::import::value::Value;

/// MaxPool, its values only.
pub(super) fn max_pool(site: &mut Site<'_>) -> Outcome {
    let image = site.image(0)?;
    let fitted = window::window(site, site.shape(image.node), None)?;
    check_pads(&fitted)?;
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
    let image = site.image(0)?;
    let fitted = window::window(site, site.shape(image.node), None)?;
    check_pads(&fitted)?;
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

/// A pad as large as the kernel, its dilation not counted, is refused by runtimes: windows may see
/// nothing. What `ceil_mode` adds is none.
fn check_pads(Fitted { window, overhang }: &Fitted) -> Result<(), Refusal> {
    let stated = [0, 1, 2, 3].map(|side| match side {
        0 | 1 => window.pads[side],
        _ => window.pads[side] - overhang[side - 2],
    });
    if (0..4).all(|side| stated[side] < window.kernel[side % 2]) {
        return Ok(());
    }
    invalid("a pad reaches the size of the kernel")
}
