//! Why an end gives a session up although its connection works.

use trefoil_ir::mpc::Party;

use super::abort::AbortReason;

/// What ended a session from outside of its own connection.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Cause {
    /// It took longer than a session may.
    #[error(
        "the session took longer than the {seconds} seconds that one may: \
         run fewer images in a session, or raise --session-time"
    )]
    SessionTime {
        /// How long one may take.
        seconds: f64,
    },
    /// The client asked for nothing for too long.
    #[error(
        "the client asked for nothing within {seconds} seconds: \
         check that it still runs, or raise --idle-time where it has more to do between two requests"
    )]
    Idle {
        /// How long it may.
        seconds: f64,
    },
    /// The client asked for nothing while others waited for its place.
    #[error(
        "the client asked for nothing within {seconds} seconds while another one waited for its place: \
         raise --sessions where clients pause"
    )]
    Displaced {
        /// How long it may then.
        seconds: f64,
    },
    /// The client's key was struck off, or its admission has ended.
    #[error("the client was struck off, or its admission has ended")]
    Revoked,
    /// This party is being stopped.
    #[error("the session was cut off because this party is being stopped")]
    Stopping,
    /// Another party of the session is gone.
    #[error("the {party} left the session: look at its own messages for the reason")]
    Lost {
        /// Who left.
        party: Party,
    },
    /// Another party of the session gave up and said why.
    #[error("the {party} gave the session up: {reason}")]
    GaveUp {
        /// Who gave up.
        party: Party,
        /// The reason that it gave.
        reason: AbortReason,
    },
}

impl Cause {
    /// Whether another party's error says more.
    pub fn is_consequence(self) -> bool {
        matches!(self, Cause::Lost { .. } | Cause::GaveUp { .. })
    }

    /// The reason to give to the other parties.
    pub fn reason(self) -> AbortReason {
        match self {
            Cause::SessionTime { .. } => AbortReason::SessionTime,
            Cause::Idle { .. } => AbortReason::Idle,
            Cause::Displaced { .. } => AbortReason::Displaced,
            Cause::Revoked => AbortReason::Revoked,
            Cause::Stopping => AbortReason::Stopping,
            Cause::Lost { .. } | Cause::GaveUp { .. } => AbortReason::PeerLost,
        }
    }
}
