//! Constant tensors: weights, biases, tables. Cheap to clone, named by the hash of their content.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// An element type of constant tensors.
pub trait Element: Copy + PartialEq + Send + Sync + fmt::Display + 'static {
    /// Name in the text form.
    const NAME: &'static str;
    /// Little-endian bytes, for hashing.
    fn to_le(self) -> [u8; 4];
}

impl Element for f32 {
    const NAME: &'static str = "f32";
    fn to_le(self) -> [u8; 4] {
        self.to_le_bytes()
    }
}

impl Element for i32 {
    const NAME: &'static str = "i32";
    fn to_le(self) -> [u8; 4] {
        self.to_le_bytes()
    }
}

/// A constant tensor in row-major order. Weights are the model owner's secret: `Debug` prints
/// the dimensions only.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound(serialize = "T: Serialize", deserialize = "T: Deserialize<'de>"))]
pub struct Tensor<T = f32> {
    dims: Vec<usize>,
    values: Arc<Vec<T>>,
}

/// The dimensions of a tensor do not match its number of values.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("a tensor of dimensions {dims:?} needs as many values, and {values} are given")]
pub struct TensorSizeError {
    dims: Vec<usize>,
    values: usize,
}

impl<T> Tensor<T> {
    /// A tensor of these dimensions.
    ///
    /// # Errors
    /// If the product of the dimensions is not the number of values.
    pub fn new(dims: Vec<usize>, values: Vec<T>) -> Result<Self, TensorSizeError> {
        let count = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if count != Some(values.len()) {
            return Err(TensorSizeError {
                dims,
                values: values.len(),
            });
        }
        Ok(Self {
            dims,
            values: Arc::new(values),
        })
    }

    /// A vector.
    pub fn vector(values: Vec<T>) -> Self {
        Self {
            dims: vec![values.len()],
            values: Arc::new(values),
        }
    }

    /// Dimensions, outermost first.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// Values in row-major order.
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Whether the dimensions and the number of values agree (they may not, in a decoded file).
    pub fn is_consistent(&self) -> bool {
        self.dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d)) == Some(self.values.len())
    }
}

impl<T: Element> Tensor<T> {
    /// First 64 bits of the BLAKE3 hash of element type, dimensions and values, in hexadecimal:
    /// the tensor's name in the text form.
    pub fn content_hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(T::NAME.as_bytes());
        hasher.update(&(self.dims.len() as u64).to_le_bytes());
        for &dim in &self.dims {
            hasher.update(&(dim as u64).to_le_bytes());
        }
        for &value in self.values.iter() {
            hasher.update(&value.to_le());
        }
        hasher.finalize().to_hex()[..16].to_owned()
    }
}

impl<T> fmt::Debug for Tensor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor{:?}", self.dims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_checked_and_hashes_tell_shapes_apart() {
        assert!(Tensor::new(vec![2, 3], vec![0f32; 5]).is_err());
        assert!(Tensor::new(vec![usize::MAX, 3], vec![0f32; 5]).is_err());
        let a = Tensor::new(vec![2, 3], vec![0f32; 6]).unwrap();
        let b = Tensor::new(vec![3, 2], vec![0f32; 6]).unwrap();
        assert_ne!(a.content_hash(), b.content_hash());
        assert_eq!(a.content_hash(), a.clone().content_hash());
    }

    #[test]
    fn debug_shows_no_value() {
        let text = format!("{:?}", Tensor::vector(vec![1.5f32, 2.5]));
        assert_eq!(text, "Tensor[2]");
    }
}
