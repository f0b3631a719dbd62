//! Slicing, expanding and packing with AVX-512, whose mask registers are bit planes of 32 values.
//! The twins are in [`portable`](super::portable) and [`fields`](crate::wire::bits); tests compare
//! them.
//!
//! Called only where `Isa::runs_avx512` said yes: the machine has AVX-512 F, VL, BW and DQ. Packing of
//! the protocol's two odd widths wants VBMI too, and says `false` where that is missing.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use trefoil_ir::mpc::gate::BLOCK;

use super::{Bits, Halves, WORDS, Words};

/// 16-bit values in a register.
const LANES: usize = 32;

/// Bit `j` of each value to `planes[j]`.
#[inline]
pub(super) fn slice(values: &Halves, planes: &mut [Bits]) {
    for (j, plane) in planes.iter_mut().enumerate() {
        *plane = bit(values, j as u32);
    }
}

/// One bit of each value.
#[inline]
pub(super) fn bit(values: &Halves, bit: u32) -> Bits {
    // SAFETY: see the module's documentation.
    unsafe { test(values, 1 << bit) }
}

/// Each bit as a value with all bits set, or none.
#[inline]
pub(super) fn expand(bits: &Bits, values: &mut Halves) {
    // SAFETY: see the module's documentation.
    unsafe { spread(bits, values) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn test(values: &Halves, bit: u16) -> Bits {
    let bit = _mm512_set1_epi16(bit.cast_signed());
    let (pairs, _) = values.as_chunks::<{ 2 * LANES }>();
    std::array::from_fn(|word| {
        let (low, high) = pairs[word].split_at(LANES);
        let low = u64::from(_mm512_test_epi16_mask(load(low), bit));
        let high = u64::from(_mm512_test_epi16_mask(load(high), bit));
        low | high << LANES
    })
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn spread(bits: &Bits, values: &mut Halves) {
    let (pairs, _) = values.as_chunks_mut::<{ 2 * LANES }>();
    for (pair, word) in pairs.iter_mut().zip(bits) {
        let (low, high) = pair.split_at_mut(LANES);
        store(_mm512_movm_epi16(*word as __mmask32), low);
        store(_mm512_movm_epi16((word >> LANES) as __mmask32), high);
    }
}

/// 32 values.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load(values: &[u16]) -> __m512i {
    let values = &values[..LANES];
    // SAFETY: 64 bytes are readable there; the load needs no alignment.
    unsafe { _mm512_loadu_si512(values.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn store(lanes: __m512i, values: &mut [u16]) {
    let values = &mut values[..LANES];
    // SAFETY: 64 bytes are writable there; the store needs no alignment.
    unsafe { _mm512_storeu_si512(values.as_mut_ptr().cast(), lanes) }
}

fn can_pack(bits: u32, width: usize, count: usize) -> bool {
    bits as usize == width && count == BLOCK && is_x86_feature_detected!("avx512vbmi")
}

/// The low 15 bits of a whole block's values; `false`, and nothing done, for any other width.
pub(super) fn pack_u16(values: &Halves, bits: u32, count: usize, section: &mut [u8]) -> bool {
    // SAFETY: VBMI was found, the rest see the module's documentation.
    can_pack(bits, 15, count) && unsafe { pack_15(values, section) }
}

/// The inverse of [`pack_u16`].
pub(super) fn unpack_u16(section: &[u8], bits: u32, count: usize, values: &mut Halves) -> bool {
    // SAFETY: as above.
    can_pack(bits, 15, count) && unsafe { unpack_15(section, values) }
}

/// The low 17 bits of a whole block's values; `false`, and nothing done, for any other width.
pub(super) fn pack_u32(values: &Words, bits: u32, count: usize, section: &mut [u8]) -> bool {
    // SAFETY: as above.
    can_pack(bits, 17, count) && unsafe { pack_17(values, section) }
}

/// The inverse of [`pack_u32`].
pub(super) fn unpack_u32(section: &[u8], bits: u32, count: usize, values: &mut Words) -> bool {
    // SAFETY: as above.
    can_pack(bits, 17, count) && unsafe { unpack_17(section, values) }
}

/// The lowest `bits` bits of every `lane` bits of 64.
const fn low(bits: u32, lane: u32) -> i64 {
    let mut word = 0u64;
    let mut at = 0;
    while at < 64 {
        word |= ((1 << bits) - 1) << at;
        at += lane;
    }
    word.cast_signed()
}

/// Where the fields of `bits` bits that fill lanes of `lane` bytes come from: for each byte of a
/// register the byte that its word of 64 bits begins with, counted on, and the bit of that word.
const fn gather<const LANE: usize>(bits: usize) -> [[u8; 64]; 2] {
    let mut bytes = [0; 64];
    let mut shifts = [0; 64];
    let word_bits = 8 / LANE * bits;
    let mut at = 0;
    while at < 64 {
        let word = at / 8;
        let byte = at % 8;
        let first = word * word_bits;
        bytes[at] = (first / 8 + byte) as u8;
        shifts[at] = (first % 8 + byte / LANE * bits + byte % LANE * 8) as u8 % 64;
        at += 1;
    }
    [bytes, shifts]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn table(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: 64 bytes are readable there; the load needs no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

/// The fields of one register, which fill `section`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn unpack(section: &[u8], [bytes, shifts]: &[[u8; 64]; 2], low: i64) -> __m512i {
    let mask = u64::MAX >> (64 - section.len());
    // SAFETY: the mask selects the bytes of the section, at most 64; the others are not touched.
    let packed = unsafe { _mm512_maskz_loadu_epi8(mask, section.as_ptr().cast()) };
    let words = _mm512_permutexvar_epi8(table(bytes), packed);
    let fields = _mm512_multishift_epi64_epi8(table(shifts), words);
    _mm512_and_si512(fields, _mm512_set1_epi64(low))
}

/// Writes the first bytes of a register over `section`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn write(packed: __m512i, section: &mut [u8]) {
    let mask = u64::MAX >> (64 - section.len());
    // SAFETY: the mask selects the bytes of the section, at most 64; the others are not touched.
    unsafe { _mm512_mask_storeu_epi8(section.as_mut_ptr().cast(), mask, packed) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn unpack_15(section: &[u8], values: &mut Halves) -> bool {
    const GATHER: [[u8; 64]; 2] = gather::<2>(15);
    let sections = section.chunks_exact(60);
    for (values, section) in values.chunks_exact_mut(LANES).zip(sections) {
        store(unpack(section, &GATHER, low(15, 16)), values);
    }
    true
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn unpack_17(section: &[u8], values: &mut Words) -> bool {
    const GATHER: [[u8; 64]; 2] = gather::<4>(17);
    let sections = section.chunks_exact(34);
    for (values, section) in values.as_chunks_mut::<16>().0.iter_mut().zip(sections) {
        let fields = unpack(section, &GATHER, low(17, 32));
        // SAFETY: 64 bytes are writable there; the store needs no alignment.
        unsafe { _mm512_storeu_si512(values.as_mut_ptr().cast(), fields) };
    }
    true
}

/// Neighbours are joined to pairs of 30 bits, these to words of 60, and of 8 such words each gives
/// the next one's missing bits.
#[target_feature(enable = "avx512f,avx512bw")]
fn pack_15(values: &Halves, section: &mut [u8]) -> bool {
    let zero = _mm512_setzero_si512();
    let down = _mm512_set_epi64(28, 24, 20, 16, 12, 8, 4, 0);
    let up = _mm512_sub_epi64(_mm512_set1_epi64(60), down);
    for (values, section) in values.chunks_exact(LANES).zip(section.chunks_exact_mut(60)) {
        let values = load(values);
        let pairs = join::<1>(values, low(15, 32));
        let words = join::<2>(pairs, low(30, 64));
        let next = _mm512_alignr_epi64::<1>(zero, words);
        let packed = _mm512_or_si512(_mm512_srlv_epi64(words, down), _mm512_sllv_epi64(next, up));
        write(packed, section);
    }
    true
}

/// Moves the upper half of each lane down by `DOWN` bits, to what `low` selects of the lower half;
/// what lies above in either half is dropped.
#[inline]
#[target_feature(enable = "avx512f")]
fn join<const DOWN: u32>(values: __m512i, low: i64) -> __m512i {
    // The upper field of a lane of 2 n bits begins at bit n and goes to where the lower one ends.
    let width = (low as u64).trailing_ones();
    let lower = _mm512_set1_epi64(low);
    let upper = _mm512_set1_epi64(((low as u64) << width).cast_signed());
    let moved = _mm512_srli_epi64::<DOWN>(values);
    _mm512_or_si512(_mm512_and_si512(values, lower), _mm512_and_si512(moved, upper))
}

/// Five words of 64 bits, the first one lowest, and zeros.
#[inline]
#[target_feature(enable = "avx512f")]
fn five_words(words: [i64; 5]) -> __m512i {
    _mm512_set_epi64(0, 0, 0, words[4], words[3], words[2], words[1], words[0])
}

/// Neighbours are joined to words of 34 bits; every word of the output takes bits of up to three.
#[target_feature(enable = "avx512f,avx512bw")]
fn pack_17(values: &Words, section: &mut [u8]) -> bool {
    let first = five_words([0, 1, 3, 5, 7]);
    let second = five_words([1, 2, 4, 6, 7]);
    let third = five_words([2, 3, 5, 7, 7]);
    // Shifts by 64 leave nothing.
    let down = five_words([0, 30, 26, 22, 18]);
    let up = five_words([34, 4, 8, 12, 64]);
    let far_up = five_words([64, 38, 42, 46, 64]);
    let sections = section.chunks_exact_mut(34);
    for (values, section) in values.as_chunks::<16>().0.iter().zip(sections) {
        // SAFETY: 64 bytes are readable there; the load needs no alignment.
        let values = unsafe { _mm512_loadu_si512(values.as_ptr().cast()) };
        let words = join::<15>(values, low(17, 64));
        let lowest = _mm512_srlv_epi64(_mm512_permutexvar_epi64(first, words), down);
        let middle = _mm512_sllv_epi64(_mm512_permutexvar_epi64(second, words), up);
        let highest = _mm512_sllv_epi64(_mm512_permutexvar_epi64(third, words), far_up);
        write(_mm512_or_si512(_mm512_or_si512(lowest, middle), highest), section);
    }
    true
}

const _: () = assert!(WORDS * 2 * LANES == BLOCK);
