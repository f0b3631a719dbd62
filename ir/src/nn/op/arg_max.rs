//! Index of the largest channel of each pixel, the first among equals.

use serde::{Deserialize, Serialize};

use super::{Arity, OpError, Rule};
use crate::nn::eval::FeatureMap;
use crate::shape::Shape;
use crate::text::{AttrError, Attrs};

/// Index of the largest channel of each pixel, the first among equals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArgMax;

impl Rule for ArgMax {
    const NAME: &'static str = "arg_max";
    const ARITY: Arity = Arity::Exactly(1);

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        Ok(Shape::new(1, inputs[0].h, inputs[0].w))
    }

    fn attrs(&self) -> Attrs {
        Attrs::new()
    }

    fn from_attrs(_: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self)
    }

    fn eval(&self, inputs: &[&FeatureMap], output: Shape) -> FeatureMap {
        let shape = inputs[0].shape();
        let plane = shape.plane();
        let best = |pixel: usize| {
            let value = |c: usize| inputs[0].values()[c * plane + pixel];
            (1..shape.c).fold(0, |best, c| if value(c) > value(best) { c } else { best })
        };
        FeatureMap::new(output, (0..plane).map(|p| best(p) as f32).collect())
    }

    fn backward(&self, inputs: &[&FeatureMap], _: &FeatureMap, _: &FeatureMap) -> Vec<FeatureMap> {
        // An index stays what it is under small changes.
        vec![FeatureMap::zeros(inputs[0].shape())]
    }
}
