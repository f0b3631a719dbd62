//! Connections whose openers have not yet shown a key that is known, nor proved that they hold a plan. They
//! cost a socket and some ten thousand bytes each, no thread and no place of a session; the listener's own
//! loop reads what they send. Nobody can fill the pool against others: when it is full, a newcomer takes the place of one
//! of those who have most of it.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use trefoil_ir::mpc::Party;

use super::tls::{Channel, Known, Purpose, TlsFault};
use crate::keys::PublicKey;
use crate::session::{Far, Greeting, Hosts, Proven, SessionError, Step};
use rustls::ServerConfig;

use crate::wire::frame::{HEADER_BYTES, frame};
use crate::wire::link::{no_header, refuse_abort, unexpected};
use crate::wire::{Header, LinkError, Peer};

/// The pool of connections that have not proved who they are.
pub(super) struct Unproven {
    /// In the order in which they came.
    pool: Vec<Candidate>,
    most: usize,
    /// How long hello and proof may take.
    time: Duration,
}

/// What a connection came to.
pub(super) enum Verdict {
    /// It was closed without a byte.
    Nothing,
    /// Its opener holds its plan.
    Proven(Box<Arrival>),
    /// Its opener wants to look, and may.
    Probe(Box<Channel>, SocketAddr, Party),
    /// It failed, or said what it must not.
    Failed(Box<Failed>),
}

/// A connection that is somebody's.
pub(super) struct Arrival {
    /// The connection.
    pub(super) channel: Channel,
    /// Its other end.
    pub(super) peer: SocketAddr,
    /// The key of its opener.
    pub(super) key: PublicKey,
    /// What the handshake came to.
    pub(super) proven: Proven,
}

/// What this end is to those who come.
pub(super) struct Reception<'a> {
    /// Its plans.
    pub(super) hosts: &'a dyn Hosts,
    /// Whose keys it takes.
    pub(super) known: &'a dyn Known,
}

/// A connection that failed before its proof.
pub(super) struct Failed {
    /// Where it stands, to be told the reason.
    pub(super) channel: Channel,
    /// Its other end.
    pub(super) peer: SocketAddr,
    /// A frame that says more than the reason.
    pub(super) refusal: Option<Vec<u8>>,
    /// Why it failed.
    pub(super) error: SessionError,
    /// Whether it has ever sent anything.
    pub(super) spoke: bool,
}

impl Unproven {
    /// A pool of so many connections, each for this time.
    pub(super) fn new(most: usize, time: Duration) -> Self {
        Self {
            pool: Vec::new(),
            most: most.max(1),
            time,
        }
    }

    /// Takes a connection; returns the address of the one that had to go for it.
    ///
    /// # Errors
    /// If the connection has failed already.
    pub(super) fn enter(
        &mut self,
        stream: TcpStream,
        peer: SocketAddr,
        tls: &Arc<ServerConfig>,
    ) -> io::Result<Option<SocketAddr>> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let channel = Channel::answerer(stream, tls)?;
        let dropped = (self.pool.len() >= self.most).then(|| self.drop_one()).flatten();
        self.pool.push(Candidate::new(channel, peer));
        Ok(dropped)
    }

    /// How many there may be.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Drops a connection: one of those who have shown as much as most of them have ([`Standing`]), so that
    /// nobody can push out others by showing less than they. Of these it is one from the address that
    /// holds most, and of these the oldest.
    pub(super) fn drop_one(&mut self) -> Option<SocketAddr> {
        let mut standings = [0_usize; Standing::ALL.len()];
        for one in &self.pool {
            standings[one.standing() as usize] += 1;
        }
        let count = |standing: &Standing| standings[*standing as usize];
        let fullest = Standing::ALL
            .into_iter()
            .rev()
            .max_by_key(count)
            .filter(|standing| count(standing) > 0)?;
        let mut held: HashMap<IpAddr, usize> = HashMap::new();
        for one in self.pool.iter().filter(|one| one.standing() == fullest) {
            *held.entry(origin(one.address)).or_default() += 1;
        }
        let most = held.values().copied().max()?;
        let victim = self
            .pool
            .iter()
            .position(|one| one.standing() == fullest && held.get(&origin(one.address)) == Some(&most))?;
        Some(self.pool.remove(victim).address)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.pool.len()
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.pool.is_empty()
    }

    /// The connections, in order.
    pub(super) fn streams(&self) -> impl Iterator<Item = &TcpStream> {
        self.pool.iter().map(|one| one.channel.socket())
    }

    /// Reads those that are ready, in the order of [`streams`](Self::streams), and looks at the clock
    /// for all.
    pub(super) fn advance(&mut self, ready: &[bool], reception: &Reception<'_>) -> Vec<Verdict> {
        let mut ready = ready.iter().copied();
        let mut ends = Vec::new();
        let time = self.time;
        let over = self.pool.extract_if(.., |one| {
            let mut end = ready
                .next()
                .unwrap_or(false)
                .then(|| one.read(reception))
                .flatten();
            if end.is_none() && one.since.elapsed() >= time {
                end = Some(Err((None, one.late(time))));
            }
            let is_over = end.is_some();
            ends.extend(end);
            is_over
        });
        let over: Vec<Candidate> = over.collect();
        over.into_iter()
            .zip(ends)
            .map(|(one, end)| one.end(end))
            .collect()
    }

    /// Takes out all.
    pub(super) fn close(&mut self) -> Vec<Channel> {
        self.pool.drain(..).map(|one| one.channel).collect()
    }
}

