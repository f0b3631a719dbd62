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
//!    │ ◀─────────────────────────┼──────────────── welcome   │   S's connection to H stays open
//!    │ ◀──────────────── welcome │                           │
//!    │ prepare(0, 3) ──────────▶ │                           │   a stock of three inferences
//!    │ prepare(0, 3) ────────────┼─────────────────────────▶ │
//!    │        offline messages of 0, 1, 2; ready(0) of both  │
//!    │ run(0, 2) ──────────────▶ │                           │   two of them as a batch
//!    │ run(0, 2) ────────────────┼─────────────────────────▶ │
//!    │        online messages, each round of both images     │
//!    │ ◀─────────────────────────┼──────────────── ready(0)  │
//!    │ prepare(3, 1), run(3, 1), image, with nothing in stock: ready(3) of the server comes ahead
//!    │ ...                       │                M1         │   of its first message, nobody waits for it
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
//! * Nothing passes between server and helper after that: while the connection is open, each knows that
//!   the other is there, and ends its own part when it closes.
//! * The client decides how many inferences are prepared ahead and how many images run together;
//!   the server keeps that within a limit of its own. The helper keeps nothing of an inference, and
//!   hears of runs only so that it knows the client to be there.
//! * A session is never resumed: its keys live no longer than the connection. Inference numbers
//!   count up, are used up before the first message of their image, and are run once: no mask stream
//!   is ever drawn twice, whatever fails in between. What is left in stock at the end is wiped.

mod announce;
mod client;
mod error;
mod greeting;
mod handshake;
mod helper;
mod numbers;
mod oversee;
mod pairing;
mod server;
mod statement;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use client::{BatchRun, ClientSession, ImageRun, Preparation};
pub use error::SessionError;
pub use greeting::{Bind, Far, Greeted, Greeting, Hosts, Proven, Step};
pub use handshake::Agreed;
pub(crate) use handshake::say_wait;
pub use helper::HelperSession;
pub use numbers::{AnnouncementError, MOST_IN_STOCK};
pub use oversee::{Denied, Overseer};
pub use pairing::{Pair, Pairing, TurnedOut};
pub use server::ServerSession;
pub use statement::{Claim, Identity, PROTOCOL_VERSION, SessionId, Statement};

use std::time::Duration;

use trefoil_ir::mpc::Phase;

use crate::exec::Measured;
use crate::wire::Traffic;

/// Bytes that a session may take at a server for inferences in stock and images that are online,
/// unless the server says otherwise.
pub const SESSION_MEMORY: u64 = 1_000_000_000;

/// What a party has to say of inferences that were prepared, or run, together.
#[derive(Clone, Debug)]
pub struct Record {
    /// Whether they were prepared or run.
    pub phase: Phase,
    /// How many they were.
    pub inferences: u32,
    /// What the executor measured of all of them.
    pub measured: Measured,
    /// What passed on this party's links for all of them.
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
