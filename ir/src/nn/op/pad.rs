//! Constant rows, columns or channels around a value.

use serde::{Deserialize, Serialize};

use super::{Arity, OpError, Rule, mismatch};
use crate::nn::eval::FeatureMap;
use crate::shape::Shape;
use crate::text::{AttrError, Attrs};

/// Padding with zeros, of maps and of channels (as in ResNet's option-A shortcut).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pad {
    /// Channels, rows, columns put before.
    pub before: [usize; 3],
    /// Channels, rows, columns put behind.
    pub after: [usize; 3],
}

impl Pad {
    /// Shape of the padded value, if it is not beyond all measure.
    pub fn output(&self, input: Shape) -> Option<Shape> {
        let side = |i: usize, size: usize| {
            let padded = size.checked_add(self.before[i])?.checked_add(self.after[i])?;
            (padded <= crate::shape::MAX_ELEMENTS).then_some(padded)
        };
        let shape = Shape::new(side(0, input.c)?, side(1, input.h)?, side(2, input.w)?);
        shape.is_sane().then_some(shape)
    }

    /// Pads `values` of shape `input` with `fill`.
    pub fn apply<T: Copy>(&self, values: &[T], input: Shape, output: Shape, fill: T) -> Vec<T> {
        let mut result = vec![fill; output.len()];
        let [pc, ph, pw] = self.before;
        for (row, source) in values.chunks_exact(input.w).enumerate() {
            let (c, y) = (row / input.h, row % input.h);
            let start = ((c + pc) * output.h + y + ph) * output.w + pw;
            result[start..start + input.w].copy_from_slice(source);
        }
        result
    }
}

impl Rule for Pad {
    const NAME: &'static str = "pad";
    const ARITY: Arity = Arity::Exactly(1);

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        match self.output(inputs[0]) {
            Some(shape) => Ok(shape),
            None => mismatch("the padded value is beyond all measure"),
        }
    }

    fn attrs(&self) -> Attrs {
        Attrs::new().with("before", self.before).with("after", self.after)
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        Ok(Self {
            before: attrs.require("before")?,
            after: attrs.require("after")?,
        })
    }

    fn eval(&self, inputs: &[&FeatureMap], output: Shape) -> FeatureMap {
        FeatureMap::new(
            output,
            self.apply(inputs[0].values(), inputs[0].shape(), output, 0.0),
        )
    }

    fn backward(&self, inputs: &[&FeatureMap], _: &FeatureMap, gradient: &FeatureMap) -> Vec<FeatureMap> {
        let (inner, outer) = (inputs[0].shape(), gradient.shape());
        let [pc, ph, pw] = self.before;
        let mut values = Vec::with_capacity(inner.len());
        for row in 0..inner.c * inner.h {
            let (c, y) = (row / inner.h, row % inner.h);
            let start = ((c + pc) * outer.h + y + ph) * outer.w + pw;
            values.extend_from_slice(&gradient.values()[start..start + inner.w]);
        }
        vec![FeatureMap::new(inner, values)]
    }
}
