//! How a session is told to end, and tells that it waits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::accounts::Guest;
use crate::wire::Cause;

/// A session's place, shared between its thread and the listener's loop.
#[derive(Default)]
pub(super) struct Control {
    cause: OnceLock<Cause>,
    idle: Mutex<Option<Instant>>,
    over: AtomicBool,
    guest: Option<Arc<Guest>>,
}

impl Control {
    /// That of a session of this client's, if it is one's.
    pub(super) fn of(guest: Option<Arc<Guest>>) -> Self {
        Self {
            guest,
            ..Self::default()
        }
    }

    /// Ends the session if its client is one no more.
    pub(super) fn check_standing(&self, now: SystemTime) {
        if self
            .guest
            .as_ref()
            .is_some_and(|guest| guest.standing(now).is_err())
        {
            self.end(Cause::Revoked);
        }
    }

    /// Ends the session, unless it is ending already.
    pub(super) fn end(&self, cause: Cause) {
        let _ = self.cause.set(cause);
    }

    /// Why the session is to end, if it is.
    pub(super) fn ended(&self) -> Option<Cause> {
        self.cause.get().copied()
    }

    /// The session's thread waits for a request, or does not.
    pub(super) fn set_idle(&self, idle: bool) {
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = idle.then(Instant::now);
    }

    /// How long it has waited for a request, if it does.
    pub(super) fn idle_for(&self) -> Option<Duration> {
        let idle = *self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.map(|since| since.elapsed())
    }

    /// Gives the place back: the session is over.
    pub(super) fn leave(&self) {
        self.over.store(true, Ordering::Release);
    }

    /// Whether the session is over.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}
