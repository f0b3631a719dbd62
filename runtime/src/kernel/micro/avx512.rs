//! AVX-512 inner loops: 16 lanes, up to 6 × 4 vectors of sums.
#![allow(unsafe_code)]

use super::{CORRELATE_BLOCK, Tap, Tile};
use std::arch::x86_64::{
    __m512i, __mmask16, _mm512_add_epi32, _mm512_loadu_si512, _mm512_mask_storeu_epi32,
    _mm512_maskz_loadu_epi32, _mm512_mullo_epi32, _mm512_set1_epi32, _mm512_setzero_si512,
    _mm512_storeu_si512,
};

const LANES: usize = 16;

pub(super) fn tile(tile: Tile<'_, '_>) {
    match tile.width {
        1 => with_width::<1>(tile),
        2 => with_width::<2>(tile),
        3 => with_width::<3>(tile),
        4 => with_width::<4>(tile),
        width => unreachable!("no tile is {width} vectors wide"),
    }
}

fn with_width<const V: usize>(tile: Tile<'_, '_>) {
    // SAFETY: `multiply` and with it this function is only reached with an `Isa` that was clamped
    // to what the CPU runs.
    unsafe {
        match tile.rows.len() {
            1 => sum_products::<1, V>(tile),
            2 => sum_products::<2, V>(tile),
            3 => sum_products::<3, V>(tile),
            4 => sum_products::<4, V>(tile),
            5 => sum_products::<5, V>(tile),
            6 => sum_products::<6, V>(tile),
            height => unreachable!("no tile is {height} rows high"),
        }
    }
}

#[target_feature(enable = "avx512f")]
fn sum_products<const R: usize, const V: usize>(tile: Tile<'_, '_>) {
    let mut sums = [[_mm512_setzero_si512(); V]; R];
    let weights = tile.broadcast.as_chunks::<R>().0;
    for (weights, line) in weights.iter().zip(tile.vectors.chunks_exact(V * LANES)) {
        let line: [__m512i; V] = std::array::from_fn(|v| load(&line[v * LANES..]));
        for (sums, &weight) in sums.iter_mut().zip(weights) {
            let weight = _mm512_set1_epi32(weight.cast_signed());
            for (sum, vector) in sums.iter_mut().zip(line) {
                *sum = _mm512_add_epi32(*sum, _mm512_mullo_epi32(weight, vector));
            }
        }
    }
    for (sums, row) in sums.into_iter().zip(tile.rows) {
        write(sums, &mut row[tile.column..], tile.accumulate);
    }
}

/// The first 16 words of a slice.
#[inline]
#[target_feature(enable = "avx512f")]
fn load(words: &[u32]) -> __m512i {
    let words = &words[..LANES];
    // SAFETY: 16 words are readable at `words`; the load needs no alignment.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

/// Writes (or adds) vectors to the beginning of `row`, as many lanes as it has.
#[inline]
#[target_feature(enable = "avx512f")]
fn write<const V: usize>(sums: [__m512i; V], row: &mut [u32], accumulate: bool) {
    for (mut sum, part) in sums.into_iter().zip(row.chunks_mut(LANES)) {
        let mask = __mmask16::MAX >> (LANES - part.len());
        let at = part.as_mut_ptr().cast();
        // SAFETY: `mask` has one bit per word of `part`; masked lanes are neither read nor
        // written, and `at` needs no alignment.
        unsafe {
            if accumulate {
                sum = _mm512_add_epi32(sum, _mm512_maskz_loadu_epi32(mask, at));
            }
            _mm512_mask_storeu_epi32(at, mask, sum);
        }
    }
}

pub(super) fn correlate(taps: &[Tap], image: &[u32], out: &mut [u32]) {
    // SAFETY: as in `with_width`.
    unsafe { correlate_blocks(taps, image, out) }
}

#[target_feature(enable = "avx512f")]
fn correlate_blocks(taps: &[Tap], image: &[u32], out: &mut [u32]) {
    const VECTORS: usize = CORRELATE_BLOCK / LANES;
    let (blocks, _) = out.as_chunks_mut::<CORRELATE_BLOCK>();
    for (i, out) in blocks.iter_mut().enumerate() {
        let mut sums = [_mm512_setzero_si512(); VECTORS];
        for tap in taps {
            let start = i * CORRELATE_BLOCK + tap.offset;
            let image = &image[start..start + CORRELATE_BLOCK];
            let weight = _mm512_set1_epi32(tap.weight.cast_signed());
            for (v, sum) in sums.iter_mut().enumerate() {
                let product = _mm512_mullo_epi32(weight, load(&image[v * LANES..]));
                *sum = _mm512_add_epi32(*sum, product);
            }
        }
        for (v, sum) in sums.into_iter().enumerate() {
            let part = &mut out[v * LANES..(v + 1) * LANES];
            // SAFETY: `part` has 16 words; the store needs no alignment.
            unsafe { _mm512_storeu_si512(part.as_mut_ptr().cast(), sum) };
        }
    }
}
