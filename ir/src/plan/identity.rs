//! What tells plans apart, and where B comes from.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::seed::SecretSeed;
use crate::mpc::Program;
use crate::tensor::Tensor;

/// BLAKE3 hash of the public part, which all three parties must share.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Digest(pub [u8; 32]);

/// A hash of the program and of all integer weights and biases, keyed by the owner's secret:
/// plans of two compilations never match by mistake, and nobody without the secret can test
/// whether a plan holds weights that they know.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PlanId(pub [u8; 32]);

macro_rules! hexadecimal {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}
hexadecimal!(Digest);
hexadecimal!(PlanId);

/// The plan id of a program with these constants.
pub fn plan_id(secret: &SecretSeed, program: &Program, constants: &[Tensor<i32>]) -> PlanId {
    let key = Zeroizing::new(blake3::derive_key("trefoil 1 plan id", secret.expose_to_derive()));
    let mut hasher = blake3::Hasher::new_keyed(&key);
    hasher.update(&super::codec::encode_program(&program.public()));
    for constant in constants {
        hasher.update(&(constant.len() as u64).to_le_bytes());
        for &value in constant.values() {
            hasher.update(&value.to_le_bytes());
        }
    }
    let id = PlanId(*hasher.finalize().as_bytes());
    hasher.zeroize();
    id
}

/// The seed of B, bound to the secret *and* to the plan id: one secret used for two versions of a
/// model must not give F1 - F2 = W1 - W2 away.
pub fn weight_seed(secret: &SecretSeed, id: &PlanId) -> SecretSeed {
    bound("trefoil 1 weight share", secret, id)
}

/// A key for each pair of parties, which the third party lacks: with it the two show each other
/// that they hold these parties' plans of this compilation.
pub struct PairKeys {
    /// In the server's plan; in each client's what [`SecretSeed::for_client`] makes of it.
    pub client_server: SecretSeed,
    /// In the helper's plan; in each client's what [`SecretSeed::for_client`] makes of it.
    pub client_helper: SecretSeed,
    /// In the server's plan and the helper's.
    pub server_helper: SecretSeed,
}

impl PairKeys {
    /// The keys of one compilation.
    pub fn new(secret: &SecretSeed, id: &PlanId) -> Self {
        Self {
            client_server: bound("trefoil 1 pair client server", secret, id),
            client_helper: bound("trefoil 1 pair client helper", secret, id),
            server_helper: bound("trefoil 1 pair server helper", secret, id),
        }
    }
}

/// The public key that stands for the client of a run in one process, where nobody shows a key. It is no
/// key of anybody's: no signature fits it.
pub const LOCAL_CLIENT: [u8; 32] = [0; 32];

impl SecretSeed {
    /// What the client with this public key has of a key that server or helper have for all of them: no
    /// client can play another one, or read what one says.
    #[must_use]
    pub fn for_client(&self, public_key: &[u8; 32]) -> SecretSeed {
        let key = Zeroizing::new(blake3::derive_key(
            "trefoil 2 pair of a client",
            self.expose_to_derive(),
        ));
        let mut hash = blake3::keyed_hash(&key, public_key);
        let seed = SecretSeed::copied(hash.as_bytes());
        hash.zeroize();
        seed
    }
}

/// What a compilation derives from the owner's secret for one purpose.
fn bound(context: &str, secret: &SecretSeed, id: &PlanId) -> SecretSeed {
    let key = Zeroizing::new(blake3::derive_key(context, secret.expose_to_derive()));
    let mut hash = blake3::keyed_hash(&key, &id.0);
    let seed = SecretSeed::copied(hash.as_bytes());
    hash.zeroize();
    seed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_seeds_depend_on_secret_and_weights() {
        let program = Program::new("p");
        let (a, b) = (SecretSeed::new([1; 32]), SecretSeed::new([2; 32]));
        let one = [Tensor::vector(vec![1i32])];
        let two = [Tensor::vector(vec![2i32])];
        let id = plan_id(&a, &program, &one);
        assert_eq!(id, plan_id(&a, &program, &one));
        assert_ne!(id, plan_id(&b, &program, &one));
        assert_ne!(id, plan_id(&a, &program, &two));
        let seeds = [
            weight_seed(&a, &id),
            weight_seed(&b, &id),
            weight_seed(&a, &plan_id(&a, &program, &two)),
        ];
        assert!(seeds[0] != seeds[1] && seeds[0] != seeds[2] && seeds[1] != seeds[2]);
    }

    #[test]
    fn every_pair_of_every_compilation_has_its_own_key() {
        let (a, b) = (SecretSeed::new([1; 32]), SecretSeed::new([2; 32]));
        let mut seen = Vec::new();
        for (secret, id) in [
            (&a, PlanId([3; 32])),
            (&b, PlanId([3; 32])),
            (&a, PlanId([4; 32])),
        ] {
            let keys = PairKeys::new(secret, &id);
            for key in [&keys.client_server, &keys.client_helper] {
                seen.extend([LOCAL_CLIENT, [1; 32], [2; 32]].map(|client| key.for_client(&client)));
            }
            seen.extend([keys.client_server, keys.client_helper, keys.server_helper]);
            seen.push(weight_seed(secret, &id));
        }
        for (at, one) in seen.iter().enumerate() {
            assert!(seen[..at].iter().all(|other| one != other), "{at}");
        }
    }
}
