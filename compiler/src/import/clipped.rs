//! Values that were cut off, and between which bounds: one clip behind another becomes one.

use trefoil_ir::nn::NodeId;

/// `min(max(x, low), high)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bounds {
    /// The lower one.
    pub(super) low: f32,
    /// The upper one.
    pub(super) high: f32,
}

impl Bounds {
    pub(super) const NONE: Self = Self {
        low: f32::NEG_INFINITY,
        high: f32::INFINITY,
    };

    /// These bounds, and then others on top.
    pub(super) fn then(self, next: Self) -> Self {
        Self {
            low: self.low.max(next.low).min(next.high),
            high: self.high.max(next.low).min(next.high),
        }
    }
}

/// A clip in the graph: the value before it and its bounds.
#[derive(Clone, Debug)]
pub(super) struct Clipped {
    /// The value before it.
    pub(super) source: NodeId,
    /// Its bounds.
    pub(super) bounds: Bounds,
}
