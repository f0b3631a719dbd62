//! max(x, 0), a sign per pixel.

use serde::{Deserialize, Serialize};

use super::class::{Class, GateView};
use super::{Arity, OpError, Rule};
use crate::geometry::Shape;
use crate::nn::eval::FeatureMap;
use crate::text::{AttrError, Attrs};

/// max(x, 0), a sign per pixel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Relu;

impl Rule for Relu {
    const NAME: &'static str = "relu";
    const ARITY: Arity = Arity::Exactly(1);

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        Ok(inputs[0])
    }

    fn class(&self) -> Class<'_> {
        Class::Gate(GateView {
            low: 0.0,
            lower: None,
            upper: None,
        })
    }

    fn attrs(&self) -> Attrs {
        Attrs::new()
    }

    fn from_attrs(_: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self)
    }

    fn eval(&self, inputs: &[&FeatureMap], output: Shape) -> FeatureMap {
        FeatureMap::new(output, inputs[0].values().iter().map(|v| v.max(0.0)).collect())
    }

    fn backward(&self, inputs: &[&FeatureMap], _: &FeatureMap, gradient: &FeatureMap) -> Vec<FeatureMap> {
        let pass = |(x, g): (&f32, &f32)| if *x > 0.0 { *g } else { 0.0 };
        let values = inputs[0].values().iter().zip(gradient.values()).map(pass);
        vec![FeatureMap::new(gradient.shape(), values.collect())]
    }
}
