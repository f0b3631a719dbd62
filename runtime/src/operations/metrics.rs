//! What a listening party counts.
//!
//! Names follow Prometheus' habits: all begin with `trefoil_`, units stand last (`_seconds`, `_bytes`),
//! counters end in `_total`. All that can be counted is there from the beginning, with zero: a rate needs
//! a first value, and an alert on a name that does not exist yet never fires.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry, Unit};
use trefoil_ir::mpc::Party;

use super::allowance::{Allowance, Allowances};
use super::labels::{Direction, InferencePhase, Outcome, Refusal, SessionPhase, TlsFailure};
use super::session::{ClientMetrics, RunningSession};

/// Upper bounds of the buckets in which times are counted, in seconds: from a handshake on one machine to
/// an offline phase of a large stock over a slow link.
pub const SECONDS: [f64; 19] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0,
    500.0, 1000.0,
];

/// What a party counts, shared by all of its threads. Nothing here waits for anything but another thread
/// that counts, or for a scrape that is being written.
pub struct Metrics {
    registry: Registry,
    pub(super) sessions_running: Gauge,
    sessions_waiting: Count,
    pub(super) sessions_begun: Counter,
    sessions_ended: ByOne,
    inferences: Family<ClientLabels, Counter>,
    bytes: Family<LinkLabels, Counter>,
    seconds: Family<OneLabel, Histogram>,
    pub(super) stock_inferences: Gauge,
    pub(super) stock_bytes: Gauge,
    refusals: ByOne,
    tls_failures: ByOne,
    helper_reachable: Count,
    plans: Count,
    unproven: Count,
    allowances: Allowances,
}

/// A gauge that is set, and never negative.
type Count = Gauge<u64, AtomicU64>;

