//! Connections that have been told why they are given up. Closing at once could make the operating
//! system throw the reason away together with what the peer has sent, so the peer gets a moment to
//! close first; nobody waits for it meanwhile.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

use super::tcp::LINGER;
use super::tls::Channel;
use crate::wire::frame::frame;
use crate::wire::{AbortReason, Tag};

/// How many have that moment at a time, where the system allows that many.
const MOST: usize = 64;

/// What is read of a connection at a time, and forgotten.
const FORGOTTEN: usize = 16 << 10;

/// The connections on their way out, in the order in which they will be closed.
pub(super) struct Leaving {
    queue: VecDeque<(Instant, Arc<Channel>)>,
    most: usize,
}

impl Leaving {
    /// None yet, and not more than so many.
    pub(super) fn new(most: usize) -> Self {
        Self {
            queue: VecDeque::new(),
            most: most.min(MOST),
        }
    }

    /// Sends a refusal, if there is one, and the reason, and nothing more. What does not fit into the
    /// system's buffer is not sent.
    pub(super) fn dismiss(&mut self, channel: Arc<Channel>, refusal: Option<&[u8]>, reason: AbortReason) {
        let mut bytes = refusal.unwrap_or_default().to_vec();
        bytes.extend(frame(Tag::abort(reason), &[]));
        let told = channel.socket().set_nonblocking(true);
        let told = told.and_then(|()| match channel.is_open() {
            true => (&*channel).write_all(&bytes),
            // Of a handshake that failed the alert is under way.
            false => Ok(()),
        });
        if told.and_then(|()| channel.close()).is_ok() {
            self.queue.push_back((Instant::now() + LINGER, channel));
        }
        if self.queue.len() > self.most {
            self.close_oldest();
        }
    }

    /// Closes the one that has been leaving for longest; `false` if there is none.
    pub(super) fn close_oldest(&mut self) -> bool {
        self.queue.pop_front().is_some()
    }

    /// Whether none is left.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Closes those that have closed, and those whose moment is over.
    pub(super) fn tidy(&mut self) {
        let now = Instant::now();
        self.queue
            .retain(|(until, channel)| *until > now && !has_closed(channel.socket()));
    }
}

/// Reads a little; whether the peer has closed.
fn has_closed(mut stream: &TcpStream) -> bool {
    match stream.read(&mut [0; FORGOTTEN]) {
        Ok(bytes) => bytes == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}
