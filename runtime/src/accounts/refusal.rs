//! Why a client is turned away, or its session ends.

use std::sync::Arc;

use super::clients::Expiry;
use super::store::LedgerError;
use crate::amount::counted;
use crate::keys::PublicKey;

/// Why a client is turned away, or its session ends.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// No client has this key.
    #[error("no client has the key {key}: add it to clients.toml and reload, if it is to be one")]
    Unknown {
        /// The stranger's.
        key: PublicKey,
    },
    /// The client was removed while it had a session.
    #[error("client `{name}` has been removed from clients.toml")]
    Revoked {
        /// Its name when the session began.
        name: String,
    },
    /// The client's time is over.
    #[error("the access of client `{name}` has expired: clients.toml says `expires = {expires}`")]
    Expired {
        /// The client.
        name: String,
        /// Until when it was one.
        expires: Expiry,
    },
    /// The client has all the sessions that it may have.
    #[error(
        "client `{name}` has {} already, which is all that it may have at once: end one, or raise `sessions` in \
         clients.toml", counted(*most as usize, "session")
    )]
    Sessions {
        /// The client.
        name: String,
        /// Sessions at once.
        most: u32,
    },
    /// The client has had the inferences of a day, or asks for more than are left.
    #[error(
        "client `{name}` has {left} left of {per_day} inferences a day: more in {}, or raise `inferences-per-day` \
         in clients.toml", counted(*hours as usize, "hour")
    )]
    Quota {
        /// The client.
        name: String,
        /// Inferences in a day.
        per_day: u64,
        /// Those it may still have.
        left: u64,
        /// Hours until the next day begins (midnight, UTC), rounded up.
        hours: u64,
    },
    /// What the client takes cannot be written down.
    #[error("the inferences of client `{name}` cannot be counted, and uncounted it gets none")]
    Store {
        /// The client.
        name: String,
        /// Why.
        source: Arc<LedgerError>,
    },
}

impl Refusal {
    /// The reason in a word, the same for all clients: a label for counting refusals.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "unknown",
            Self::Revoked { .. } => "revoked",
            Self::Expired { .. } => "expired",
            Self::Sessions { .. } => "sessions",
            Self::Quota { .. } => "quota",
            Self::Store { .. } => "store",
        }
    }
}
