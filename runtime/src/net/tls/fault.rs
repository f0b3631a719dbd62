//! Why an encrypted connection fails, by culprit. Keys in messages are public.

use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

use crate::keys::PublicKey;
use crate::operations::TlsFailure;

/// The library refuses a key or a configuration.
#[derive(Debug, thiserror::Error)]
#[error("cannot prepare encrypted connections: is the key one that `trefoil-party keygen` made?")]
pub struct TlsError(#[from] Error);

/// What ended an encrypted connection, seen from one end of it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TlsFault {
    /// What came is not TLS at all.
    #[error(
        "what came is not encrypted: another program is at the other end, or an older version of this one; \
         check the address"
    )]
    NotTls,
    /// The other end has a key that this end does not take.
    #[error(
        "it has the key {}, which is not one that is expected here: if it is the right party with a new key, \
         put that into this party's configuration; if not, somebody is in between, or the address is another's",
        Shown(*.0)
    )]
    Unknown(Option<PublicKey>),
    /// The other end does not take this end's key.
    #[error(
        "it does not take this party's key: have its administrator enter the key that `trefoil-party keygen \
         --public` prints here, a client's in clients.toml (and reload), a party's in party.toml (and restart)"
    )]
    Rejected,
    /// Who opened a connection to this end has a key that is on no list here.
    #[error(
        "its key {} is on no list here: enter a client's in clients.toml, and reload; the server's in the helper's \
         party.toml, and restart",
        Shown(*.0)
    )]
    Stranger(Option<PublicKey>),
    /// Who opened a connection to this end expects another key of it.
    #[error(
        "it expects another key of this party: give it the one that `trefoil-party keygen --public` prints here"
    )]
    Unwanted,
    /// The other end speaks TLS, but no protocol of this program.
    #[error(
        "it speaks none of this version's protocols: check the address, and run the same version at all ends"
    )]
    NoProtocol,
    /// Something else is wrong with what came.
    #[error("what came was damaged or made up on the way, or the other end is no such party: {0}")]
    Broken(Error),
}

/// A key that nobody expects. Only between the check of keys and [`TlsFault`].
#[derive(Debug)]
pub(super) struct UnknownKey {
    pub(super) shown: Option<PublicKey>,
}

impl std::error::Error for UnknownKey {}

impl fmt::Display for UnknownKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key {} is not known", Shown(self.shown))
    }
}

struct Shown(Option<PublicKey>);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(key) => key.fmt(f),
            None => f.write_str("(of another kind than Ed25519)"),
        }
    }
}

impl From<Error> for TlsFault {
    fn from(error: Error) -> Self {
        use AlertDescription as Alert;
        match error {
            Error::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            ) => TlsFault::NotTls,
            Error::InvalidCertificate(CertificateError::Other(other)) => {
                let unknown = other.0.downcast_ref::<UnknownKey>();
                TlsFault::Unknown(unknown.and_then(|unknown| unknown.shown))
            }
            Error::AlertReceived(Alert::CertificateUnknown) => TlsFault::Rejected,
            Error::NoApplicationProtocol | Error::AlertReceived(Alert::NoApplicationProtocol) => {
                TlsFault::NoProtocol
            }
            error => TlsFault::Broken(error),
        }
    }
}

impl From<TlsFault> for io::Error {
    fn from(fault: TlsFault) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, fault)
    }
}

impl TlsFault {
    /// The same fault as the end says it that has answered.
    pub(in crate::net) fn answered(self) -> Self {
        match self {
            TlsFault::Unknown(key) => TlsFault::Stranger(key),
            TlsFault::Rejected => TlsFault::Unwanted,
            fault => fault,
        }
    }

    /// What it is counted as, where a connection is answered.
    pub(crate) fn word(&self) -> TlsFailure {
        match self {
            TlsFault::NotTls => TlsFailure::NotTls,
            TlsFault::Unknown(_) | TlsFault::Stranger(_) => TlsFailure::UnknownKey,
            TlsFault::Rejected | TlsFault::Unwanted => TlsFailure::Rejected,
            TlsFault::NoProtocol | TlsFault::Broken(_) => TlsFailure::Protocol,
        }
    }

    /// The fault behind an error of reading or writing, if one is.
    pub(crate) fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref().and_then(|inner| inner.downcast_ref())
    }
}
