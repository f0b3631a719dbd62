//! What a listening party says to what a client asks for, and what it is told of what was done.

use trefoil_ir::mpc::Phase;

use super::Record;
use crate::wire::AbortReason;

/// Looks after a session at server or helper.
pub trait Overseer {
    /// Asked before inferences are prepared, or run: whether the client may have them.
    ///
    /// # Errors
    /// If it may not.
    fn allow(&mut self, phase: Phase, inferences: u32) -> Result<(), Denied>;

    /// Told of what was prepared, or run.
    fn done(&mut self, record: Record);

    /// Told how many inferences are in stock, and their bytes, whenever that changes.
    fn stock(&mut self, _inferences: u32, _bytes: u64) {}
}

/// Whoever only listens allows everything.
impl<F: FnMut(Record)> Overseer for F {
    fn allow(&mut self, _phase: Phase, _inferences: u32) -> Result<(), Denied> {
        Ok(())
    }

    fn done(&mut self, record: Record) {
        self(record);
    }
}

/// A client may not have what it asks for.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct Denied {
    /// The sentence for this party's own log.
    pub why: String,
    /// What the other parties are told.
    pub reason: AbortReason,
}
