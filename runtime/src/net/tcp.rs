//! An encrypted TCP connection as a link: buffered, without Nagle's delay, every wait and every message limited.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trefoil_ir::mpc::Party;

use super::control::Control;
use super::pace::{Glance, Guard, HEADER_TIME, Paced, glance, keep_alive, set_intervals};
use super::stop::Stop;
use super::tls::Channel;
use crate::accounts::Guest;
use crate::keys::PublicKey;
use crate::pool;
use crate::trace::{Recorder, Tap};
use crate::wire::frame::HEADER_BYTES;
use crate::wire::link::{frame_length, no_header};
use crate::wire::{AbortReason, Cause, FrameKind, Header, Link, LinkError, Peer, Tag};

const BUFFER: usize = 1 << 16;

/// How long an end that gives up waits for the peer to read why. Closing at once could make the
/// operating system throw the reason away, together with whatever of the peer's was not yet read.
pub(super) const LINGER: Duration = Duration::from_millis(500);

/// One end of a TCP connection.
pub struct TcpLink {
    channel: Arc<Channel>,
    guard: Arc<Guard>,
    reader: BufReader<Paced>,
    writer: BufWriter<Paced>,
    peer: Peer,
    /// How long a message may take that brings nothing.
    timeout: Duration,
    /// How long the peer may take for a request; none if another connection shows that it is there.
    idle_time: Option<Duration>,
    /// Whether a request is waited for.
    request: bool,
    /// The client's place, if a client is at the other end; free again when the connection is dropped.
    guest: Option<Arc<Guest>>,
    /// What a trace sees of it, if there is one.
    tap: Option<Tap>,
}

