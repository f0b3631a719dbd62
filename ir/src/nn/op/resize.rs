//! Interpolation to another map size.

mod position;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use self::position::Position;
use super::{Arity, OpError, Rule, mismatch};
use crate::nn::eval::FeatureMap;
use crate::shape::Shape;
use crate::text::attr::{FromAttr, Word};
use crate::text::{Attr, AttrError, Attrs};

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
    /// The one or two input positions, with weights, of each output position along `axis`
    /// (0 rows, 1 columns) of an input of `size`.
    pub fn taps(&self, axis: usize, size: usize) -> Vec<Vec<Tap>> {
        let position = |at| Position::new(self.coordinates, at, size, self.size[axis], self.scales[axis]);
        (0..self.size[axis])
            .map(|at| self.taps_at(position(at), size))
            .collect()
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
    let (floor, fraction) = (position.floor(), position.fraction());
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

impl From<ResizeMode> for Attr {
    fn from(mode: ResizeMode) -> Attr {
        Attr::Word(
            match mode {
                ResizeMode::NearestFloorHalf => "nearest",
                ResizeMode::NearestCeilHalf => "nearest_ceil_half",
                ResizeMode::NearestFloor => "nearest_floor",
                ResizeMode::NearestCeil => "nearest_ceil",
                ResizeMode::Bilinear => "bilinear",
            }
            .to_owned(),
        )
    }
}

impl FromAttr for ResizeMode {
    const EXPECTED: &'static str = "one of nearest, nearest_ceil_half, nearest_floor, nearest_ceil, bilinear";
    fn from_attr(attr: Attr) -> Option<Self> {
        Some(match Word::from_attr(attr)?.0.as_str() {
            "nearest" => ResizeMode::NearestFloorHalf,
            "nearest_ceil_half" => ResizeMode::NearestCeilHalf,
            "nearest_floor" => ResizeMode::NearestFloor,
            "nearest_ceil" => ResizeMode::NearestCeil,
            "bilinear" => ResizeMode::Bilinear,
            _ => return None,
        })
    }
}

impl From<Coordinates> for Attr {
    fn from(coordinates: Coordinates) -> Attr {
        Attr::Word(
            match coordinates {
                Coordinates::HalfPixel => "half_pixel",
                Coordinates::PytorchHalfPixel => "pytorch_half_pixel",
                Coordinates::AlignCorners => "align_corners",
                Coordinates::Asymmetric => "asymmetric",
            }
            .to_owned(),
        )
    }
}

impl FromAttr for Coordinates {
    const EXPECTED: &'static str = "one of half_pixel, pytorch_half_pixel, align_corners, asymmetric";
    fn from_attr(attr: Attr) -> Option<Self> {
        Some(match Word::from_attr(attr)?.0.as_str() {
            "half_pixel" => Coordinates::HalfPixel,
            "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
            "align_corners" => Coordinates::AlignCorners,
            "asymmetric" => Coordinates::Asymmetric,
            _ => return None,
        })
    }
}

impl Rule for Resize {
    const NAME: &'static str = "resize";
    const ARITY: Arity = Arity::Exactly(1);

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        let out = Shape::new(inputs[0].c, self.size[0], self.size[1]);
        if !out.is_sane() || !self.scales.iter().all(|s| s.is_finite() && *s > 0.0) {
            return mismatch("the size is empty or beyond all measure, or a scale is not positive");
        }
        Ok(out)
    }

    fn attrs(&self) -> Attrs {
        Attrs::new()
            .with("size", self.size)
            .with("scales", self.scales)
            .with("mode", self.mode)
            .with("coordinates", self.coordinates)
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self {
            size: attrs.require("size")?,
            scales: attrs.require("scales")?,
            mode: attrs.require("mode")?,
            coordinates: attrs.require("coordinates")?,
        })
    }

    fn eval(&self, inputs: &[&FeatureMap], output: Shape) -> FeatureMap {
        let input = inputs[0].shape();
        let rows = self.taps(0, input.h);
        let columns = self.taps(1, input.w);
        let mut values = Vec::with_capacity(output.len());
        for channel in inputs[0].channels() {
            for row in &rows {
                for column in &columns {
                    let at = |r: &Tap, c: &Tap| f64::from(channel[r.index * input.w + c.index]);
                    let sum: f64 = row
                        .iter()
                        .flat_map(|r| column.iter().map(move |c| r.weight * c.weight * at(r, c)))
                        .sum();
                    values.push(sum as f32);
                }
            }
        }
        FeatureMap::new(output, values)
    }

    fn backward(&self, inputs: &[&FeatureMap], _: &FeatureMap, gradient: &FeatureMap) -> Vec<FeatureMap> {
        let input = inputs[0].shape();
        let rows = self.taps(0, input.h);
        let columns = self.taps(1, input.w);
        let mut sums = vec![0f64; input.len()];
        for (channel, of_channel) in sums.chunks_mut(input.plane()).zip(gradient.channels()) {
            let mut of_channel = of_channel.iter();
            for (row, column) in rows.iter().flat_map(|r| columns.iter().map(move |c| (r, c))) {
                let g = of_channel.next().map_or(0.0, |g| f64::from(*g));
                for (r, c) in row.iter().flat_map(|r| column.iter().map(move |c| (r, c))) {
                    channel[r.index * input.w + c.index] += r.weight * c.weight * g;
                }
            }
        }
        vec![FeatureMap::new(
            input,
            sums.into_iter().map(|v| v as f32).collect(),
        )]
    }
}
