//! What every machine can do, and what the vector code must equal. Bits are sliced by transposition:
//! 64 values of 16 bits are 16 words, and so are their 16 planes.

use super::{Bits, Halves, WORDS};

/// Values that are transposed at a time.
const TILE: usize = 64;

/// Bit `j` of each value to `planes[j]`.
pub(super) fn slice(values: &Halves, planes: &mut [Bits]) {
    for (word, tile) in values.as_chunks::<TILE>().0.iter().enumerate() {
        let rows = slice_tile(tile);
        for (plane, row) in planes.iter_mut().zip(rows) {
            plane[word] = row;
        }
    }
}

/// One bit of each value.
pub(super) fn bit(values: &Halves, bit: u32) -> Bits {
    let tiles = values.as_chunks::<TILE>().0;
    std::array::from_fn(|word| bit_of_tile(&tiles[word], bit))
}

/// Each bit as a value with all bits set, or none.
pub(super) fn expand(bits: &Bits, values: &mut Halves) {
    for (tile, word) in values.as_chunks_mut::<TILE>().0.iter_mut().zip(bits) {
        for (at, value) in tile.iter_mut().enumerate() {
            // Arithmetic instead of a branch: the bits are secret.
            *value = ((word >> at & 1) as u16).wrapping_neg();
        }
    }
}

/// The planes of 64 values: bit `i` of word `j` is bit `j` of value `i`.
fn slice_tile(values: &[u16; TILE]) -> [u64; 16] {
    let mut rows = std::array::from_fn(|row| {
        u64::from(values[row])
            | u64::from(values[16 + row]) << 16
            | u64::from(values[32 + row]) << 32
            | u64::from(values[48 + row]) << 48
    });
    transpose(&mut rows);
    rows
}

/// Transposes four 16 × 16 bit matrices, one in each 16-bit lane of 16 rows: swaps the upper right
/// with the lower left quarter, then the same within each quarter, and so on.
fn transpose(rows: &mut [u64; 16]) {
    swap_quarters::<8>(rows, 0x00ff_00ff_00ff_00ff);
    swap_quarters::<4>(rows, 0x0f0f_0f0f_0f0f_0f0f);
    swap_quarters::<2>(rows, 0x3333_3333_3333_3333);
    swap_quarters::<1>(rows, 0x5555_5555_5555_5555);
}

#[inline(always)]
fn swap_quarters<const HALF: usize>(rows: &mut [u64; 16], low_columns: u64) {
    for pair in rows.chunks_exact_mut(2 * HALF) {
        let (upper, lower) = pair.split_at_mut(HALF);
        for (upper, lower) in upper.iter_mut().zip(lower) {
            let changed = (*upper >> HALF ^ *lower) & low_columns;
            *upper ^= changed << HALF;
            *lower ^= changed;
        }
    }
}

/// One bit of 64 values: four values at a time, their bits gathered by a multiplication.
fn bit_of_tile(values: &[u16; TILE], bit: u32) -> u64 {
    values.as_chunks::<4>().0.iter().rev().fold(0, |word, four| {
        let lanes = four
            .iter()
            .rev()
            .fold(0, |lanes, &value| lanes << 16 | u64::from(value));
        // Lane k's bit moves to bit 48 + k; no two terms of the product meet.
        let bits = (lanes >> bit & 0x0001_0001_0001_0001).wrapping_mul(0x0001_0002_0004_0008);
        word << 4 | bits >> 48 & 0xf
    })
}

const _: () = assert!(WORDS * TILE == trefoil_ir::mpc::gate::BLOCK);
