//! Time on a link: the machine's clock, or one that a test moves.

use std::time::{Duration, Instant};
use std::{hint, thread};

/// A clock that can be waited for; tests have one that they move themselves.
pub trait Clock: Send {
    /// Time since its beginning. Both ends of a connection read one clock.
    fn now(&self) -> Duration;

    /// Returns at this time, and not before.
    fn wait_until(&self, time: Duration);
}

/// The machine's clock since an instant.
#[derive(Clone, Copy, Debug)]
pub struct WallClock(Instant);

impl WallClock {
    /// A clock that begins now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time of an instant; none is before the clock's beginning.
    pub fn time(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.0)
    }
}

/// How long before its time a sleeper gets up: sleeping on takes up to this much longer than asked
/// for, and the rest is spent spinning.
const SPIN: Duration = Duration::from_micros(100);

impl Clock for WallClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn wait_until(&self, time: Duration) {
        loop {
            let left = time.saturating_sub(self.now());
            if left.is_zero() {
                return;
            }
            match left.checked_sub(SPIN) {
                Some(asleep) if !asleep.is_zero() => thread::sleep(asleep),
                _ => hint::spin_loop(),
            }
        }
    }
}

/// Seconds as a duration; those beyond all durations as the longest.
pub(crate) fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}