impl TcpLink {
    /// Wraps a connection whose handshake is over. `timeout` limits how long a peer may take for a message, in which it
    /// earns a second more with every second of bytes at the least speed.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub fn new(
        channel: Channel,
        party: Option<Party>,
        address: SocketAddr,
        timeout: Duration,
    ) -> io::Result<Self> {
        let socket = channel.socket();
        socket.set_nodelay(true)?;
        socket.set_nonblocking(false)?;
        set_intervals(socket, timeout)?;
        keep_alive(socket)?;
        channel.widen();
        let channel = Arc::new(channel);
        let guard = Arc::new(Guard::default());
        Ok(Self {
            reader: BufReader::with_capacity(BUFFER, Paced::new(&channel, &guard, timeout)),
            writer: BufWriter::with_capacity(BUFFER, Paced::new(&channel, &guard, timeout)),
            channel,
            guard,
            peer: Peer {
                party,
                address: Some(address),
            },
            timeout,
            idle_time: Some(timeout),
            request: false,
            guest: None,
            tap: None,
        })
    }

    /// The connection itself.
    pub fn channel(&self) -> &Arc<Channel> {
        &self.channel
    }

    /// From now on a peer may take this long for a message.
    #[cfg(test)]
    pub(super) fn set_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.timeout = timeout;
        self.idle_time = Some(timeout);
        set_intervals(self.channel.socket(), timeout)
    }

    /// From now on a trace sees what passes, as it does at the other end from the same frame on.
    pub fn trace(&mut self, recorder: Option<&Recorder>) {
        self.tap = recorder.cloned().map(Tap::new);
    }

    /// The client at the other end has this place.
    pub(super) fn host(&mut self, guest: Option<Guest>) {
        self.guest = guest.map(Arc::new);
    }

    /// The place of the client at the other end.
    pub(super) fn guest(&self) -> Option<&Arc<Guest>> {
        self.guest.as_ref()
    }

    /// The address of the other end.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.peer.address
    }

    /// The session must be over within this time, from now on.
    pub fn limit_session(&mut self, time: Duration) {
        self.guard.limit_session(time);
    }

    /// The link of a session that a listener can end.
    pub(super) fn obey(&mut self, control: &Arc<Control>) {
        self.guard.obey(Arc::clone(control));
    }

    /// A requested stop ends the waits of this link, or ends them no more.
    pub fn heed(&mut self, stop: Option<&Stop>) {
        self.guard.heed(stop);
    }

    /// From now on the peer may take this long for a request, or without a limit of its own as long as
    /// the session lasts.
    pub fn limit_requests(&mut self, time: Option<Duration>) {
        self.idle_time = time;
    }

    /// Ends the waits of this link when the other connection of the session, on which nothing is due,
    /// has been closed for this long, or at once if its peer gives up.
    pub(super) fn watch(&mut self, other: &Arc<Channel>, party: Party, grace: Duration) {
        self.guard.watch(Arc::clone(other), party, grace);
    }

    /// Nothing but its own limits ends the waits of this link any more.
    pub(super) fn dismiss(&mut self) {
        self.guard.dismiss();
    }

    /// Whether the peer has closed the connection or sent something, where nothing is due.
    pub(super) fn is_gone(&self) -> bool {
        glance(&self.channel) != Glance::Quiet
    }

    fn read_error(&self, error: io::Error, doing: &'static str) -> LinkError {
        let limit = "check that it still runs, or raise --timeout where it has more to compute";
        let seconds = self.timeout;
        self.error(error, doing, seconds, limit)
    }

    /// The error of a message that has begun to come.
    fn slow_error(&self, error: io::Error) -> LinkError {
        let limit = "check that it still runs, or raise --timeout where the network is slow";
        let waited = self.reader.get_ref().waited();
        // Nobody reads what comes after the milliseconds.
        let waited = Duration::from_millis(waited.as_millis() as u64);
        self.error(error, "send a whole message", waited, limit)
    }

    fn write_error(&mut self, error: io::Error) -> LinkError {
        let limit = "check that it still runs, or raise --timeout where the network is slow";
        match self.error(error, "read", self.timeout, limit) {
            error @ LinkError::PeerDisconnected { .. } => self.last_words().unwrap_or(error),
            error => error,
        }
    }

    fn error(
        &self,
        source: io::Error,
        doing: &'static str,
        limit: Duration,
        remedy: &'static str,
    ) -> LinkError {
        use io::ErrorKind as Kind;
        let peer = self.peer.clone();
        if let Some(cause) = source.get_ref().and_then(|inner| inner.downcast_ref::<Cause>()) {
            return LinkError::Ended(*cause);
        }
        match source.kind() {
            Kind::WouldBlock | Kind::TimedOut => LinkError::Timeout {
                peer,
                doing,
                seconds: limit.as_secs_f64(),
                remedy,
            },
            Kind::UnexpectedEof
            | Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::BrokenPipe
            | Kind::NotConnected
            | Kind::WriteZero => LinkError::PeerDisconnected { peer },
            _ => LinkError::Io { peer, source },
        }
    }

    /// Waits for the first byte of a header.
    fn await_header(&mut self) -> Result<(), LinkError> {
        let limit = match self.idle_time {
            _ if !self.request => self.timeout,
            Some(time) => time,
            // The guard ends it.
            None => Duration::MAX,
        };
        self.reader.get_mut().start(limit);
        match self.reader.fill_buf() {
            Ok([]) => Err(LinkError::PeerDisconnected {
                peer: self.peer.clone(),
            }),
            Ok(_) => Ok(()),
            Err(error) if self.request && error.kind() == io::ErrorKind::TimedOut => {
                let seconds = limit.as_secs_f64();
                Err(LinkError::Ended(Cause::Idle { seconds }))
            }
            Err(error) => Err(self.read_error(error, "send")),
        }
    }

    /// The reason that the peer gives in the first abort that comes until then.
    fn find_abort(&mut self, until: Instant) -> Option<AbortReason> {
        loop {
            let left = until.checked_duration_since(Instant::now())?;
            self.reader.get_mut().start(left);
            let mut header = [0; HEADER_BYTES];
            self.reader.read_exact(&mut header).ok()?;
            let header = Header::decode(&header)?;
            if header.tag.kind == FrameKind::Abort {
                return Some(AbortReason::from_code(header.tag.step));
            }
            self.forget(header.length as usize, until)?;
        }
    }

    /// Reads so many bytes and forgets them; `None` if they are not there until then. However fast a
    /// peer sends, a frame may be too long for that.
    fn forget(&mut self, mut bytes: usize, until: Instant) -> Option<()> {
        while bytes > 0 {
            let left = until.checked_duration_since(Instant::now())?;
            self.reader.get_mut().start(left);
            let read = self.reader.fill_buf().ok()?.len().min(bytes);
            if read == 0 {
                return None;
            }
            self.reader.consume(read);
            bytes -= read;
        }
        Some(())
    }

    /// Waits a moment for the peer to close, reading and forgetting what it had sent.
    fn linger(&mut self) {
        let until = Instant::now() + LINGER;
        let _ = self.channel.close();
        let mut stream = self.channel.socket();
        let mut forgotten = [0; 4096];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
                return;
            }
            match stream.read(&mut forgotten) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }
}

