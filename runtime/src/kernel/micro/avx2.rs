//! AVX2 inner loops: 8 lanes, up to 4 × 2 vectors of sums.
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
            height => unreachable!("no tile is {height} rows high"),
        }
    }
}

/// All products of one tile, two lines at a time by the identity in `block`.
#[target_feature(enable = "avx2")]
fn sum_products<const R: usize, const V: usize>(tile: Tile<'_, '_>) {
    let ([row_corrections, weights @ ..], []) = tile.broadcast.as_chunks::<R>() else {
        unreachable!("a block has a line of corrections");
    };
    let (column_corrections, values) = tile.vectors.split_at(V * LANES);
    let mut sums = [[_mm256_setzero_si256(); V]; R];
    let pairs = weights.as_chunks().0.iter();
    for ([even, odd], lines) in pairs.zip(values.chunks_exact(2 * V * LANES)) {
        let (even_line, odd_line) = lines.split_at(V * LANES);
        let even_line = load_line::<V>(even_line);
        let odd_line = load_line::<V>(odd_line);
        for (r, sums) in sums.iter_mut().enumerate() {
            let even = _mm256_set1_epi32(even[r].cast_signed());
            let odd = _mm256_set1_epi32(odd[r].cast_signed());
            for (v, sum) in sums.iter_mut().enumerate() {
                let left = _mm256_add_epi32(even, odd_line[v]);
                let right = _mm256_add_epi32(odd, even_line[v]);
                *sum = _mm256_add_epi32(*sum, _mm256_mullo_epi32(left, right));
            }
        }
    }
    for (r, row) in tile.rows.iter_mut().enumerate() {
        let row_correction = _mm256_set1_epi32(row_corrections[r].cast_signed());
        for (v, part) in row[tile.column..].chunks_mut(LANES).take(V).enumerate() {
            let correction = _mm256_add_epi32(row_correction, load(&column_corrections[v * LANES..]));
            let sum = _mm256_add_epi32(sums[r][v], correction);
            write(sum, part, tile.accumulate);
        }
    }
}

/// The vectors of one line of a panel.
#[inline]
#[target_feature(enable = "avx2")]
fn load_line<const V: usize>(line: &[u32]) -> [__m256i; V] {
    std::array::from_fn(|v| load(&line[v * LANES..]))
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

/// Writes (or adds) the lanes that `part` has, at most all.
#[inline]
#[target_feature(enable = "avx2")]
fn write(sum: __m256i, part: &mut [u32], accumulate: bool) {
    if part.len() == LANES {
        let sum = if accumulate {
            _mm256_add_epi32(sum, load(part))
        } else {
            sum
        };
        return store(sum, part);
    }
    let mut lanes = [0; LANES];
    store(sum, &mut lanes);
    for (to, lane) in part.iter_mut().zip(lanes) {
        *to = if accumulate { to.wrapping_add(lane) } else { lane };
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
