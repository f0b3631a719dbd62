//! Requests to stop, or to read plans and clients again, made by a signal or by another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::error::NetError;

/// Set once and seen by all that hold a clone.
#[derive(Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Set by SIGTERM and SIGINT. A second signal ends the process at once, in case the first is
    /// not followed.
    ///
    /// # Errors
    /// If the operating system does not allow it.
    pub fn on_signals() -> Result<Self, NetError> {
        let stop = Self::default();
        for signal in [SIGTERM, SIGINT] {
            let exit = signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop.0));
            let set = exit.and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop.0)));
            set.map_err(NetError::Signals)?;
        }
        Ok(stop)
    }

    /// Asks to stop.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether a stop was asked for.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How often it is looked for a request to reload.
const LOOK: Duration = Duration::from_millis(100);

/// A request to read plans and clients again.
#[derive(Clone, Default)]
pub struct Reload(Arc<AtomicBool>);

impl Reload {
    /// Made by SIGHUP.
    ///
    /// # Errors
    /// If the operating system does not allow it.
    pub fn on_signal() -> Result<Self, NetError> {
        let reload = Self::default();
        let set = signal_hook::flag::register(SIGHUP, Arc::clone(&reload.0));
        set.map_err(NetError::Signals)?;
        Ok(reload)
    }

    /// Does `act` whenever it is asked for, until `stop` is.
    pub fn follow(&self, stop: &Stop, mut act: impl FnMut()) {
        while !stop.requested() {
            match self.0.swap(false, Ordering::Relaxed) {
                true => act(),
                false => thread::sleep(LOOK),
            }
        }
    }
}
