//! The part that the parties' masks have in a result: which way a truncation rounds, and what becomes
//! of a value beyond the ranges where it depends on how it is shared.

use std::fmt;

use crate::mpc::{TRUNCATED_BITS, UNIT, ValueId};

/// How a truncation rounds, and how values are shared where that matters.
#[derive(Clone, Copy, Debug)]
pub enum Rounding<'a> {
    /// To the nearest unit: the expected result, the same every time. (Where a result is beyond the
    /// range of a gate, its shares are drawn from a fixed seed.)
    Nearest,
    /// Down or up with the probability of the fraction, as the parties do, from this seed.
    Coin(u64),
    /// As given: the very values that three parties hold between them.
    Masks(&'a dyn Masks),
}

/// What of the masks of one inference its values depend on.
pub trait Masks: fmt::Debug {
    /// R, the helper's share, of an element of a truncation.
    fn truncation(&self, step: ValueId, element: usize) -> u32;

    /// The client's share of a result of a gate, in the ring of the gate (of which only that many low
    /// bits are read); of a gate in one round rs - sigma, which with what is opened is the value. Either
    /// is extended to 32 bits by the top bits of its two shares.
    fn result(&self, step: ValueId, element: usize) -> u32;
}

/// Draws, or looks up, the masks of one run.
pub(super) struct Source<'a> {
    rounding: Rounding<'a>,
    state: u64,
}

/// R of a value that is rounded to the nearest unit.
pub(super) const NEAREST: u32 = UNIT as u32 / 2;

impl<'a> Source<'a> {
    pub(super) fn new(rounding: Rounding<'a>) -> Self {
        let state = match rounding {
            Rounding::Nearest | Rounding::Masks(_) => 0,
            Rounding::Coin(seed) => seed,
        };
        Self { rounding, state }
    }

    /// R of all elements of a truncation; none where they are rounded to the nearest unit.
    pub(super) fn truncation(&mut self, step: ValueId, count: usize) -> Option<Vec<u32>> {
        let elements = 0..count;
        match self.rounding {
            Rounding::Nearest => None,
            Rounding::Coin(_) => Some(elements.map(|_| self.random()).collect()),
            Rounding::Masks(masks) => Some(elements.map(|at| masks.truncation(step, at)).collect()),
        }
    }

    /// The client's share of an element of a result.
    pub(super) fn result(&mut self, step: ValueId, element: usize) -> u32 {
        match self.rounding {
            Rounding::Nearest | Rounding::Coin(_) => self.random(),
            Rounding::Masks(masks) => masks.result(step, element),
        }
    }

    // splitmix64: masks in a simulation, no secret depends on them.
    fn random(&mut self) -> u32 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.state;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) >> 32) as u32
    }
}

/// The top 16 bits of an accumulator modulo 2^32 as D and `r` have them, which is z rounded down, or
/// up if the low bits of `r` do not exceed those of z.
pub(super) fn truncate(z: i64, r: u32) -> i64 {
    const LOW_BITS: u32 = UNIT as u32 - 1;
    let z = z as u32;
    let up = u32::from(r & LOW_BITS <= z & LOW_BITS);
    i64::from((z >> TRUNCATED_BITS).wrapping_add(up) as i16)
}
