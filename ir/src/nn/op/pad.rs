//! Constant rows, columns or channels around a value.

use super::class::{Class, Move};
use super::{Arity, OpError, Rule, mismatch};
pub use crate::geometry::Pad;
use crate::geometry::{MAX_ELEMENTS, Shape};
use crate::nn::eval::FeatureMap;
use crate::text::{AttrError, Attrs};

impl Rule for Pad {
    const NAME: &'static str = "pad";
    const ARITY: Arity = Arity::Exactly(1);

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        match self.output(inputs[0]) {
            Some(shape) => Ok(shape),
            None => mismatch(format!("the padded value has more than {MAX_ELEMENTS} elements")),
        }
    }

    fn class(&self) -> Class<'_> {
        Class::Move(Move::Pad(self))
    }

    fn attrs(&self) -> Attrs {
        self.to_attrs()
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        Self::read_attrs(attrs)
    }

    fn eval(&self, inputs: &[&FeatureMap], output: Shape) -> FeatureMap {
        FeatureMap::new(
            output,
            self.apply(inputs[0].values(), inputs[0].shape(), output, 0.0),
        )
    }

    fn backward(&self, inputs: &[&FeatureMap], _: &FeatureMap, gradient: &FeatureMap) -> Vec<FeatureMap> {
        let inner = inputs[0].shape();
        let outer = gradient.shape();
        let [pc, ph, pw] = self.before;
        let mut values = Vec::with_capacity(inner.len());
        for row in 0..inner.c * inner.h {
            let c = row / inner.h;
            let y = row % inner.h;
            let start = ((c + pc) * outer.h + y + ph) * outer.w + pw;
            values.extend_from_slice(&gradient.values()[start..start + inner.w]);
        }
        vec![FeatureMap::new(inner, values)]
    }
}
