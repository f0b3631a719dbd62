//! Arrays of any rank and element type, and what is known of one before it is there.

use serde::{Deserialize, Serialize};

use crate::geometry::MAX_ELEMENTS;

/// Most dimensions of an array.
pub const MAX_RANK: usize = 8;

macro_rules! dtypes {
    ($($(#[$doc:meta])* $name:ident $word:literal),* $(,)?) => {
        /// Type of an array's elements.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum DType { $($(#[$doc])* $name),* }

        impl DType {
            /// Its word in the text form.
            pub fn word(self) -> &'static str {
                match self { $(DType::$name => $word),* }
            }

            /// The type of this word.
            pub fn of_word(word: &str) -> Option<Self> {
                match word { $($word => Some(DType::$name),)* _ => None }
            }
        }
    };
}

dtypes! {
    /// Truth values.
    Bool "bool",
    /// Unsigned bytes.
    U8 "u8",
    /// Unsigned, 16 bits.
    U16 "u16",
    /// Unsigned, 32 bits.
    U32 "u32",
    /// Unsigned, 64 bits.
    U64 "u64",
    /// Signed bytes.
    I8 "i8",
    /// Signed, 16 bits.
    I16 "i16",
    /// Signed, 32 bits.
    I32 "i32",
    /// Signed, 64 bits: indices.
    I64 "i64",
    /// Half precision.
    F16 "f16",
    /// Single precision: logits.
    F32 "f32",
    /// Double precision.
    F64 "f64",
}

impl DType {
    /// Whether it is a floating-point type.
    pub fn is_float(self) -> bool {
        matches!(self, DType::F16 | DType::F32 | DType::F64)
    }

    /// The value of this type that a number becomes: the nearest float, or the whole number next to
    /// it towards zero, the last one of the type where it lies beyond.
    pub fn cast(self, value: f64) -> f64 {
        match self {
            DType::Bool => f64::from(value != 0.0),
            DType::U8 => f64::from(value as u8),
            DType::U16 => f64::from(value as u16),
            DType::U32 => f64::from(value as u32),
            DType::U64 => value as u64 as f64,
            DType::I8 => f64::from(value as i8),
            DType::I16 => f64::from(value as i16),
            DType::I32 => f64::from(value as i32),
            DType::I64 => value as i64 as f64,
            DType::F16 => half::f16::from_f64(value).to_f64(),
            DType::F32 => f64::from(value as f32),
            DType::F64 => value,
        }
    }

    /// Appends the little-endian bytes of a value of this type.
    pub fn push(self, value: f64, bytes: &mut Vec<u8>) {
        match self {
            DType::Bool | DType::U8 => bytes.push(value as u8),
            DType::U16 => bytes.extend((value as u16).to_le_bytes()),
            DType::U32 => bytes.extend((value as u32).to_le_bytes()),
            DType::U64 => bytes.extend((value as u64).to_le_bytes()),
            DType::I8 => bytes.extend((value as i8).to_le_bytes()),
            DType::I16 => bytes.extend((value as i16).to_le_bytes()),
            DType::I32 => bytes.extend((value as i32).to_le_bytes()),
            DType::I64 => bytes.extend((value as i64).to_le_bytes()),
            DType::F16 => bytes.extend(half::f16::from_f64(value).to_le_bytes()),
            DType::F32 => bytes.extend((value as f32).to_le_bytes()),
            DType::F64 => bytes.extend(value.to_le_bytes()),
        }
    }
}

/// What is known of an array before it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Type {
    /// Dimensions for one image, outermost first.
    pub dims: Vec<usize>,
    /// Type of the elements.
    pub dtype: DType,
    /// Whether the first dimension, which is 1, is that of the batch.
    pub batched: bool,
}

impl Type {
    /// Number of elements; `None` if a dimension is 0, or all are beyond measure.
    pub fn volume(&self) -> Option<usize> {
        let product = self.dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        product.filter(|&n| n > 0 && n <= MAX_ELEMENTS && self.dims.len() <= MAX_RANK)
    }

    /// Dimensions of one image's part of a stack of such arrays: those without the batch's.
    pub fn row_dims(&self) -> &[usize] {
        &self.dims[usize::from(self.batched)..]
    }
}

/// An array.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Dimensions, outermost first.
    pub dims: Vec<usize>,
    /// Type of the elements.
    pub dtype: DType,
    /// Elements in row-major order, each one a value of that type.
    pub values: Vec<f64>,
}

impl Array {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The elements as f32.
    pub fn to_f32(&self) -> Vec<f32> {
        self.values.iter().map(|&v| v as f32).collect()
    }
}
