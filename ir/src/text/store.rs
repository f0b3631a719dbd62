//! Values of constants: how they are written, and the store that resolves hashes.

use std::collections::HashMap;
use std::fmt::{self, Display};

use thiserror::Error;

use super::attr::{Attr, Attrs};
use crate::geometry::MAX_ELEMENTS;
use crate::tensor::{Element, Tensor};

/// No text may have more values drawn than this, in all its tensors together.
pub const MAX_RANDOM: usize = 1 << 25;

/// A number as written. Whether it is meant as f32 or f64 is not known where it is read, and
/// rounding twice is not rounding once: a real number keeps both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// Without point and exponent.
    Int(i64),
    /// With one.
    Real {
        /// Nearest f64.
        wide: f64,
        /// Nearest f32.
        narrow: f32,
    },
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Number::Int(value)
    }
}

impl From<f32> for Number {
    fn from(narrow: f32) -> Self {
        // What reading the number's shortest text gives, so that a number reads back as itself.
        let wide = format!("{narrow:?}").parse().unwrap_or(f64::from(narrow));
        Number::Real { wide, narrow }
    }
}

/// The values of a constant as they are written behind its dimensions.
#[derive(Clone, PartialEq)]
pub enum Literal {
    /// `#5d41402abc4b2a76`: a tensor of a [`TensorStore`], by [`Tensor::content_hash`].
    Hash(String),
    /// `{1, 2, 3}`.
    Inline(Vec<Number>),
    /// `random(7)` or `random(7, 0.5)`: see [`random`].
    Random {
        /// Seed of the generator.
        seed: u64,
        /// Values lie in `-limit..limit`.
        limit: Option<Number>,
    },
}

/// Without values, which may be weights.
impl fmt::Debug for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Literal::Hash(hash) => write!(f, "#{hash}"),
            Literal::Inline(values) => write!(f, "{{{} values}}", values.len()),
            Literal::Random { seed, .. } => write!(f, "random({seed})"),
        }
    }
}

impl Literal {
    /// A tensor by its values, if there are at most `inline` of them, else by its hash.
    pub fn of<T: Scalar>(tensor: &Tensor<T>, inline: usize) -> Self {
        if tensor.len() <= inline {
            Literal::Inline(tensor.values().iter().map(|v| v.to_number()).collect())
        } else {
            Literal::Hash(tensor.content_hash())
        }
    }
}

/// Why a constant has no values.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum LiteralError {
    /// The store lacks the tensor.
    #[error("no tensor of hash {0} is at hand: give the store that was written with this text")]
    UnknownHash(String),
    /// The tensor has other dimensions.
    #[error("the tensor of this hash has the dimensions {stored:?}")]
    OtherDims {
        /// Its dimensions.
        stored: Vec<usize>,
    },
    /// The number of inline values is wrong.
    #[error("{given} values are given, and the dimensions need {needed}")]
    Count {
        /// How many are given.
        given: usize,
        /// How many are needed.
        needed: usize,
    },
    /// The dimensions are absurd.
    #[error("the dimensions are beyond all measure: at most {max} values can be handled")]
    TooLarge {
        /// The limit.
        max: usize,
    },
    /// A number that the element type does not hold.
    #[error("the value at index {index} is not a number that {element} can hold")]
    Range {
        /// Its index.
        index: usize,
        /// The element type.
        element: &'static str,
    },
    /// The limit of `random` is not positive or too large.
    #[error("the limit of random values must be a positive number that {0} can hold")]
    Limit(&'static str),
}

/// Element types that constants are written in.
pub trait Scalar: Element + Display {
    /// The value as it is written.
    fn to_number(self) -> Number;
    /// The value of a written number, if the type holds it.
    fn from_number(number: Number) -> Option<Self>;
    /// The limit of `random(seed)` without one.
    const RANDOM_LIMIT: Self;
    /// Whether this can be a limit of random values.
    fn is_limit(self) -> bool;
    /// A value in `-limit..limit`, uniform as far as `bits` are.
    fn draw(bits: u64, limit: Self) -> Self;
    /// The store's part for this type.
    fn part(store: &TensorStore) -> &HashMap<String, Tensor<Self>>;
    /// The store's part for this type, to add to it.
    fn part_mut(store: &mut TensorStore) -> &mut HashMap<String, Tensor<Self>>;
}

