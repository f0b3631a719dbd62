//! Why a session fails: where first, what as its source.

use std::error::Error;

use trefoil_ir::mpc::{Party, Phase};

use super::numbers::AnnouncementError;
use super::oversee::Denied;
use crate::accounts::Refusal;
use crate::exec::ExecError;
use crate::prg::EntropyError;
use crate::wire::{AbortReason, LinkError, Peer};

/// Why a session could not be opened or did not reach its end.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The two ends are of different versions.
    #[error(
        "the {one} speaks version {one_version} of the protocol and the {other} version {other_version}: \
         install the same version of this program at all parties"
    )]
    Versions {
        /// One end.
        one: Party,
        /// Its version.
        one_version: u16,
        /// The other end.
        other: Party,
        /// Its version.
        other_version: u16,
    },
    /// A connection reached the wrong party.
    #[error("the {opener} wanted the {wanted} and reached the {found}: check the addresses")]
    Roles {
        /// Who opened the connection.
        opener: Party,
        /// Whom it wanted to reach.
        wanted: Party,
        /// Who answered instead.
        found: Party,
    },
    /// The two ends hold plans that do not belong together.
    #[error(
        "the {one}'s plan ({one_plan}) and the {other}'s ({other_plan}) are not of the same compilation: \
         give each party its file of one compilation, and see that the {other} has that plan"
    )]
    Plans {
        /// One end.
        one: Party,
        /// The beginnings of its digest and plan id.
        one_plan: String,
        /// The other end.
        other: Party,
        /// The beginnings of its digest and plan id.
        other_plan: String,
    },
    /// The peer did not prove what it claims.
    #[error(
        "whoever speaks as the {claimed} does not hold the {claimed}'s plan of this compilation, or this party's \
         plan was made for another key: give each party its own file, and the key that it was made for"
    )]
    Stranger {
        /// Who it claims to be.
        claimed: Party,
    },
    /// The peer's key is that of another party.
    #[error(
        "whoever speaks as the {claimed} has shown the {party}'s key: no party plays two roles; check which configuration it was started with"
    )]
    OtherRole {
        /// Who it claims to be.
        claimed: Party,
        /// Whose key it has.
        party: Party,
    },
    /// The peer's key is nobody's any more.
    #[error("the key of {peer} was struck off while it said hello")]
    Unknown {
        /// Whose key it was.
        peer: Peer,
    },
    /// The client is none, or has what it may have.
    #[error("a client was turned away")]
    Refused(#[source] Box<Refusal>),
    /// The client may not have what it wants.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Client and server of a session hold plans of two compilations, both of which the helper has.
    #[error(
        "client and server of session {session} come with plans of two compilations: give the client the plan of \
         the model that it wants, and start it again"
    )]
    PlansApart {
        /// The beginning of the session id.
        session: String,
    },
    /// The plan is no longer offered.
    #[error("the plan of the session was withdrawn before it began: give the client a plan that is offered")]
    Withdrawn,
    /// The handshake was cut short.
    #[error("no session could be opened with {peer}")]
    Handshake {
        /// With whom it was begun.
        peer: Peer,
        /// How the link failed.
        source: LinkError,
    },
    /// The server cannot reach the helper.
    #[error("the server cannot reach the helper")]
    HelperUnreachable(#[source] Box<dyn Error + Send + Sync>),
    /// Client and server did not both come to the helper.
    #[error(
        "the {missing} of session {session} did not come to the helper within {seconds} seconds: \
         check that it runs, and that client and server name the same helper"
    )]
    Unpaired {
        /// The beginning of the session id.
        session: String,
        /// Who did not come.
        missing: Party,
        /// How long the helper waited.
        seconds: f64,
    },
    /// One of client and server came to the helper and went again.
    #[error("the {missing} of session {session} had not come to the helper when the {left} left it")]
    LeftAlone {
        /// The beginning of the session id.
        session: String,
        /// Who had not come.
        missing: Party,
        /// Who had come, and left.
        left: Party,
    },
    /// All places are taken.
    #[error(
        "session {session} finds no place, all are taken by others: \
         try again later, or start this party with a higher --sessions"
    )]
    NoPlace {
        /// The beginning of the session id.
        session: String,
    },
    /// Two connections claim to be the same party of one session.
    #[error(
        "a second {party} came with the session id {session}: start the client again, which draws another"
    )]
    SessionTaken {
        /// The beginning of the session id.
        session: String,
        /// The party that both claim to be.
        party: Party,
    },
    /// A session's thread panicked.
    #[error("this party failed by a defect of this program; its message stands above: please report it")]
    Panicked,
    /// No random bytes.
    #[error("no key can be made")]
    Entropy(#[from] EntropyError),
    /// Another party ended the session and said why.
    #[error("the session was ended by another party")]
    Told(#[source] LinkError),
    /// The link failed between two images.
    #[error("the session ended before its time, at image {inference}")]
    Link {
        /// Which image was next.
        inference: u32,
        /// How the link failed.
        source: LinkError,
    },
    /// The protocol failed at an image.
    #[error("image {inference} failed in its {phase} part")]
    Exec {
        /// Which image; of a batch, the first.
        inference: u32,
        /// Before or after its input was known.
        phase: Phase,
        /// At which step, and how.
        source: Box<ExecError>,
    },
    /// The client announced what cannot be, or what this party does not allow.
    #[error(transparent)]
    Announcement(#[from] AnnouncementError),
}

impl SessionError {
    /// The reason to give to the other parties.
    pub fn reason(&self) -> AbortReason {
        match self {
            SessionError::Versions { .. } | SessionError::Roles { .. } => AbortReason::Misbehaviour,
            SessionError::Plans { .. } | SessionError::PlansApart { .. } | SessionError::Withdrawn => {
                AbortReason::PlanMismatch
            }
            SessionError::Stranger { .. } | SessionError::OtherRole { .. } | SessionError::Unknown { .. } => {
                AbortReason::Stranger
            }
            SessionError::HelperUnreachable(_) => AbortReason::HelperUnreachable,
            SessionError::Unpaired { .. } => AbortReason::Unpaired,
            SessionError::LeftAlone { .. } => AbortReason::PeerLost,
            SessionError::NoPlace { .. } => AbortReason::Busy,
            SessionError::SessionTaken { .. } => AbortReason::SessionTaken,
            SessionError::Handshake { source, .. }
            | SessionError::Link { source, .. }
            | SessionError::Told(source) => source.reason(),
            SessionError::Exec { .. } => self.link_error().map_or(AbortReason::Internal, LinkError::reason),
            SessionError::Announcement(error) => error.reason(),
            SessionError::Denied(denied) => denied.reason,
            SessionError::Refused(_) => AbortReason::Stranger,
            SessionError::Entropy(_) | SessionError::Panicked => AbortReason::Internal,
        }
    }

    /// Whether another party's error says more about the cause than this one.
    pub fn is_consequence(&self) -> bool {
        self.link_error().is_some_and(LinkError::is_consequence)
    }

    /// Whether it may succeed later: all places are taken now.
    pub fn is_busy(&self) -> bool {
        use AbortReason::{Busy, HelperBusy};
        let error = self.link_error();
        matches!(
            error,
            Some(LinkError::PeerAborted {
                reason: Busy | HelperBusy,
                ..
            })
        )
    }

    /// Whether a party closed a connection without a word before it had taken this one in: it had more than it
    /// looks after, say, and this one had to go.
    pub fn is_dropped(&self) -> bool {
        matches!(self, SessionError::Handshake { .. })
            && matches!(self.link_error(), Some(LinkError::PeerDisconnected { .. }))
    }

    /// The link's error at the bottom, if it is one.
    pub fn link_error(&self) -> Option<&LinkError> {
        let mut error: Option<&(dyn Error + 'static)> = Some(self);
        while let Some(current) = error {
            if let Some(link) = current.downcast_ref::<LinkError>() {
                return Some(link);
            }
            error = current.source();
        }
        None
    }
}

/// An error of a link, while this inference was next.
pub(super) fn lost(inference: u32) -> impl Fn(LinkError) -> SessionError {
    move |source| SessionError::Link { inference, source }
}

/// An error of the executor.
pub(super) fn failed(inference: u32, phase: Phase) -> impl Fn(ExecError) -> SessionError {
    move |source| SessionError::Exec {
        inference,
        phase,
        source: Box::new(source),
    }
}
