//! Bit slicing with AVX-512: its mask registers are bit planes, 32 values to a mask. The scalar
//! twins are in [`slice`](super::slice) and [`transpose`](super::transpose).
//!
//! Every function returns whether this machine has the instructions; where it has not, nothing is
//! written.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::BitPlane;

/// Values in a register.
const LANES: usize = 32;
/// Values that all planes are cut from before the next: few enough for the first-level cache.
const TILE: usize = 4096;

fn present() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")
}

/// Bit `lowest + j` of each value to plane `j`, the planes being as long as the values.
pub(super) fn slice(values: &[u16], lowest: u32, planes: &mut [BitPlane]) -> bool {
    // SAFETY: called only where the features were found.
    present() && unsafe { slice_avx512(values, lowest, planes) }
}

/// Plane `j` to bit `lowest + j` of each value, the planes being as long as the values.
pub(super) fn merge(planes: &[BitPlane], lowest: u32, out: &mut [u16]) -> bool {
    // SAFETY: called only where the features were found.
    present() && unsafe { merge_avx512(planes, lowest, out) }
}

/// `one` where a bit is set, 0 elsewhere; the plane is as long as `out`.
pub(super) fn expand(plane: &BitPlane, one: u16, out: &mut [u16]) -> bool {
    // SAFETY: called only where the features were found.
    present() && unsafe { expand_avx512(plane, one, out) }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn slice_avx512(values: &[u16], lowest: u32, planes: &mut [BitPlane]) -> bool {
    for (tile, values) in values.chunks(TILE).enumerate() {
        for (bit, plane) in (lowest..).zip(&mut *planes) {
            let mut words = plane.words_mut();
            slice_tile(values, bit, &mut words[tile * (TILE / 64)..]);
        }
    }
    true
}

/// One bit of each value to the words of its plane.
#[target_feature(enable = "avx512f,avx512bw")]
fn slice_tile(values: &[u16], bit: u32, words: &mut [u64]) {
    let bit = _mm512_set1_epi16(1 << bit);
    let mask = |values| u64::from(_mm512_test_epi16_mask(load(values), bit));
    let (blocks, rest) = values.as_chunks::<{ 2 * LANES }>();
    for (block, word) in blocks.iter().zip(&mut *words) {
        let (low, high) = block.split_at(LANES);
        *word = mask(low) | mask(high) << LANES;
    }
    if !rest.is_empty() {
        let (low, high) = rest.split_at(rest.len().min(LANES));
        words[blocks.len()] = mask(low) | mask(high) << LANES;
    }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn merge_avx512(planes: &[BitPlane], lowest: u32, out: &mut [u16]) -> bool {
    for (index, values) in out.chunks_mut(2 * LANES).enumerate() {
        let mut merged = [_mm512_setzero_si512(); 2];
        for (bit, plane) in (lowest..).zip(planes) {
            let (bit, word) = (_mm512_set1_epi16(1 << bit), plane.words()[index]);
            // The bits so far are all others, so that an addition under a mask sets this one.
            merged[0] = _mm512_mask_add_epi16(merged[0], word as u32, merged[0], bit);
            merged[1] = _mm512_mask_add_epi16(merged[1], (word >> LANES) as u32, merged[1], bit);
        }
        let (low, high) = values.split_at_mut(values.len().min(LANES));
        store(merged[0], low);
        store(merged[1], high);
    }
    true
}

#[target_feature(enable = "avx512f,avx512bw")]
fn expand_avx512(plane: &BitPlane, one: u16, out: &mut [u16]) -> bool {
    for (index, values) in out.chunks_mut(LANES).enumerate() {
        store(_mm512_maskz_set1_epi16(half(plane, index), one as i16), values);
    }
    true
}

/// The `index`-th 32 bits of a plane.
#[inline]
fn half(plane: &BitPlane, index: usize) -> __mmask32 {
    (plane.words()[index / 2] >> (index % 2 * LANES)) as __mmask32
}

/// Up to 32 values, filled up with zeros.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load(values: &[u16]) -> __m512i {
    // SAFETY: the mask selects no more than the values that there are; masked-out lanes are not
    // touched, and the load needs no alignment.
    unsafe { _mm512_maskz_loadu_epi16(first(values.len()), values.as_ptr().cast()) }
}

/// The first lanes to up to 32 values.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn store(lanes: __m512i, values: &mut [u16]) {
    // SAFETY: the mask selects no more than the values that there are; masked-out lanes are not
    // touched, and the store needs no alignment.
    unsafe { _mm512_mask_storeu_epi16(values.as_mut_ptr().cast(), first(values.len()), lanes) }
}

/// A mask of the first `count` lanes, of 32 at most.
#[inline]
fn first(count: usize) -> __mmask32 {
    debug_assert!(count <= LANES);
    !(u64::MAX << count.min(LANES)) as __mmask32
}
