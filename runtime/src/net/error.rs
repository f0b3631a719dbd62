//! What can go wrong before a connection stands.

use std::io;
use std::net::SocketAddr;

use trefoil_ir::mpc::Party;

use crate::session::SessionError;

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
    /// A name without an address.
    #[error("`{address}` has no address: write the number, as in 127.0.0.1:7001")]
    NoAddress {
        /// What was given.
        address: String,
    },
    /// An address beyond this machine.
    #[error(
        "{found} is not an address of this machine alone (loopback): connections are not encrypted yet, and the \
         parties' keys would travel in the clear; run all parties on one machine, or join machines by a tunnel \
         such as ssh -L and give its end at 127.0.0.1"
    )]
    NotLoopback {
        /// The address that was given.
        found: SocketAddr,
    },
    /// Nobody answers.
    #[error(
        "cannot connect to the {party} at {address} within {seconds} seconds: check that it runs and listens there"
    )]
    Connect {
        /// Which party was to be reached.
        party: Party,
        /// Where it should listen.
        address: SocketAddr,
        /// How long it was tried.
        seconds: f64,
        /// What the operating system said last.
        source: io::Error,
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
    /// The one session that was to be served failed.
    #[error("the session failed")]
    Session(#[source] Box<SessionError>),
    /// The program was stopped before its one session was over.
    #[error("stopped by a signal before the one session of --once was over")]
    Stopped,
}
