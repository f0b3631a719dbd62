//! Part of one axis.

use serde::{Deserialize, Serialize};

use super::class::{Class, Move};
use super::{Arity, OpError, Rule, mismatch};
use crate::geometry::{Axis, Shape};
use crate::nn::eval::FeatureMap;
use crate::text::{AttrError, Attrs};

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

    fn class(&self) -> Class<'_> {
        Class::Move(Move::Slice(self))
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
        let size = self.axis.size(shape);
        let index = self.index();
        let mut values = vec![0.0; shape.len()];
        let places = (0..outer).flat_map(|o| index.iter().map(move |at| (o * size + at) * inner));
        for (start, part) in places.zip(gradient.values().chunks(inner)) {
            values[start..start + inner].copy_from_slice(part);
        }
        vec![FeatureMap::new(shape, values)]
    }
}
