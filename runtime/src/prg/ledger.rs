//! The ledger of streams handed out: debug builds stop where one would be used twice.
//!
//! Release builds keep none: there the protocol's structure (a step draws each purpose once, an
//! inference number is burnt before the first message) is what holds, and tests of debug builds
//! are what shows it.

use super::Purpose;

#[cfg(debug_assertions)]
use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The streams that one party has drawn from one key.
#[derive(Default)]
pub(super) struct StreamLedger {
    #[cfg(debug_assertions)]
    used: Mutex<HashSet<(u32, u32, Purpose)>>,
}

#[cfg(debug_assertions)]
impl StreamLedger {
    /// Notes that a stream is handed out for the first time.
    ///
    /// # Panics
    /// If it was handed out before.
    pub(super) fn first(&self, inference: u32, step: u32, purpose: Purpose) {
        let new = self.lock().insert((inference, step, purpose));
        assert!(
            new,
            "the stream (inference {inference}, step {step}, {purpose:?}) was already handed out: \
             a mask used twice hides nothing; give the second use a purpose or a step of its own"
        );
    }

    /// Checks that a stream about to be regenerated was handed out before.
    ///
    /// # Panics
    /// If it was not.
    pub(super) fn again(&self, inference: u32, step: u32, purpose: Purpose) {
        assert!(
            self.lock().contains(&(inference, step, purpose)),
            "the stream (inference {inference}, step {step}, {purpose:?}) is to be replayed but \
             was never handed out: its first use is a call of `stream`"
        );
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<(u32, u32, Purpose)>> {
        // A panic under the lock is the ledger's own: the set itself is whole.
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(not(debug_assertions))]
impl StreamLedger {
    pub(super) fn first(&self, _inference: u32, _step: u32, _purpose: Purpose) {}

    pub(super) fn again(&self, _inference: u32, _step: u32, _purpose: Purpose) {}
}
