//! Shapes of one image's values.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Shape of a value: channels, height, width. The batch is never part of it, and a vector of `n`
/// features is `n x 1 x 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shape {
    /// Channels.
    pub c: usize,
    /// Height of the map in pixels.
    pub h: usize,
    /// Width of the map in pixels.
    pub w: usize,
}

/// No dimension may exceed this, and neither may the number of elements: what a hostile file
/// claims must not be allocated.
pub const MAX_ELEMENTS: usize = 1 << 28;

/// Channels that all values of a network have together, at most: of each channel lists are made
/// (patches, ranges, units) again and again. The largest networks have some millions.
pub(crate) const MAX_CHANNELS: usize = 1 << 26;

impl Shape {
    /// A feature map.
    pub const fn new(c: usize, h: usize, w: usize) -> Self {
        Self { c, h, w }
    }

    /// A vector of features: a map of one pixel.
    pub const fn vector(n: usize) -> Self {
        Self::new(n, 1, 1)
    }

    /// Pixels of one channel; of a shape that is not [sane](Self::is_sane) `usize::MAX` stands for
    /// what no number holds.
    pub const fn plane(&self) -> usize {
        self.h.saturating_mul(self.w)
    }

    /// Number of elements, with the same reserve.
    pub const fn len(&self) -> usize {
        self.c.saturating_mul(self.plane())
    }

    /// Whether the shape has no element at all (no valid value has such a shape).
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether every dimension is positive and the element count within [`MAX_ELEMENTS`]. What a file
    /// states is asked this before anything else is done with it.
    pub fn is_sane(&self) -> bool {
        (1..=MAX_ELEMENTS).contains(&self.len())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.c, self.h, self.w)
    }
}

/// A shape's text was not of the form `16x32x32`.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not a shape: write channels, height and width as in 16x32x32")]
pub struct ParseShapeError(String);

impl FromStr for Shape {
    type Err = ParseShapeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut dims = Vec::new();
        for dim in text.split('x') {
            dims.push(dim.parse().map_err(|_| ParseShapeError(text.to_owned()))?);
        }
        match dims[..] {
            [c, h, w] if Shape::new(c, h, w).is_sane() => Ok(Shape::new(c, h, w)),
            _ => Err(ParseShapeError(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_shape_wraps() {
        let huge = 1 << 57;
        for shape in [
            Shape::new(1, huge, huge),
            Shape::new(huge, 2, huge),
            Shape::new(3, usize::MAX, 1),
        ] {
            assert_eq!(shape.len(), usize::MAX, "{shape}");
            assert!(!shape.is_sane());
        }
        // 0 times what does not fit is still nothing.
        assert!(Shape::new(0, huge, huge).is_empty());
        assert!(Shape::new(1, 1 << 14, 1 << 14).is_sane());
        assert!(!Shape::new(2, 1 << 14, 1 << 14).is_sane() && !Shape::new(0, 1, 1).is_sane());
    }

    #[test]
    fn shapes_parse_back_and_refuse_nonsense() {
        assert_eq!("16x3x2".parse(), Ok(Shape::new(16, 3, 2)));
        for bad in [
            "",
            "16",
            "16x3",
            "0x3x3",
            "16x3x2x1",
            "99999999x99999999x99999999",
        ] {
            assert!(bad.parse::<Shape>().is_err(), "{bad}");
        }
    }
}
