//! Sessions: how three parties find that they hold the same plan, come to their keys, and work
//! through a series of images. Nothing here knows sockets: every test runs in one process.
//!
//! ```text
//!  client                      server                      helper
//!    │ hello ──────────────────▶ │                           │
//!    │ hello ────────────────────┼─────────────────────────▶ │   session id drawn by the client
//!    │ ◀─────────── halves and proofs, both ways ──────────▶ │   then: k_ch
//!    │ ◀── halves and proofs ──▶ │                           │   then: the server knows the client
//!    │                           │ hello ──────────────────▶ │
//!    │                           │ ◀── halves and proofs ──▶ │   then: k_sh
//!    │                           │ ◀─────────────── welcome  │   same session id: H pairs the two;
//!    │ ◀─────────────────────────┼──────────────── welcome   │   H's connection to S closes
//!    │ ◀──────────────── welcome │                           │
//!    │ begin(0) ───────────────▶ │                           │   one image after the other
//!    │ begin(0) ─────────────────┼─────────────────────────▶ │
//!    │            offline messages, then ready(0) of both    │
//!    │            online messages                            │
//!    │ end ──────────────────────┼─────────────────────────▶ │
//! ```
//!
//! * A hello says: protocol version, role, plan digest, plan id, session id. Where the two ends
//!   differ both fail with the same sentence, before anything else is sent.
//! * Each two parties' plans hold a key that the third's lacks. Both ends contribute a fresh half;
//!   of that key, the halves and the hello each makes the pair's secret, and proves to the other
//!   that it has. So nobody plays a role without its plan.
//! * [`Agreed`] stands for all of that: only the handshake makes one, and only who has one starts.
//! * Keys of masks are derived from the pair's secret.
//! * A session is never resumed: its keys live no longer than the connection. Inference numbers
//!   count up, and are used up before the first message of their image: no mask stream is ever
//!   drawn twice, whatever fails in between.

mod client;
mod error;
mod handshake;
mod helper;
mod pairing;
mod server;
mod statement;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use client::{ClientSession, ImageRun};
pub use error::SessionError;
pub use handshake::{Agreed, Greeted};
pub use helper::HelperSession;
pub use pairing::{Pair, Pairing};
pub use server::ServerSession;
pub use statement::{Identity, PROTOCOL_VERSION, SessionId, Statement};

use std::time::Duration;

use crate::exec::Measured;
use crate::wire::Traffic;

/// What a party has to say of one image, beside its result.
#[derive(Default)]
pub struct ImageRecord {
    /// What the executor measured.
    pub measured: Measured,
    /// What passed on this party's links.
    pub traffic: Traffic,
}

/// What the handshakes cost, once a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// What passed on this party's links.
    pub traffic: Traffic,
    /// How long it took.
    pub time: Duration,
}
