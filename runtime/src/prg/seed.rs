//! Seeds: the secrets from which keys and further seeds are derived.

use trefoil_ir::plan::SecretSeed;
use zeroize::Zeroize;

/// The system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error(
    "the operating system gave no random bytes ({0}); without them no mask is secret: \
     check that this process may call getrandom or read /dev/urandom"
)]
pub struct EntropyError(getrandom::Error);

/// 32 secret bytes. Neither printed, copied nor serialized, and wiped when dropped. They stay where
/// they are while the seed is moved, so that no move leaves a copy behind.
pub struct Seed(Box<[u8; Seed::LEN]>);

impl Seed {
    /// Length of a seed in bytes.
    pub const LEN: usize = 32;

    /// A fresh seed from the operating system.
    pub fn random() -> Result<Seed, EntropyError> {
        let mut seed = Seed::zeros();
        getrandom::fill(&mut *seed.0).map_err(EntropyError)?;
        Ok(seed)
    }

    /// The seed with these bytes: one that was received or stored. Wiping the source is the
    /// caller's part.
    pub fn from_bytes(bytes: [u8; Seed::LEN]) -> Seed {
        Seed(Box::new(bytes))
    }

    fn zeros() -> Seed {
        Seed(Box::new([0; Seed::LEN]))
    }

    /// The seed that a plan holds.
    pub fn of_plan(secret: &SecretSeed) -> Seed {
        let mut seed = Seed::zeros();
        seed.0.copy_from_slice(secret.expose_to_derive());
        seed
    }

    /// A further seed, of which nothing leads back to this one or sideways to its siblings.
    ///
    /// `context` says what it is for and is a constant of the program; `parts` are what it depends
    /// on (session id, plan id, the peer's contribution). Every part is hashed with its length, so
    /// that no two lists of parts read alike: BLAKE3 keyed with this seed over
    /// `len(context) ‖ context ‖ len(part) ‖ part ‖ …`, the lengths as 64 bits little-endian.
    pub fn derive(&self, context: &str, parts: &[&[u8]]) -> Seed {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        for part in std::iter::once(context.as_bytes()).chain(parts.iter().copied()) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let mut hash = hasher.finalize();
        let mut seed = Seed::zeros();
        seed.0.copy_from_slice(hash.as_bytes());
        hash.zeroize();
        hasher.zeroize();
        seed
    }

    /// The secret bytes, to send or to store. `reason` says why they leave their type; it stands
    /// in the source for whoever audits the uses.
    pub fn expose(&self, reason: &'static str) -> &[u8; Seed::LEN] {
        debug_assert!(!reason.is_empty(), "exposing a seed needs a reason");
        &self.0
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::Seed;

    fn bytes(seed: &Seed) -> [u8; Seed::LEN] {
        *seed.expose("a test compares it")
    }

    #[test]
    fn derivation_is_the_documented_hash() {
        let derived = Seed::from_bytes([7; 32]).derive("ab", &[b"", b"xyz"]);
        let mut message = Vec::new();
        message.extend(2u64.to_le_bytes());
        message.extend(b"ab");
        message.extend(0u64.to_le_bytes());
        message.extend(3u64.to_le_bytes());
        message.extend(b"xyz");
        assert_eq!(
            bytes(&derived),
            *blake3::keyed_hash(&[7; 32], &message).as_bytes()
        );
    }

    #[test]
    fn no_two_lists_of_parts_read_alike() {
        let seed = Seed::from_bytes([1; 32]);
        let lists: [(&str, &[&[u8]]); 9] = [
            ("", &[]),
            ("ab", &[]),
            ("a", &[b"b"]),
            ("", &[b"ab"]),
            ("a", &[b"", b"b"]),
            ("a", &[b"b", b""]),
            ("ab", &[b""]),
            ("a", &[&[1, 0, 0, 0, 0, 0, 0, 0, b'b']]),
            ("a", &[b"c"]),
        ];
        let mut seen: Vec<_> = lists
            .iter()
            .map(|(context, parts)| bytes(&seed.derive(context, parts)))
            .collect();
        seen.push(bytes(&seed));
        seen.push(bytes(&Seed::from_bytes([2; 32]).derive("a", &[b"b"])));
        let count = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }

    #[test]
    fn random_seeds_differ() {
        let (one, two) = (Seed::random().unwrap(), Seed::random().unwrap());
        assert_ne!(bytes(&one), bytes(&two));
        assert_ne!(bytes(&one), [0; 32]);
    }
}
