//! The block cipher under the streams: AES-128 over consecutive counters, written straight into
//! the destination. There is no plaintext, hence no pass that clears and none that XORs.
//!
//! The crate `aes`, since 0.9.3 with VAES of its own, is the portable path and not the only one, for
//! its speed. Of 64 KiB in GB/s, the best of many runs on one core of an AMD EPYC with AVX-512
//! (`cargo bench --bench streams`): `vaes` 52, `aesni` 12, the crate 8 as it is called here; called
//! apart, in place and in batches of 4,096 blocks, 14, and 17 without a counter being written.

use aes::Aes128;
use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use zeroize::Zeroize;

#[cfg(target_arch = "x86_64")]
use super::{aesni::AesNiKey, vaes::VaesKey};

/// Bytes of a block.
pub(super) const BLOCK: usize = 16;
/// Bytes of a key.
pub(super) const KEY: usize = 16;

/// Blocks that the portable path encrypts at a time: enough for every width of the `aes` crate's
/// parallel blocks, few enough for the first-level cache.
const BATCH: usize = 64;

/// The integers that streams are read as. Implemented here for the unsigned integers and for
/// nothing else; `aesni` and `vaes` rely on that when they write them as raw bytes.
pub trait Lane: Copy + Sized {
    /// Reads `out` from exactly its number of bytes, little-endian.
    fn from_le(bytes: &[u8], out: &mut [Self]);
}

macro_rules! lane {
    ($($int:ty),*) => {$(
        impl Lane for $int {
            #[inline]
            fn from_le(bytes: &[u8], out: &mut [$int]) {
                let (chunks, rest) = bytes.as_chunks::<{ size_of::<$int>() }>();
                debug_assert!(rest.is_empty() && chunks.len() == out.len());
                for (lane, &chunk) in out.iter_mut().zip(chunks) {
                    *lane = <$int>::from_le_bytes(chunk);
                }
            }
        }
    )*};
}
lane!(u8, u16, u32, u64);

/// A key schedule, in the form that the fastest path of this machine wants.
pub(super) enum Cipher {
    /// The `aes` crate, for every machine.
    Portable(Box<Aes128>),
    /// One block to an instruction, on x86 with AES-NI.
    #[cfg(target_arch = "x86_64")]
    AesNi(AesNiKey),
    /// Four blocks to an instruction, on x86 with AVX-512 and VAES.
    #[cfg(target_arch = "x86_64")]
    Vaes(VaesKey),
    /// Another path, with one bit turned round.
    #[cfg(test)]
    Tapped(Box<Cipher>, super::tap::Tap),
}

impl Cipher {
    /// Expands a key.
    pub(super) fn new(key: &[u8; KEY]) -> Cipher {
        #[cfg(target_arch = "x86_64")]
        if let Some(fast) = VaesKey::new(key) {
            return Cipher::Vaes(fast);
        }
        #[cfg(target_arch = "x86_64")]
        if let Some(fast) = AesNiKey::new(key) {
            return Cipher::AesNi(fast);
        }
        Cipher::portable(key)
    }

    /// Expands a key for the path that every machine has.
    pub(super) fn portable(key: &[u8; KEY]) -> Cipher {
        Cipher::Portable(Box::new(Aes128::new(key.into())))
    }

    /// One key for every path of this machine, the portable one first.
    pub(super) fn every(key: &[u8; KEY]) -> Vec<Cipher> {
        let mut every = vec![Cipher::portable(key)];
        #[cfg(target_arch = "x86_64")]
        every.extend(AesNiKey::new(key).map(Cipher::AesNi));
        #[cfg(target_arch = "x86_64")]
        every.extend(VaesKey::new(key).map(Cipher::Vaes));
        every
    }

    /// What the path is called.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Cipher::Portable(_) => "portable",
            #[cfg(target_arch = "x86_64")]
            Cipher::AesNi(_) => "aesni",
            #[cfg(target_arch = "x86_64")]
            Cipher::Vaes(_) => "vaes",
            #[cfg(test)]
            Cipher::Tapped(..) => "tapped",
        }
    }

    /// Writes the encryptions of `nonce ‖ counter`, `nonce ‖ counter + 1`, … over `out`, which
    /// is a whole number of blocks.
    pub(super) fn generate<T: Lane>(&self, nonce: u64, counter: u64, out: &mut [T]) {
        debug_assert!(size_of_val(out).is_multiple_of(BLOCK));
        match self {
            Cipher::Portable(aes) => generate_portable(aes, nonce, counter, out),
            #[cfg(target_arch = "x86_64")]
            Cipher::AesNi(key) => key.generate(nonce, counter, out),
            #[cfg(target_arch = "x86_64")]
            Cipher::Vaes(key) => key.generate(nonce, counter, out),
            #[cfg(test)]
            Cipher::Tapped(cipher, tap) => tap.generate(cipher, nonce, counter, out),
        }
    }
}

fn generate_portable<T: Lane>(aes: &Aes128, nonce: u64, counter: u64, out: &mut [T]) {
    let mut blocks = [[0u8; BLOCK]; BATCH];
    let mut next = u128::from(nonce) << 64 | u128::from(counter);
    for chunk in out.chunks_mut(BATCH * BLOCK / size_of::<T>()) {
        let blocks = &mut blocks[..size_of_val(chunk) / BLOCK];
        for block in blocks.iter_mut() {
            *block = next.to_be_bytes();
            next += 1;
        }
        aes.encrypt_blocks(Array::cast_slice_from_core_mut(blocks));
        T::from_le(blocks.as_flattened(), chunk);
    }
    blocks[..BATCH.min(size_of_val(out) / BLOCK)]
        .as_flattened_mut()
        .zeroize();
}
