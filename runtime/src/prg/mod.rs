//! Keyed pseudorandom streams: where every mask and every dealt share comes from.
//!
//! Two parties that hold one [`Seed`] make one [`StreamKey`] of it and from then on draw the same
//! masks without a message: AES-128 in counter mode, the counter block being
//!
//! ```text
//!   byte   0        4      7         8                       15
//!          inference step   purpose   block counter             all big-endian
//!          32 bits   24     8         64
//! ```
//!
//! The session is bound by the key, which is derived from the session's seed. A stream is named by
//! (inference, step, [`Purpose`]) and handed out **once**: a mask that hides two messages hides
//! neither. Debug builds keep a ledger of what each key has handed out and stop at a repetition.
//!
//! * [`Seed`] — a secret from which keys and further seeds are derived
//! * [`StreamKey::stream`] — the one way to a [`Stream`]
//! * [`Region`] — a stretch of a stream, read at any place by any thread
//! * [`weight_share`] — B, the one share that is not drawn anew for every inference
//! * a stream is a sequence of bytes; integers are its little-endian reading, and how the sequence
//!   is cut into fills does not matter

#[cfg(target_arch = "x86_64")]
mod aesni;
mod cipher;
mod ledger;
mod seed;
mod stream;
#[cfg(test)]
mod tap;
#[cfg(target_arch = "x86_64")]
mod vaes;
mod weights;

#[cfg(test)]
mod tests;

pub use seed::{EntropyError, Seed};
pub use stream::{MAX_STEP, Region, Stream, StreamKey};
#[cfg(test)]
pub(crate) use tap::Tap;
pub use trefoil_ir::mpc::privacy::Purpose;
pub use weights::weight_share;
