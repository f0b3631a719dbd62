//! The stop-watch of the executor: how long phases and steps take, waiting apart.

use std::cell::Cell;
use std::time::{Duration, Instant};

use trefoil_ir::mpc::{Phase, ValueId};

use super::Recorder;

/// A party's stop-watch. The party asks for the time in any case; if it is traced, the recorder is
/// told as well.
#[derive(Clone, Default)]
pub struct StopWatch {
    recorder: Option<Recorder>,
}

/// Runs while the party is at something.
pub struct Lap<'a> {
    watch: &'a StopWatch,
    begin: Instant,
    waited: Cell<Duration>,
}

impl StopWatch {
    /// A watch that tells this recorder, the party's own, what was done when.
    pub fn new(recorder: Option<Recorder>) -> Self {
        Self { recorder }
    }

    /// Starts a lap now.
    pub fn start(&self) -> Lap<'_> {
        Lap {
            watch: self,
            begin: Instant::now(),
            waited: Cell::default(),
        }
    }
}

impl Lap<'_> {
    /// Waits for another party, which is no work of this one's.
    pub fn wait<T>(&self, wait: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let waited_for = wait();
        self.waited.set(self.waited.get() + begin.elapsed());
        waited_for
    }

    /// A step ends, or goes on later: the seconds that it computed.
    pub fn end_step(&self, step: ValueId, inference: u32) -> f64 {
        let took = self.begin.elapsed();
        if let Some(recorder) = &self.watch.recorder {
            recorder.step(step, inference, self.begin);
        }
        took.saturating_sub(self.waited.get()).as_secs_f64()
    }

    /// A phase ends: its seconds, waiting included.
    pub fn end_phase(&self, phase: Phase, inference: u32) -> f64 {
        if let Some(recorder) = &self.watch.recorder {
            recorder.phase(phase, inference, self.begin);
        }
        self.begin.elapsed().as_secs_f64()
    }
}
