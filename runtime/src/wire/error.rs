//! What can go wrong on a link, by culprit. Messages name positions and sizes, never contents.

use std::io;

use trefoil_ir::mpc::Party;

use super::abort::AbortReason;
use super::cause::Cause;
use super::frame::Tag;
use super::peer::Peer;

/// Why a link failed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The peer closed the connection, or its process ended.
    #[error(
        "{peer} closed the connection before the session was over: look at its own messages for the reason"
    )]
    PeerDisconnected {
        /// Who closed it.
        peer: Peer,
    },
    /// The peer sent what it must not.
    #[error(
        "{peer} broke the protocol: {expected} was expected, and {got} came: \
         check that it runs the same version of this program"
    )]
    PeerMisbehaved {
        /// Who sent it.
        peer: Peer,
        /// What the plan says must arrive.
        expected: Box<str>,
        /// What arrived instead.
        got: Box<str>,
    },
    /// The peer gave up and said why.
    #[error("{peer} gave up: {reason}")]
    PeerAborted {
        /// Who gave up.
        peer: Peer,
        /// The reason that it gave.
        reason: AbortReason,
    },
    /// The peer neither sent nor took anything for too long.
    #[error("{peer} did not {doing} within {seconds} seconds: {remedy}")]
    Timeout {
        /// Who was waited for.
        peer: Peer,
        /// What it did not do.
        doing: &'static str,
        /// How long this end waited.
        seconds: f64,
        /// What to do.
        remedy: &'static str,
    },
    /// This end was about to send more than a frame can hold.
    #[error(
        "the message {tag} has {bytes} bytes, more than the 4 GiB of a frame: compile for a smaller input"
    )]
    TooLong {
        /// The message that was to be sent.
        tag: Tag,
        /// Bytes of its payload.
        bytes: usize,
    },
    /// This end has given the session up, for a reason that does not lie with this connection.
    #[error(transparent)]
    Ended(#[from] Cause),
    /// The operating system failed.
    #[error("the connection to {peer} failed")]
    Io {
        /// Who is at the other end.
        peer: Peer,
        /// What the operating system said.
        source: io::Error,
    },
}

impl LinkError {
    /// Whether the cause lies with the peer's own failure: where several parties fail, another
    /// one's error says more.
    pub fn is_consequence(&self) -> bool {
        match self {
            LinkError::PeerDisconnected { .. } | LinkError::PeerAborted { .. } => true,
            LinkError::Ended(cause) => cause.is_consequence(),
            LinkError::PeerMisbehaved { .. }
            | LinkError::Timeout { .. }
            | LinkError::TooLong { .. }
            | LinkError::Io { .. } => false,
        }
    }

    /// Whether the peer has only said that another party is gone, or nothing at all.
    pub(crate) fn is_vague(&self) -> bool {
        matches!(
            self,
            LinkError::PeerDisconnected { .. }
                | LinkError::PeerAborted {
                    reason: AbortReason::PeerLost,
                    ..
                }
        )
    }

    /// The reason to give to other peers.
    pub fn reason(&self) -> AbortReason {
        match self {
            // The client may try again then.
            LinkError::PeerAborted {
                peer,
                reason: AbortReason::Busy,
            } if peer.party == Some(Party::Helper) => AbortReason::HelperBusy,
            LinkError::PeerDisconnected { .. } | LinkError::PeerAborted { .. } => AbortReason::PeerLost,
            LinkError::Ended(cause) => cause.reason(),
            LinkError::PeerMisbehaved { .. } => AbortReason::Misbehaviour,
            LinkError::Timeout { .. } => AbortReason::Timeout,
            LinkError::TooLong { .. } | LinkError::Io { .. } => AbortReason::Internal,
        }
    }
}
