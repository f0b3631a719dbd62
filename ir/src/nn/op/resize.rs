//! Interpolation to another map size.

use super::class::Class;
use super::{Arity, OpError, Rule, mismatch};
pub use crate::geometry::Resize;
use crate::geometry::{MAX_ELEMENTS, Shape, Tap};
use crate::nn::eval::FeatureMap;
use crate::text::{AttrError, Attrs};

impl Rule for Resize {
    const NAME: &'static str = "resize";
    const ARITY: Arity = Arity::Exactly(1);

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, OpError> {
        match self.output(inputs[0]) {
            Some(shape) => Ok(shape),
            None => mismatch(format!(
                "the size is empty or makes more than {MAX_ELEMENTS} elements, or a scale is not positive"
            )),
        }
    }

    fn class(&self) -> Class<'_> {
        Class::Resize(self)
    }

    fn attrs(&self) -> Attrs {
        self.to_attrs()
    }

    fn from_attrs(attrs: &mut Attrs) -> Result<Self, AttrError> {
        Self::read_attrs(attrs)
    }

    fn eval(&self, inputs: &[&FeatureMap], output: Shape) -> FeatureMap {
        let input = inputs[0].shape();
        let rows = self.taps(0, input.h);
        let columns = self.taps(1, input.w);
        let mut values = Vec::with_capacity(output.len());
        for channel in inputs[0].channels() {
            for row in &rows {
                for column in &columns {
                    let at = |r: &Tap, c: &Tap| f64::from(channel[r.index * input.w + c.index]);
                    let sum: f64 = row
                        .iter()
                        .flat_map(|r| column.iter().map(move |c| r.weight * c.weight * at(r, c)))
                        .sum();
                    values.push(sum as f32);
                }
            }
        }
        FeatureMap::new(output, values)
    }

    fn backward(&self, inputs: &[&FeatureMap], _: &FeatureMap, gradient: &FeatureMap) -> Vec<FeatureMap> {
        let input = inputs[0].shape();
        let rows = self.taps(0, input.h);
        let columns = self.taps(1, input.w);
        let mut sums = vec![0f64; input.len()];
        for (channel, of_channel) in sums.chunks_mut(input.plane()).zip(gradient.channels()) {
            let mut of_channel = of_channel.iter();
            for (row, column) in rows.iter().flat_map(|r| columns.iter().map(move |c| (r, c))) {
                let g = of_channel.next().map_or(0.0, |g| f64::from(*g));
                for (r, c) in row.iter().flat_map(|r| column.iter().map(move |c| (r, c))) {
                    channel[r.index * input.w + c.index] += r.weight * c.weight * g;
                }
            }
        }
        vec![FeatureMap::new(
            input,
            sums.into_iter().map(|v| v as f32).collect(),
        )]
    }
}
