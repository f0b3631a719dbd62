//! Windows as attributes of convolutions and pools.

use crate::shape::Window;
use crate::text::{AttrError, Attrs};

/// Adds stride, dilation and pads where they are not those of a dense window. The kernel is the op's
/// own: some write it always, some as long as it is more than a pixel.
pub(super) fn with_window(attrs: Attrs, window: &Window) -> Attrs {
    attrs
        .with_unless([1, 1], "stride", window.stride)
        .with_unless([1, 1], "dilation", window.dilation)
        .with_unless([0; 4], "pads", window.pads)
}

/// Reads back what [`with_window`] adds.
pub(super) fn read_window(kernel: [usize; 2], attrs: &mut Attrs) -> Result<Window, AttrError> {
    let dense = Window::dense(kernel);
    Ok(Window {
        stride: attrs.optional("stride")?.unwrap_or(dense.stride),
        dilation: attrs.optional("dilation")?.unwrap_or(dense.dilation),
        pads: attrs.optional("pads")?.unwrap_or(dense.pads),
        ..dense
    })
}
