//! Where the signed vectors of the options come from.

/// The vectors of all (group, item) pairs over one set of images.
///
/// An entry is the option's effect on the output along one probe for one image: the squared length
/// of a vector is the option's own distortion, and that of a sum of vectors the options' joint one.
pub trait Vectors {
    /// The length of every vector.
    fn dims(&self) -> usize;

    /// The vector of one item of a group.
    fn of(&self, group: usize, item: usize) -> &[f32];
}

impl<V: Vectors + ?Sized> Vectors for &V {
    fn dims(&self) -> usize {
        (**self).dims()
    }

    fn of(&self, group: usize, item: usize) -> &[f32] {
        (**self).of(group, item)
    }
}

/// Vectors in one block of memory, group after group, item after item.
#[derive(Clone, Debug, Default)]
pub struct FlatVectors {
    dims: usize,
    /// The index of every group's first item.
    starts: Vec<usize>,
    items: usize,
    entries: Vec<f32>,
}

impl FlatVectors {
    /// No vectors yet, of the given length.
    pub fn new(dims: usize) -> FlatVectors {
        FlatVectors {
            dims,
            ..FlatVectors::default()
        }
    }

    /// Adds a group: its items' vectors, one after the other.
    ///
    /// # Panics
    /// If the entries aren't whole vectors.
    pub fn push(&mut self, entries: &[f32]) {
        let items = entries.len().checked_div(self.dims).unwrap_or(0);
        assert_eq!(items * self.dims, entries.len(), "whole vectors");
        self.starts.push(self.items);
        self.items += items;
        self.entries.extend_from_slice(entries);
    }
}

impl Vectors for FlatVectors {
    fn dims(&self) -> usize {
        self.dims
    }

    fn of(&self, group: usize, item: usize) -> &[f32] {
        &self.entries[(self.starts[group] + item) * self.dims..][..self.dims]
    }
}

/// The product of a sum of vectors with a vector.
pub(super) fn dot(sum: &[f64], vector: &[f32]) -> f64 {
    const LANES: usize = 8;
    let mut lanes = [0.0; LANES];
    let left = sum.chunks_exact(LANES);
    let right = vector.chunks_exact(LANES);
    let rest = left.remainder().iter().zip(right.remainder());
    let rest: f64 = rest.map(|(a, &b)| a * f64::from(b)).sum();
    for (left, right) in left.zip(right) {
        for lane in 0..LANES {
            lanes[lane] += left[lane] * f64::from(right[lane]);
        }
    }
    rest + lanes.iter().sum::<f64>()
}

/// Adds a multiple of a vector to a sum.
pub(super) fn add(sum: &mut [f64], scale: f64, vector: &[f32]) {
    sum.iter_mut()
        .zip(vector)
        .for_each(|(sum, &entry)| *sum += scale * f64::from(entry));
}

/// The squared length of a vector.
pub(super) fn square(vector: &[f32]) -> f64 {
    vector
        .iter()
        .map(|&entry| f64::from(entry) * f64::from(entry))
        .sum()
}
