//! Axes of a value, and choices of indices along one.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::shape::Shape;

/// An axis of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Axis {
    /// Channels.
    C,
    /// Rows.
    H,
    /// Columns.
    W,
}

impl Axis {
    /// Size of `shape` along this axis.
    pub fn size(self, shape: Shape) -> usize {
        match self {
            Axis::C => shape.c,
            Axis::H => shape.h,
            Axis::W => shape.w,
        }
    }

    /// `shape` with another size along this axis.
    pub fn resized(self, shape: Shape, size: usize) -> Shape {
        match self {
            Axis::C => Shape { c: size, ..shape },
            Axis::H => Shape { h: size, ..shape },
            Axis::W => Shape { w: size, ..shape },
        }
    }

    /// (elements before, inside) one step along this axis: an index is
    /// `(outer * size + at) * inner + i`.
    pub fn outer_inner(self, shape: Shape) -> (usize, usize) {
        match self {
            Axis::C => (1, shape.plane()),
            Axis::H => (shape.c, shape.w),
            Axis::W => (shape.c * shape.h, 1),
        }
    }

    /// Picks `index` along this axis out of `values` of `shape`.
    pub fn gather<T: Copy>(self, values: &[T], shape: Shape, index: &[usize]) -> Vec<T> {
        let (outer, inner) = self.outer_inner(shape);
        let mut result = Vec::with_capacity(outer * index.len() * inner);
        self.gather_onto(values, shape, index, &mut result);
        result
    }

    /// The same, behind what `result` holds.
    pub fn gather_onto<T: Copy>(self, values: &[T], shape: Shape, index: &[usize], result: &mut Vec<T>) {
        let (outer, inner) = self.outer_inner(shape);
        let size = self.size(shape);
        for o in 0..outer {
            let line = &values[o * size * inner..][..size * inner];
            if inner == 1 {
                result.extend(index.iter().map(|&at| line[at]));
                continue;
            }
            for &at in index {
                result.extend_from_slice(&line[at * inner..][..inner]);
            }
        }
    }
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Axis::C => "c",
            Axis::H => "h",
            Axis::W => "w",
        })
    }
}
