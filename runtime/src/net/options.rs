//! How a listening party serves.

use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use super::sessions::Limits;
use crate::session::SESSION_MEMORY;

/// Connections without a proof at a time, where the system allows that many.
const UNPROVEN: usize = 256;

/// Descriptors that the process needs whatever it serves.
const DESCRIPTORS: usize = 32;

/// How a listening party serves.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// How long a peer may take for a message that brings nothing.
    pub timeout: Duration,
    /// How long hello and proof may take together.
    pub hello_timeout: Duration,
    /// Limit of the time from the client's proof to the server's, at the helper: the client may be in the
    /// server's queue meanwhile.
    pub pair_timeout: Duration,
    /// How long a client may be without a request, at the server.
    pub idle_time: Duration,
    /// How long a session may take.
    pub session_time: Duration,
    /// How long running sessions may go on after a request to stop.
    pub grace: Duration,
    /// Sessions at a time.
    pub sessions: usize,
    /// Clients that may wait for a place.
    pub queue: usize,
    /// How long they may.
    pub queue_time: Duration,
    /// Connections without a proof at a time.
    pub unproven: usize,
    /// Bytes that stock and batch of one session may take, at the server.
    pub session_memory: u64,
    /// Serve one session and return its result.
    pub once: bool,
    /// Bytes of stack of a session's own thread, besides those that compute.
    pub stack: usize,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60),
            hello_timeout: Duration::from_secs(5),
            pair_timeout: QUEUE_TIME + Duration::from_secs(20),
            idle_time: Duration::from_secs(30),
            session_time: SESSION_TIME,
            grace: Duration::from_secs(8),
            sessions: 8,
            queue: 64,
            queue_time: QUEUE_TIME,
            unproven: UNPROVEN,
            session_memory: SESSION_MEMORY,
            once: false,
            stack: 2 << 20,
        }
    }
}

/// How long a session may take, unless a party says otherwise.
pub const SESSION_TIME: Duration = Duration::from_secs(4 * 3600);

/// How long a client may wait for a place, unless a party says otherwise.
pub const QUEUE_TIME: Duration = Duration::from_secs(600);

impl ServeOptions {
    /// What the places are limited by.
    pub(super) fn limits(&self) -> Limits {
        Limits {
            places: self.places(),
            queue: self.queue,
            patience: self.queue_time,
        }
    }

    /// Those at the helper whose session's other connection may still be in a queue.
    pub(super) fn unpaired(&self) -> usize {
        self.places().saturating_add(self.queue).saturating_mul(2)
    }

    /// Sessions at a time, of `--once` one.
    pub(super) fn places(&self) -> usize {
        match self.once {
            true => 1,
            false => self.sessions,
        }
    }

    /// Connections without a proof: as many as are wanted, and few enough that the process has
    /// descriptors left for its sessions, of two connections each.
    pub(super) fn unproven(&self) -> usize {
        let descriptors = getrlimit(Resource::Nofile).current;
        let descriptors =
            descriptors.map_or(usize::MAX, |number| usize::try_from(number).unwrap_or(usize::MAX));
        let sessions = self.places().saturating_add(self.queue).saturating_mul(2);
        let left = descriptors.saturating_sub(DESCRIPTORS).saturating_sub(sessions);
        self.unproven.min(left / 2).max(8)
    }
}
