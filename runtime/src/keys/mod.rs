//! Keys by which parties and clients know each other: Ed25519, made by each for itself, of which the
//! others hold the public half (as WireGuard and SSH do). There is no authority, nothing expires, and
//! nothing has to be renewed.
//!
//! * [`PublicKey`]: 32 bytes, written `ed25519:` and 43 letters of base64
//! * [`SecretKey`]: its other half, in a file that its owner alone may read

mod public;
mod secret;

pub use public::{NoPublicKey, PublicKey};
pub use secret::{KeyError, SecretKey};