impl Scalar for f32 {
    const RANDOM_LIMIT: Self = 1.0;

    fn to_number(self) -> Number {
        self.into()
    }

    fn from_number(number: Number) -> Option<Self> {
        let value = match number {
            Number::Int(value) => value as f32,
            Number::Real { narrow, .. } => narrow,
        };
        value.is_finite().then_some(value)
    }

    fn is_limit(self) -> bool {
        self.is_finite() && self > 0.0
    }

    fn draw(bits: u64, limit: Self) -> Self {
        let step = 1.0 / (1u32 << 23) as f32;
        ((bits >> 40) as f32 * step - 1.0) * limit
    }

    fn part(store: &TensorStore) -> &HashMap<String, Tensor<Self>> {
        &store.floats
    }

    fn part_mut(store: &mut TensorStore) -> &mut HashMap<String, Tensor<Self>> {
        &mut store.floats
    }
}

impl Scalar for i32 {
    const RANDOM_LIMIT: Self = 128;

    fn to_number(self) -> Number {
        i64::from(self).into()
    }

    fn from_number(number: Number) -> Option<Self> {
        match number {
            Number::Int(value) => value.try_into().ok(),
            Number::Real { .. } => None,
        }
    }

    fn is_limit(self) -> bool {
        self > 0
    }

    fn draw(bits: u64, limit: Self) -> Self {
        let below = ((bits >> 32) * (2 * i64::from(limit)) as u64) >> 32;
        (below as i64 - i64::from(limit)) as i32
    }

    fn part(store: &TensorStore) -> &HashMap<String, Tensor<Self>> {
        &store.ints
    }

    fn part_mut(store: &mut TensorStore) -> &mut HashMap<String, Tensor<Self>> {
        &mut store.ints
    }
}

/// Tensors by content hash: what a text leaves out.
#[derive(Clone, Debug, Default)]
pub struct TensorStore {
    floats: HashMap<String, Tensor<f32>>,
    ints: HashMap<String, Tensor<i32>>,
    stands_in: bool,
}

impl TensorStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// A store that has ones of the stated dimensions for every hash that it does not know: enough
    /// to check a text whose tensors are elsewhere, not to run it.
    pub fn of_stand_ins() -> Self {
        Self {
            stands_in: true,
            ..Self::default()
        }
    }

    /// Adds a tensor.
    pub fn insert<T: Scalar>(&mut self, tensor: Tensor<T>) {
        T::part_mut(self).insert(tensor.content_hash(), tensor);
    }

    /// Adds every tensor that is among the attributes.
    pub fn insert_attrs(&mut self, attrs: &Attrs) {
        for (_, attr) in attrs.iter() {
            self.insert_attr(attr);
        }
    }

    fn insert_attr(&mut self, attr: &Attr) {
        match attr {
            Attr::Tensor(tensor) => self.insert(tensor.clone()),
            Attr::List(list) => list.iter().for_each(|a| self.insert_attr(a)),
            _ => {}
        }
    }

    /// The tensor of this hash.
    pub fn get<T: Scalar>(&self, hash: &str) -> Option<&Tensor<T>> {
        T::part(self).get(hash)
    }

    /// The tensor that `literal` means behind `dims`.
    ///
    /// # Errors
    /// If the hash is unknown, or number and kind of the values do not fit.
    pub fn resolve<T: Scalar>(&self, dims: &[usize], literal: &Literal) -> Result<Tensor<T>, LiteralError> {
        let max = if matches!(literal, Literal::Random { .. }) {
            MAX_RANDOM
        } else {
            MAX_ELEMENTS
        };
        let count = count(dims, max).ok_or(LiteralError::TooLarge { max })?;
        let values = match literal {
            Literal::Hash(hash) if self.stands_in && self.get::<T>(hash).is_none() => {
                let count = Some(count).filter(|&c| c <= MAX_RANDOM);
                let count = count.ok_or(LiteralError::TooLarge { max: MAX_RANDOM })?;
                let one = T::from_number(Number::Int(1)).expect("one is a number of every type");
                vec![one; count]
            }
            Literal::Hash(hash) => return self.by_hash(dims, hash),
            Literal::Inline(numbers) => inline(numbers, count)?,
            Literal::Random { seed, limit } => {
                let limit = limit.map_or(Some(T::RANDOM_LIMIT), T::from_number);
                let limit = limit
                    .filter(|l| l.is_limit())
                    .ok_or(LiteralError::Limit(T::NAME))?;
                random(*seed, limit).take(count).collect()
            }
        };
        let given = values.len();
        Tensor::new(dims.to_vec(), values).map_err(|_| LiteralError::Count { given, needed: count })
    }

    fn by_hash<T: Scalar>(&self, dims: &[usize], hash: &str) -> Result<Tensor<T>, LiteralError> {
        match self.get(hash) {
            None => Err(LiteralError::UnknownHash(hash.to_owned())),
            Some(tensor) if tensor.dims() == dims => Ok(tensor.clone()),
            Some(tensor) => Err(LiteralError::OtherDims {
                stored: tensor.dims().to_vec(),
            }),
        }
    }
}

