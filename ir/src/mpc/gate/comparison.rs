//! The comparison beneath a sign: into which chunks it cuts a value, and which products join them.

use super::NARROW;

/// Bits of the four chunks in which the bits of an opening below its top bit are compared, the lowest
/// chunk first; `ring` is the bits of the opening.
pub const fn chunks(ring: u32) -> [u32; 4] {
    if ring == NARROW {
        [4, 4, 3, 3]
    } else {
        [4, 4, 4, 3]
    }
}

/// Bit planes of the thermometer tables for an opening of `ring` bits: 2^w - 1 a chunk.
pub const fn table_planes(ring: u32) -> usize {
    let [a, b, c, d] = chunks(ring);
    (1 << a) + (1 << b) + (1 << c) + (1 << d) - 4
}

/// Masked comparison bits of a sign that are opened: equality of all chunks but the lowest, order
/// of all but the highest.
pub const OPENED_BITS: usize = 6;

/// Dealt products of the masks of those bits, in the order of [`product_terms`].
pub const PRODUCTS: usize = 15;

/// The products of masks that joining four chunks takes: each is a set of the six opened bits
/// (bits 0..3: equality of chunks 1, 2, 3; bits 3..6: order of chunks 0, 1, 2).
///
/// The borrow is `l3 ^ e3 l2 ^ e3 e2 l1 ^ e3 e2 e1 l0`; every product of two or more masks that
/// occurs when the masked bits are multiplied out is dealt once.
pub const fn product_terms() -> [u8; PRODUCTS] {
    let mut terms = [0; PRODUCTS];
    let mut found = 0;
    let mut term = 0;
    while term < 3 {
        let members = borrow_terms()[term];
        let mut subset = 1;
        while subset <= members {
            if subset & !members == 0 && subset.count_ones() >= 2 && !contains(&terms, subset) {
                terms[found] = subset;
                found += 1;
            }
            subset += 1;
        }
        term += 1;
    }
    terms
}

/// Whether `term` is among `terms`; slices have no such `const fn`.
const fn contains(terms: &[u8], term: u8) -> bool {
    let mut at = 0;
    while at < terms.len() && terms[at] != term {
        at += 1;
    }
    at < terms.len()
}

/// The three products of opened bits in the borrow, as sets like those of [`product_terms`].
pub const fn borrow_terms() -> [u8; 3] {
    const E1: u8 = 1;
    const E2: u8 = 2;
    const E3: u8 = 4;
    const L0: u8 = 8;
    const L1: u8 = 16;
    const L2: u8 = 32;
    [E3 | L2, E3 | E2 | L1, E3 | E2 | E1 | L0]
}
