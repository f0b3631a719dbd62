//! AES-128 over consecutive counters with AVX-512 and VAES: four blocks to an instruction, eight
//! instructions in flight. The scalar twin is the portable path of [`cipher`](super::cipher);
//! tests compare all paths block by block.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::aesni::{AesNiKey, ROUNDS, to_vector};
use super::cipher::{BLOCK, KEY, Lane};

/// Blocks in a 512-bit register.
const BLOCKS_PER_VECTOR: usize = 4;
/// Registers that are encrypted side by side, to hide the latency of a round.
const VECTORS: usize = 8;

/// An expanded key. That one exists is the proof that this machine has the instructions.
pub(super) struct VaesKey(AesNiKey);

impl VaesKey {
    /// Expands a key, or `None` where the machine lacks AVX-512 or VAES.
    pub(super) fn new(key: &[u8; KEY]) -> Option<VaesKey> {
        let present = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("vaes");
        present.then(|| AesNiKey::new(key).map(VaesKey)).flatten()
    }

    /// Writes the encryptions of `nonce ‖ counter`, `nonce ‖ counter + 1`, … over `out`, which
    /// is a whole number of blocks.
    pub(super) fn generate<T: Lane>(&self, nonce: u64, counter: u64, out: &mut [T]) {
        // SAFETY: `new` made this key only where the features were found.
        unsafe { generate(self.0.rounds(), nonce, counter, out) }
    }
}

#[target_feature(enable = "avx512f,avx512bw,vaes")]
fn generate<T: Lane>(rounds: &[u128; ROUNDS + 1], nonce: u64, counter: u64, out: &mut [T]) {
    let keys = rounds.map(|key| _mm512_broadcast_i32x4(to_vector(key)));
    let mut counters = Counters::new(nonce, counter);

    let lanes_per_vector = BLOCKS_PER_VECTOR * BLOCK / size_of::<T>();
    let out = side_by_side::<T, VECTORS>(&keys, &mut counters, out);
    // What is left is less than one batch: half of it, a quarter, single vectors.
    let out = side_by_side::<T, { VECTORS / 2 }>(&keys, &mut counters, out);
    let out = side_by_side::<T, { VECTORS / 4 }>(&keys, &mut counters, out);
    for lanes in out.chunks_mut(lanes_per_vector) {
        let [vector] = encrypt(&keys, [counters.next()]);
        let words = size_of_val(lanes) / size_of::<u64>();
        let mask = (0xff_u32 >> (8 - words)) as __mmask8;
        // SAFETY: the mask selects the first `words` of eight words, which are the bytes of
        // `lanes`: whole blocks, hence whole words. The rest as in `side_by_side`.
        unsafe { _mm512_mask_storeu_epi64(lanes.as_mut_ptr().cast(), mask, vector) };
    }
}

/// Fills `N` registers at a time as long as there is room for them; returns what is left.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,vaes")]
fn side_by_side<'a, T: Lane, const N: usize>(
    keys: &[__m512i; ROUNDS + 1],
    counters: &mut Counters,
    out: &'a mut [T],
) -> &'a mut [T] {
    let lanes_per_vector = BLOCKS_PER_VECTOR * BLOCK / size_of::<T>();
    let whole = out.len() / (N * lanes_per_vector) * (N * lanes_per_vector);
    let (out, rest) = out.split_at_mut(whole);
    for batch in out.chunks_exact_mut(N * lanes_per_vector) {
        let vectors = encrypt(keys, std::array::from_fn::<_, N, _>(|_| counters.next()));
        for (vector, lanes) in vectors.iter().zip(batch.chunks_exact_mut(lanes_per_vector)) {
            // SAFETY: `lanes` is exactly 64 writable bytes, of which every pattern is a valid `T`,
            // an unsigned integer; the store needs no alignment. x86 is little-endian, as `T`'s
            // reading of a stream is.
            unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), *vector) };
        }
    }
    rest
}

/// Ten rounds over `N` registers side by side.
#[inline]
#[target_feature(enable = "avx512f,vaes")]
fn encrypt<const N: usize>(keys: &[__m512i; ROUNDS + 1], mut x: [__m512i; N]) -> [__m512i; N] {
    for vector in &mut x {
        *vector = _mm512_xor_si512(*vector, keys[0]);
    }
    for key in &keys[1..ROUNDS] {
        for vector in &mut x {
            *vector = _mm512_aesenc_epi128(*vector, *key);
        }
    }
    for vector in &mut x {
        *vector = _mm512_aesenclast_epi128(*vector, keys[ROUNDS]);
    }
    x
}

/// Four counter blocks at a time. Counted in the little-endian order that vector additions want,
/// and turned round when used.
struct Counters {
    next: __m512i,
    step: __m512i,
    order: __m512i,
}

impl Counters {
    #[target_feature(enable = "avx512f")]
    fn new(nonce: u64, counter: u64) -> Counters {
        let nonce = nonce as i64;
        let [first, second, third, fourth] = [0, 1, 2, 3].map(|ahead| counter.wrapping_add(ahead) as i64);
        // Arguments run from the highest word to the lowest: the counter is a block's low half.
        let next = _mm512_set_epi64(nonce, fourth, nonce, third, nonce, second, nonce, first);
        let reverse = to_vector(u128::from_be_bytes(std::array::from_fn(|byte| byte as u8)));
        Counters {
            next,
            step: _mm512_set_epi64(0, 4, 0, 4, 0, 4, 0, 4),
            order: _mm512_broadcast_i32x4(reverse),
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn next(&mut self) -> __m512i {
        let blocks = _mm512_shuffle_epi8(self.next, self.order);
        self.next = _mm512_add_epi64(self.next, self.step);
        blocks
    }
}
