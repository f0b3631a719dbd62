//! From ring values to bit planes and back, the fastest way that this machine has.

use std::ops::Range;

use super::BitPlane;
#[cfg(target_arch = "x86_64")]
use super::simd;
use super::transpose::{BLOCK, merge_block, plane_block, slice_block};

/// One bit of each value, as a plane.
///
/// # Panics
/// If `bit` is above 15.
pub fn bit_plane_u16(values: &[u16], bit: u32) -> BitPlane {
    check_bits(bit..bit + 1);
    let mut plane = BitPlane::zeros(values.len());
    #[cfg(target_arch = "x86_64")]
    if simd::slice(values, bit, std::slice::from_mut(&mut plane)) {
        return plane;
    }
    bit_plane_scalar(values, bit, &mut plane);
    plane
}

/// A range of the bits of each value, the lowest first: plane `j` holds bit `bits.start + j`.
///
/// # Panics
/// If the range goes beyond bit 15.
pub fn slice_planes_u16(values: &[u16], bits: Range<u32>) -> Vec<BitPlane> {
    check_bits(bits.clone());
    let mut planes: Vec<_> = bits.clone().map(|_| BitPlane::zeros(values.len())).collect();
    #[cfg(target_arch = "x86_64")]
    if simd::slice(values, bits.start, &mut planes) {
        return planes;
    }
    slice_scalar(values, bits.start, &mut planes);
    planes
}

/// The inverse of [`slice_planes_u16`]: plane `j` becomes bit `lowest + j` of each value, all
/// other bits become zero.
///
/// # Panics
/// If a plane's length is not that of `out`, or the planes go beyond bit 15.
pub fn merge_planes_u16(planes: &[BitPlane], lowest: u32, out: &mut [u16]) {
    check_bits(lowest..lowest.saturating_add(planes.len() as u32));
    for plane in planes {
        check_len(plane, out);
    }
    #[cfg(target_arch = "x86_64")]
    if simd::merge(planes, lowest, out) {
        return;
    }
    merge_scalar(planes, lowest, out);
}

/// Each bit as a value of 0 or 1.
///
/// # Panics
/// If the plane's length is not that of `out`.
pub fn expand_u16(plane: &BitPlane, out: &mut [u16]) {
    expand(plane, 1, out);
}

/// Each bit as a mask of 0 or 0xffff.
///
/// # Panics
/// If the plane's length is not that of `out`.
pub fn expand_mask_u16(plane: &BitPlane, out: &mut [u16]) {
    expand(plane, 0xffff, out);
}

fn expand(plane: &BitPlane, one: u16, out: &mut [u16]) {
    check_len(plane, out);
    #[cfg(target_arch = "x86_64")]
    if simd::expand(plane, one, out) {
        return;
    }
    expand_scalar(plane, one, out);
}

fn check_bits(bits: Range<u32>) {
    assert!(
        bits.start <= bits.end && bits.end <= 16,
        "bits {bits:?} of values of 16 bits"
    );
}

fn check_len(plane: &BitPlane, out: &[u16]) {
    assert_eq!(plane.len(), out.len(), "a plane and values of different lengths");
}

pub(super) fn bit_plane_scalar(values: &[u16], bit: u32, plane: &mut BitPlane) {
    let mut words = plane.words_mut();
    for_blocks(values, |index, block| words[index] = plane_block(block, bit));
}

pub(super) fn slice_scalar(values: &[u16], lowest: u32, planes: &mut [BitPlane]) {
    let mut words: Vec<_> = planes.iter_mut().map(BitPlane::words_mut).collect();
    for_blocks(values, |index, block| {
        let bits = slice_block(block);
        for (words, bits) in words.iter_mut().zip(&bits[lowest as usize..]) {
            words[index] = *bits;
        }
    });
}

/// Calls with each 64 values, the last filled up with zeros.
fn for_blocks(values: &[u16], mut apply: impl FnMut(usize, &[u16; BLOCK])) {
    let (blocks, rest) = values.as_chunks::<BLOCK>();
    for (index, block) in blocks.iter().enumerate() {
        apply(index, block);
    }
    if !rest.is_empty() {
        let mut block = [0; BLOCK];
        block[..rest.len()].copy_from_slice(rest);
        apply(blocks.len(), &block);
    }
}

pub(super) fn merge_scalar(planes: &[BitPlane], lowest: u32, out: &mut [u16]) {
    for (index, values) in out.chunks_mut(BLOCK).enumerate() {
        let mut bits = [0; 16];
        for (bits, plane) in bits[lowest as usize..].iter_mut().zip(planes) {
            *bits = plane.words()[index];
        }
        let mut block = [0; BLOCK];
        merge_block(bits, &mut block);
        values.copy_from_slice(&block[..values.len()]);
    }
}

pub(super) fn expand_scalar(plane: &BitPlane, one: u16, out: &mut [u16]) {
    for (values, word) in out.chunks_mut(BLOCK).zip(plane.words()) {
        for (bit, value) in values.iter_mut().enumerate() {
            // Arithmetic instead of a branch: the bits are secret.
            *value = ((word >> bit & 1) as u16).wrapping_neg() & one;
        }
    }
}
