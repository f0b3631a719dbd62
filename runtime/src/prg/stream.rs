//! Stream keys, and the streams that they hand out.

use std::sync::Arc;

use zeroize::Zeroize;

use super::cipher::{BLOCK, Cipher, KEY, Lane};
use super::ledger::StreamLedger;
use super::{Purpose, Seed};

/// The largest step number that fits a stream's name. Plans are checked against it on loading.
pub const MAX_STEP: u32 = (1 << 24) - 1;

/// An AES-128 key from which two parties draw the same streams. Made from a seed that is bound to
/// the session, so that no session repeats another's streams.
pub struct StreamKey {
    cipher: Arc<Cipher>,
    ledger: StreamLedger,
}

impl StreamKey {
    /// The key of a seed. It is derived, not cut out: the seed may serve for other things too.
    pub fn new(seed: &Seed) -> StreamKey {
        StreamKey::of(expand(seed, Cipher::new))
    }

    /// The key of a seed on each path that the cipher has on this machine, with the path's name, the
    /// portable one first: for benchmarks.
    #[doc(hidden)]
    pub fn every_path(seed: &Seed) -> Vec<(&'static str, StreamKey)> {
        let ciphers = expand(seed, Cipher::every).into_iter();
        let named = ciphers.map(|cipher| (cipher.name(), StreamKey::of(cipher)));
        named.collect()
    }

    /// The key of a seed, of whose streams one has a bit turned round.
    #[cfg(test)]
    pub(crate) fn tapped(seed: &Seed, tap: super::Tap) -> StreamKey {
        let cipher = expand(seed, Cipher::new);
        StreamKey::of(Cipher::Tapped(Box::new(cipher), tap))
    }

    fn of(cipher: Cipher) -> StreamKey {
        StreamKey {
            cipher: Arc::new(cipher),
            ledger: StreamLedger::default(),
        }
    }

    /// The stream of this name, from its beginning. Each is handed out once.
    ///
    /// # Panics
    /// If `step` is beyond [`MAX_STEP`] and, in debug builds, if this stream was handed out before.
    pub fn stream(&self, inference: u32, step: u32, purpose: Purpose) -> Stream {
        self.ledger.first(inference, step, purpose);
        Stream::new(&self.cipher, nonce(inference, step, purpose))
    }

    /// A stream that was handed out before, once more from its beginning: to regenerate a mask
    /// rather than to store it. The caller answers for it that it masks no second message.
    ///
    /// # Panics
    /// If `step` is beyond [`MAX_STEP`] and, in debug builds, if this stream is not yet handed out.
    pub fn replay(&self, inference: u32, step: u32, purpose: Purpose) -> Stream {
        self.ledger.again(inference, step, purpose);
        Stream::new(&self.cipher, nonce(inference, step, purpose))
    }
}

/// The AES key of a seed, expanded.
fn expand<T>(seed: &Seed, expand: impl FnOnce(&[u8; KEY]) -> T) -> T {
    let derived = seed.derive("trefoil stream key, AES-128-CTR", &[]);
    let (key, _) = derived
        .expose("it becomes the AES key")
        .split_first_chunk::<KEY>()
        .expect("a seed is longer than a key");
    expand(key)
}

/// The upper half of the counter block: inference (32) | step (24) | purpose (8).
pub(super) fn nonce(inference: u32, step: u32, purpose: Purpose) -> u64 {
    assert!(
        step <= MAX_STEP,
        "step {step} does not fit a stream's name: at most {MAX_STEP}"
    );
    u64::from(inference) << 32 | u64::from(step) << 8 | purpose as u64
}

/// A pseudorandom sequence of bytes, read from front to back. Integers are its little-endian
/// reading. Neither printed nor copied.
pub struct Stream {
    cipher: Arc<Cipher>,
    nonce: u64,
    /// Bytes handed out so far, counted from the beginning of the named stream.
    position: u64,
    /// The block that `position` lies within; meaningless while `position` is at a block's start.
    block: [u8; BLOCK],
}