/// What addresses count as one: of IPv6 a network, which costs nobody more than an address.
pub(super) fn origin(address: SocketAddr) -> IpAddr {
    match address.ip().to_canonical() {
        IpAddr::V6(ip) if !ip.is_loopback() => {
            let network = u128::from(ip) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(network))
        }
        ip => ip,
    }
}

/// What a connection has shown so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Nothing: it costs its opener a packet.
    Silent,
    /// The beginning of a handshake.
    Begun,
    /// A key that is known, and that its opener has.
    Known,
}

impl Standing {
    const ALL: [Self; 3] = [Self::Silent, Self::Begun, Self::Known];
}

/// A connection that has not proved who it is.
struct Candidate {
    channel: Channel,
    address: SocketAddr,
    since: Instant,
    /// The key that it has shown, and whose it is.
    key: Option<(PublicKey, Party)>,
    greeting: Greeting,
    /// The header of the frame that is coming, once it is there.
    header: Option<Header>,
    /// The part of the next header or payload that has come.
    bytes: Vec<u8>,
    /// Whether any part of a handshake has come.
    begun: bool,
    spoke: bool,
}

/// A frame to be sent, if there is one, and why the connection ends.
type Failure = (Option<Vec<u8>>, Option<Box<SessionError>>);

/// How the reading of a connection ended.
type End = Result<Came, Failure>;

/// What a connection is, once it is somebody's.
enum Came {
    /// One of a session.
    Proven(PublicKey, Box<Proven>),
    /// One to look through.
    Probe(Party),
}

impl Candidate {
    fn new(channel: Channel, address: SocketAddr) -> Self {
        Self {
            channel,
            key: None,
            address,
            since: Instant::now(),
            greeting: Greeting::default(),
            header: None,
            bytes: Vec::new(),
            begun: false,
            spoke: false,
        }
    }

    fn standing(&self) -> Standing {
        match self.begun {
            false => Standing::Silent,
            // Only who has a key that is known comes through the handshake.
            true if self.channel.is_open() => Standing::Known,
            true => Standing::Begun,
        }
    }

    fn peer(&self) -> Peer {
        Peer {
            party: self.key.map(|(_, party)| party),
            address: Some(self.address),
        }
    }

    /// Reads what has come; `None` if more is due.
    fn read(&mut self, reception: &Reception<'_>) -> Option<End> {
        loop {
            match self.fill(reception) {
                Ok(true) => {}
                Ok(false) => return self.look(reception),
                Err(failure) => return Some(Err(failure)),
            }
            match self.take(reception) {
                Ok(None) => {}
                Ok(Some(proven)) => return self.key.map(|(key, _)| Ok(Came::Proven(key, proven))),
                Err(failure) => return Some(Err(failure)),
            }
        }
    }

    /// Whether this is one to look through, on which nothing is read here.
    fn look(&self, reception: &Reception<'_>) -> Option<End> {
        if self.channel.purpose() != Some(Purpose::Probe) || !self.channel.is_open() {
            return None;
        }
        let key = self.channel.peer_key()?;
        Some(Ok(Came::Probe(reception.known.role_of(&key)?)))
    }

    /// Reads on in the header or payload that is coming and no further, since what follows the proof
    /// is another's to read; whether it is whole.
    fn fill(&mut self, reception: &Reception<'_>) -> Result<bool, Failure> {
        if self.header.is_none() && self.bytes.is_empty() && !self.shake(reception)? {
            return Ok(false);
        }
        let whole = self.header.map_or(HEADER_BYTES, |header| header.length as usize);
        while self.bytes.len() < whole {
            let mut buffer = [0; 256];
            let wanted = (whole - self.bytes.len()).min(buffer.len());
            match (&self.channel).read(&mut buffer[..wanted]) {
                Ok(0) => return Err(self.closed()),
                Ok(read) => {
                    self.spoke = true;
                    self.bytes.extend_from_slice(&buffer[..read]);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(false),
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::InvalidData => return Err(self.broken(error)),
                    _ => return Err(self.closed()),
                },
            }
        }
        Ok(true)
    }

