//! Shapes of one image's values and the geometry of sliding windows.

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

impl Shape {
    /// A feature map.
    pub const fn new(c: usize, h: usize, w: usize) -> Self {
        Self { c, h, w }
    }

    /// A vector of features: a map of one pixel.
    pub const fn vector(n: usize) -> Self {
        Self::new(n, 1, 1)
    }

    /// Pixels of one channel.
    pub const fn plane(&self) -> usize {
        self.h * self.w
    }

    /// Number of elements.
    pub const fn len(&self) -> usize {
        self.c * self.h * self.w
    }

    /// Whether the shape has no element at all (no valid value has such a shape).
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether every dimension is positive and the element count within [`MAX_ELEMENTS`].
    pub fn is_sane(&self) -> bool {
        !self.is_degenerate()
            && self
                .c
                .checked_mul(self.h)
                .and_then(|n| n.checked_mul(self.w))
                .is_some_and(|n| n <= MAX_ELEMENTS)
    }

    fn is_degenerate(&self) -> bool {
        self.c == 0 || self.h == 0 || self.w == 0
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
        let bad = || ParseShapeError(text.to_owned());
        let dims: Vec<usize> = text
            .split('x')
            .map(|d| d.parse().map_err(|_| bad()))
            .collect::<Result<_, _>>()?;
        match dims[..] {
            [c, h, w] if Shape::new(c, h, w).is_sane() => Ok(Shape::new(c, h, w)),
            _ => Err(bad()),
        }
    }
}

/// A sliding window: the geometry that convolutions and pools share. Pairs are (height, width).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Window {
    /// Taps of the window.
    pub kernel: [usize; 2],
    /// Step between windows.
    pub stride: [usize; 2],
    /// Step between taps.
    pub dilation: [usize; 2],
    /// Rows and columns added around the map: top, left, bottom, right.
    pub pads: [usize; 4],
}

/// Why a window does not fit a map.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum WindowError {
    /// A kernel, stride or dilation of zero, or a number beyond anything sensible.
    #[error("kernel, stride and dilation must be positive, and all parameters of a window at most 65536")]
    OutOfRange,
    /// The padded map is smaller than the window.
    #[error("the window of {extent:?} does not fit the padded map of {padded:?}")]
    TooLarge {
        /// Rows and columns that the dilated window spans.
        extent: [usize; 2],
        /// Rows and columns of the padded map.
        padded: [usize; 2],
    },
}

impl Window {
    /// A window with stride and dilation 1 and no padding.
    pub fn dense(kernel: [usize; 2]) -> Self {
        Self {
            kernel,
            stride: [1, 1],
            dilation: [1, 1],
            pads: [0; 4],
        }
    }

    /// Rows and columns that the dilated window spans.
    pub fn extent(&self) -> [usize; 2] {
        [0, 1].map(|i| (self.kernel[i] - 1) * self.dilation[i] + 1)
    }

    /// Height and width of the output for a map of `h` x `w`.
    ///
    /// # Errors
    /// If a parameter is out of range or the window is larger than the padded map.
    pub fn output(&self, h: usize, w: usize) -> Result<[usize; 2], WindowError> {
        self.check()?;
        let extent = self.extent();
        let padded = [h + self.pads[0] + self.pads[2], w + self.pads[1] + self.pads[3]];
        if extent[0] > padded[0] || extent[1] > padded[1] {
            return Err(WindowError::TooLarge { extent, padded });
        }
        Ok([0, 1].map(|i| (padded[i] - extent[i]) / self.stride[i] + 1))
    }

    /// Index of the map's row or column that tap `tap` of window `at` reads, along `axis`
    /// (0 height, 1 width); `None` where it lies in the padding.
    pub fn source(&self, axis: usize, at: usize, tap: usize, size: usize) -> Option<usize> {
        let position = at * self.stride[axis] + tap * self.dilation[axis];
        let index = position.checked_sub(self.pads[axis])?;
        (index < size).then_some(index)
    }

    /// How far apart the rows and columns of a map of `h` x `w` are that one tap reads. A stride
    /// beyond the map, with which it reads but one, counts as the map's size.
    pub fn step_within(&self, h: usize, w: usize) -> [usize; 2] {
        [self.stride[0].min(h), self.stride[1].min(w)]
    }

    fn check(&self) -> Result<(), WindowError> {
        const LIMIT: usize = 1 << 16;
        let positive = |v: &[usize; 2]| v.iter().all(|&x| (1..=LIMIT).contains(&x));
        let sane = positive(&self.kernel)
            && positive(&self.stride)
            && positive(&self.dilation)
            && self.pads.iter().all(|&p| p <= LIMIT);
        if sane {
            Ok(())
        } else {
            Err(WindowError::OutOfRange)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_follows_the_floor_formula() {
        let window = Window {
            kernel: [3, 3],
            stride: [2, 2],
            dilation: [1, 1],
            pads: [0, 0, 1, 1],
        };
        assert_eq!(window.output(7, 8), Ok([3, 4]));
        assert!(window.output(1, 1).is_err());
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
