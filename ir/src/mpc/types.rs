//! Types of the program's values.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::geometry::Shape;

/// In what form the parties hold a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Masked in Z_2^32: the server holds x - a, client and helper hold a. Within 2^14 units.
    Activation,
    /// Three additive shares in Z_2^32, one a party. Within 2^30 - 2^17.
    Accumulator,
    /// An accumulator between the two halves of a gate: the server holds D, the helper R, the
    /// client the top bits of R; D + R is the accumulator.
    Truncated,
    /// Patch sums between the two halves of the gate that takes their signs: the server holds D, the
    /// helper R; D + R is the sum. Within 2^31 - 2^17.
    Sums,
    /// Known to the client.
    Output,
}

/// Form and shape of a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Type {
    /// The form.
    pub kind: Kind,
    /// The shape.
    pub shape: Shape,
}

impl Type {
    /// An activation.
    pub const fn activation(shape: Shape) -> Self {
        Self {
            kind: Kind::Activation,
            shape,
        }
    }

    /// An accumulator.
    pub const fn accumulator(shape: Shape) -> Self {
        Self {
            kind: Kind::Accumulator,
            shape,
        }
    }

    /// A truncated accumulator.
    pub const fn truncated(shape: Shape) -> Self {
        Self {
            kind: Kind::Truncated,
            shape,
        }
    }

    /// Truncated patch sums.
    pub const fn sums(shape: Shape) -> Self {
        Self {
            kind: Kind::Sums,
            shape,
        }
    }

    /// An output.
    pub const fn output(shape: Shape) -> Self {
        Self {
            kind: Kind::Output,
            shape,
        }
    }
}

impl Kind {
    /// The word of the text form.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Activation => "act",
            Kind::Accumulator => "acc",
            Kind::Truncated => "tr",
            Kind::Sums => "sums",
            Kind::Output => "out",
        }
    }

    /// Reads the word of the text form.
    pub fn from_word(word: &str) -> Option<Self> {
        let kinds = [
            Kind::Activation,
            Kind::Accumulator,
            Kind::Truncated,
            Kind::Sums,
            Kind::Output,
        ];
        kinds.into_iter().find(|kind| kind.word() == word)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}<{}>", self.kind.word(), self.shape)
    }
}

impl FromStr for Type {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            format!("`{text}` is not a type: write act, acc, tr, sums or out with a shape, as in act<16x8x8>")
        };
        let (word, rest) = text.split_once('<').ok_or_else(bad)?;
        let shape = rest
            .strip_suffix('>')
            .ok_or_else(bad)?
            .parse()
            .map_err(|_| bad())?;
        Ok(Type {
            kind: Kind::from_word(word).ok_or_else(bad)?,
            shape,
        })
    }
}
