//! What the client learns, and what it makes of it.

use serde::{Deserialize, Serialize};

use super::class::Class;
use super::{Arity, OpError, Rule};
use crate::geometry::Shape;
use crate::nn::eval::FeatureMap;
use crate::tail::{Step, Tail};
use crate::text::{AttrError, Attrs};

/// What the client learns, the graph's only sink, and the tail by which it becomes the ONNX output.
///
/// The node's value is that of its operand: the logits. The tail is run behind the graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// ONNX dimensions of the logits, and what the client computes of them.
    pub tail: Tail,
}

impl Output {
    /// A map `[N, C, H, W]` of this shape as it is.
    pub fn map(shape: Shape) -> Self {
        let tail = Tail::map(shape);
        Self { tail }
    }

    /// A vector `[N, count]` as it is.
    pub fn vector(count: usize) -> Self {
        let tail = Tail::vector(count);
        Self { tail }
    }
}

impl Rule for Output {
    const NAME: &'static str = "output";
    const ARITY: Arity = Arity::Exactly(1);

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        let checked = self.tail.check(inputs[0]);
        checked.map_err(|error| OpError::Shape(error.to_string()))?;
        Ok(inputs[0])
    }

    fn class(&self) -> Class<'_> {
        Class::Output(&self.tail)
    }

    fn attrs(&self) -> Attrs {
        let Tail { dims, steps } = self.tail.clone();
        let attrs = Attrs::new().with("dims", dims);
        attrs.with_some("tail", (!steps.is_empty()).then_some(steps))
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        let tail = Tail {
            dims: attrs.require("dims")?,
            steps: attrs.optional::<Vec<Step>>("tail")?.unwrap_or_default(),
        };
        Ok(Self { tail })
    }

    fn eval(&self, inputs: &[&FeatureMap], _: Shape) -> FeatureMap {
        inputs[0].clone()
    }

    fn backward(&self, _: &[&FeatureMap], _: &FeatureMap, gradient: &FeatureMap) -> Vec<FeatureMap> {
        vec![gradient.clone()]
    }
}
