//! The codes with which `trefoil-party` ends: scripts tell by them what to do next.

use crate::net::NetError;
use crate::net::tls::TlsFault;
use crate::session::SessionError;
use crate::wire::{AbortReason, Cause, LinkError};

/// How a command that failed is told apart. The numbers are a contract with scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Something is wrong here: an input, a plan, a file, or a peer that breaks the protocol.
    Wrong = 1,
    /// All places are taken.
    Busy = 3,
    /// A party refuses this one.
    Refused = 4,
    /// A party could not be reached, or was lost.
    Lost = 5,
    /// Some images have results, and the others have none.
    Incomplete = 6,
}

impl Exit {
    /// Its number.
    pub fn code(self) -> u8 {
        self as u8
    }

    pub(super) fn of_net(error: &NetError) -> Self {
        match error {
            NetError::Connect { .. } => Exit::Lost,
            NetError::Tls { fault, .. } => Self::of_fault(fault),
            NetError::Session(error) => Self::of_session(error),
            NetError::Address { .. }
            | NetError::Listen { .. }
            | NetError::Socket(_)
            | NetError::Signals(_)
            | NetError::Key(_)
            | NetError::Stopped => Exit::Wrong,
        }
    }

    fn of_fault(fault: &TlsFault) -> Self {
        match fault {
            TlsFault::Rejected | TlsFault::Unwanted => Exit::Refused,
            TlsFault::NotTls
            | TlsFault::Unknown(_)
            | TlsFault::Stranger(_)
            | TlsFault::NoProtocol
            | TlsFault::Broken(_) => Exit::Wrong,
        }
    }

    pub(super) fn of_session(error: &SessionError) -> Self {
        match error.link_error() {
            Some(LinkError::PeerAborted { reason, .. }) => Self::of_reason(*reason),
            Some(LinkError::PeerDisconnected { .. } | LinkError::Timeout { .. }) => Exit::Lost,
            Some(LinkError::Io { source, .. }) => TlsFault::of(source).map_or(Exit::Lost, Self::of_fault),
            Some(LinkError::Ended(cause)) => match cause {
                Cause::Lost { .. } | Cause::GaveUp { .. } | Cause::SessionTime { .. } => Exit::Lost,
                Cause::Idle { .. } | Cause::Displaced { .. } | Cause::Revoked | Cause::Stopping => {
                    Exit::Wrong
                }
            },
            Some(LinkError::PeerMisbehaved { .. } | LinkError::TooLong { .. }) | None => {
                match matches!(error, SessionError::Plans { .. } | SessionError::Stranger { .. }) {
                    true => Exit::Refused,
                    false => Exit::Wrong,
                }
            }
        }
    }

    fn of_reason(reason: AbortReason) -> Self {
        match reason {
            AbortReason::Busy | AbortReason::HelperBusy | AbortReason::ClientSessions => Exit::Busy,
            AbortReason::PlanMismatch
            | AbortReason::Stranger
            | AbortReason::SessionMemory
            | AbortReason::Expired
            | AbortReason::Quota
            | AbortReason::Revoked
            | AbortReason::Uncounted => Exit::Refused,
            AbortReason::Timeout
            | AbortReason::HelperUnreachable
            | AbortReason::Unpaired
            | AbortReason::SessionTaken
            | AbortReason::Stopping
            | AbortReason::PeerLost
            | AbortReason::SessionTime
            | AbortReason::Idle
            | AbortReason::Displaced => Exit::Lost,
            AbortReason::Internal | AbortReason::Misbehaviour => Exit::Wrong,
        }
    }
}
