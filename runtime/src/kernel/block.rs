//! Sums of products with half the multiplications, and the packed form that they need.
//!
//! The inner loop takes two steps of a sum at once (S. Winograd, 1968):
//!
//! ```text
//! a₀b₀ + a₁b₁ = (a₀ + b₁)(a₁ + b₀) − a₀a₁ − b₀b₁
//! ```
//!
//! The two products at the end belong to one operand each. In a matrix product they are shared
//! by a whole row or column, so packing computes them once. What remains is one multiplication
//! and three additions for two steps, instead of two and two; a vector unit multiplies 32-bit
//! lanes at half the pace at which it adds them, or less. Modulo 2³² the identity is exact.
//!
//! So the inner dimension is cut into blocks that stay in cache, and in a packed panel each block
//! is: one line of *corrections* −(a₀a₁ + a₂a₃ + …), then the values, an even number of lines.

use super::split::evenly;
use std::ops::Range;

/// Most pairs of values of one block: with 6 × 64 columns, its panels take 6 and 64 KiB.
const MAX_PAIRS: usize = 128;

/// One block of the inner dimension.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// Which values it covers.
    pub(super) values: Range<usize>,
    /// Where its lines are in a panel that holds all blocks.
    pub(super) lines: Range<usize>,
}

/// The blocks of a sum of `depth` products.
pub(super) fn blocks(depth: usize) -> impl Iterator<Item = Block> {
    let pairs = evenly(depth.div_ceil(2), MAX_PAIRS);
    pairs.enumerate().map(move |(i, pairs)| Block {
        values: 2 * pairs.start..depth.min(2 * pairs.end),
        lines: 2 * pairs.start + i..2 * pairs.end + i + 1,
    })
}

/// Lines of a panel that holds all blocks.
pub(super) fn all_lines(depth: usize) -> usize {
    blocks(depth).last().map_or(0, |block| block.lines.end)
}

/// Lines of the longest block.
pub(super) fn most_lines(depth: usize) -> usize {
    let lengths = blocks(depth).map(|block| block.lines.len());
    lengths.max().unwrap_or(0)
}

/// Fills in all that is not values in one block of a panel: the corrections, and the line of
/// zeros that makes an odd number of values even.
#[inline(always)]
pub(super) fn complete(block: &Block, width: usize, panel: &mut [u32]) {
    panel[(1 + block.values.len()) * width..].fill(0);
    let (corrections, values) = panel.split_at_mut(width);
    corrections.fill(0);
    for pair in values.chunks_exact(2 * width) {
        let (even, odd) = pair.split_at(width);
        for ((sum, even), odd) in corrections.iter_mut().zip(even).zip(odd) {
            *sum = sum.wrapping_sub(even.wrapping_mul(*odd));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_values_and_lines() {
        for depth in [1, 2, 3, 27, 255, 256, 257, 513, 4608] {
            let blocks: Vec<_> = blocks(depth).collect();
            assert_eq!((blocks[0].values.start, blocks[0].lines.start), (0, 0));
            for pair in blocks.windows(2) {
                assert_eq!(pair[0].values.end, pair[1].values.start);
                assert_eq!(pair[0].lines.end, pair[1].lines.start);
            }
            assert_eq!(blocks[blocks.len() - 1].values.end, depth);
            for block in &blocks {
                assert_eq!(block.lines.len(), block.values.len().next_multiple_of(2) + 1);
                assert!(block.lines.len() <= most_lines(depth));
            }
            let lines: usize = blocks.iter().map(|block| block.lines.len()).sum();
            assert_eq!(lines, all_lines(depth));
        }
    }

    #[test]
    fn corrections_and_padding_are_written() {
        let block = blocks(3).next().expect("three values make a block");
        // Two columns: corrections, then 3 values each, then what becomes zeros.
        let mut panel = [9, 9, 2, 3, 5, 7, 11, 13, 9, 9];
        complete(&block, 2, &mut panel);
        assert_eq!(panel[..2], [0u32.wrapping_sub(10), 0u32.wrapping_sub(21)]);
        assert_eq!(panel[2..], [2, 3, 5, 7, 11, 13, 0, 0]);
    }
}