    /// Goes on with the handshake, of which a part has come; whether it is over, and the connection one of a
    /// session.
    fn shake(&mut self, reception: &Reception<'_>) -> Result<bool, Failure> {
        self.begun = true;
        match self.channel.shake_on() {
            Ok(true) => {
                self.look_up(reception);
                Ok(self.channel.purpose() != Some(Purpose::Probe))
            }
            Ok(false) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(self.broken(error)),
            Err(_) => Err(self.closed()),
        }
    }

    /// Whose the key is that the opener has shown.
    fn look_up(&mut self, reception: &Reception<'_>) {
        let key = self.channel.peer_key();
        self.key = key.and_then(|key| Some((key, reception.known.role_of(&key)?)));
    }

    /// The peer has closed the connection.
    fn closed(&self) -> Failure {
        let peer = self.peer();
        let error = self
            .spoke
            .then(|| self.error(LinkError::PeerDisconnected { peer }));
        (None, error)
    }

    /// What the peer has sent is no TLS, or none that this end takes.
    fn broken(&mut self, source: io::Error) -> Failure {
        self.spoke = true;
        let peer = self.peer();
        let source = match TlsFault::of(&source) {
            Some(fault) => fault.clone().answered().into(),
            None => source,
        };
        (None, Some(self.error(LinkError::Io { peer, source })))
    }

    /// Goes on with a whole header or payload.
    fn take(&mut self, reception: &Reception<'_>) -> Result<Option<Box<Proven>>, Failure> {
        let bytes = std::mem::take(&mut self.bytes);
        match self.header.take() {
            None => {
                let header = self.check(&bytes);
                self.header = Some(header.map_err(|error| (None, Some(self.error(error))))?);
                Ok(None)
            }
            Some(_) => self.step(reception, &bytes),
        }
    }

    fn check(&self, bytes: &[u8]) -> Result<Header, LinkError> {
        let peer = self.peer();
        let header = bytes.try_into().ok().and_then(Header::decode);
        let header = header.ok_or_else(|| no_header(&peer))?;
        refuse_abort(&peer, &header)?;
        let (tag, length) = self.greeting.expects();
        if header.tag != tag || header.length as usize != length {
            return Err(unexpected(&peer, &header, format!("{tag} with {length} bytes")));
        }
        Ok(header)
    }

    fn step(&mut self, reception: &Reception<'_>, payload: &[u8]) -> Result<Option<Box<Proven>>, Failure> {
        // The check of keys took it; who has been struck off since then is nobody.
        self.look_up(reception);
        let peer = self.peer();
        if self.key.is_none() || self.channel.purpose() != Some(Purpose::Session) {
            let stranger = SessionError::Unknown { peer };
            return Err((None, Some(Box::new(stranger))));
        }
        let bind = |context: &[u8]| {
            let tie = self.channel.export(context);
            tie.map_err(|source| LinkError::Io {
                peer: peer.clone(),
                source,
            })
        };
        let far = Far {
            peer: &peer,
            key: self.key,
            bind: &bind,
        };
        let step = self.greeting.take(reception.hosts, payload, &far);
        match step.map_err(|error| (None, Some(Box::new(error))))? {
            Step::Answer(tag, payload) => {
                // A socket that has taken next to nothing yet takes this, or is dead.
                let sent = (&self.channel).write_all(&frame(tag, &payload));
                sent.map(|()| None).map_err(|_| self.closed())
            }
            Step::Refuse(tag, payload, error) => Err((Some(frame(tag, &payload)), Some(Box::new(error)))),
            Step::Proven(proven) => Ok(Some(Box::new(proven))),
        }
    }

    fn late(&self, time: Duration) -> Option<Box<SessionError>> {
        Some(self.error(LinkError::Timeout {
            peer: self.peer(),
            doing: "send",
            seconds: time.as_secs_f64(),
            remedy: "check that it runs, and that nothing else connects to this port",
        }))
    }

    fn error(&self, source: LinkError) -> Box<SessionError> {
        let peer = self.peer();
        Box::new(SessionError::Handshake { peer, source })
    }

    fn end(self, end: End) -> Verdict {
        let Candidate {
            channel,
            address: peer,
            spoke,
            ..
        } = self;
        match end {
            Ok(Came::Probe(opener)) => Verdict::Probe(Box::new(channel), peer, opener),
            Ok(Came::Proven(key, proven)) => Verdict::Proven(Box::new(Arrival {
                channel,
                peer,
                key,
                proven: *proven,
            })),
            Err((_, None)) => Verdict::Nothing,
            Err((refusal, Some(error))) => Verdict::Failed(Box::new(Failed {
                channel,
                peer,
                refusal,
                error: *error,
                spoke,
            })),
        }
    }
}
