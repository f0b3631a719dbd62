//! A value of the f32 evaluator.

use crate::geometry::Shape;

/// A feature map in channel-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureMap {
    shape: Shape,
    values: Vec<f32>,
}

impl FeatureMap {
    /// A map of these values.
    ///
    /// # Panics
    /// If their number is not that of the shape.
    pub fn new(shape: Shape, values: Vec<f32>) -> Self {
        assert_eq!(shape.len(), values.len(), "a map of {shape} needs as many values");
        Self { shape, values }
    }

    /// A map of zeros.
    pub fn zeros(shape: Shape) -> Self {
        Self::new(shape, vec![0.0; shape.len()])
    }

    /// Its shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Values, channel after channel, row after row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The values alone.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }

    /// The channels, one slice each.
    pub fn channels(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks(self.shape.plane())
    }

    /// Adds another map of the same shape.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn accumulate(&mut self, summand: &FeatureMap) {
        assert_eq!(self.shape, summand.shape, "only maps of one shape have a sum");
        let pairs = self.values.iter_mut().zip(&summand.values);
        pairs.for_each(|(v, s)| *v += s);
    }

    /// Adds one number to all pixels of each channel.
    pub fn add_per_channel(&mut self, summands: &[f32]) {
        let plane = self.shape.plane();
        for (channel, summand) in self.values.chunks_mut(plane).zip(summands) {
            channel.iter_mut().for_each(|v| *v += summand);
        }
    }
}
