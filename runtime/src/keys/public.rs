//! Public keys, and how they are written.

use std::fmt;
use std::str::FromStr;

use base64ct::{Base64Unpadded, Encoding};
use serde::{Deserialize, Serialize};

/// What stands before the letters of a key.
const PREFIX: &str = "ed25519:";

/// How an Ed25519 key begins as a `SubjectPublicKeyInfo` (RFC 8410, section 4): the rest are its bytes.
const SPKI: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// A party's or a client's public key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey([u8; Self::LEN]);

/// A text that is no public key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a public key: it is written as `trefoil-party keygen` prints it, `{PREFIX}` and 43 letters"
)]
pub struct NoPublicKey {
    text: String,
}

impl PublicKey {
    /// Bytes of a key.
    pub const LEN: usize = 32;

    /// The key of these bytes.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The key as it stands in a handshake (RFC 7250).
    pub(crate) fn to_spki(self) -> Vec<u8> {
        [&SPKI[..], &self.0].concat()
    }

    /// The key that stands in a handshake; none if it is of another kind.
    pub(crate) fn from_spki(bytes: &[u8]) -> Option<Self> {
        let key = bytes.strip_prefix(&SPKI)?;
        key.try_into().ok().map(Self)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", Base64Unpadded::encode_string(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = NoPublicKey;

    fn from_str(text: &str) -> Result<Self, NoPublicKey> {
        let mut bytes = [0; Self::LEN];
        let letters = text.trim().strip_prefix(PREFIX);
        let read = letters.and_then(|letters| Base64Unpadded::decode(letters, &mut bytes).ok());
        match read.map(<[u8]>::len) {
            Some(Self::LEN) => Ok(Self(bytes)),
            _ => Err(NoPublicKey {
                text: shortened(text.trim()),
            }),
        }
    }
}

/// A text to be shown, of which nobody reads more than a line.
fn shortened(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

impl TryFrom<String> for PublicKey {
    type Error = NoPublicKey;

    fn try_from(text: String) -> Result<Self, NoPublicKey> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_read_back(bytes: [u8; 32]) {
            let key = PublicKey::from_bytes(bytes);
            prop_assert_eq!(key.to_string().parse(), Ok(key));
            prop_assert_eq!(PublicKey::from_spki(&key.to_spki()), Some(key));
        }

        #[test]
        fn no_text_makes_a_reader_panic(text: String) {
            let _ = text.parse::<PublicKey>();
        }
    }

    #[test]
    fn what_is_no_key_is_refused_by_name() {
        let key = PublicKey::from_bytes([7; 32]).to_string();
        assert_eq!(key.len(), PREFIX.len() + 43);
        for text in [
            "",
            "ed25519:",
            &key[8..],
            &key[..50],
            &format!("{key}="),
            &format!("{key}A"),
        ] {
            let error = text.parse::<PublicKey>().unwrap_err();
            assert!(error.to_string().contains("trefoil-party keygen"), "{error}");
        }
        assert_eq!(format!("  {key}\n").parse(), Ok(PublicKey::from_bytes([7; 32])));
    }

    #[test]
    fn keys_of_other_kinds_are_none() {
        let mut spki = PublicKey::from_bytes([7; 32]).to_spki();
        spki[8] = 0x71;
        assert_eq!(PublicKey::from_spki(&spki), None);
        assert_eq!(PublicKey::from_spki(&[0; 43]), None);
        assert_eq!(PublicKey::from_spki(&[]), None);
    }
}
