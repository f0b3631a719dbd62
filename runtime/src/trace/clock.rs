//! The stop-watch of the executor: how long phases and steps take, waiting apart.

use std::time::{Duration, Instant};

use trefoil_ir::mpc::{Phase, ValueId};

use crate::wire::Link;

/// Runs while a party is at something. It is asked for the time in any case; if the party of the
/// link is traced, it tells the recorder as well.
#[derive(Clone, Copy)]
pub struct Lap {
    begin: Instant,
    /// What the link had waited before.
    waited: Duration,
}

impl Lap {
    /// Starts now. `link` is the one that the party may wait for meanwhile.
    pub fn start(link: &dyn Link) -> Self {
        Self {
            begin: Instant::now(),
            waited: link.waited(),
        }
    }

    /// A step ends, or goes on later: the seconds that it computed.
    pub fn end_step(self, link: &dyn Link, step: ValueId, inference: u32) -> f64 {
        let took = self.begin.elapsed();
        if let Some(recorder) = link.recorder() {
            recorder.step(step, inference, self.begin);
        }
        let waited = link.waited().saturating_sub(self.waited);
        took.saturating_sub(waited).as_secs_f64()
    }

    /// A phase ends: its seconds, waiting included.
    pub fn end_phase(self, link: &dyn Link, phase: Phase, inference: u32) -> f64 {
        if let Some(recorder) = link.recorder() {
            recorder.phase(phase, inference, self.begin);
        }
        self.begin.elapsed().as_secs_f64()
    }
}
