//! A listening socket.

use std::error::Error;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};

use rustix::net::listen;

use super::address::resolve;
use super::error::NetError;

/// Connections that may wait in the operating system.
const BACKLOG: i32 = 1024;

/// A bound socket.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds an address; port 0 takes any that is free.
    ///
    /// # Errors
    /// If it is no address or cannot be bound.
    pub fn bind(address: &str) -> Result<Self, NetError> {
        let address = resolve(address)?;
        let socket = TcpListener::bind(address).map_err(|source| NetError::Listen { address, source })?;
        // The standard library's queue is short: a burst would delay others by a second.
        listen(&socket, BACKLOG).map_err(|error| NetError::Socket(error.into()))?;
        socket.set_nonblocking(true).map_err(NetError::Socket)?;
        let address = socket.local_addr().map_err(NetError::Socket)?;
        Ok(Self { socket, address })
    }

    /// The address, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The socket, to wait for connections.
    pub(super) fn socket(&self) -> &TcpListener {
        &self.socket
    }

    /// The next connection, if there is one.
    pub(super) fn accept(&self) -> io::Result<Option<(TcpStream, SocketAddr)>> {
        use io::ErrorKind::{ConnectionAborted, Interrupted, WouldBlock};
        match self.socket.accept() {
            Ok(accepted) => Ok(Some(accepted)),
            Err(error) if matches!(error.kind(), WouldBlock | Interrupted | ConnectionAborted) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// An error and its causes, as one line.
pub fn sentence(error: &dyn Error) -> String {
    crate::terminal::print::chain(error)
}
