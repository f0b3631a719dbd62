//! The operator's address: whether the process lives, whether it can serve, what it has counted.
//!
//! | path | answer |
//! | --- | --- |
//! | `/healthz` | 200 while the party's loop comes round; 503 if it has not for [`Heartbeat::SILENCE`] |
//! | `/readyz` | 200 if a new session can be served; else 503 and what is in its way, one a line |
//! | `/metrics` | OpenMetrics text |
//!
//! There is neither encryption nor a key: whoever reaches it reads clients' names and counts, and can do
//! nothing else. It belongs on loopback, or on a network of the operator's own.

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::door::{Door, Limits};
use super::health::{Heartbeat, Readiness, silent};
use super::metrics::Metrics;

/// What `/metrics` says that it is.
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// How long the end of the thread is waited for.
const FAREWELL: Duration = Duration::from_secs(1);

/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(2);

/// Why the operator's address cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum OperationsError {
    /// The address cannot be listened on.
    #[error(
        "the operator's address {address} cannot be listened on: choose another one (port 0 takes any that is free)"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The system gives no thread, or nothing to wait with.
    #[error(
        "the operator's address {address} finds nobody to serve it: \
         raise the system's limits of threads and open files"
    )]
    Resources {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Serves the operator's address, in one thread of its own, until it is dropped. That takes a second at
/// most, whoever is connected.
#[must_use = "the address is served until this is dropped"]
pub struct Operations {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Operations {
    /// Listens on an address (a port of 0 takes any that is free) and serves it from now on.
    ///
    /// # Errors
    /// If the address is taken or not this machine's, or the system gives no thread.
    pub fn start(
        address: SocketAddr,
        metrics: Arc<Metrics>,
        readiness: Arc<dyn Readiness>,
    ) -> Result<Self, OperationsError> {
        Self::start_within(address, House::new(metrics, readiness), LIMITS)
    }

    pub(super) fn start_within(
        address: SocketAddr,
        house: House,
        limits: Limits,
    ) -> Result<Self, OperationsError> {
        let taken = |source| OperationsError::Listen { address, source };
        let listener = std::net::TcpListener::bind(address).map_err(taken)?;
        let bound = listener.local_addr().map_err(taken)?;
        let short = |source| OperationsError::Resources { address, source };
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(short)?;
        let door = open(&runtime, listener, limits).map_err(short)?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("operations".to_owned());
        let thread = thread.spawn(move || serve(runtime, door, router(Arc::new(house)), stopped));
        Ok(Self {
            address: bound,
            stop: Some(stop),
            thread: Some(thread.map_err(short)?),
        })
    }

    /// Where it listens, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Operations {
    fn drop(&mut self) {
        drop(self.stop.take());
        let Some(thread) = self.thread.take() else { return };
        // A `Readiness` that waits, which it must not, keeps its own thread and not this one.
        let until = Instant::now() + FAREWELL;
        while !thread.is_finished() {
            if Instant::now() >= until {
                return;
            }
            thread::sleep(LOOK);
        }
        // It has told of its panic itself, if it had one.
        let _ = thread.join();
    }
}

/// What one may have who asks, and nobody needs more: a probe's request has some hundred bytes.
const LIMITS: Limits = Limits {
    connections: 32,
    time: Duration::from_secs(5),
    bytes: 8 << 10,
};

fn open(runtime: &Runtime, listener: std::net::TcpListener, limits: Limits) -> io::Result<Door> {
    listener.set_nonblocking(true)?;
    let _within = runtime.enter();
    Ok(Door::new(TcpListener::from_std(listener)?, limits))
}

/// Serves until told to stop, then drops the socket and every connection.
fn serve(runtime: Runtime, door: Door, router: Router, stopped: oneshot::Receiver<()>) {
    runtime.block_on(async move {
        tokio::spawn(axum::serve(door, router).into_future());
        // That the sender is gone is all that it ever tells.
        let _ = stopped.await;
    });
}

/// What is shown.
pub(super) struct House {
    metrics: Arc<Metrics>,
    readiness: Arc<dyn Readiness>,
    /// For how long the loop may be silent.
    pub(super) silence: Duration,
    /// A text of this many bytes is shown again for a time: of many clients it takes a while to write,
    /// and memory as long as somebody reads it.
    pub(super) large: usize,
    /// For how long it is.
    pub(super) fresh: Duration,
    kept: Mutex<Option<(Instant, Bytes)>>,
}

impl House {
    pub(super) fn new(metrics: Arc<Metrics>, readiness: Arc<dyn Readiness>) -> Self {
        Self {
            metrics,
            readiness,
            silence: Heartbeat::SILENCE,
            large: 1 << 20,
            fresh: Duration::from_secs(1),
            kept: Mutex::default(),
        }
    }

    fn healthz(&self) -> Response {
        match silent(self.readiness.heartbeat(), self.silence) {
            None => "alive\n".into_response(),
            Some(silent) => (StatusCode::SERVICE_UNAVAILABLE, format!("{silent}\n")).into_response(),
        }
    }

    fn readyz(&self) -> Response {
        let silent = silent(self.readiness.heartbeat(), self.silence);
        let hindrances = silent.into_iter().chain(self.readiness.hindrances());
        let lines: String = hindrances.map(|one| format!("{one}\n")).collect();
        match lines.is_empty() {
            true => "ready\n".into_response(),
            false => (StatusCode::SERVICE_UNAVAILABLE, lines).into_response(),
        }
    }

    fn metrics(&self) -> Response {
        ([(CONTENT_TYPE, OPEN_METRICS)], self.exposition()).into_response()
    }

    fn exposition(&self) -> Bytes {
        // What is kept is set in one go, so a panic has not harmed it.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, text)) = &*kept
            && since.elapsed() < self.fresh
        {
            return text.clone();
        }
        *kept = None;
        let text = Bytes::from(self.metrics.exposition());
        if text.len() >= self.large {
            *kept = Some((Instant::now(), text.clone()));
        }
        text
    }
}

/// No answer waits for anything, so a connection is always either read from or written to.
fn router(house: Arc<House>) -> Router {
    Router::new()
        .route(
            "/healthz",
            get(async |State(house): Shown| answer(|| house.healthz())),
        )
        .route(
            "/readyz",
            get(async |State(house): Shown| answer(|| house.readyz())),
        )
        .route(
            "/metrics",
            get(async |State(house): Shown| answer(|| house.metrics())),
        )
        .fallback(async || {
            let paths = "nothing is here: ask for /healthz, /readyz or /metrics\n";
            (StatusCode::NOT_FOUND, paths)
        })
        .method_not_allowed_fallback(async || {
            let methods = "this can only be looked at: use GET\n";
            (StatusCode::METHOD_NOT_ALLOWED, methods)
        })
        .layer(map_response(last))
        .with_state(house)
}

type Shown = State<Arc<House>>;

/// What was asked for, or that asking for it failed: a defect of the party's own part of it ends neither
/// this thread nor others' answers.
fn answer(what: impl FnOnce() -> Response) -> Response {
    // What an answer shares with others is counted or set in one go, and sound at any time.
    catch_unwind(AssertUnwindSafe(what)).unwrap_or_else(|_| {
        let defect = "this failed by a defect of this program, see its messages: please report it\n";
        (StatusCode::INTERNAL_SERVER_ERROR, defect).into_response()
    })
}

/// A connection is for one answer, which nobody may keep for another.
async fn last(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
