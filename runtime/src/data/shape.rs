//! The sizes of an image.

use std::fmt;

/// Channels, height and width of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageShape {
    /// Channels.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl From<(usize, usize, usize)> for ImageShape {
    fn from((channels, height, width): (usize, usize, usize)) -> Self {
        Self {
            channels,
            height,
            width,
        }
    }
}

impl fmt::Display for ImageShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            channels,
            height,
            width,
        } = self;
        write!(f, "{channels} x {height} x {width} (C x H x W)")
    }
}
