//! A TCP connection as a link: buffered, without Nagle's delay, every wait limited.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use trefoil_ir::mpc::Party;

use super::listen::Slot;
use crate::pool;
use crate::wire::frame::HEADER_BYTES;
use crate::wire::link::frame_length;
use crate::wire::{AbortReason, FrameKind, Header, Link, LinkError, Peer, Tag};

const BUFFER: usize = 1 << 16;

/// How long an end that gives up waits for the peer to read why. Closing at once could make the
/// operating system throw the reason away, together with whatever of the peer's was not yet read.
const LINGER: Duration = Duration::from_millis(500);

/// One end of a TCP connection.
pub struct TcpLink {
    reader: BufReader<TcpStream>,
    writer: BufWriter<TcpStream>,
    peer: Peer,
    timeout: Duration,
    /// Until when all that is received must have come, and how long that was from its start.
    deadline: Option<(Instant, Duration)>,
    /// Its place among the connections of a listener.
    slot: Option<Slot>,
}

impl TcpLink {
    /// Wraps a connection. `timeout` limits every single wait for the peer.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub fn new(
        stream: TcpStream,
        party: Option<Party>,
        address: SocketAddr,
        timeout: Duration,
    ) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        Ok(Self {
            reader: BufReader::with_capacity(BUFFER, stream.try_clone()?),
            writer: BufWriter::with_capacity(BUFFER, stream),
            peer: Peer {
                party,
                address: Some(address),
            },
            timeout,
            deadline: None,
            slot: None,
        })
    }

    /// Gives the connection its place among those of a listener, for as long as it lives.
    #[must_use]
    pub(super) fn with_slot(mut self, slot: Slot) -> Self {
        self.slot = Some(slot);
        self
    }

    /// The connection itself.
    pub(super) fn stream(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    /// From now on all that is received must have come within this time altogether: a peer that
    /// sends a byte now and then must not hold a place without a session.
    pub fn limit_all(&mut self, time: Duration) {
        self.deadline = Some((Instant::now() + time, time));
    }

    /// From now on each read alone is limited, by the timeout.
    pub fn limit_each(&mut self) {
        self.deadline = None;
        // On failure the last timeout stays, which is a shorter one.
        let _ = self.reader.get_ref().set_read_timeout(Some(self.timeout));
    }

    /// Says who is at the other end, for errors.
    pub fn set_party(&mut self, party: Party) {
        self.peer.party = Some(party);
    }

    /// Waits for the first byte; `false` if the peer closes without one.
    ///
    /// # Errors
    /// If none comes in time.
    pub(super) fn begins(&mut self) -> Result<bool, LinkError> {
        let mut reader = Limited::new(&mut self.reader, self.deadline);
        match reader.fill() {
            Ok(bytes) => Ok(bytes > 0),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(false),
            Err(error) => Err(self.read_error(error)),
        }
    }

    fn read_error(&self, error: io::Error) -> LinkError {
        let limit = "check that it still runs, or raise --timeout where it has more to compute";
        self.error(error, "send", limit)
    }

    fn write_error(&mut self, error: io::Error) -> LinkError {
        let error = self.error(
            error,
            "read",
            "check that it still runs, or raise --timeout where the network is slow",
        );
        match error {
            LinkError::PeerDisconnected { .. } => self.last_words().unwrap_or(error),
            _ => error,
        }
    }

    fn error(&self, source: io::Error, doing: &'static str, remedy: &'static str) -> LinkError {
        use io::ErrorKind as Kind;
        let peer = self.peer.clone();
        match source.kind() {
            Kind::WouldBlock | Kind::TimedOut => LinkError::Timeout {
                peer,
                doing,
                seconds: self.deadline.map_or(self.timeout, |(_, time)| time).as_secs_f64(),
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

    /// Why a peer that reads no more is gone: what it said before, if it said so.
    fn last_words(&mut self) -> Option<LinkError> {
        self.limit_all(LINGER);
        loop {
            let header = self.header().ok()?;
            if header.tag.kind == FrameKind::Abort {
                return Some(LinkError::PeerAborted {
                    peer: self.peer.clone(),
                    reason: AbortReason::from_code(header.tag.step),
                });
            }
            let mut rest = Limited::new(&mut self.reader, self.deadline).take(header.length.into());
            io::copy(&mut rest, &mut io::sink()).ok()?;
        }
    }

    /// Waits a moment for the peer to close, reading and forgetting what it had sent.
    fn linger(&mut self) {
        let until = Instant::now() + LINGER;
        let stream = self.reader.get_mut();
        let _ = stream.shutdown(Shutdown::Write);
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
        let header = Header { tag, length }.encode();
        let written = self.writer.write_all(&header);
        let written = written.and_then(|()| self.writer.write_all(&payload));
        pool::recycle(payload);
        written.map_err(|error| self.write_error(error))
    }

    fn flush(&mut self) -> Result<(), LinkError> {
        self.writer.flush().map_err(|error| self.write_error(error))
    }

    fn header(&mut self) -> Result<Header, LinkError> {
        let mut bytes = [0; HEADER_BYTES];
        let read = Limited::new(&mut self.reader, self.deadline).read_exact(&mut bytes);
        read.map_err(|error| self.read_error(error))?;
        Header::decode(&bytes).ok_or_else(|| LinkError::PeerMisbehaved {
            peer: self.peer.clone(),
            expected: "a message of this program".into(),
            got: "something else".into(),
        })
    }

    fn body(&mut self, length: usize) -> Result<Vec<u8>, LinkError> {
        let mut payload = pool::with_capacity(length);
        let limited = Limited::new(&mut self.reader, self.deadline);
        match limited.take(length as u64).read_to_end(&mut payload) {
            Ok(read) if read == length => Ok(payload),
            Ok(_) => Err(LinkError::PeerDisconnected {
                peer: self.peer.clone(),
            }),
            Err(error) => Err(self.read_error(error)),
        }
    }

    fn be_patient(&mut self, times: u32) {
        // Beyond any measure of patience there is none: a year is enough.
        let longest = Duration::from_secs(365 * 24 * 3600);
        let timeout = self.timeout.saturating_mul(times.max(1)).min(longest);
        // On failure the last timeout stays.
        let _ = self.reader.get_ref().set_read_timeout(Some(timeout));
    }

    fn abort(&mut self, reason: AbortReason) {
        let sent = self.send(Tag::abort(reason), Vec::new());
        if sent.and_then(|()| self.flush()).is_ok() {
            self.linger();
        }
    }
}

/// A reader that keeps a deadline across many reads.
struct Limited<'a> {
    reader: &'a mut BufReader<TcpStream>,
    deadline: Option<(Instant, Duration)>,
}

impl<'a> Limited<'a> {
    fn new(reader: &'a mut BufReader<TcpStream>, deadline: Option<(Instant, Duration)>) -> Self {
        Self { reader, deadline }
    }

    fn fill(&mut self) -> io::Result<usize> {
        use std::io::BufRead;
        self.limit()?;
        self.reader.fill_buf().map(<[u8]>::len)
    }

    fn limit(&self) -> io::Result<()> {
        let Some((deadline, _)) = self.deadline else {
            return Ok(());
        };
        match deadline.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            left => self.reader.get_ref().set_read_timeout(Some(left)),
        }
    }
}

impl Read for Limited<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.limit()?;
        self.reader.read(buffer)
    }
}
