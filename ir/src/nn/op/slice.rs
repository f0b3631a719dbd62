//! Part of one axis.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Arity, OpError, Rule, mismatch};
use crate::nn::eval::FeatureMap;
use crate::shape::Shape;
use crate::text::attr::{FromAttr, Word};
use crate::text::{Attr, AttrError, Attrs};

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

impl From<Axis> for Attr {
    fn from(axis: Axis) -> Attr {
        Attr::Word(axis.to_string())
    }
}

impl FromAttr for Axis {
    const EXPECTED: &'static str = "an axis: c, h or w";
    fn from_attr(attr: Attr) -> Option<Self> {
        match Word::from_attr(attr)?.0.as_str() {
            "c" => Some(Axis::C),
            "h" => Some(Axis::H),
            "w" => Some(Axis::W),
            _ => None,
        }
    }
}

/// Every `step`-th index of one axis, from `start` on, `count` of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// The axis.
    pub axis: Axis,
    /// First index.
    pub start: usize,
    /// Distance between indices.
    pub step: usize,
    /// Number of indices.
    pub count: usize,
}

impl Slice {
    /// The indices that are kept.
    pub fn index(&self) -> Vec<usize> {
        (0..self.count).map(|i| self.start + i * self.step).collect()
    }
}

impl Rule for Slice {
    const NAME: &'static str = "slice";
    const ARITY: Arity = Arity::Exactly(1);

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        let size = self.axis.size(inputs[0]);
        let last = (self.count.max(1) - 1)
            .checked_mul(self.step)
            .and_then(|n| n.checked_add(self.start));
        if self.count == 0 || self.step == 0 || last.is_none_or(|last| last >= size) {
            return mismatch(format!("the slice is empty or leaves the axis of size {size}"));
        }
        Ok(self.axis.resized(inputs[0], self.count))
    }

    fn attrs(&self) -> Attrs {
        Attrs::new()
            .with("axis", self.axis)
            .with("start", self.start)
            .with_unless(1, "step", self.step)
            .with("count", self.count)
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self {
            axis: attrs.require("axis")?,
            start: attrs.require("start")?,
            step: attrs.optional("step")?.unwrap_or(1),
            count: attrs.require("count")?,
        })
    }

    fn eval(&self, inputs: &[&FeatureMap], output: Shape) -> FeatureMap {
        let values = self
            .axis
            .gather(inputs[0].values(), inputs[0].shape(), &self.index());
        FeatureMap::new(output, values)
    }

    fn backward(&self, inputs: &[&FeatureMap], _: &FeatureMap, gradient: &FeatureMap) -> Vec<FeatureMap> {
        let shape = inputs[0].shape();
        let (outer, inner) = self.axis.outer_inner(shape);
        let (size, index) = (self.axis.size(shape), self.index());
        let mut values = vec![0.0; shape.len()];
        let places = (0..outer).flat_map(|o| index.iter().map(move |at| (o * size + at) * inner));
        for (start, part) in places.zip(gradient.values().chunks(inner)) {
            values[start..start + inner].copy_from_slice(part);
        }
        vec![FeatureMap::new(shape, values)]
    }
}
