//! The image.

use serde::{Deserialize, Serialize};

use super::class::Class;
use super::{Arity, OpError, Rule, mismatch};
use crate::geometry::{MAX_ELEMENTS, Shape};
use crate::nn::eval::FeatureMap;
use crate::text::{AttrError, Attrs};

/// The image, the graph's only source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// Channels, height and width of the image.
    pub shape: Shape,
}

impl Rule for Input {
    const NAME: &'static str = "input";
    const ARITY: Arity = Arity::Exactly(0);

    fn infer(&self, _: &[Shape]) -> Result<Shape, OpError> {
        if !self.shape.is_sane() {
            return mismatch(format!(
                "the input's shape is empty or has more than {MAX_ELEMENTS} elements"
            ));
        }
        Ok(self.shape)
    }

    fn class(&self) -> Class<'_> {
        Class::Input
    }

    fn attrs(&self) -> Attrs {
        let Shape { c, h, w } = self.shape;
        Attrs::new().with("shape", [c, h, w])
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        let [c, h, w] = attrs.require("shape")?;
        Ok(Self {
            shape: Shape::new(c, h, w),
        })
    }

    fn eval(&self, _: &[&FeatureMap], output: Shape) -> FeatureMap {
        // The evaluator puts the image in place of this node; a graph's own input is zero.
        FeatureMap::zeros(output)
    }

    fn backward(&self, _: &[&FeatureMap], _: &FeatureMap, _: &FeatureMap) -> Vec<FeatureMap> {
        Vec::new()
    }
}
