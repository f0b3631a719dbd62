//! The sliding windows of Conv and the pools: attributes, `auto_pad`, `ceil_mode`.

use trefoil_ir::{Shape, Window};

use crate::import::error::{Refusal, invalid, unsupported};
use crate::import::site::{Site, attribute_error, size};

/// A window for a map, and how far `ceil_mode` made it reach beyond the padding.
pub(super) struct Fitted {
    /// The window, whose output has the size that ONNX says by the floor formula.
    pub(super) window: Window,
    /// Rows and columns that `ceil_mode` added at the bottom and right, part of the padding.
    pub(super) overhang: [usize; 2],
}

/// Reads a node's window over a map; `kernel` are the sizes of a convolution's weight.
pub(super) fn window(site: &Site<'_>, map: Shape, kernel: Option<[usize; 2]>) -> Result<Fitted, Refusal> {
    let stated = pair(site, "kernel_shape")?;
    if let (Some(kernel), Some(stated)) = (kernel, stated)
        && kernel != stated
    {
        return attribute_error("kernel_shape", "the size of the weight's kernel");
    }
    let mut window = Window {
        // That a pool states its own is in the schema; none at all would be refused below.
        kernel: kernel.or(stated).unwrap_or_default(),
        stride: pair(site, "strides")?.unwrap_or([1, 1]),
        dilation: pair(site, "dilations")?.unwrap_or([1, 1]),
        pads: [0; 4],
    };
    check(&window)?;
    window.pads = pads(site, &window, [map.h, map.w])?;
    let overhang = if site.flag("ceil_mode", false)? {
        overhang(&window, [map.h, map.w])
    } else {
        [0, 0]
    };
    window.pads[2] += overhang[0];
    window.pads[3] += overhang[1];
    Ok(Fitted { window, overhang })
}

fn pair(site: &Site<'_>, name: &'static str) -> Result<Option<[usize; 2]>, Refusal> {
    match site.ints(name)?.as_deref() {
        None => Ok(None),
        Some(&[h, w]) => Ok(Some([size(h)?, size(w)?])),
        Some([_] | [_, _, _]) => unsupported(
            "its window is not two-dimensional",
            "only two-dimensional images are supported: use the two-dimensional form of the layer",
        ),
        Some(_) => attribute_error(name, "two sizes"),
    }
}

/// Bounds that keep all later arithmetic far from overflow.
fn check(window: &Window) -> Result<(), Refusal> {
    const LIMIT: usize = 1 << 16;
    let all = [window.kernel, window.stride, window.dilation];
    if all.iter().flatten().all(|v| (1..=LIMIT).contains(v)) {
        return Ok(());
    }
    invalid("kernel, strides and dilations must be positive and at most 65536")
}

fn pads(site: &Site<'_>, window: &Window, map: [usize; 2]) -> Result<[usize; 4], Refusal> {
    let explicit = match site.ints("pads")?.as_deref() {
        None => [0; 4],
        Some(&[top, left, bottom, right]) => [size(top)?, size(left)?, size(bottom)?, size(right)?],
        Some(_) => return attribute_error("pads", "four sizes"),
    };
    let auto = site.string("auto_pad", "NOTSET")?;
    let is_auto = !matches!(auto.as_str(), "NOTSET" | "");
    if is_auto && explicit != [0; 4] {
        return invalid("both `pads` and `auto_pad` say how it is padded");
    }
    if auto.starts_with("SAME") && window.extent() != window.kernel {
        return unsupported(
            "it is dilated and leaves its padding to the runtime (auto_pad), in which runtimes differ",
            "state the amounts in `pads`",
        );
    }
    Ok(match auto.as_str() {
        "SAME_UPPER" => same_pads(window, map, false),
        "SAME_LOWER" => same_pads(window, map, true),
        // NOTSET, or VALID, beside which none are stated.
        _ => explicit,
    })
}

/// The pads (top, left, bottom, right) that give ceil(map / stride) windows along each axis; the odd pixel
/// goes below and right, or above and left if `lower`.
fn same_pads(window: &Window, map: [usize; 2], lower: bool) -> [usize; 4] {
    let extent = window.extent();
    let mut pads = [0; 4];
    for axis in 0..2 {
        let windows = map[axis].div_ceil(window.stride[axis]);
        let covered = (windows - 1) * window.stride[axis] + extent[axis];
        let total = covered.saturating_sub(map[axis]);
        pads[axis] = if lower { total.div_ceil(2) } else { total / 2 };
        pads[axis + 2] = total - pads[axis];
    }
    pads
}

/// What `ceil_mode` adds at the bottom and right: a last window that does not fill the padded map
/// counts too, unless it would start behind the map and its padding at the front.
fn overhang(window: &Window, map: [usize; 2]) -> [usize; 2] {
    let extent = window.extent();
    [0, 1].map(|i| {
        let stride = window.stride[i];
        let front = window.pads[i];
        let padded = map[i] + front + window.pads[i + 2];
        let Some(room) = padded.checked_sub(extent[i]) else {
            return 0;
        };
        let mut last = room.div_ceil(stride) * stride;
        if last >= map[i] + front {
            last -= stride.min(last);
        }
        (last + extent[i]).saturating_sub(padded)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(kernel: usize, stride: usize, pads: [usize; 4]) -> Window {
        Window {
            kernel: [kernel; 2],
            stride: [stride; 2],
            dilation: [1, 1],
            pads,
        }
    }

    /// The sizes that PyTorch's documentation gives for `ceil_mode=True`.
    fn ceil_size(size: usize, window: &Window) -> usize {
        let padded = size + window.pads[0] + window.pads[2];
        let mut count = (padded - window.kernel[0]).div_ceil(window.stride[0]) + 1;
        if (count - 1) * window.stride[0] >= size + window.pads[0] {
            count -= 1;
        }
        count
    }

    #[test]
    fn overhang_turns_ceil_into_floor() {
        for size in 1..12 {
            for kernel in 1..5 {
                for stride in 1..5 {
                    for pad in 0..=kernel / 2 {
                        let mut window = pool(kernel, stride, [pad; 4]);
                        if size + 2 * pad < kernel {
                            continue;
                        }
                        let expected = ceil_size(size, &window);
                        let over = overhang(&window, [size, size]);
                        window.pads[2] += over[0];
                        window.pads[3] += over[1];
                        let got = window.output(size, size).unwrap();
                        assert_eq!(got, [expected; 2], "{size} {kernel} {stride} {pad}");
                    }
                }
            }
        }
    }
}
