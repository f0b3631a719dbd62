//! Concatenation along the channels.

use serde::{Deserialize, Serialize};

use super::class::{Class, Move};
use super::{Arity, OpError, Rule, mismatch};
use crate::geometry::Shape;
use crate::nn::eval::FeatureMap;
use crate::text::{AttrError, Attrs};

/// Concatenation along the channels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Concat;

impl Rule for Concat {
    const NAME: &'static str = "concat";
    const ARITY: Arity = Arity::AtLeast(1);

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        let Shape { h, w, .. } = inputs[0];
        if inputs.iter().any(|s| (s.h, s.w) != (h, w)) {
            return mismatch("the operands' maps differ in size");
        }
        Ok(Shape::new(inputs.iter().map(|s| s.c).sum(), h, w))
    }

    fn class(&self) -> Class<'_> {
        Class::Move(Move::Concat)
    }

    fn attrs(&self) -> Attrs {
        Attrs::new()
    }

    fn from_attrs(_: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self)
    }

    fn eval(&self, inputs: &[&FeatureMap], output: Shape) -> FeatureMap {
        let parts: Vec<&[f32]> = inputs.iter().map(|m| m.values()).collect();
        FeatureMap::new(output, parts.concat())
    }

    fn backward(&self, inputs: &[&FeatureMap], _: &FeatureMap, gradient: &FeatureMap) -> Vec<FeatureMap> {
        let mut rest = gradient.values();
        let part = |input: &&FeatureMap| {
            let (part, behind) = rest.split_at(input.shape().len());
            rest = behind;
            FeatureMap::new(input.shape(), part.to_vec())
        };
        inputs.iter().map(part).collect()
    }
}
