//! What the client learns.

use serde::{Deserialize, Serialize};

use super::{Arity, OpError, Rule, mismatch};
use crate::nn::eval::FeatureMap;
use crate::shape::Shape;
use crate::text::{AttrError, Attrs};

/// What the client learns, the graph's only sink.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// Rank of the ONNX output, batch included: 2 for `[N, classes]`, 4 for `[N, C, H, W]`.
    pub rank: usize,
}

impl Rule for Output {
    const NAME: &'static str = "output";
    const ARITY: Arity = Arity::Exactly(1);

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        match (self.rank, inputs[0].plane()) {
            (2, 1) | (3 | 4, _) => Ok(inputs[0]),
            (rank, _) => mismatch(format!(
                "an output of rank {rank} cannot hold a value of shape {}",
                inputs[0]
            )),
        }
    }

    fn attrs(&self) -> Attrs {
        Attrs::new().with("rank", self.rank)
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self {
            rank: attrs.require("rank")?,
        })
    }

    fn eval(&self, inputs: &[&FeatureMap], _: Shape) -> FeatureMap {
        inputs[0].clone()
    }

    fn backward(&self, _: &[&FeatureMap], _: &FeatureMap, gradient: &FeatureMap) -> Vec<FeatureMap> {
        vec![gradient.clone()]
    }
}
