//! The garbled comparison of a gate in one round: into which digits it cuts a value, and what there is of
//! each level.
//!
//! A comparison is a branching program: it goes through the digits of the opened value, which client and
//! server know, from the lowest to the highest one, and carries one bit, the borrow. At each level the
//! helper has garbled a row for each value that the digit may have and each state of that bit. A row holds
//! the masked next state, and behind it the label by which the client will open the one row of the next
//! level that belongs to this state. So a row is as wide as levels are left; the last one is a single bit.
//!
//! Information-theoretic garbling like this is V. Kolesnikov, "Gate Evaluation Secret Sharing and Secure
//! One-Round Two-Party Computation" (ASIACRYPT 2005); that digits are public at both ends, and only the
//! thresholds secret, is what makes it small here.

use super::NARROW;

/// Number of levels.
pub const LEVELS: usize = 5;

/// Bits of the digits, the lowest one first, into which the bits of an opening below its top bit are cut;
/// `ring` is the bits of the opening. Of all ways to cut them these take the fewest planes: rows narrow
/// from level to level, and the first level, which no state comes into, has half as many.
pub const fn digits(ring: u32) -> [u32; LEVELS] {
    if ring == NARROW {
        [3, 2, 2, 3, 4]
    } else {
        [3, 2, 3, 3, 4]
    }
}

/// States that come into a level: there is one at the first, and two at all others.
pub const fn states(level: usize) -> usize {
    if level == 0 { 1 } else { 2 }
}

/// Bits of a row of a level: the next state, and a label of it that is as wide as a row of the next level.
pub const fn row_bits(level: usize) -> usize {
    LEVELS - level
}

/// Planes of all garbled rows, level after level: value of the digit by value, state by state.
pub const fn garbled_planes(ring: u32) -> usize {
    let digits = digits(ring);
    let mut planes = 0;
    let mut level = 0;
    while level < LEVELS {
        planes += (1 << digits[level]) * states(level) * row_bits(level);
        level += 1;
    }
    planes
}

/// Planes of the keys of the rows at the opened digits: one row of a level for each state. As many are
/// drawn to hide them: a mask for each state that comes out of a level, and labels of the states that go
/// into all levels but the first.
pub const KEY_PLANES: usize = {
    let mut planes = 0;
    let mut level = 0;
    while level < LEVELS {
        planes += states(level) * row_bits(level);
        level += 1;
    }
    planes
};

/// Where the labels of a level's states begin among the drawn planes, behind the masks of states.
pub const fn labels_at(level: usize) -> usize {
    let mut at = LEVELS;
    let mut before = 1;
    while before < level {
        at += states(before) * row_bits(before);
        before += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mpc::gate::WIDE;

    /// All ways to cut so many bits into so many digits of at most five bits.
    fn cuts(bits: u32, levels: usize) -> Vec<Vec<u32>> {
        if levels == 0 {
            return if bits == 0 { vec![Vec::new()] } else { Vec::new() };
        }
        let first = 1..=bits.min(5);
        let cuts = first.flat_map(|first| {
            cuts(bits - first, levels - 1).into_iter().map(move |mut rest| {
                rest.insert(0, first);
                rest
            })
        });
        cuts.collect()
    }

    /// Planes of rows and keys, if there are so many levels.
    fn planes(cut: &[u32]) -> usize {
        let levels = cut.iter().enumerate();
        levels
            .map(|(level, digit)| ((1 << digit) + 1) * states(level) * (cut.len() - level))
            .sum()
    }

    #[test]
    fn no_other_cut_takes_fewer_bits() {
        for ring in [NARROW, WIDE] {
            let own = digits(ring);
            assert_eq!(own.iter().sum::<u32>(), ring - 1);
            assert_eq!(garbled_planes(ring) + KEY_PLANES, planes(&own));
            let others = (1..=8).flat_map(|levels| cuts(ring - 1, levels));
            assert_eq!(others.map(|cut| planes(&cut)).min(), Some(planes(&own)));
        }
    }

    #[test]
    fn keys_and_what_hides_them_are_as_many() {
        assert_eq!(KEY_PLANES, 25);
        let last = LEVELS - 1;
        assert_eq!(labels_at(last) + states(last) * row_bits(last), KEY_PLANES);
        assert_eq!([NARROW, WIDE].map(garbled_planes), [160, 184]);
    }
}