/// Number of values of a tensor, if it is at most `max`.
pub(super) fn count(dims: &[usize], max: usize) -> Option<usize> {
    let count = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
    (count <= max).then_some(count)
}

fn inline<T: Scalar>(numbers: &[Number], needed: usize) -> Result<Vec<T>, LiteralError> {
    let given = numbers.len();
    if given != needed {
        return Err(LiteralError::Count { given, needed });
    }
    let element = T::NAME;
    let value = |(index, &number)| T::from_number(number).ok_or(LiteralError::Range { index, element });
    numbers.iter().enumerate().map(value).collect()
}

/// The values that `random(seed, limit)` stands for, on every machine the same: SplitMix64 on
/// `seed`; a float is the 24 highest bits of a step as a fraction in [-1, 1), times the limit; a
/// whole number is -limit plus the 32 highest bits times 2 limit / 2^32, rounded down. It makes
/// test data and protects nothing.
pub fn random<T: Scalar>(seed: u64, limit: T) -> impl Iterator<Item = T> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        T::draw(z ^ (z >> 31), limit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_values_are_pinned_and_within_their_limit() {
        // First outputs of SplitMix64 from seed 0.
        let bits = [0xe220_a839_7b1d_cdafu64, 0x6e78_9e6a_a1b9_65f4];
        let expected: Vec<f32> = bits.map(|b| (b >> 40) as f32 / 8_388_608.0 - 1.0).to_vec();
        assert_eq!(random(0, 1.0f32).take(2).collect::<Vec<_>>(), expected);
        let ints: Vec<i32> = random(5, 3).take(1000).collect();
        assert_eq!((ints.iter().min(), ints.iter().max()), (Some(&-3), Some(&2)));
        assert!(random(5, i32::MAX).take(1000).any(|v| v < -1_000_000_000));
        assert!(random(9, 0.25f32).take(1000).all(|v| (-0.25..0.25).contains(&v)));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut store = TensorStore::new();
        let tensor = Tensor::new(vec![2, 3], vec![1i32; 6]).unwrap();
        store.insert(tensor.clone());
        let hash = Literal::of(&tensor, 0);
        assert_eq!(store.resolve(&[2, 3], &hash), Ok(tensor.clone()));
        assert_eq!(store.resolve(&[2, 3], &Literal::of(&tensor, 6)), Ok(tensor));
        assert!(store.resolve::<i32>(&[3, 2], &hash).is_err());
        assert!(store.resolve::<f32>(&[2, 3], &hash).is_err());
        let seed = |limit| Literal::Random { seed: 1, limit };
        assert!(store.resolve::<i32>(&[usize::MAX, 2], &seed(None)).is_err());
        assert!(store.resolve::<i32>(&[1 << 27], &seed(None)).is_err());
        assert!(store.resolve::<i32>(&[2], &seed(Some(Number::Int(0)))).is_err());
        assert!(
            store
                .resolve::<f32>(&[2], &seed(Some(Number::from(f32::INFINITY))))
                .is_err()
        );
        assert!(
            store
                .resolve::<i32>(&[1], &Literal::Inline(vec![Number::from(1.5)]))
                .is_err()
        );
        assert!(
            store
                .resolve::<i32>(&[1], &Literal::Inline(vec![Number::Int(1 << 31)]))
                .is_err()
        );
    }
}
