//! Garbled comparison: the client gets the borrow of `public - secret` under a mask, from what the helper
//! dealt and one message of the server. Client and server know `public`, the helper knows `secret`.
//!
//! With the digits of [`trefoil_ir::mpc::gate::digits`], lowest first, the borrow c is a bit that a branching
//! program carries from level to level: `[v < digit]`, or `[v <= digit]` if there was one before, v being
//! the public digit. Server and helper share for each level i a mask M_i of the bit that comes out of it, a
//! pad for each row, and for each level behind the first one two labels, `L_i[0]` and `L_i[1]`.
//!
//! - Deal: for each value v of the digit and each state s that comes in, the row `(n, L_{i+1}[n])` under its
//!   pad, with n the next borrow under M_i, that of s = c ^ M_{i-1}.
//! - Keys: of the public digit the pads of both rows, each under the label `L_i[s]`; the only pad at the first
//!   level.
//!
//! So the client opens the one row of each level whose state it has, and no other: of other digits it lacks
//! pads, and of the other state the label. What it sees at the end is the borrow under M of the last level.
//! Rows and keys are uniform together, as `docs/PROTOCOL.md` shows; the tests here run that argument.
//!
//! All of it runs on the bits of one block, without branches on any value.

use std::ops::Range;

use trefoil_ir::mpc::gate::{KEY_PLANES, LEVELS, WIDE, digits, garbled_planes, labels_at, row_bits, states};

use super::block::{Bits, ZEROS, not, select, xor};
use super::compare::thermometer;

/// Planes of the rows of the widest ring.
pub const MOST_ROWS: usize = garbled_planes(WIDE);

/// Keys of the rows at a public value, or what hides them: masks of states, and labels.
pub type Keys = [Bits; KEY_PLANES];

/// The most values that a digit has.
const MOST_VALUES: usize = 16;

/// A row, or a label; those of later levels are shorter.
type Row = [Bits; LEVELS];

/// One level of a comparison.
#[derive(Clone, Copy)]
struct Level {
    number: usize,
    /// Bits of the digit.
    digit: usize,
    /// The lowest of them in the value.
    bit: usize,
    /// Where the rows begin.
    rows: usize,
}

impl Level {
    #[inline(always)]
    fn all(ring: u32) -> [Level; LEVELS] {
        let (mut bit, mut rows) = (0, 0);
        let widths = digits(ring);
        std::array::from_fn(|number| {
            let digit = widths[number] as usize;
            let level = Level {
                number,
                digit,
                bit,
                rows,
            };
            bit += digit;
            rows += (states(number) * row_bits(number)) << digit;
            level
        })
    }

    fn bits(self) -> Range<usize> {
        self.bit..self.bit + self.digit
    }

    /// Where the row of a value and a state begins.
    fn row(self, value: usize, state: usize) -> usize {
        self.rows + (value * states(self.number) + state) * row_bits(self.number)
    }

    /// Where the key of a state begins; its label stands at the same place, but for the first level,
    /// whose key has no label.
    fn key(self, state: usize) -> usize {
        match self.number {
            0 => 0,
            number => label_at(number, state),
        }
    }

    /// Reads the row of a state at a public digit.
    #[inline(always)]
    fn look_up(self, rows: &[Bits], public: &[Bits], state: usize) -> Row {
        let digit = &public[self.bits()];
        let mut row = [ZEROS; LEVELS];
        for (at, bits) in row[..row_bits(self.number)].iter_mut().enumerate() {
            let mut entries = [ZEROS; MOST_VALUES / 2];
            let lowest = &digit[0];
            for pair in 0..1 << (self.digit - 1) {
                let zero = &rows[self.row(2 * pair, state) + at];
                let one = &rows[self.row(2 * pair + 1, state) + at];
                entries[pair] = select(zero, one, lowest);
            }
            for (level, bit) in digit.iter().enumerate().skip(1) {
                for pair in 0..1 << (self.digit - 1 - level) {
                    entries[pair] = select(&entries[2 * pair], &entries[2 * pair + 1], bit);
                }
            }
            *bits = entries[0];
        }
        row
    }
}

/// Where the label of a state begins that goes into a level.
fn label_at(level: usize, state: usize) -> usize {
    labels_at(level) + state * (LEVELS - level)
}

/// The helper: adds the rows of the secret, given by its bits, to their pads.
#[inline(always)]
pub fn garble(secret: &[Bits], ring: u32, labels: &Keys, pads: &mut [Bits]) {
    for level in Level::all(ring) {
        let less: [Bits; MOST_VALUES] = thermometer(&secret[level.bits()]);
        let next_labels = [0, 1].map(|state| label_at(level.number + 1, state));
        for value in 0..1 << level.digit {
            let at_most = match value {
                0 => [u64::MAX; ZEROS.len()],
                _ => less[value - 1],
            };
            for state in 0..states(level.number) {
                let borrow = if level.number == 0 {
                    less[value]
                } else {
                    let mut came_in = labels[level.number - 1];
                    if state == 1 {
                        not(&mut came_in);
                    }
                    select(&less[value], &at_most, &came_in)
                };
                let mut next = borrow;
                xor(&mut next, &labels[level.number]);
                let row = &mut pads[level.row(value, state)..][..row_bits(level.number)];
                xor(&mut row[0], &next);
                for (at, bits) in row.iter_mut().enumerate().skip(1) {
                    let label = |state| &labels[next_labels[state] + at - 1];
                    xor(bits, &select(label(0), label(1), &next));
                }
            }
        }
    }
}

/// The server: the keys of the rows at a public value, given by its bits.
#[inline(always)]
pub fn keys(public: &[Bits], ring: u32, pads: &[Bits], labels: &Keys) -> Keys {
    let mut keys = [ZEROS; KEY_PLANES];
    for level in Level::all(ring) {
        for state in 0..states(level.number) {
            let pad = level.look_up(pads, public, state);
            let at = level.key(state);
            for (offset, pad) in pad[..row_bits(level.number)].iter().enumerate() {
                keys[at + offset] = *pad;
                if level.number > 0 {
                    xor(&mut keys[at + offset], &labels[at + offset]);
                }
            }
        }
    }
    keys
}

/// The mask under which the client sees the borrow.
#[inline(always)]
pub fn last_mask(labels: &Keys) -> &Bits {
    &labels[LEVELS - 1]
}

/// The client: the borrow under its [mask](last_mask), at a public value given by its bits.
#[inline(always)]
pub fn evaluate(public: &[Bits], ring: u32, rows: &[Bits], keys: &Keys) -> Bits {
    let mut seen = [ZEROS; LEVELS];
    for level in Level::all(ring) {
        let opened = |state| {
            let mut row = level.look_up(rows, public, state);
            let at = level.key(state);
            for (bits, key) in row[..row_bits(level.number)].iter_mut().zip(&keys[at..]) {
                xor(bits, key);
            }
            row
        };
        seen = if level.number == 0 {
            opened(0)
        } else {
            let (state, label) = (seen[0], &seen[1..]);
            let (zero, one) = (opened(0), opened(1));
            let mut row = [ZEROS; LEVELS];
            for at in 0..row_bits(level.number) {
                row[at] = select(&zero[at], &one[at], &state);
                xor(&mut row[at], &label[at]);
            }
            row
        };
    }
    seen[0]
}

#[cfg(test)]
mod tests;
