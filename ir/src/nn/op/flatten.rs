//! A map as a vector, channel after channel.

use serde::{Deserialize, Serialize};

use super::class::{Class, Move};
use super::{Arity, OpError, Rule};
use crate::geometry::Shape;
use crate::nn::eval::FeatureMap;
use crate::text::{AttrError, Attrs};

/// A map as a vector, channel after channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flatten;

impl Rule for Flatten {
    const NAME: &'static str = "flatten";
    const ARITY: Arity = Arity::Exactly(1);

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        Ok(Shape::vector(inputs[0].len()))
    }

    fn class(&self) -> Class<'_> {
        Class::Move(Move::Flatten)
    }

    fn attrs(&self) -> Attrs {
        Attrs::new()
    }

    fn from_attrs(_: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self)
    }

    fn eval(&self, inputs: &[&FeatureMap], output: Shape) -> FeatureMap {
        FeatureMap::new(output, inputs[0].values().to_vec())
    }

    fn backward(&self, inputs: &[&FeatureMap], _: &FeatureMap, gradient: &FeatureMap) -> Vec<FeatureMap> {
        vec![FeatureMap::new(inputs[0].shape(), gradient.values().to_vec())]
    }
}
