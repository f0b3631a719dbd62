//! Whether the process lives, and whether it can serve.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Touched by the loop of a party each time that it comes round, while it drains as well: if it is not
/// touched for [`Heartbeat::SILENCE`], the process counts as dead, and whoever watches it may end it.
#[derive(Debug)]
pub struct Heartbeat {
    began: Instant,
    /// Milliseconds from the beginning to the last touch.
    last: AtomicU64,
}

impl Heartbeat {
    /// For how long a loop that lives may be silent.
    pub const SILENCE: Duration = Duration::from_secs(30);

    /// One that has just been touched.
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            last: AtomicU64::new(0),
        }
    }

    /// The loop lives.
    pub fn touch(&self) {
        self.last.fetch_max(self.now(), Ordering::Relaxed);
    }

    /// For how long it has not been touched.
    pub fn silence(&self) -> Duration {
        let last = self.last.load(Ordering::Relaxed);
        Duration::from_millis(self.now().saturating_sub(last))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self::new()
    }
}

/// What a party tells about itself. It is asked on the thread that serves all other answers, so neither
/// method may wait for anything.
pub trait Readiness: Send + Sync {
    /// What its loop touches.
    fn heartbeat(&self) -> &Heartbeat;

    /// All that keeps it from serving a new session now; nothing if it can.
    fn hindrances(&self) -> Vec<Hindrance>;
}

/// What keeps a party from serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Hindrance {
    /// It has no plan.
    #[error("no plan is loaded: add one to those that this party serves")]
    NoPlan,
    /// A server without its helper.
    #[error("the helper cannot be reached: check that it runs, and that this server has its address and key")]
    NoHelper,
    /// It takes no new sessions.
    #[error("this party is being stopped and takes no new sessions: wait until it runs again")]
    Draining,
    /// It can take no more connections.
    #[error(
        "this process has no descriptors left: raise its limit of open files \
         (`ulimit -n`, LimitNOFILE of a systemd unit), or let it serve fewer sessions"
    )]
    NoDescriptors,
    /// Its loop does not come round.
    #[error(
        "the loop of this process has not come round for {seconds} seconds: if it stays so, start it again"
    )]
    Silent {
        /// For how long.
        seconds: u64,
    },
}

/// That its loop is silent for longer than it may, if it is.
pub(super) fn silent(heartbeat: &Heartbeat, most: Duration) -> Option<Hindrance> {
    let silence = heartbeat.silence();
    (silence > most).then_some(Hindrance::Silent {
        seconds: silence.as_secs(),
    })
}
