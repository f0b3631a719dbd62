//! An encrypted connection: what is written is sealed, what is read was opened. Both directions may be
//! used by whoever holds it; a session does so from one thread.

use std::io::{self, BufRead, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

use super::Purpose;
use super::fault::TlsFault;
use crate::keys::PublicKey;

/// What is read from the socket at a time, before the handshake is over and after it.
const NARROW: usize = 4 << 10;
const WIDE: usize = 256 << 10;

/// A name for what both ends derive from a connection (RFC 8446, section 7.5).
const EXPORTER: &[u8] = b"EXPORTER-trefoil-pair";

/// A connection.
pub struct Channel {
    socket: TcpStream,
    state: Mutex<State>,
}

struct State {
    tls: Connection,
    /// Sealed bytes that have come; `filled` are those that TLS has not taken yet.
    incoming: Vec<u8>,
    filled: Range<usize>,
}

impl Channel {
    /// The opener's end. The handshake is still to come.
    ///
    /// # Errors
    /// If the library refuses.
    pub fn opener(socket: TcpStream, config: &Arc<ClientConfig>) -> io::Result<Self> {
        // Nobody is told a name, and keys are not looked up by one.
        let address = socket.peer_addr()?.ip();
        let name = ServerName::IpAddress(address.into());
        let tls = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        Ok(Self::over(socket, tls.into()))
    }

    /// The answerer's end. The handshake is still to come.
    ///
    /// # Errors
    /// If the library refuses.
    pub fn answerer(socket: TcpStream, config: &Arc<ServerConfig>) -> io::Result<Self> {
        let tls = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        Ok(Self::over(socket, tls.into()))
    }

    fn over(socket: TcpStream, tls: Connection) -> Self {
        let state = State {
            tls,
            incoming: vec![0; NARROW],
            filled: 0..0,
        };
        Self {
            socket,
            state: Mutex::new(state),
        }
    }

    /// The socket, to wait on and to set limits of.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Goes through the handshake, waiting no longer than until then, or until `stop` says so. The socket has a
    /// limit of its own, after which both are looked at.
    ///
    /// # Errors
    /// If it fails, or takes longer.
    pub fn shake_hands(&self, until: Instant, stop: &dyn Fn() -> bool) -> io::Result<()> {
        let mut state = self.lock();
        while state.tls.is_handshaking() || state.tls.wants_write() {
            let moved = match state.tls.wants_write() {
                true => state.send(&self.socket),
                false => state.receive(&self.socket).map(drop),
            };
            match moved {
                Err(error) if !is_interval(&error) => return Err(error),
                _ if Instant::now() >= until || stop() => return Err(io::ErrorKind::TimedOut.into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Goes on with the handshake as far as it goes without waiting, on a socket that does not wait; whether it
    /// is over.
    ///
    /// # Errors
    /// If it fails.
    pub fn shake_on(&self) -> io::Result<bool> {
        let mut state = self.lock();
        while state.tls.is_handshaking() {
            match state.receive(&self.socket) {
                Ok(()) => {}
                Err(error) if is_interval(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Whether the handshake is over.
    pub fn is_open(&self) -> bool {
        !self.lock().tls.is_handshaking()
    }

    /// What the connection is for, once the handshake is over.
    pub fn purpose(&self) -> Option<Purpose> {
        let state = self.lock();
        let protocol = state.tls.alpn_protocol()?;
        Purpose::ALL
            .into_iter()
            .find(|purpose| purpose.protocol() == protocol)
    }

    /// The key that the other end has shown to have, once the handshake is over.
    pub fn peer_key(&self) -> Option<PublicKey> {
        let state = self.lock();
        let shown = state.tls.peer_certificates()?.first()?;
        PublicKey::from_spki(shown)
    }

    /// What both ends of this connection, and nobody else, derive from it and from `context`. It is another one
    /// for each connection: two connections that somebody has joined in the middle never have the same.
    ///
    /// # Errors
    /// If the handshake is not over.
    pub fn export(&self, context: &[u8]) -> io::Result<[u8; 32]> {
        let state = self.lock();
        let exported = state.tls.export_keying_material([0; 32], EXPORTER, Some(context));
        exported.map_err(io::Error::other)
    }

    /// Larger buffers, for a connection on which much will pass.
    pub fn widen(&self) {
        let mut state = self.lock();
        state.incoming.resize(WIDE, 0);
        state.tls.set_buffer_limit(Some(WIDE));
    }

    /// What is to be seen of the other end's bytes, without waiting and without taking any: at most what has
    /// come in one piece. `None` if nothing has come; nothing at all once the other end has closed.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn peek(&self) -> io::Result<Option<Vec<u8>>> {
        const MOST: usize = 64;
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Somebody reads or writes just now, and sees what there is.
            Err(TryLockError::WouldBlock) => return Ok(None),
        };
        loop {
            match state.tls.reader().fill_buf() {
                Ok(bytes) => return Ok(Some(bytes[..bytes.len().min(MOST)].to_vec())),
                Err(error) if is_interval(&error) => {}
                Err(error) => return Err(error),
            }
            match state.receive(&AtOnce(&self.socket)) {
                Ok(()) => {}
                Err(error) if is_interval(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Says that nothing more comes from this end.
    ///
    /// # Errors
    /// If the socket does not take it at once.
    pub fn close(&self) -> io::Result<()> {
        let mut state = self.lock();
        state.tls.send_close_notify();
        let sent = state.send(&self.socket);
        drop(state);
        sent.and(self.socket.shutdown(Shutdown::Write))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic within the library leaves a connection that fails, and nothing worse.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Read for &Channel {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.lock();
        let mut read = 0;
        loop {
            match state.tls.reader().read(&mut buffer[read..]) {
                Ok(0) => return Ok(read),
                Ok(bytes) => read += bytes,
                Err(error) if is_interval(&error) => {}
                Err(error) if read == 0 => return Err(error),
                // What came before is handed out first.
                Err(_) => return Ok(read),
            }
            if read == buffer.len() || (read > 0 && state.filled.is_empty()) {
                return Ok(read);
            }
            match state.receive(&self.socket) {
                Ok(()) => {}
                Err(error) if read == 0 => return Err(error),
                Err(_) => return Ok(read),
            }
        }
    }
}

impl Write for &Channel {
    /// Takes what there is room for; what the socket does not take now goes with the next write or flush.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.lock();
        state.send(&self.socket)?;
        let taken = state.tls.writer().write(bytes)?;
        match state.send(&self.socket) {
            Err(error) if !is_interval(&error) => Err(error),
            _ => Ok(taken),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.lock().send(&self.socket)
    }
}

impl State {
    /// Takes sealed bytes, of the socket if none are left, until something comes of them.
    fn receive<'a, S>(&mut self, socket: &'a S) -> io::Result<()>
    where
        &'a S: Read,
        S: Raw,
    {
        if self.filled.is_empty() {
            let mut reader = socket;
            let read = reader.read(&mut self.incoming)?;
            self.filled = 0..read;
            if read == 0 {
                self.tls.read_tls(&mut io::empty())?;
                if self.tls.is_handshaking() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
        loop {
            // It takes some thousand bytes at a time, and no more than a record before it opens that.
            while !self.filled.is_empty() {
                match self.tls.read_tls(&mut &self.incoming[self.filled.clone()]) {
                    // Nothing counts behind the other end's goodbye.
                    Ok(0) => self.filled = 0..0,
                    Ok(taken) => self.filled.start += taken,
                    Err(_) => break,
                }
            }
            let opened = match self.tls.process_new_packets() {
                Ok(state) => state,
                Err(error) => {
                    // The other end gets an alert, if it still can be had.
                    let _ = self.send(socket.socket());
                    return Err(TlsFault::from(error).into());
                }
            };
            // What cannot be sent is no reason not to read: it may be told why.
            let _ = self.send(socket.socket());
            if opened.plaintext_bytes_to_read() > 0 || self.filled.is_empty() {
                return Ok(());
            }
        }
    }

    /// Sends the sealed bytes that wait for it.
    fn send(&mut self, socket: &TcpStream) -> io::Result<()> {
        let mut socket = socket;
        while self.tls.wants_write() {
            if self.tls.write_tls(&mut socket)? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }
}

/// Something that reads from a socket.
trait Raw {
    fn socket(&self) -> &TcpStream;
}

impl Raw for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

/// A socket that is read without waiting, whatever it is set to.
struct AtOnce<'a>(&'a TcpStream);

impl Raw for AtOnce<'_> {
    fn socket(&self) -> &TcpStream {
        self.0
    }
}

impl Read for &AtOnce<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match recv(self.0, buffer, RecvFlags::DONTWAIT) {
            Ok((_, read)) => Ok(read),
            Err(Errno::AGAIN | Errno::INTR) => Err(io::ErrorKind::WouldBlock.into()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether nothing is wrong, and only nothing has passed.
pub(in crate::net) fn is_interval(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}
