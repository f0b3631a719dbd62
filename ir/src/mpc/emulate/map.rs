//! Values of the emulator.

use crate::geometry::Shape;

/// A value of the emulator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntMap {
    shape: Shape,
    values: Vec<i64>,
    truncated: Option<Truncated>,
}

/// What a truncated value was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Truncated {
    /// The accumulator, of which patch sums are taken; of patch sums that were computed apart, before
    /// they wrap.
    exact: Vec<i64>,
    /// R of every element; none where all are rounded to the nearest unit.
    masks: Option<Vec<u32>>,
}

impl IntMap {
    /// A map of these values.
    ///
    /// # Panics
    /// If their number is not that of the shape.
    pub fn new(shape: Shape, values: Vec<i64>) -> Self {
        assert_eq!(shape.len(), values.len(), "a map of {shape} needs as many values");
        Self {
            shape,
            values,
            truncated: None,
        }
    }

    pub(super) fn with_exact(mut self, exact: Vec<i64>, masks: Option<Vec<u32>>) -> Self {
        self.truncated = Some(Truncated { exact, masks });
        self
    }

    /// Its shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Values, channel after channel.
    pub fn values(&self) -> &[i64] {
        &self.values
    }

    /// Values of one channel.
    pub fn channel(&self, c: usize) -> &[i64] {
        let plane = self.shape.plane();
        &self.values[c * plane..(c + 1) * plane]
    }

    /// What a truncated value was made of; the value itself for any other.
    pub(super) fn exact(&self) -> &[i64] {
        self.truncated.as_ref().map_or(&self.values, |t| &t.exact)
    }

    /// R of a truncated value's elements, unless it is rounded to the nearest unit.
    pub(super) fn masks(&self) -> Option<&[u32]> {
        self.truncated.as_ref()?.masks.as_deref()
    }

    /// The same modulo 2^32, as signed numbers of 32 bits; none if it is so already.
    pub(super) fn reduced(&self) -> Option<Self> {
        let is_reduced = magnitude(&self.values) <= 1 << 31;
        (!is_reduced).then(|| Self::new(self.shape, self.values.iter().map(|&v| reduce(v)).collect()))
    }
}

/// A power of two, or one, that no value exceeds in magnitude, nor reaches if it is positive.
pub(super) fn magnitude(values: &[i64]) -> u64 {
    // All bits that differ from the sign, in any value: no comparison, no branch.
    let bits = values.iter().fold(0, |bits, v| bits | (v ^ (v >> 63)));
    (bits.cast_unsigned() + 1).next_power_of_two()
}

/// The signed number of 32 bits that is the same modulo 2^32.
pub(in crate::mpc) fn reduce(value: i64) -> i64 {
    i64::from(value as i32)
}
