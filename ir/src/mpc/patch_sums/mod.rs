//! Patch sums that are computed apart: a second, coarser accumulator for the signs of large patches.
//!
//! The sum of an accumulator over a patch of n pixels is up to n times as large as the accumulator,
//! and has to stay below 2^31 all the same. Taken from the pixels' own shares it would cost them up
//! to log2(n) bits. But a linear layer may be summed up first: its sum over a patch is the layer's
//! weights times *box sums* of its input, one product per weight and patch. So a gate may have a
//! second operand, a vector of patch sums, made with weights of their own ("coarse": divided by what
//! the sum is too large by), biases, masks and one truncation. Only signs are taken of it, so that
//! its scale need not have anything to do with the pixels'.
//!
//! Which signs are taken from it is a matter of the patch's size alone ([`is_large`]): a choice by
//! the sizes of values would tell all parties something about the model.
//!
//! A [`SumList`] says which sums a vector holds, and [`Reach`] which pixels a box sum adds up. That a
//! gate gets the sums over its own patches is checked by the verifier (`verify/patch_sums.rs`).

mod list;
mod reach;

pub use list::{LARGE_PATCH, SumList, SumPlaces, is_large};
pub use reach::Reach;

use super::{TRUNCATED_BITS, UNIT};

/// The threshold of a sum over `area` pixels, in units of sums, for a level in 2^-16 of them.
pub fn sum_threshold(level: i64, area: i64) -> i64 {
    (level * area + UNIT / 2) >> TRUNCATED_BITS
}

/// Channels of a group of a convolution that stand side by side while its patch sums are taken.
pub const SIDE_BY_SIDE: usize = 16;

/// Fewest channels of a group for which they do: the last ones are then filled up with zeros.
pub const FEWEST_SIDE_BY_SIDE: usize = 8;
