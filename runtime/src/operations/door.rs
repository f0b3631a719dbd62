//! Who may come to the operator's address, and for how long. Nobody can tie it up: a connection is there
//! for one request, within a time, of a few bytes; and when there are too many, a newcomer takes the place
//! of the one that has been there longest, so that a probe is answered however many others wait and say
//! nothing.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Sleep;

/// What a visitor may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Connections at once.
    pub(super) connections: usize,
    /// From a connection's beginning to its end.
    pub(super) time: Duration,
    /// That it may send.
    pub(super) bytes: usize,
}

/// A listening socket that holds its visitors to the limits.
pub(super) struct Door {
    listener: TcpListener,
    limits: Limits,
    places: Arc<Semaphore>,
    /// Those inside, from the one that has been there longest. To drop one of these shows it out.
    inside: VecDeque<oneshot::Sender<()>>,
}

impl Door {
    pub(super) fn new(listener: TcpListener, limits: Limits) -> Self {
        Self {
            listener,
            limits,
            places: Arc::new(Semaphore::new(limits.connections)),
            inside: VecDeque::new(),
        }
    }

    /// A place, if need be another's. None is in the middle of anything but reading or writing, so the
    /// one that is shown out leaves as soon as its turn comes.
    async fn place(&mut self) -> OwnedSemaphorePermit {
        self.inside.retain(|one| !one.is_closed());
        if self.places.available_permits() == 0 {
            self.inside.pop_front();
        }
        let place = Arc::clone(&self.places).acquire_owned().await;
        place.expect("these places are never closed")
    }
}

impl Listener for Door {
    type Io = Visitor;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Visitor, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let place = self.place().await;
        let (held, shown_out) = oneshot::channel();
        self.inside.push_back(held);
        let visitor = Visitor {
            stream,
            limits: self.limits,
            until: Box::pin(tokio::time::sleep(self.limits.time)),
            shown_out,
            over: None,
            received: 0,
            tail: [0; 4],
            _place: place,
        };
        (visitor, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends in time.
pub(super) struct Visitor {
    stream: TcpStream,
    limits: Limits,
    until: Pin<Box<Sleep>>,
    shown_out: oneshot::Receiver<()>,
    /// Why nothing more is read or written.
    over: Option<io::ErrorKind>,
    received: usize,
    /// The last bytes of these.
    tail: [u8; 4],
    _place: OwnedSemaphorePermit,
}

impl Visitor {
    /// Whether it may stay. If so, the task is woken when it no longer may.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.over.is_none() {
            self.over = self.look(context);
        }
        self.over.map_or(Ok(()), |kind| Err(kind.into()))
    }

    fn look(&mut self, context: &mut Context<'_>) -> Option<io::ErrorKind> {
        if self.until.as_mut().poll(context).is_ready() {
            return Some(io::ErrorKind::TimedOut);
        }
        let shown_out = Pin::new(&mut self.shown_out).poll(context).is_ready();
        shown_out.then_some(io::ErrorKind::ConnectionAborted)
    }

    fn note(&mut self, new: &[u8]) {
        self.received += new.len();
        if self.received > self.limits.bytes {
            self.over = Some(io::ErrorKind::InvalidData);
        }
        for &byte in new {
            self.tail.rotate_left(1);
            self.tail[3] = byte;
        }
    }

    /// Whether a request is complete. Who then says that there will be no other one, as a pipe into `nc`
    /// does, still waits for the answer; to HTTP's reader it would seem to have left.
    fn has_asked(&self) -> bool {
        self.tail == *b"\r\n\r\n"
    }
}

impl AsyncRead for Visitor {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let new = &buffer.filled()[before..];
        if new.is_empty() && self.has_asked() {
            // The check has seen to it that this task is woken.
            return Poll::Pending;
        }
        self.note(new);
        Poll::Ready(self.check(context))
    }
}

impl AsyncWrite for Visitor {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    /// A large answer is written from where it stands, without a copy for each visitor.
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
