//! Numbers to compute with: SplitMix64, small, and the same everywhere.

/// Words that look random.
pub(crate) fn words(seed: u64) -> impl Iterator<Item = u32> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 32) as u32
    })
}

/// So many of them.
pub(crate) fn vector(len: usize, seed: u64) -> Vec<u32> {
    words(seed).take(len).collect()
}
