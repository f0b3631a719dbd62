//! Accepting connections, each in a thread of its own, until a stop is requested.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use super::address::loopback;
use super::error::NetError;
use super::stop::Stop;
use super::tcp::TcpLink;
use crate::session::{SESSION_MEMORY, SessionError};
use crate::wire::{AbortReason, Link};

/// How often the listener looks for connections, results and signals.
const TICK: Duration = Duration::from_millis(10);

/// How long a connection waits for a place before it is turned away.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long running sessions may go on after a request to stop.
const GRACE: Duration = Duration::from_secs(2);

/// How a listening party serves.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Limit of every single wait for a peer.
    pub timeout: Duration,
    /// Limit of the time from a connection to its hello.
    pub hello_timeout: Duration,
    /// Limit of the time from one party's hello to the other's, at the helper.
    pub pair_timeout: Duration,
    /// Sessions at a time.
    pub sessions: usize,
    /// Bytes that stock and batch of one session may take, at the server.
    pub session_memory: u64,
    /// Serve one session and return its result.
    pub once: bool,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60),
            hello_timeout: Duration::from_secs(5),
            pair_timeout: Duration::from_secs(20),
            sessions: 8,
            session_memory: SESSION_MEMORY,
            once: false,
        }
    }
}

/// What a connection came to.
pub(super) enum Outcome {
    /// It is none of a session's: closed without a byte, or handed on.
    Nothing,
    /// Its session ended, after so many images.
    Ended(Result<u32, SessionError>),
}

/// A bound socket.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds a loopback address; port 0 takes any that is free.
    ///
    /// # Errors
    /// If the address is not loopback or cannot be bound.
    pub fn bind(address: &str) -> Result<Self, NetError> {
        let address = loopback(address)?;
        let socket = TcpListener::bind(address).map_err(|source| NetError::Listen { address, source })?;
        // The accept loop must see signals, too.
        socket.set_nonblocking(true).map_err(NetError::Socket)?;
        let address = socket.local_addr().map_err(NetError::Socket)?;
        Ok(Self { socket, address })
    }

    /// The address, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn accept(&self) -> Result<Option<(TcpStream, SocketAddr)>, NetError> {
        match self.socket.accept() {
            Ok(accepted) => Ok(Some(accepted)),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {
                    Ok(None)
                }
                _ => {
                    // Out of file descriptors, say: others may be closed meanwhile.
                    thread::sleep(TICK * 10);
                    Err(NetError::Socket(error))
                }
            },
        }
    }
}

/// A listener at work.
pub(super) struct Service<'a, H> {
    /// Where connections come from.
    pub(super) listener: &'a Listener,
    /// How to serve.
    pub(super) options: &'a ServeOptions,
    /// Connections of one session.
    pub(super) per_session: usize,
    /// Ends the service.
    pub(super) stop: &'a Stop,
    /// Takes a line for people to read.
    pub(super) log: &'a (dyn Fn(String) + Sync),
    /// Runs a connection, in a thread of its own.
    pub(super) handle: H,
}

