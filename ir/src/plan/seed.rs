//! Secrets of 32 bytes, as plans hold them.

use std::fmt;

use constant_time_eq::constant_time_eq_32;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

const LEN: usize = 32;

/// A secret of 32 bytes: the owner's compilation secret, the seed of B, or a pair's key. Wiped on drop,
/// printed never, compared in constant time; it is serialised into the plans that it belongs in and
/// nowhere else.
///
/// Its bytes stay where they are while it is moved: a move of an array leaves a copy behind that nobody
/// wipes.
#[derive(Clone, Serialize)]
pub struct SecretSeed(Box<[u8; LEN]>);

impl SecretSeed {
    /// Wraps 32 secret bytes.
    pub fn new(mut bytes: [u8; LEN]) -> Self {
        let seed = Self::copied(&bytes);
        bytes.zeroize();
        seed
    }

    /// A copy of 32 secret bytes, straight to where they stay.
    pub(super) fn copied(bytes: &[u8; LEN]) -> Self {
        let mut seed = Self::zeros();
        seed.0.copy_from_slice(bytes);
        seed
    }

    fn zeros() -> Self {
        Self(Box::new([0; LEN]))
    }

    /// The bytes, to key a derivation or a stream with.
    pub fn expose_to_derive(&self) -> &[u8; LEN] {
        &self.0
    }

    /// Wipes the secret before its time: it has been used for all that it is needed for.
    pub fn wipe(&mut self) {
        self.0.zeroize();
    }
}

impl Drop for SecretSeed {
    fn drop(&mut self) {
        self.wipe();
    }
}

impl PartialEq for SecretSeed {
    fn eq(&self, other: &Self) -> bool {
        constant_time_eq_32(&self.0, &other.0)
    }
}

impl Eq for SecretSeed {}

impl<'de> Deserialize<'de> for SecretSeed {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_tuple(LEN, InPlace)
    }
}

/// Reads byte by byte into the box.
struct InPlace;

impl<'de> Visitor<'de> for InPlace {
    type Value = SecretSeed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{LEN} bytes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut bytes: A) -> Result<SecretSeed, A::Error> {
        let mut seed = SecretSeed::zeros();
        for (at, byte) in seed.0.iter_mut().enumerate() {
            let next = bytes.next_element()?;
            *byte = next.ok_or_else(|| A::Error::invalid_length(at, &self))?;
        }
        Ok(seed)
    }
}
