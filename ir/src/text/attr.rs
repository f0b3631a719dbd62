//! Attributes: what an operation carries besides its operands, as the text form writes it.

use thiserror::Error;

use crate::geometry::{Patch, Patches, Shape};
use crate::mpc::ConstId;
use crate::tensor::Tensor;

/// One attribute value.
#[derive(Clone, Debug, PartialEq)]
pub enum Attr {
    /// A whole number.
    Int(i64),
    /// A real number, written with a point or exponent.
    Float(f64),
    /// A bare word: `bilinear`, `true`.
    Word(String),
    /// A reference to a declared constant: `c3`.
    Constant(u32),
    /// A patch: `2x3`, the identity being `0x1`.
    Patch(Patch),
    /// A shape: `16x32x32`.
    Shape(Shape),
    /// A quoted text.
    Text(String),
    /// `[a, b, c]`; a run of equal elements is written `a*16`, a progression `0..14:2`.
    List(Vec<Attr>),
    /// A constant tensor of floats: inline, by hash, or `random(seed)`.
    Tensor(Tensor<f32>),
}

/// Named attributes in the order in which they are written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attrs(Vec<(String, Attr)>);

/// An attribute that is missing, of the wrong form, or unknown to the operation.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AttrError {
    /// The operation needs this attribute.
    #[error("the attribute `{name}` is missing")]
    Missing {
        /// Its name.
        name: String,
    },
    /// The attribute is not of the form that the operation needs.
    #[error("the attribute `{name}` must be {expected}")]
    Form {
        /// Its name.
        name: String,
        /// What it must be.
        expected: &'static str,
    },
    /// The operation has no such attribute.
    #[error("the operation has no attribute `{name}`")]
    Unknown {
        /// Its name.
        name: String,
    },
}

impl AttrError {
    /// Name of the attribute at fault.
    pub fn name(&self) -> &str {
        match self {
            AttrError::Missing { name } | AttrError::Form { name, .. } | AttrError::Unknown { name } => name,
        }
    }
}

impl Attrs {
    /// No attributes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an attribute.
    #[must_use]
    pub fn with(mut self, name: &str, attr: impl Into<Attr>) -> Self {
        self.0.push((name.to_owned(), attr.into()));
        self
    }

    /// Adds an attribute unless it has its default value.
    #[must_use]
    pub fn with_unless<T: PartialEq + Into<Attr>>(self, default: T, name: &str, value: T) -> Self {
        if value == default {
            self
        } else {
            self.with(name, value)
        }
    }

