//! Where in the input a position of the output lies, along one axis.
//!
//! Which pixel is nearest must not hang on a rounding error: `6 / 1.2` is the fifth pixel, not the
//! one before it. A scale that is the ratio of the two sizes, as f32 holds it, stands for that ratio,
//! and positions are exact fractions. Any other scale is the number that the file states, and
//! positions are what f32 makes of it, as in the runtimes.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

/// How an output position maps to the input (ONNX `coordinate_transformation_mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Coordinates {
    /// `(x + 0.5) / scale - 0.5`.
    HalfPixel,
    /// `half_pixel`, but 0 where the output has one pixel.
    PytorchHalfPixel,
    /// `x * (in - 1) / (out - 1)`.
    AlignCorners,
    /// `x / scale`.
    Asymmetric,
}

/// A position between the pixels of the input; it may lie outside of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Position {
    /// A fraction with a positive denominator.
    Exact {
        /// Above the line.
        numerator: i64,
        /// Below it.
        denominator: i64,
    },
    /// A rounded number.
    Rounded(f32),
}

/// How close to the middle between two pixels a rounded position counts as the middle.
const TIE: f32 = 1e-6;

/// Farther out than any map reaches.
const FAR: f32 = 1e12;

impl Position {
    /// Where position `at` of `to` pixels lies among `from` pixels.
    pub(super) fn new(coordinates: Coordinates, at: usize, from: usize, to: usize, scale: f32) -> Self {
        let is_ratio = to as f32 / from as f32 == scale;
        // Sizes are below 2^29, so that all products fit.
        let [x, size, count] = [at, from, to].map(|v| v as i64);
        match coordinates {
            Coordinates::PytorchHalfPixel | Coordinates::AlignCorners if to == 1 => Self::exact(0, 1),
            Coordinates::AlignCorners => Self::exact(x * (size - 1), count - 1),
            Coordinates::HalfPixel | Coordinates::PytorchHalfPixel if is_ratio => {
                Self::exact((2 * x + 1) * size - count, 2 * count)
            }
            Coordinates::HalfPixel | Coordinates::PytorchHalfPixel => {
                Self::Rounded((at as f32 + 0.5) / scale - 0.5)
            }
            Coordinates::Asymmetric if is_ratio => Self::exact(x * size, count),
            Coordinates::Asymmetric => Self::Rounded(at as f32 / scale),
        }
    }

    fn exact(numerator: i64, denominator: i64) -> Self {
        Self::Exact {
            numerator,
            denominator,
        }
    }

    /// The pixel at or before the position.
    pub(super) fn floor(self) -> i64 {
        match self {
            Self::Exact {
                numerator,
                denominator,
            } => numerator.div_euclid(denominator),
            Self::Rounded(position) => position.floor().clamp(-FAR, FAR) as i64,
        }
    }

    /// The pixel at or behind the position.
    pub(super) fn ceil(self) -> i64 {
        self.floor() + i64::from(self.fraction() > 0.0)
    }

    /// How far behind the pixel at or before it the position lies, in pixels.
    pub(super) fn fraction(self) -> f64 {
        match self {
            Self::Exact {
                numerator,
                denominator,
            } => numerator.rem_euclid(denominator) as f64 / denominator as f64,
            Self::Rounded(position) => f64::from(position - position.floor()),
        }
    }

    /// On which side of the middle between two pixels the position lies.
    pub(super) fn beside_middle(self) -> Ordering {
        match self {
            Self::Exact {
                numerator,
                denominator,
            } => (2 * numerator.rem_euclid(denominator)).cmp(&denominator),
            Self::Rounded(position) => {
                let beyond = position - position.floor() - 0.5;
                if beyond.abs() < TIE {
                    return Ordering::Equal;
                }
                beyond.total_cmp(&0.0)
            }
        }
    }
}
