//! One image as the network takes it.

use std::fmt;

use super::error::ImageProblem;
use super::shape::ImageShape;

/// The values of one image, channel by channel, row by row.
///
/// At the client this is the secret, so `Debug` prints the shape alone.
#[derive(Clone, PartialEq)]
pub struct ImageTensor {
    /// Channels.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `channels * height * width` finite values, CHW.
    pub values: Vec<f32>,
}

impl ImageTensor {
    /// The sizes of the three axes.
    pub fn shape(&self) -> ImageShape {
        (self.channels, self.height, self.width).into()
    }

    /// Hands the tensor on if every value is finite, else names the first position that is not.
    pub(super) fn into_finite(self) -> Result<Self, ImageProblem> {
        match self.values.iter().position(|value| !value.is_finite()) {
            None => Ok(self),
            Some(at) => Err(ImageProblem::NotFinite {
                channel: at / (self.height * self.width),
                row: at / self.width % self.height,
                column: at % self.width,
            }),
        }
    }
}

impl fmt::Debug for ImageTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImageTensor({})", self.shape())
    }
}