/// A name and its value.
type OneLabel = [(&'static str, &'static str); 1];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClientLabels {
    client: Arc<str>,
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LinkLabels {
    direction: &'static str,
    peer: &'static str,
}

impl Metrics {
    /// Those of a process that is this party and has just started.
    pub fn new(party: Party) -> Arc<Self> {
        let mut book = Book(Registry::with_prefix("trefoil"));
        book.process(party);
        let metrics = Self {
            sessions_running: book.enter("sessions_running", "Sessions that run"),
            sessions_waiting: book.enter("sessions_waiting", "Sessions that wait for a place"),
            sessions_begun: book.enter("sessions_begun", "Sessions that have begun"),
            sessions_ended: book.by(
                "sessions_ended",
                "Sessions that have ended, by how",
                "outcome",
                Outcome::ALL.iter().map(|one| one.name()),
            ),
            inferences: book.enter("inferences", "Inferences of clients, by what was done for them"),
            bytes: book.links(party),
            seconds: book.seconds(),
            stock_inferences: book.stock("Inferences that are prepared and not yet run", "inferences"),
            stock_bytes: book.stock("Bytes of memory that prepared inferences take", "bytes"),
            refusals: book.by(
                "refusals",
                "Connections, sessions and requests that were refused, by reason",
                "reason",
                Refusal::ALL.iter().map(|one| one.name()),
            ),
            tls_failures: book.by(
                "tls_failures",
                "Encrypted connections that failed, by how",
                "kind",
                TlsFailure::ALL.iter().map(|one| one.name()),
            ),
            helper_reachable: book.helper(party),
            plans: book.enter("plans_loaded", "Plans that are loaded"),
            unproven: book.enter(
                "connections_unproven",
                "Connections whose openers have not proved who they are",
            ),
            allowances: book.allowances(),
            registry: book.0,
        };
        Arc::new(metrics)
    }

    /// A session begins to run; hold what is returned as long as it does.
    pub fn session_began(self: &Arc<Self>) -> RunningSession {
        RunningSession::new(Arc::clone(self))
    }

    pub(super) fn session_ended(&self, outcome: Outcome) {
        self.sessions_ended.count(outcome.name());
    }

    /// So many sessions wait for a place now.
    pub fn set_waiting(&self, sessions: usize) {
        self.sessions_waiting.set(sessions as u64);
    }

    /// So many connections have not proved now who opened them.
    pub fn set_unproven(&self, connections: usize) {
        self.unproven.set(connections as u64);
    }

    /// So many plans are loaded now.
    pub fn set_plans(&self, plans: usize) {
        self.plans.set(plans as u64);
    }

    /// Whether the helper can be reached now. Nobody but a server has to, so only a server shows it.
    pub fn set_helper_reachable(&self, reachable: bool) {
        self.helper_reachable.set(u64::from(reachable));
    }

    /// The counters of a client, to be asked for when a session of its begins. The name must be one of
    /// the operator's file, since each that was ever asked for is kept until it is forgotten: never what
    /// a peer says that it is called.
    pub fn client(&self, name: &str) -> ClientMetrics {
        let counter = |phase| {
            self.inferences
                .get_or_create_owned(&ClientLabels::new(name, phase))
        };
        ClientMetrics {
            prepared: counter(InferencePhase::Prepared),
            run: counter(InferencePhase::Run),
        }
    }

    /// Drops the counters of a client that was removed. If one of this name comes again, it begins
    /// with zero.
    pub fn forget_client(&self, name: &str) {
        for &phase in InferencePhase::ALL {
            self.inferences.remove(&ClientLabels::new(name, phase));
        }
    }

    /// Asks here, at each scrape, what clients have had today and may have. It must not wait for
    /// anything that takes long: other scrapes wait for it.
    pub fn ask_allowances(&self, source: impl Fn() -> Vec<Allowance> + Send + Sync + 'static) {
        self.allowances.ask(Arc::new(source));
    }

    /// So many bytes have passed between this party and another one, as they were on the wire.
    pub fn count_bytes(&self, direction: Direction, peer: Party, bytes: u64) {
        let labels = LinkLabels::new(direction, peer);
        self.bytes.get_or_create(&labels).inc_by(bytes);
    }

    /// A part of a session took this long.
    pub fn took(&self, phase: SessionPhase, time: Duration) {
        let histogram = self.seconds.get_or_create(&[("phase", phase.name())]);
        histogram.observe(time.as_secs_f64());
    }

    /// Somebody or something was refused.
    pub fn refused(&self, reason: Refusal) {
        self.refusals.count(reason.name());
    }

    /// An encrypted connection failed.
    pub fn tls_failed(&self, failure: TlsFailure) {
        self.tls_failures.count(failure.name());
    }

    /// All of it now, as OpenMetrics text (version 1.0.0).
    pub fn exposition(&self) -> String {
        let mut all = String::new();
        text::encode(&mut all, &self.registry).expect("a string takes all that is written to it");
        all
    }
}

impl ClientLabels {
    fn new(client: &str, phase: InferencePhase) -> Self {
        Self {
            client: client.into(),
            phase: phase.name(),
        }
    }
}

impl LinkLabels {
    fn new(direction: Direction, peer: Party) -> Self {
        Self {
            direction: direction.name(),
            peer: name(peer),
        }
    }
}

/// A counter for each value of one label.
struct ByOne {
    label: &'static str,
    family: Family<OneLabel, Counter>,
}

impl ByOne {
    fn count(&self, value: &'static str) {
        self.family.get_or_create(&[(self.label, value)]).inc();
    }
}

/// A registry that is being written. It adds a full stop to each help text.
struct Book(Registry);

impl Book {
    fn enter<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        let metric = M::default();
        self.0.register(name, help, metric.clone());
        metric
    }

    fn by(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: impl Iterator<Item = &'static str>,
    ) -> ByOne {
        let family: Family<OneLabel, Counter> = self.enter(name, help);
        for value in values {
            drop(family.get_or_create(&[(label, value)]));
        }
        ByOne { label, family }
    }

    fn process(&mut self, party: Party) {
        let build = Info::new([("version", env!("CARGO_PKG_VERSION")), ("role", name(party))]);
        self.0.register(
            "build",
            "The version of this program and the party that it is",
            build,
        );
        let began = Gauge::<f64, AtomicU64>::default();
        // A clock that stands before 1970 is wrong already; what it shows need not be right.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        began.set(since.as_secs_f64());
        let help = "When this process started, in seconds since 1970";
        self.0
            .register_with_unit("process_start_time", help, Unit::Seconds, began);
    }

    fn links(&mut self, party: Party) -> Family<LinkLabels, Counter> {
        let family = Family::default();
        let help = "Bytes on connections to other parties";
        self.0
            .register_with_unit("link", help, Unit::Bytes, Family::clone(&family));
        let parties = [Party::Client, Party::Server, Party::Helper];
        for peer in parties.into_iter().filter(|&peer| peer != party) {
            for &direction in Direction::ALL {
                drop(family.get_or_create(&LinkLabels::new(direction, peer)));
            }
        }
        family
    }

    fn seconds(&mut self) -> Family<OneLabel, Histogram> {
        let histogram: fn() -> Histogram = || Histogram::new(SECONDS);
        let family = Family::new_with_constructor(histogram);
        for phase in SessionPhase::ALL {
            drop(family.get_or_create(&[("phase", phase.name())]));
        }
        let help = "What parts of sessions took";
        self.0
            .register_with_unit("phase", help, Unit::Seconds, Family::clone(&family));
        family
    }

    fn stock(&mut self, help: &str, unit: &str) -> Gauge {
        let gauge = Gauge::default();
        let unit = Unit::Other(unit.to_owned());
        self.0.register_with_unit("stock", help, unit, gauge.clone());
        gauge
    }

    fn helper(&mut self, party: Party) -> Count {
        match party {
            Party::Server => self.enter(
                "helper_reachable",
                "Whether the helper can be reached (1) or not (0)",
            ),
            Party::Client | Party::Helper => Count::default(),
        }
    }

    fn allowances(&mut self) -> Allowances {
        let allowances = Allowances::default();
        self.0.register_collector(Box::new(allowances.clone()));
        allowances
    }
}

fn name(party: Party) -> &'static str {
    match party {
        Party::Client => "client",
        Party::Server => "server",
        Party::Helper => "helper",
    }
}
