//! Mean over all pixels of each channel (GlobalAveragePool, or ReduceMean over both axes of the map).

use serde::{Deserialize, Serialize};

use super::class::{Class, Mean};
use super::{Arity, OpError, Rule};
use crate::geometry::Shape;
use crate::nn::eval::FeatureMap;
use crate::text::{AttrError, Attrs};

/// Mean over all pixels of each channel (GlobalAveragePool, or ReduceMean over both axes of the map).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GlobalAvgPool;

impl Rule for GlobalAvgPool {
    const NAME: &'static str = "global_avg_pool";
    const ARITY: Arity = Arity::Exactly(1);

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        Ok(Shape::vector(inputs[0].c))
    }

    fn class(&self) -> Class<'_> {
        Class::Mean(Mean::Map)
    }

    fn attrs(&self) -> Attrs {
        Attrs::new()
    }

    fn from_attrs(_: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self)
    }

    fn eval(&self, inputs: &[&FeatureMap], output: Shape) -> FeatureMap {
        let plane = inputs[0].shape().plane();
        let mean = |c: &[f32]| c.iter().sum::<f32>() / plane as f32;
        FeatureMap::new(output, inputs[0].values().chunks(plane).map(mean).collect())
    }

    fn backward(&self, inputs: &[&FeatureMap], _: &FeatureMap, gradient: &FeatureMap) -> Vec<FeatureMap> {
        let shape = inputs[0].shape();
        let plane = shape.plane();
        let spread = |g: &f32| std::iter::repeat_n(g / plane as f32, plane);
        vec![FeatureMap::new(
            shape,
            gradient.values().iter().flat_map(spread).collect(),
        )]
    }
}
