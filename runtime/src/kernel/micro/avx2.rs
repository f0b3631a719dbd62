//! AVX2 inner loops: 8 lanes, up to 6 × 2 vectors of sums.
#![allow(unsafe_code)]

use super::{CORRELATE_BLOCK, Tap, Tile};
use std::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_loadu_si256, _mm256_mullo_epi32, _mm256_set1_epi32,
    _mm256_setzero_si256, _mm256_storeu_si256,
};

const LANES: usize = 8;

pub(super) fn tile(tile: Tile<'_, '_>) {
    match tile.width {
        1 => with_width::<1>(tile),
        2 => with_width::<2>(tile),
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

#[target_feature(enable = "avx2")]
fn sum_products<const R: usize, const V: usize>(tile: Tile<'_, '_>) {
    let mut sums = [[_mm256_setzero_si256(); V]; R];
    let weights = tile.broadcast.as_chunks::<R>().0;
    for (weights, line) in weights.iter().zip(tile.vectors.chunks_exact(V * LANES)) {
        let line: [__m256i; V] = std::array::from_fn(|v| load(&line[v * LANES..]));
        for (sums, &weight) in sums.iter_mut().zip(weights) {
            let weight = _mm256_set1_epi32(weight.cast_signed());
            for (sum, vector) in sums.iter_mut().zip(line) {
                *sum = _mm256_add_epi32(*sum, _mm256_mullo_epi32(weight, vector));
            }
        }
    }
    for (sums, row) in sums.into_iter().zip(tile.rows) {
        write(sums, &mut row[tile.column..], tile.accumulate);
    }
}

/// The first 8 words of a slice.
#[inline]
#[target_feature(enable = "avx2")]
fn load(words: &[u32]) -> __m256i {
    let words = &words[..LANES];
    // SAFETY: 8 words are readable at `words`; the load needs no alignment.
    unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
}

/// Overwrites the first 8 words of a slice.
#[inline]
#[target_feature(enable = "avx2")]
fn store(vector: __m256i, words: &mut [u32]) {
    let words = &mut words[..LANES];
    // SAFETY: 8 words are writable at `words`; the store needs no alignment.
    unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), vector) };
}

/// Writes (or adds) vectors to the beginning of `row`, as many lanes as it has.
#[inline]
#[target_feature(enable = "avx2")]
fn write<const V: usize>(sums: [__m256i; V], row: &mut [u32], accumulate: bool) {
    for (sum, part) in sums.into_iter().zip(row.chunks_mut(LANES)) {
        if part.len() == LANES {
            let sum = if accumulate { _mm256_add_epi32(sum, load(part)) } else { sum };
            store(sum, part);
            continue;
        }
        let mut lanes = [0; LANES];
        store(sum, &mut lanes);
        for (to, lane) in part.iter_mut().zip(lanes) {
            *to = if accumulate { to.wrapping_add(lane) } else { lane };
        }
    }
}

pub(super) fn correlate(taps: &[Tap], image: &[u32], out: &mut [u32]) {
    // SAFETY: as in `with_width`.
    unsafe { correlate_blocks(taps, image, out) }
}

#[target_feature(enable = "avx2")]
fn correlate_blocks(taps: &[Tap], image: &[u32], out: &mut [u32]) {
    const VECTORS: usize = CORRELATE_BLOCK / LANES;
    let (blocks, _) = out.as_chunks_mut::<CORRELATE_BLOCK>();
    for (i, out) in blocks.iter_mut().enumerate() {
        let mut sums = [_mm256_setzero_si256(); VECTORS];
        for tap in taps {
            let start = i * CORRELATE_BLOCK + tap.offset;
            let image = &image[start..start + CORRELATE_BLOCK];
            let weight = _mm256_set1_epi32(tap.weight.cast_signed());
            for (v, sum) in sums.iter_mut().enumerate() {
                let product = _mm256_mullo_epi32(weight, load(&image[v * LANES..]));
                *sum = _mm256_add_epi32(*sum, product);
            }
        }
        for (v, sum) in sums.into_iter().enumerate() {
            store(sum, &mut out[v * LANES..]);
        }
    }
}
