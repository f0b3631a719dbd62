//! One session's part of the metrics, and one client's. A session holds both while it runs; what it has
//! added to a gauge goes with it, however it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::labels::{InferencePhase, Outcome};
use super::metrics::Metrics;

/// A session that runs. Dropped without [`ended`](Self::ended), as when its thread panics, it counts as
/// [`Outcome::Failed`].
#[must_use = "a session that is dropped at once counts as failed"]
pub struct RunningSession {
    metrics: Arc<Metrics>,
    inferences: Share,
    bytes: Share,
    outcome: Outcome,
}

impl RunningSession {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        metrics.sessions_begun.inc();
        metrics.sessions_running.inc();
        Self {
            inferences: Share::of(&metrics.stock_inferences),
            bytes: Share::of(&metrics.stock_bytes),
            metrics,
            outcome: Outcome::Failed,
        }
    }

    /// What the session holds in stock now: inferences, and bytes of memory.
    pub fn set_stock(&self, inferences: u64, bytes: u64) {
        self.inferences.set(inferences);
        self.bytes.set(bytes);
    }

    /// The session is over.
    pub fn ended(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for RunningSession {
    fn drop(&mut self) {
        self.metrics.sessions_running.dec();
        self.metrics.session_ended(self.outcome);
    }
}

/// What one session adds to a gauge of all of them.
struct Share {
    gauge: Gauge,
    value: AtomicI64,
}

impl Share {
    fn of(gauge: &Gauge) -> Self {
        Self {
            gauge: gauge.clone(),
            value: AtomicI64::new(0),
        }
    }

    fn set(&self, value: u64) {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        // Whoever swaps last has set it, and each has added what it changed.
        let before = self.value.swap(value, Ordering::Relaxed);
        self.gauge.inc_by(value - before);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Counts a client's inferences. What is counted after the client was forgotten goes nowhere: a session
/// that ends late does not bring its name back.
#[derive(Clone, Debug)]
pub struct ClientMetrics {
    pub(super) prepared: Counter,
    pub(super) run: Counter,
}

impl ClientMetrics {
    /// So many more inferences have come this far.
    pub fn count_inferences(&self, phase: InferencePhase, inferences: u64) {
        let counter = match phase {
            InferencePhase::Prepared => &self.prepared,
            InferencePhase::Run => &self.run,
        };
        counter.inc_by(inferences);
    }
}
