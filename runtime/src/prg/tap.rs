//! A stream with one bit turned round, for tests that ask what the bit masks.

use super::Purpose;
use super::cipher::{BLOCK, Cipher, Lane};
use super::stream::nonce;

/// One bit of one stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tap {
    pub(crate) inference: u32,
    pub(crate) step: u32,
    pub(crate) purpose: Purpose,
    /// Counted from the beginning of the stream.
    pub(crate) bit: u64,
}

impl Tap {
    /// What `cipher` generates, the bit turned round if it is among it.
    pub(super) fn generate<T: Lane>(&self, cipher: &Cipher, name: u64, counter: u64, out: &mut [T]) {
        cipher.generate(name, counter, out);
        let own_name = nonce(self.inference, self.step, self.purpose);
        let at = (self.bit / 8).checked_sub(counter * BLOCK as u64);
        let at = at.filter(|&at| name == own_name && at < size_of_val(out) as u64);
        if let Some(at) = at {
            let mut bytes = vec![0; size_of_val(out)];
            cipher.generate(name, counter, &mut bytes[..]);
            bytes[at as usize] ^= 1 << (self.bit % 8);
            T::from_le(&bytes, out);
        }
    }
}