impl<H: Fn(TcpLink) -> Outcome + Sync> Service<'_, H> {
    /// Accepts until a stop is requested, or the one session of `once` is over. `tick` is called
    /// regularly and returns what has failed outside of any thread.
    pub(super) fn run(&self, mut tick: impl FnMut() -> Vec<SessionError>) -> Result<(), NetError> {
        let connections = Arc::new(Connections::new(self.limit()));
        thread::scope(|scope| {
            let (outcomes, results) = channel();
            let result = loop {
                if self.stop.requested() {
                    break if self.options.once {
                        Err(NetError::Stopped)
                    } else {
                        Ok(())
                    };
                }
                // Of a single session the rest waits in the operating system's queue.
                let waits = self.options.once && connections.count() >= self.limit();
                if let Some((stream, peer)) = if waits { None } else { self.accept() } {
                    self.start(scope, stream, peer, &connections, &outcomes);
                    continue;
                }
                let ended = results.try_iter().chain(tick().into_iter().map(Err));
                if let Some(result) = self.settle(ended.collect()) {
                    break result;
                }
                thread::sleep(TICK);
            };
            connections.finish(if self.options.once { Duration::ZERO } else { GRACE });
            result
        })
    }

    fn limit(&self) -> usize {
        let sessions = if self.options.once {
            1
        } else {
            self.options.sessions
        };
        sessions.saturating_mul(self.per_session)
    }

    fn accept(&self) -> Option<(TcpStream, SocketAddr)> {
        self.listener.accept().unwrap_or_else(|error| {
            (self.log)(sentence(&error));
            None
        })
    }

    fn start<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        stream: TcpStream,
        peer: SocketAddr,
        connections: &Arc<Connections>,
        outcomes: &Sender<Result<u32, SessionError>>,
    ) {
        let slot = Connections::enter(connections, &stream);
        // A connection that fails as early as this has nobody to tell.
        let Ok(mut link) = TcpLink::new(stream, None, peer, self.options.timeout) else {
            return;
        };
        let (outcomes, connections) = (outcomes.clone(), Arc::clone(connections));
        scope.spawn(move || {
            let slot = slot.or_else(|| Connections::enter_soon(&connections, link.stream()));
            let Some(slot) = slot else {
                return link.abort(AbortReason::Busy);
            };
            let mut link = link.with_slot(slot);
            link.limit_all(self.options.hello_timeout);
            if let Outcome::Ended(result) = (self.handle)(link) {
                // The loop may have ended already, with another result.
                let _ = outcomes.send(result);
            }
        });
    }

    /// Logs failures; returns the result of the one session of `once`.
    fn settle(&self, ended: Vec<Result<u32, SessionError>>) -> Option<Result<(), NetError>> {
        if self.options.once {
            let first = ended.into_iter().next()?;
            return Some(
                first
                    .map(drop)
                    .map_err(|error| NetError::Session(Box::new(error))),
            );
        }
        for error in ended.iter().filter_map(|ended| ended.as_ref().err()) {
            (self.log)(format!("a session failed: {}", sentence(error)));
        }
        None
    }
}

/// An error and its causes, as one line.
pub fn sentence(error: &dyn Error) -> String {
    crate::terminal::print::chain(error)
}

/// The open connections of a listener.
pub(super) struct Connections {
    open: Mutex<HashMap<u64, TcpStream>>,
    /// Number of the next connection.
    next: AtomicU64,
    limit: usize,
}

impl Connections {
    fn new(limit: usize) -> Self {
        Self {
            open: Mutex::default(),
            next: AtomicU64::new(0),
            limit,
        }
    }

    /// A place for a connection, if there is one left.
    fn enter(connections: &Arc<Self>, stream: &TcpStream) -> Option<Slot> {
        let mut open = connections.lock();
        if open.len() >= connections.limit {
            return None;
        }
        let number = connections.next.fetch_add(1, Ordering::Relaxed);
        open.insert(number, stream.try_clone().ok()?);
        Some(Slot {
            connections: Arc::clone(connections),
            number,
        })
    }

    /// The same with a little patience: a client that comes right after another one should find
    /// that one's place.
    fn enter_soon(connections: &Arc<Self>, stream: &TcpStream) -> Option<Slot> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            thread::sleep(TICK);
            if let Some(slot) = Self::enter(connections, stream) {
                return Some(slot);
            }
        }
        None
    }

    fn count(&self) -> usize {
        self.lock().len()
    }

    /// Waits for the connections to end, then ends them.
    fn finish(&self, grace: Duration) {
        let start = Instant::now();
        while self.count() > 0 && start.elapsed() < grace {
            thread::sleep(TICK);
        }
        for stream in self.lock().values() {
            // Threads that wait for this peer wake up with an error.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, TcpStream>> {
        // No update leaves the map half done, so a panic elsewhere has not harmed it.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place, free again when it is dropped.
pub(super) struct Slot {
    connections: Arc<Connections>,
    number: u64,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.connections.lock().remove(&self.number);
    }
}
