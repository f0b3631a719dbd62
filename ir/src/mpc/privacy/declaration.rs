//! What a declaration consists of: fields, their masks, what lies beneath, and what is left at each party.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

use super::draw::{DrawId, Draws};
use crate::mpc::gate::Content;
use crate::mpc::message::{Party, Section, Stage};
use crate::mpc::program::ConstId;

/// Names a field within a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldId {
    /// The masked image x - a.
    Image,
    /// The client's masked share c - r1 of what is truncated.
    MaskedShare,
    /// The top bits of R, of the channels that keep so many.
    TopBits(u32),
    /// The server's half of the output.
    Revealed,
    /// A field of a gate.
    Gate {
        /// The number of the group.
        group: usize,
        /// Which of the fields of the group.
        content: Content,
    },
}

impl fmt::Display for FieldId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FieldId::Image => f.write_str("image"),
            FieldId::MaskedShare => f.write_str("masked share"),
            FieldId::TopBits(bits) => write!(f, "top {bits} bits of R"),
            FieldId::Revealed => f.write_str("server's half of the output"),
            FieldId::Gate { group, content } => write!(f, "{content:?} of group {group}"),
        }
    }
}

/// What a payload, or a value that a party holds, is computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Atom {
    /// The client's image.
    Image,
    /// What the party has of a constant: of a weight W, F or B.
    Constant(ConstId),
    /// A draw of this step.
    Draw(DrawId),
    /// A field of this step, received or sent.
    Field(FieldId),
    /// What the party holds of the operand of this number.
    Operand(usize),
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Atom::Image => f.write_str("the image"),
            Atom::Constant(id) => write!(f, "{id}"),
            Atom::Draw(id) => write!(f, "{id}"),
            Atom::Field(id) => write!(f, "{id}"),
            Atom::Operand(at) => write!(f, "operand {at}"),
        }
    }
}

/// How a mask is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Added bit by bit, modulo 2.
    Xor,
    /// Added modulo 2^k, k being the bits of the field.
    Plus,
    /// Subtracted modulo 2^k.
    Minus,
    /// Added bit by bit, of two fields that only together are uniform: garbled rows, and the keys of those
    /// at the opened digits. That they are is a lemma of its own.
    Garbled,
    /// Subtracted modulo 2^32; the field is what lies above the lowest 16 bits, which nobody is told.
    TopOfMinus,
}

/// What makes a field uniform to its receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mask {
    /// A draw that the receiver cannot make.
    Drawn {
        /// The draw whose values are the masks.
        draw: DrawId,
        /// How a value of the draw is applied to a value of the field.
        how: How,
        /// Which values of the draw: one for each of the field's.
        values: Vec<Range<usize>>,
    },
    /// Nothing: it is revealed, less what the receiver holds of the operand itself.
    Revealed,
}

/// A field of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name within the step.
    pub id: FieldId,
    /// The message that it is part of.
    pub stage: Stage,
    /// Its size: a section of the message.
    pub section: Section,
    /// What makes it uniform to its receiver.
    pub mask: Mask,
    /// What its sender computes it from, the mask left out.
    pub payload: Vec<Atom>,
}

impl Field {
    /// A field of which each value has a value of a draw to itself.
    pub(super) fn masked(
        (id, stage): (FieldId, Stage),
        section: Section,
        (draw, how): (DrawId, How),
        payload: Vec<Atom>,
    ) -> Self {
        let all = 0..section.count;
        let mask = Mask::Drawn {
            draw,
            how,
            values: vec![all],
        };
        Self {
            id,
            stage,
            section,
            mask,
            payload,
        }
    }
}

/// What each party holds of a step's value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// What the client holds of the value.
    pub client: Vec<Atom>,
    /// What the server holds of the value.
    pub server: Vec<Atom>,
    /// What the helper holds of the value.
    pub helper: Vec<Atom>,
}

impl State {
    pub(super) fn alike(atoms: Vec<Atom>) -> Self {
        Self {
            client: atoms.clone(),
            server: atoms.clone(),
            helper: atoms,
        }
    }

    /// What one party holds.
    pub fn of(&self, party: Party) -> &[Atom] {
        match party {
            Party::Client => &self.client,
            Party::Server => &self.server,
            Party::Helper => &self.helper,
        }
    }
}

/// What a step draws, sends and leaves behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declaration {
    /// The stretches of streams that are drawn.
    pub draws: Draws,
    /// Fields of messages, in the order of stages and sections.
    pub fields: Vec<Field>,
    /// What the parties hold of the value.
    pub state: State,
}