impl Stream {
    fn new(cipher: &Arc<Cipher>, nonce: u64) -> Stream {
        let cipher = Arc::clone(cipher);
        Stream {
            cipher,
            nonce,
            position: 0,
            block: [0; BLOCK],
        }
    }

    /// Takes the next `bytes` bytes out as a region, which any thread may read at any place, and goes
    /// on behind them.
    ///
    /// # Panics
    /// If the stream is not between two blocks, or `bytes` is not a number of whole blocks.
    pub fn region(&mut self, bytes: u64) -> Region {
        let whole = bytes.is_multiple_of(BLOCK as u64);
        assert!(whole && self.is_between_blocks(), "regions are whole blocks");
        let region = Region {
            cipher: Arc::clone(&self.cipher),
            nonce: self.nonce,
            first: self.block_number(),
            bytes,
        };
        self.position += bytes;
        region
    }

    /// Fills with unsigned integers, uniform over their ring.
    pub fn fill<T: Lane>(&mut self, out: &mut [T]) {
        // The rest of the current block, whole blocks straight into the destination, and the
        // beginning of one more.
        if !self.offset().is_multiple_of(size_of::<T>()) {
            return self.fill_across_blocks(out);
        }
        let rest_of_block = (BLOCK - self.offset()) % BLOCK / size_of::<T>();
        let (head, out) = out.split_at_mut(rest_of_block.min(out.len()));
        self.take_from_block(head);

        let lanes_per_block = BLOCK / size_of::<T>();
        let (body, tail) = out.split_at_mut(out.len() / lanes_per_block * lanes_per_block);
        if !body.is_empty() {
            self.cipher.generate(self.nonce, self.block_number(), body);
            self.position += size_of_val(body) as u64;
        }
        if !tail.is_empty() {
            self.load_block();
            self.take_from_block(tail);
        }
    }

    /// The rare case of integers that straddle blocks, after an odd number of bytes: by way of
    /// bytes.
    fn fill_across_blocks<T: Lane>(&mut self, out: &mut [T]) {
        let mut bytes = [0; 64 * BLOCK];
        for chunk in out.chunks_mut(bytes.len() / size_of::<T>()) {
            let bytes = &mut bytes[..size_of_val(chunk)];
            self.fill(bytes);
            T::from_le(bytes, chunk);
        }
        bytes.zeroize();
    }

    fn take_from_block<T: Lane>(&mut self, out: &mut [T]) {
        let offset = self.offset();
        T::from_le(&self.block[offset..offset + size_of_val(out)], out);
        self.position += size_of_val(out) as u64;
    }

    fn load_block(&mut self) {
        self.cipher
            .generate(self.nonce, self.block_number(), &mut self.block);
    }

    /// Whether the next byte begins a block of the cipher.
    pub fn is_between_blocks(&self) -> bool {
        self.offset() == 0
    }

    /// Bytes handed out so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    fn block_number(&self) -> u64 {
        self.position / BLOCK as u64
    }

    fn offset(&self) -> usize {
        (self.position % BLOCK as u64) as usize
    }
}

/// A stretch of a stream. Neither printed nor copied.
pub struct Region {
    cipher: Arc<Cipher>,
    nonce: u64,
    first: u64,
    bytes: u64,
}

impl Region {
    /// Fills with the integers from byte `start` on, uniform over their ring.
    ///
    /// # Panics
    /// If that is beyond the region, or does not begin and end between two blocks.
    pub fn fill<T: Lane>(&self, start: usize, out: &mut [T]) {
        let start = start as u64;
        let bytes = size_of_val(out) as u64;
        let end = start.checked_add(bytes);
        assert!(end.is_some_and(|end| end <= self.bytes), "a region ends earlier");
        assert!(
            start.is_multiple_of(BLOCK as u64) && bytes.is_multiple_of(BLOCK as u64),
            "regions are read in whole blocks"
        );
        let block = self.first + start / BLOCK as u64;
        self.cipher.generate(self.nonce, block, out);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.block.zeroize();
    }
}
