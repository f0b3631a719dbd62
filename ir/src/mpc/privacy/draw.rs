//! Draws: which part of which stream a step takes, and how wide.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

use super::purpose::{Key, Purpose};
use crate::mpc::gate::BLOCK;

/// Names a draw within a step: of one purpose, for one group, and there for the opening, the sign or
/// the product of this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct DrawId {
    /// What the stream is for, which names it within the step.
    pub purpose: Purpose,
    /// Index of the group within the step; 0 for steps without groups.
    pub group: usize,
    /// Index of the opening, sign or product within the group; 0 where there is only one.
    pub item: usize,
}

impl DrawId {
    /// The one draw of this purpose in a step.
    pub const fn only(purpose: Purpose) -> Self {
        Self {
            purpose,
            group: 0,
            item: 0,
        }
    }
}

impl fmt::Display for DrawId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.{}", self.purpose, self.group, self.item)
    }
}

/// What a draw has for each value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// So many single bits.
    Planes(usize),
    /// A number of 16 bits.
    Half,
    /// A number of 32 bits.
    Word,
}

impl Unit {
    /// Bits for each value.
    pub const fn bits(self) -> usize {
        match self {
            Unit::Planes(planes) => planes,
            Unit::Half => 16,
            Unit::Word => 32,
        }
    }

    /// Bytes for the values of one block.
    pub const fn block_bytes(self) -> usize {
        self.bits() * (BLOCK / 8)
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unit::Planes(planes) => write!(f, "{planes}x1 bit"),
            Unit::Half => f.write_str("16 bits"),
            Unit::Word => f.write_str("32 bits"),
        }
    }
}

/// A stretch of one stream of a step, drawn once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// Its name within the step.
    pub id: DrawId,
    /// Number of values.
    pub count: usize,
    /// What is drawn for each value.
    pub unit: Unit,
    /// Where it begins in the stream, in bytes.
    pub start: u64,
}

impl Draw {
    /// Bytes of it: the last block takes as much of a stream as a full one.
    pub fn bytes(&self) -> u64 {
        (self.count.div_ceil(BLOCK) as u64).saturating_mul(self.unit.block_bytes() as u64)
    }

    /// The bytes of the stream.
    pub fn interval(&self) -> Range<u64> {
        self.start..self.start.saturating_add(self.bytes())
    }
}

/// All draws of a step, in an order in which the stretches of each stream follow one another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draws(pub(super) Vec<Draw>);

impl Draws {
    /// What an image of so many values draws.
    pub fn of_input(count: usize) -> Self {
        Self::words(&[Purpose::InputMask], count)
    }

    /// What a truncation of so many values draws.
    pub fn of_truncation(count: usize) -> Self {
        Self::words(&[Purpose::Rerandomise, Purpose::TruncationMask], count)
    }

    /// What a weight of so many values draws, once for all inferences.
    pub fn of_weight(count: usize) -> Self {
        Self::words(&[Purpose::WeightShare], count)
    }

    /// 32 bits for each of so many values.
    fn words(purposes: &[Purpose], count: usize) -> Self {
        let mut draws = Self::default();
        for purpose in purposes {
            draws.push(DrawId::only(*purpose), count, Unit::Word);
        }
        draws
    }

    /// Adds a draw behind those of its stream.
    pub(super) fn push(&mut self, id: DrawId, count: usize, unit: Unit) {
        let last = self.0.iter().rev().find(|draw| draw.id.purpose == id.purpose);
        let start = last.map_or(0, |last| last.interval().end);
        self.0.push(Draw {
            id,
            count,
            unit,
            start,
        });
    }

    /// The draw of this name, with its place in the list.
    pub fn find(&self, id: DrawId) -> Option<(usize, &Draw)> {
        self.0.iter().enumerate().find(|(_, draw)| draw.id == id)
    }

    /// The draws, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Draw> {
        self.0.iter()
    }

    /// Number of draws.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is drawn.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The draws from one key.
    pub fn of_key(&self, key: Key) -> impl Iterator<Item = &Draw> {
        self.0.iter().filter(move |draw| draw.id.purpose.key() == key)
    }
}
