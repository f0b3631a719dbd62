//! Interpolation of a map to another size.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::position::{Coordinates, Position};
use super::shape::Shape;

/// How values between pixels are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ResizeMode {
    /// Nearest pixel, ONNX `nearest_mode = round_prefer_floor` (halves go down).
    NearestFloorHalf,
    /// Nearest pixel, `round_prefer_ceil`.
    NearestCeilHalf,
    /// The pixel at or before, `floor`.
    NearestFloor,
    /// The pixel at or behind, `ceil`.
    NearestCeil,
    /// Linear in both directions.
    Bilinear,
}

/// One summand of an interpolated value along one axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tap {
    /// Row or column of the input.
    pub index: usize,
    /// Its weight; the weights of one position add up to 1.
    pub weight: f64,
}

/// Interpolation to another map size, both axes alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resize {
    /// Height and width of the output.
    pub size: [usize; 2],
    /// Output size over input size as the model states it, where coordinates need it. It may differ
    /// from the ratio of the sizes; where it is that ratio, rounded to f32, the ratio itself counts.
    pub scales: [f32; 2],
    /// Interpolation.
    pub mode: ResizeMode,
    /// Coordinate transformation.
    pub coordinates: Coordinates,
}

impl Resize {
    /// Shape of the interpolated value; `None` if the size is empty or larger than
    /// [`MAX_ELEMENTS`](super::MAX_ELEMENTS), or a scale is not positive.
    pub fn output(&self, input: Shape) -> Option<Shape> {
        let shape = Shape::new(input.c, self.size[0], self.size[1]);
        let has_scales = self.scales.iter().all(|s| s.is_finite() && *s > 0.0);
        (shape.is_sane() && has_scales).then_some(shape)
    }

    /// The one or two input positions, with weights, of each output position along `axis`
    /// (0 rows, 1 columns) of an input of `size`.
    pub fn taps(&self, axis: usize, size: usize) -> Vec<Vec<Tap>> {
        let mut taps = Vec::with_capacity(self.size[axis]);
        for at in 0..self.size[axis] {
            let position = Position::new(self.coordinates, at, size, self.size[axis], self.scales[axis]);
            taps.push(self.taps_at(position, size));
        }
        taps
    }

    /// The nearest input index of each output position along `axis`, if the mode is nearest.
    pub fn nearest(&self, axis: usize, size: usize) -> Option<Vec<usize>> {
        if self.mode == ResizeMode::Bilinear {
            return None;
        }
        Some(self.taps(axis, size).iter().map(|taps| taps[0].index).collect())
    }

    fn taps_at(&self, position: Position, size: usize) -> Vec<Tap> {
        let floor = position.floor();
        let side = position.beside_middle();
        match self.mode {
            ResizeMode::NearestFloorHalf => one(floor + i64::from(side == Ordering::Greater), size),
            ResizeMode::NearestCeilHalf => one(floor + i64::from(side != Ordering::Less), size),
            ResizeMode::NearestFloor => one(floor, size),
            ResizeMode::NearestCeil => one(position.ceil(), size),
            ResizeMode::Bilinear => two(position, size),
        }
    }
}

/// The pixel itself, or the edge that lies before it.
fn one(at: i64, size: usize) -> Vec<Tap> {
    let index = at.clamp(0, size as i64 - 1) as usize;
    vec![Tap { index, weight: 1.0 }]
}

/// The pixels before and behind a position, or the one that it is at.
fn two(position: Position, size: usize) -> Vec<Tap> {
    let floor = position.floor();
    let fraction = position.fraction();
    if fraction == 0.0 || floor < 0 || floor + 1 >= size as i64 {
        return one(floor, size);
    }
    let before = Tap {
        index: floor as usize,
        weight: 1.0 - fraction,
    };
    let behind = Tap {
        index: floor as usize + 1,
        weight: fraction,
    };
    vec![before, behind]
}

#[cfg(test)]
mod tests;
