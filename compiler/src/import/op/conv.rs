//! Conv.

use trefoil_ir::Shape;
use trefoil_ir::nn::op::Conv2d;

use super::window;
use crate::import::error::{invalid, unsupported};
use crate::import::site::{Outcome, Site, size};
use crate::import::value::{Value, shape_text};

/// Conv, two-dimensional, with constant weights.
pub(super) fn conv(site: &mut Site<'_>) -> Outcome {
    let weight = site.weight(1)?;
    let kernel = match *weight.dims() {
        [_, _, kh, kw] => [kh, kw],
        [_, _, _] | [_, _, _, _, _] => {
            return unsupported(
                "the convolution is not two-dimensional",
                "only two-dimensional images are supported: use Conv2d",
            );
        }
        _ => {
            let dims = shape_text(weight.dims());
            return invalid(format!(
                "the weight has the shape {dims}, and four dimensions are expected"
            ));
        }
    };
    let image = site.image(0)?;
    let bias = if site.is_given(2) {
        Some(site.weight(2)?)
    } else {
        None
    };
    let fitted = window::window(site, site.shape(image.node), Some(kernel))?;
    let op = Conv2d {
        weight,
        bias,
        window: fitted.window,
        groups: size(site.int("group", 1)?)?,
    };
    let node = site.add(op, &[image.node])?;
    let Shape { c, h, w } = site.shape(node);
    Ok(vec![Value::map(node, vec![image.dims[0], c, h, w])])
}
