//! What can go wrong before a connection stands.

use std::io;
use std::net::SocketAddr;

use trefoil_ir::mpc::Party;

use super::tls::{TlsError, TlsFault};
use crate::session::SessionError;

/// How long it was tried, if it was more than once.
fn within(seconds: f64) -> String {
    match seconds > 0.0 {
        true => format!(" within {seconds} seconds"),
        false => String::new(),
    }
}

/// Why a party cannot be reached, or cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// Something that is no address.
    #[error("`{address}` is not an address: write host:port, as in 127.0.0.1:7001")]
    Address {
        /// What was given.
        address: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// Nobody answers.
    #[error(
        "cannot connect to the {party} at {address}{}: check that it runs and listens there", within(*seconds)
    )]
    Connect {
        /// Which party was to be reached.
        party: Party,
        /// Where it should listen.
        address: String,
        /// How long it was tried.
        seconds: f64,
        /// What the operating system said last.
        source: io::Error,
    },
    /// Somebody answers, and is not the party with the key that is expected.
    #[error("cannot open an encrypted connection to the {party} at {address}")]
    Tls {
        /// Which party was to be reached.
        party: Party,
        /// Where it should listen.
        address: String,
        /// What went wrong.
        #[source]
        fault: TlsFault,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: choose another port (0 takes any that is free)")]
    Listen {
        /// The address that was to be listened on.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The socket failed.
    #[error("the listening socket failed")]
    Socket(#[source] io::Error),
    /// Signals cannot be caught.
    #[error("cannot catch the signals that stop this program")]
    Signals(#[source] io::Error),
    /// Encryption cannot be prepared.
    #[error(transparent)]
    Key(#[from] TlsError),
    /// The one session that was to be served failed.
    #[error("the session failed")]
    Session(#[source] Box<SessionError>),
    /// The program was stopped before its one session was over.
    #[error("stopped by a signal before the one session of --once was over")]
    Stopped,
}