impl Link for TcpLink {
    fn peer(&self) -> &Peer {
        &self.peer
    }

    fn send(&mut self, tag: Tag, payload: Vec<u8>) -> Result<(), LinkError> {
        let length = frame_length(tag, &payload)?;
        let begin = self.tap.as_ref().map(Tap::now);
        self.guard.check()?;
        self.writer.get_mut().start(self.timeout);
        let header = Header { tag, length }.encode();
        let written = self.writer.write_all(&header);
        let written = written.and_then(|()| self.writer.write_all(&payload));
        pool::recycle(payload);
        if let (Some(tap), Some(begin)) = (&mut self.tap, begin) {
            tap.sent(self.peer.party, tag, u64::from(length), begin);
        }
        written.map_err(|error| self.write_error(error))
    }

    fn flush(&mut self) -> Result<(), LinkError> {
        self.writer.get_mut().start(self.timeout);
        self.writer.flush().map_err(|error| self.write_error(error))
    }

    fn header(&mut self) -> Result<Header, LinkError> {
        self.guard.check()?;
        let begin = self.tap.as_ref().map(Tap::now);
        self.await_header()?;
        let mut bytes = [0; HEADER_BYTES];
        self.reader.get_mut().start(self.timeout.min(HEADER_TIME));
        let read = self.reader.read_exact(&mut bytes);
        read.map_err(|error| self.slow_error(error))?;
        let header = Header::decode(&bytes).ok_or_else(|| no_header(&self.peer))?;
        if let (Some(tap), Some(begin)) = (&mut self.tap, begin) {
            tap.came(header, begin);
        }
        Ok(header)
    }

    fn body(&mut self, length: usize) -> Result<Vec<u8>, LinkError> {
        let mut payload = pool::with_capacity(length);
        self.reader.get_mut().start(self.timeout);
        match (&mut self.reader).take(length as u64).read_to_end(&mut payload) {
            Ok(read) if read == length => {
                if let Some(tap) = &mut self.tap {
                    tap.read(self.peer.party);
                }
                Ok(payload)
            }
            Ok(_) => Err(LinkError::PeerDisconnected {
                peer: self.peer.clone(),
            }),
            Err(error) => Err(self.slow_error(error)),
        }
    }

    fn bind(&self, context: &[u8]) -> Result<[u8; 32], LinkError> {
        let tie = self.channel.export(context);
        tie.map_err(|source| LinkError::Io {
            peer: self.peer.clone(),
            source,
        })
    }

    fn peer_key(&self) -> Option<PublicKey> {
        self.channel.peer_key()
    }

    fn await_request(&mut self, request: bool) {
        self.request = request;
        // Without a limit of its own the peer may be at work elsewhere, and does not idle.
        self.guard.idle(request && self.idle_time.is_some());
    }

    fn last_words(&mut self) -> Option<LinkError> {
        self.guard.dismiss();
        let reason = self.find_abort(Instant::now() + LINGER)?;
        let peer = self.peer.clone();
        Some(LinkError::PeerAborted { peer, reason })
    }

    fn abort(&mut self, reason: AbortReason) {
        // Whatever ends the session must not keep this end from saying so, nor a peer that does not
        // read keep it for long.
        self.guard.dismiss();
        self.timeout = self.timeout.min(LINGER);
        let sent = self.send(Tag::abort(reason), Vec::new());
        if sent.and_then(|()| self.flush()).is_ok() {
            self.linger();
        }
    }
}
