//! Reproducible randomness, for comparisons and samples.

/// Numbers that anybody can draw again.
pub(crate) struct Random(blake3::OutputReader);

impl Random {
    /// The numbers of a purpose and a seed.
    pub(crate) fn new(purpose: &str, seed: u64) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(purpose);
        Self(hasher.update(&seed.to_le_bytes()).finalize_xof())
    }

    /// A number below `end`, to within 2^-64 `end` of evenly.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        ((u128::from(u64::from_le_bytes(bytes)) * end as u128) >> 64) as usize
    }
}
