//! What travels between parties, seen from the protocol: tagged frames on links.
//!
//! The protocol and the executor know messages and links, never sockets; `net` is the one module
//! that does. Sizes come from the plan: a link is told what must arrive next, and anything else is
//! an error before a byte is allocated for it.
//!
//! * [`frame`]: the tag that names a message, and the header that carries it
//! * [`link`]: the two ends of a connection, as a trait
//! * [`memory`]: links within one process
//! * [`delay`]: the same with the bandwidth and the round trip of a network
//! * [`meter`]: a link that counts what passes
//! * [`error`]: what can go wrong, by culprit; [`cause`]: what ends a session from outside of its link
//! * [`bits`]: fields packed to the bit

pub mod abort;
pub mod bits;
pub mod cause;
pub mod clock;
pub mod delay;
pub mod error;
pub mod frame;
pub mod link;
pub mod memory;
pub mod meter;
pub mod peer;
#[cfg(test)]
pub(crate) mod recording;

pub use abort::AbortReason;
pub use cause::Cause;
pub use clock::{Clock, WallClock};
pub use delay::{DelayedLink, delayed_pair};
pub use error::LinkError;
pub use frame::{FrameKind, Header, Tag};
pub use link::Link;
pub use memory::{MemoryLink, pair};
pub use meter::{Count, Metered, Traffic};
pub use peer::Peer;
