//! AES-128 over consecutive counters with AES-NI, which nearly every x86 machine has: one block to
//! an instruction, eight in flight. Also expands keys for [`vaes`](super::vaes). The scalar twin is
//! the portable path of [`cipher`](super::cipher); tests compare the two block by block.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use zeroize::Zeroize;

use super::cipher::{BLOCK, KEY, Lane};

/// Rounds of AES-128.
pub(super) const ROUNDS: usize = 10;
/// Blocks that are encrypted side by side, to hide the latency of a round.
const BATCH: usize = 8;

/// An expanded key. That one exists is the proof that this machine has the instructions.
pub(super) struct AesNiKey {
    rounds: [u128; ROUNDS + 1],
}

impl AesNiKey {
    /// Expands a key, or `None` where the machine lacks AES-NI.
    pub(super) fn new(key: &[u8; KEY]) -> Option<AesNiKey> {
        let present = is_x86_feature_detected!("aes") && is_x86_feature_detected!("sse4.1");
        // SAFETY: the features that `expand` needs were found just now.
        present.then(|| AesNiKey {
            rounds: unsafe { expand(u128::from_le_bytes(*key)) },
        })
    }

    /// Round keys, as the little-endian reading of their bytes.
    pub(super) fn rounds(&self) -> &[u128; ROUNDS + 1] {
        &self.rounds
    }

    /// Writes the encryptions of `nonce ‖ counter`, `nonce ‖ counter + 1`, … over `out`, which
    /// is a whole number of blocks.
    pub(super) fn generate<T: Lane>(&self, nonce: u64, counter: u64, out: &mut [T]) {
        // SAFETY: `new` made this key only where the features were found.
        unsafe { generate(&self.rounds, nonce, counter, out) }
    }
}

impl Drop for AesNiKey {
    fn drop(&mut self) {
        self.rounds.zeroize();
    }
}

/// FIPS 197, section 5.2: the key schedule.
#[target_feature(enable = "aes,sse4.1")]
fn expand(key: u128) -> [u128; ROUNDS + 1] {
    let mut rounds = [key; ROUNDS + 1];
    rounds[1] = next_round::<0x01>(rounds[0]);
    rounds[2] = next_round::<0x02>(rounds[1]);
    rounds[3] = next_round::<0x04>(rounds[2]);
    rounds[4] = next_round::<0x08>(rounds[3]);
    rounds[5] = next_round::<0x10>(rounds[4]);
    rounds[6] = next_round::<0x20>(rounds[5]);
    rounds[7] = next_round::<0x40>(rounds[6]);
    rounds[8] = next_round::<0x80>(rounds[7]);
    rounds[9] = next_round::<0x1b>(rounds[8]);
    rounds[10] = next_round::<0x36>(rounds[9]);
    rounds
}

/// The round key after `key`: its last word, rotated and substituted, XORed into a running XOR of
/// its words.
#[target_feature(enable = "aes,sse4.1")]
fn next_round<const CONSTANT: i32>(key: u128) -> u128 {
    let assist = _mm_aeskeygenassist_si128::<CONSTANT>(to_vector(key));
    let word = _mm_extract_epi32::<3>(assist) as u32;
    let running = key ^ key << 32 ^ key << 64 ^ key << 96;
    running ^ (u128::from(word) * 0x0000_0001_0000_0001_0000_0001_0000_0001)
}

/// The vector whose bytes are those of `x`, the lowest first.
#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn to_vector(x: u128) -> __m128i {
    _mm_set_epi64x((x >> 64) as i64, x as i64)
}

#[target_feature(enable = "aes,sse2")]
fn generate<T: Lane>(rounds: &[u128; ROUNDS + 1], nonce: u64, counter: u64, out: &mut [T]) {
    let keys = rounds.map(|key| to_vector(key));
    let mut next = counter;
    let lanes_per_block = BLOCK / size_of::<T>();
    let mut batches = out.chunks_exact_mut(BATCH * lanes_per_block);
    for batch in &mut batches {
        let blocks = std::array::from_fn(|ahead| counter_block(nonce, next.wrapping_add(ahead as u64)));
        let vectors: [__m128i; BATCH] = encrypt(&keys, blocks);
        next = next.wrapping_add(BATCH as u64);
        for (vector, lanes) in vectors.iter().zip(batch.chunks_exact_mut(lanes_per_block)) {
            store(*vector, lanes);
        }
    }
    for lanes in batches.into_remainder().chunks_exact_mut(lanes_per_block) {
        let [vector] = encrypt(&keys, [counter_block(nonce, next)]);
        next = next.wrapping_add(1);
        store(vector, lanes);
    }
}

/// The plaintext of one block.
#[inline]
#[target_feature(enable = "sse2")]
fn counter_block(nonce: u64, counter: u64) -> __m128i {
    // Both are big-endian in the block, hence swapped in the words.
    _mm_set_epi64x(counter.swap_bytes() as i64, nonce.swap_bytes() as i64)
}

/// Writes a block over as many bytes of integers.
#[inline]
#[target_feature(enable = "sse2")]
fn store<T: Lane>(vector: __m128i, lanes: &mut [T]) {
    assert!(size_of_val(lanes) == BLOCK);
    // SAFETY: `lanes` is 16 writable bytes, of which every pattern is a valid `T`, an unsigned
    // integer; the store needs no alignment. x86 is little-endian, as `T`'s reading of a stream is.
    unsafe { _mm_storeu_si128(lanes.as_mut_ptr().cast(), vector) };
}

/// Ten rounds over `N` blocks side by side.
#[inline]
#[target_feature(enable = "aes")]
fn encrypt<const N: usize>(keys: &[__m128i; ROUNDS + 1], mut x: [__m128i; N]) -> [__m128i; N] {
    for block in &mut x {
        *block = _mm_xor_si128(*block, keys[0]);
    }
    for key in &keys[1..ROUNDS] {
        for block in &mut x {
            *block = _mm_aesenc_si128(*block, *key);
        }
    }
    for block in &mut x {
        *block = _mm_aesenclast_si128(*block, keys[ROUNDS]);
    }
    x
}
