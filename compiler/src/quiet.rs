//! Calls into tract, which panics on some files. Such a panic is caught and becomes an error, so that
//! the panic hook may keep silent about it.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local!(static GUARDED: Cell<bool> = const { Cell::new(false) });

/// Whether this thread is in a call whose panics are expected.
pub fn is_guarded() -> bool {
    GUARDED.get()
}

/// Calls a function; none if it panics.
pub(crate) fn guarded<R>(call: impl FnOnce() -> R) -> Option<R> {
    GUARDED.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(call));
    GUARDED.set(false);
    outcome.ok()
}
