//! Blocks of pixels as channels, and channels as blocks of pixels.

use super::class::{Class, Move};
use super::{Arity, OpError, Rule, mismatch};
use crate::geometry::Shape;
pub use crate::geometry::Shuffle;
use crate::nn::eval::FeatureMap;
use crate::text::{AttrError, Attrs};

impl Rule for Shuffle {
    const NAME: &'static str = "shuffle";
    const ARITY: Arity = Arity::Exactly(1);

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        match self.output(inputs[0]) {
            Some(shape) => Ok(shape),
            None => mismatch(format!(
                "blocks of {0} x {0} pixels do not divide the operand",
                self.block
            )),
        }
    }

    fn class(&self) -> Class<'_> {
        Class::Move(Move::Shuffle(self))
    }

    fn attrs(&self) -> Attrs {
        self.to_attrs()
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        Self::read_attrs(attrs)
    }

    fn eval(&self, inputs: &[&FeatureMap], output: Shape) -> FeatureMap {
        FeatureMap::new(output, self.apply(inputs[0].values(), inputs[0].shape(), output))
    }

    fn backward(&self, inputs: &[&FeatureMap], _: &FeatureMap, gradient: &FeatureMap) -> Vec<FeatureMap> {
        let shape = inputs[0].shape();
        let values = self.undo(gradient.values(), shape, gradient.shape());
        vec![FeatureMap::new(shape, values)]
    }
}
