//! Sum of two values of one shape.

use serde::{Deserialize, Serialize};

use super::class::Class;
use super::{Arity, OpError, Rule, mismatch};
use crate::geometry::Shape;
use crate::nn::eval::FeatureMap;
use crate::text::{AttrError, Attrs};

/// Sum of two values of one shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Add;

impl Rule for Add {
    const NAME: &'static str = "add";
    const ARITY: Arity = Arity::Exactly(2);

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        if inputs[0] != inputs[1] {
            return mismatch(format!(
                "the operands {} and {} differ in shape",
                inputs[0], inputs[1]
            ));
        }
        Ok(inputs[0])
    }

    fn class(&self) -> Class<'_> {
        Class::Add
    }

    fn attrs(&self) -> Attrs {
        Attrs::new()
    }

    fn from_attrs(_: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self)
    }

    fn eval(&self, inputs: &[&FeatureMap], output: Shape) -> FeatureMap {
        let sum = inputs[0].values().iter().zip(inputs[1].values());
        FeatureMap::new(output, sum.map(|(a, b)| a + b).collect())
    }

    fn backward(&self, _: &[&FeatureMap], _: &FeatureMap, gradient: &FeatureMap) -> Vec<FeatureMap> {
        vec![gradient.clone(), gradient.clone()]
    }
}
