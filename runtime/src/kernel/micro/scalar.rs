//! Portable inner loops: what the others must equal.

use super::{CORRELATE_BLOCK, Tap, Tile};
use crate::kernel::isa::Isa;

/// Multiplies pair by pair without tricks; the corrections are for those who need them.
pub(super) fn tile(tile: Tile<'_, '_>) {
    let width = tile.width * Isa::Scalar.lanes();
    let height = tile.rows.len();
    for (r, row) in tile.rows.iter_mut().enumerate() {
        let end = row.len().min(tile.column + width);
        let row = &mut row[tile.column..end];
        if !tile.accumulate {
            row.fill(0);
        }
        let weights = tile.broadcast.iter().skip(r).step_by(height);
        let products = weights.zip(tile.vectors.chunks_exact(width));
        for (weight, vector) in products.skip(1) {
            for (sum, value) in row.iter_mut().zip(vector) {
                *sum = sum.wrapping_add(weight.wrapping_mul(*value));
            }
        }
    }
}

pub(super) fn correlate(taps: &[Tap], image: &[u32], out: &mut [u32]) {
    for (i, out) in out.chunks_exact_mut(CORRELATE_BLOCK).enumerate() {
        out.fill(0);
        let image = &image[i * CORRELATE_BLOCK..];
        for tap in taps {
            for (sum, value) in out.iter_mut().zip(&image[tap.offset..]) {
                *sum = sum.wrapping_add(tap.weight.wrapping_mul(*value));
            }
        }
    }
}