    /// Adds an attribute if there is one.
    #[must_use]
    pub fn with_some<T: Into<Attr>>(self, name: &str, value: Option<T>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// The attribute of this name.
    pub fn get(&self, name: &str) -> Option<&Attr> {
        self.iter().find(|(n, _)| *n == name).map(|(_, attr)| attr)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The attributes in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Attr)> {
        self.0.iter().map(|(name, attr)| (name.as_str(), attr))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes an attribute out.
    pub fn take(&mut self, name: &str) -> Option<Attr> {
        let at = self.0.iter().position(|(n, _)| n == name)?;
        Some(self.0.remove(at).1)
    }

    /// Takes an attribute out and converts it.
    ///
    /// # Errors
    /// If it is missing or of another form.
    pub fn require<T: FromAttr>(&mut self, name: &str) -> Result<T, AttrError> {
        self.optional(name)?.ok_or_else(|| AttrError::Missing {
            name: name.to_owned(),
        })
    }

    /// Takes an attribute out, if it is there, and converts it.
    ///
    /// # Errors
    /// If it is there but of another form.
    pub fn optional<T: FromAttr>(&mut self, name: &str) -> Result<Option<T>, AttrError> {
        match self.take(name) {
            None => Ok(None),
            Some(attr) => T::from_attr(attr).map(Some).ok_or(AttrError::Form {
                name: name.to_owned(),
                expected: T::EXPECTED,
            }),
        }
    }

    /// Checks that every attribute has been taken.
    ///
    /// # Errors
    /// Names the first one that is left.
    pub fn finish(self) -> Result<(), AttrError> {
        match self.0.into_iter().next() {
            None => Ok(()),
            Some((name, _)) => Err(AttrError::Unknown { name }),
        }
    }
}

/// A type that an attribute converts to.
pub trait FromAttr: Sized {
    /// What to write, for the error.
    const EXPECTED: &'static str;
    /// The conversion; `None` if the attribute has another form.
    fn from_attr(attr: Attr) -> Option<Self>;
}

macro_rules! number_attr {
    ($($t:ty),*) => {$(
        impl From<$t> for Attr {
            fn from(value: $t) -> Attr {
                Attr::Int(i64::try_from(value).unwrap_or(i64::MAX))
            }
        }
        impl FromAttr for $t {
            const EXPECTED: &'static str = "a whole number in range";
            fn from_attr(attr: Attr) -> Option<Self> {
                match attr {
                    Attr::Int(value) => value.try_into().ok(),
                    _ => None,
                }
            }
        }
    )*};
}
number_attr!(u8, u32, usize, i64);

impl From<f64> for Attr {
    fn from(value: f64) -> Attr {
        Attr::Float(value)
    }
}

impl From<f32> for Attr {
    fn from(value: f32) -> Attr {
        Attr::Float(f64::from(value))
    }
}

impl FromAttr for f64 {
    const EXPECTED: &'static str = "a number";
    fn from_attr(attr: Attr) -> Option<Self> {
        match attr {
            Attr::Float(value) => Some(value),
            Attr::Int(value) => Some(value as f64),
            _ => None,
        }
    }
}

impl FromAttr for f32 {
    const EXPECTED: &'static str = "a number";
    fn from_attr(attr: Attr) -> Option<Self> {
        // A number that f64 holds and f32 does not is refused rather than made infinite.
        f64::from_attr(attr).map(|v| v as f32).filter(|v| v.is_finite())
    }
}

impl From<bool> for Attr {
    fn from(value: bool) -> Attr {
        Attr::Word(value.to_string())
    }
}

impl FromAttr for bool {
    const EXPECTED: &'static str = "`true` or `false`";
    fn from_attr(attr: Attr) -> Option<Self> {
        match attr {
            Attr::Word(word) => word.parse().ok(),
            _ => None,
        }
    }
}

/// A bare word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word(pub String);

impl From<Word> for Attr {
    fn from(word: Word) -> Attr {
        Attr::Word(word.0)
    }
}

impl FromAttr for Word {
    const EXPECTED: &'static str = "a word";
    fn from_attr(attr: Attr) -> Option<Self> {
        match attr {
            Attr::Word(word) => Some(Word(word)),
            _ => None,
        }
    }
}

impl From<Patch> for Attr {
    fn from(patch: Patch) -> Attr {
        Attr::Patch(patch)
    }
}

impl FromAttr for Patch {
    const EXPECTED: &'static str = "a patch such as 2x3";
    fn from_attr(attr: Attr) -> Option<Self> {
        match attr {
            Attr::Patch(patch) => Some(patch),
            _ => None,
        }
    }
}

impl FromAttr for ConstId {
    const EXPECTED: &'static str = "a constant such as c3";
    fn from_attr(attr: Attr) -> Option<Self> {
        match attr {
            Attr::Constant(id) => Some(ConstId(id)),
            _ => None,
        }
    }
}

impl From<Shape> for Attr {
    fn from(shape: Shape) -> Attr {
        Attr::Shape(shape)
    }
}

impl FromAttr for Shape {
    const EXPECTED: &'static str = "a shape such as 16x32x32";
    fn from_attr(attr: Attr) -> Option<Self> {
        match attr {
            Attr::Shape(shape) => Some(shape),
            _ => None,
        }
    }
}

impl From<String> for Attr {
    fn from(text: String) -> Attr {
        Attr::Text(text)
    }
}

impl FromAttr for String {
    const EXPECTED: &'static str = "a quoted text";
    fn from_attr(attr: Attr) -> Option<Self> {
        match attr {
            Attr::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl From<Tensor<f32>> for Attr {
    fn from(tensor: Tensor<f32>) -> Attr {
        Attr::Tensor(tensor)
    }
}

impl FromAttr for Tensor<f32> {
    const EXPECTED: &'static str = "a tensor such as f32[2]{1.0, 2.0}";
    fn from_attr(attr: Attr) -> Option<Self> {
        match attr {
            Attr::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }
}

impl<T: Into<Attr>> From<Vec<T>> for Attr {
    fn from(values: Vec<T>) -> Attr {
        Attr::List(values.into_iter().map(Into::into).collect())
    }
}

impl<T: FromAttr> FromAttr for Vec<T> {
    const EXPECTED: &'static str = "a list";
    fn from_attr(attr: Attr) -> Option<Self> {
        match attr {
            Attr::List(list) => list.into_iter().map(T::from_attr).collect(),
            _ => None,
        }
    }
}

impl<T: Into<Attr>, const N: usize> From<[T; N]> for Attr {
    fn from(values: [T; N]) -> Attr {
        Attr::List(values.into_iter().map(Into::into).collect())
    }
}

impl<T: FromAttr, const N: usize> FromAttr for [T; N] {
    const EXPECTED: &'static str = "a list of as many elements as the operation has axes";
    fn from_attr(attr: Attr) -> Option<Self> {
        Vec::<T>::from_attr(attr)?.try_into().ok()
    }
}

/// Patches of a layer: a single patch stands for one on every channel.
pub fn patches_attr(patches: &Patches) -> Attr {
    Attr::from(patches.clone())
}
