//! Bit planes: one bit for each of many values, 64 to a word.

use std::ops::{Deref, DerefMut, Range};

use zeroize::Zeroize;

use super::{BitsError, check_section, field_bytes};

/// `len` values of one bit, the lowest bit of the first word first; the bits of the last word
/// beyond `len` are always zero. A secret like the values it is cut from: `Debug` shows the length
/// alone, and the words are wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct BitPlane {
    words: Vec<u64>,
    len: usize,
}

impl BitPlane {
    /// A plane of zero bits.
    pub fn zeros(len: usize) -> BitPlane {
        BitPlane {
            words: vec![0; len.div_ceil(64)],
            len,
        }
    }

    /// A plane of these words; bits beyond `len` are cleared, so that random words will do.
    ///
    /// # Panics
    /// If the words are not exactly as many as `len` bits fill.
    pub fn from_words(words: Vec<u64>, len: usize) -> BitPlane {
        assert_eq!(words.len(), len.div_ceil(64), "words of a plane of {len} bits");
        let mut plane = BitPlane { words, len };
        plane.clear_tail();
        plane
    }

    /// A plane of what `bit` says of each index.
    pub fn from_fn(len: usize, mut bit: impl FnMut(usize) -> bool) -> BitPlane {
        let mut plane = BitPlane::zeros(len);
        for index in 0..len {
            plane.words[index / 64] |= u64::from(bit(index)) << (index % 64);
        }
        plane
    }

    /// The number of bits.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bits at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The words; bits beyond the length are zero.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// The words, to write to. Whatever is written beyond the length is cleared when the loan
    /// ends.
    pub fn words_mut(&mut self) -> WordsMut<'_> {
        WordsMut { plane: self }
    }

    /// One bit.
    ///
    /// # Panics
    /// If `index` is beyond the length.
    pub fn get(&self, index: usize) -> bool {
        self.check_index(index);
        self.words[index / 64] >> (index % 64) & 1 == 1
    }

    /// Sets one bit. For all of them, [`words_mut`](BitPlane::words_mut) is the fast way.
    ///
    /// # Panics
    /// If `index` is beyond the length.
    pub fn set(&mut self, index: usize, bit: bool) {
        self.check_index(index);
        let word = &mut self.words[index / 64];
        *word = *word & !(1 << (index % 64)) | u64::from(bit) << (index % 64);
    }

    /// The number of bits that are one.
    pub fn count_ones(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Adds another plane modulo 2.
    ///
    /// # Panics
    /// As all operations on two planes: if they differ in length.
    pub fn xor_assign(&mut self, other: &BitPlane) {
        self.zip(other, |word, other| *word ^= other);
    }

    /// Keeps the bits that are set in the other plane too.
    pub fn and_assign(&mut self, other: &BitPlane) {
        self.zip(other, |word, other| *word &= other);
    }

    /// Adds the bits that are set in the other plane.
    pub fn or_assign(&mut self, other: &BitPlane) {
        self.zip(other, |word, other| *word |= other);
    }

    /// Adds the product of two planes modulo 2, in one pass: the step of every dealt product.
    pub fn xor_and_assign(&mut self, left: &BitPlane, right: &BitPlane) {
        self.check_len(left.len);
        self.check_len(right.len);
        for ((word, left), right) in self.words.iter_mut().zip(&left.words).zip(&right.words) {
            *word ^= left & right;
        }
    }

    /// Turns every bit round.
    pub fn not_assign(&mut self) {
        for word in &mut self.words {
            *word = !*word;
        }
        self.clear_tail();
    }

    /// A range of the bits as a plane of its own.
    ///
    /// # Panics
    /// If the range is beyond the length.
    pub fn slice(&self, range: Range<usize>) -> BitPlane {
        let Range { start, end } = range;
        assert!(
            start <= end && end <= self.len,
            "bits {start}..{end} of {}",
            self.len
        );
        let len = end - start;
        let (first, shift) = (start / 64, start % 64);
        let word = |index: usize| {
            let low = self.words[first + index] >> shift;
            match self.words.get(first + index + 1) {
                // In two steps, because a shift by 64 is none.
                Some(next) => low | next << 1 << (63 - shift),
                None => low,
            }
        };
        BitPlane::from_words((0..len.div_ceil(64)).map(word).collect(), len)
    }

    fn zip(&mut self, other: &BitPlane, mut apply: impl FnMut(&mut u64, u64)) {
        self.check_len(other.len);
        for (word, &other) in self.words.iter_mut().zip(&other.words) {
            apply(word, other);
        }
    }

    fn check_len(&self, other: usize) {
        assert_eq!(self.len, other, "planes of different lengths");
    }

    fn check_index(&self, index: usize) {
        assert!(index < self.len, "bit {index} of a plane of {}", self.len);
    }

    fn clear_tail(&mut self) {
        if !self.len.is_multiple_of(64)
            && let Some(last) = self.words.last_mut()
        {
            *last &= !(u64::MAX << (self.len % 64));
        }
    }
}

impl std::fmt::Debug for BitPlane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BitPlane")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

impl Drop for BitPlane {
    fn drop(&mut self) {
        self.words.zeroize();
    }
}

/// A loan of a plane's words; clears the bits beyond the length when it ends.
pub struct WordsMut<'a> {
    plane: &'a mut BitPlane,
}

impl Deref for WordsMut<'_> {
    type Target = [u64];

    fn deref(&self) -> &[u64] {
        &self.plane.words
    }
}

impl DerefMut for WordsMut<'_> {
    fn deref_mut(&mut self) -> &mut [u64] {
        &mut self.plane.words
    }
}

impl Drop for WordsMut<'_> {
    fn drop(&mut self) {
        self.plane.clear_tail();
    }
}

/// Appends a plane as a section of fields of one bit.
pub fn pack_plane(plane: &BitPlane, out: &mut Vec<u8>) {
    let end = out.len() + field_bytes(plane.len, 1);
    out.reserve(plane.words.len() * 8);
    for word in &plane.words {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.truncate(end);
}

/// Reads a section of `len` fields of one bit.
pub fn unpack_plane(bytes: &[u8], len: usize) -> Result<BitPlane, BitsError> {
    check_section(bytes, len, 1)?;
    let (words, tail) = bytes.as_chunks::<8>();
    let mut words: Vec<u64> = words.iter().map(|&word| u64::from_le_bytes(word)).collect();
    if !tail.is_empty() {
        let mut last = [0; 8];
        last[..tail.len()].copy_from_slice(tail);
        words.push(u64::from_le_bytes(last));
    }
    Ok(BitPlane { words, len })
}
