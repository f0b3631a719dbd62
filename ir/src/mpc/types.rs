//! Types of the program's values.

use std::fmt;

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
    /// What the client learns, in units.
    Output,
}

/// Type of a value: in what form the parties hold it, and its shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Type {
    /// In what form the parties hold the value.
    pub kind: Kind,
    /// Channels, height and width.
    pub shape: Shape,
}

impl Type {
    /// Type of an activation.
    pub const fn activation(shape: Shape) -> Self {
        Self {
            kind: Kind::Activation,
            shape,
        }
    }

    /// Type of an accumulator.
    pub const fn accumulator(shape: Shape) -> Self {
        Self {
            kind: Kind::Accumulator,
            shape,
        }
    }

    /// Type of a truncated accumulator.
    pub const fn truncated(shape: Shape) -> Self {
        Self {
            kind: Kind::Truncated,
            shape,
        }
    }

    /// Type of truncated patch sums.
    pub const fn sums(shape: Shape) -> Self {
        Self {
            kind: Kind::Sums,
            shape,
        }
    }

    /// Type of an output.
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
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}<{}>", self.kind.word(), self.shape)
    }
}
