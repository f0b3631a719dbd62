//! What is counted is what is shown, to one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use trefoil_ir::mpc::Party;

use super::exposition::Exposition;
use crate::operations::metrics::SECONDS;
use crate::operations::{
    Allowance, ClientMetrics, Direction, InferencePhase, Metrics, Outcome, Refusal, RunningSession,
    SessionPhase, TlsFailure,
};

const PARTIES: [Party; 3] = [Party::Client, Party::Server, Party::Helper];

fn read(metrics: &Metrics) -> Exposition {
    let text = metrics.exposition();
    Exposition::read(&text).unwrap_or_else(|why| panic!("{why}\n\n{text}"))
}

#[test]
fn all_that_can_be_counted_is_there_from_the_beginning() {
    for party in PARTIES {
        let shown = read(&Metrics::new(party));
        for outcome in Outcome::ALL {
            let labels = [("outcome", outcome.name())];
            assert_eq!(shown.get("trefoil_sessions_ended_total", &labels), Some(0.0));
        }
        for reason in Refusal::ALL {
            assert_eq!(
                shown.get("trefoil_refusals_total", &[("reason", reason.name())]),
                Some(0.0)
            );
        }
        for kind in TlsFailure::ALL {
            assert_eq!(
                shown.get("trefoil_tls_failures_total", &[("kind", kind.name())]),
                Some(0.0)
            );
        }
        for phase in SessionPhase::ALL {
            assert_eq!(
                shown.get("trefoil_phase_seconds_count", &[("phase", phase.name())]),
                Some(0.0)
            );
        }
        // To and from each other party.
        assert_eq!(shown.count("trefoil_link_bytes_total"), 4);
        let name = party.to_string();
        assert_eq!(
            shown.get(
                "trefoil_link_bytes_total",
                &[("direction", "sent"), ("peer", &name)]
            ),
            None
        );
        let build = [("version", env!("CARGO_PKG_VERSION")), ("role", name.as_str())];
        assert_eq!(shown.get("trefoil_build_info", &build), Some(1.0));
        let helper = shown.get("trefoil_helper_reachable", &[]);
        assert_eq!(helper, (party == Party::Server).then_some(0.0));
        let began = shown.get("trefoil_process_start_time_seconds", &[]).unwrap();
        assert!(began > 1.7e9, "this process did not start in 1970 and {began} s");
    }
}

#[test]
fn threads_count_exactly() {
    const THREADS: u64 = 8;
    const TIMES: u64 = 500;
    let metrics = Metrics::new(Party::Server);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let client = metrics.client("one");
                for times in 0..TIMES {
                    let session = metrics.session_began();
                    session.set_stock(times, times << 20);
                    client.count_inferences(InferencePhase::Run, 3);
                    metrics.count_bytes(Direction::Sent, Party::Client, 1000);
                    metrics.took(SessionPhase::Online, Duration::from_millis(20));
                    metrics.refused(Refusal::Quota);
                    session.ended(Outcome::Ended);
                }
            });
        }
        // Somebody looks meanwhile.
        for _ in 0..20 {
            read(&metrics);
        }
    });
    let (shown, all) = (read(&metrics), (THREADS * TIMES) as f64);
    assert_eq!(shown.get("trefoil_sessions_begun_total", &[]), Some(all));
    assert_eq!(
        shown.get("trefoil_sessions_ended_total", &[("outcome", "ended")]),
        Some(all)
    );
    assert_eq!(shown.get("trefoil_sessions_running", &[]), Some(0.0));
    assert_eq!(shown.get("trefoil_stock_inferences", &[]), Some(0.0));
    assert_eq!(shown.get("trefoil_stock_bytes", &[]), Some(0.0));
    let run = [("client", "one"), ("phase", "run")];
    assert_eq!(shown.get("trefoil_inferences_total", &run), Some(3.0 * all));
    let sent = [("direction", "sent"), ("peer", "client")];
    assert_eq!(shown.get("trefoil_link_bytes_total", &sent), Some(1000.0 * all));
    assert_eq!(
        shown.get("trefoil_phase_seconds_count", &[("phase", "online")]),
        Some(all)
    );
    assert_eq!(
        shown.get("trefoil_refusals_total", &[("reason", "quota")]),
        Some(all)
    );
}

#[test]
fn a_session_whose_thread_panics_is_over_and_failed() {
    let metrics = Metrics::new(Party::Helper);
    let session = metrics.session_began();
    session.set_stock(5, 500);
    assert_eq!(read(&metrics).get("trefoil_stock_bytes", &[]), Some(500.0));
    let died = thread::spawn(move || {
        let _session = session;
        panic!("as ordered");
    });
    assert!(died.join().is_err());
    let shown = read(&metrics);
    assert_eq!(shown.get("trefoil_sessions_running", &[]), Some(0.0));
    assert_eq!(
        shown.get("trefoil_sessions_ended_total", &[("outcome", "failed")]),
        Some(1.0)
    );
    assert_eq!(shown.get("trefoil_stock_inferences", &[]), Some(0.0));
    assert_eq!(shown.get("trefoil_stock_bytes", &[]), Some(0.0));
}

#[test]
fn times_fall_into_their_buckets() {
    let metrics = Metrics::new(Party::Server);
    for seconds in SECONDS {
        metrics.took(SessionPhase::Offline, Duration::from_secs_f64(seconds));
    }
    metrics.took(SessionPhase::Offline, Duration::MAX);
    let shown = read(&metrics);
    for (below, seconds) in SECONDS.iter().enumerate() {
        let labels = [("phase", "offline"), ("le", &format!("{seconds:?}"))];
        assert_eq!(
            shown.get("trefoil_phase_seconds_bucket", &labels),
            Some(below as f64 + 1.0)
        );
    }
    let all = SECONDS.len() as f64 + 1.0;
    assert_eq!(
        shown.get("trefoil_phase_seconds_count", &[("phase", "offline")]),
        Some(all)
    );
}

#[test]
fn a_client_that_was_forgotten_does_not_come_back_by_itself() {
    let metrics = Metrics::new(Party::Server);
    let late = metrics.client("gone");
    late.count_inferences(InferencePhase::Run, 2);
    metrics
        .client("stays")
        .count_inferences(InferencePhase::Prepared, 1);
    metrics.forget_client("gone");
    late.count_inferences(InferencePhase::Run, 1);
    let shown = read(&metrics);
    assert_eq!(shown.count("trefoil_inferences_total"), 2);
    let prepared = [("client", "stays"), ("phase", "prepared")];
    assert_eq!(shown.get("trefoil_inferences_total", &prepared), Some(1.0));
    // Another one of this name.
    metrics.client("gone");
    let run = [("client", "gone"), ("phase", "run")];
    assert_eq!(read(&metrics).get("trefoil_inferences_total", &run), Some(0.0));
}

#[test]
fn allowances_are_those_of_now() {
    let allowance = |client: &str, used, quota| Allowance {
        client: client.to_owned(),
        used,
        quota,
    };
    let all = Arc::new(std::sync::Mutex::new(vec![
        allowance("a", 3, Some(10)),
        allowance("b", u64::MAX, None),
        // Which must not be, and must not cost all other metrics if it is.
        allowance("a", 4, Some(10)),
    ]));
    let metrics = Metrics::new(Party::Server);
    assert_eq!(read(&metrics).count("trefoil_client_today_inferences"), 0);
    let source = Arc::clone(&all);
    metrics.ask_allowances(move || source.lock().unwrap().clone());
    let shown = read(&metrics);
    assert_eq!(
        shown.get("trefoil_client_today_inferences", &[("client", "a")]),
        Some(4.0)
    );
    assert_eq!(
        shown.get("trefoil_client_today_inferences", &[("client", "b")]),
        Some(u64::MAX as f64)
    );
    assert_eq!(
        shown.get("trefoil_client_quota_inferences", &[("client", "a")]),
        Some(10.0)
    );
    assert_eq!(
        shown.get("trefoil_client_quota_inferences", &[("client", "b")]),
        None
    );
    all.lock().unwrap().clear();
    assert_eq!(read(&metrics).count("trefoil_client_today_inferences"), 0);
}

/// Something that is counted.
#[derive(Clone, Debug)]
enum Event {
    Begin,
    End(prop::sample::Index, Outcome),
    Stock(prop::sample::Index, u32, u32),
    Waiting(u16),
    Unproven(u16),
    Plans(u16),
    Helper(bool),
    Client(prop::sample::Index, InferencePhase, u32),
    Forget(prop::sample::Index),
    Bytes(Direction, bool, u32),
    Took(SessionPhase, u32),
    Refused(Refusal),
    Tls(TlsFailure),
}

fn event() -> impl Strategy<Value = Event> {
    use prop::sample::{Index, select};
    prop_oneof![
        Just(Event::Begin),
        (any::<Index>(), select(Outcome::ALL)).prop_map(|(which, how)| Event::End(which, how)),
        any::<(Index, u32, u32)>().prop_map(|(which, number, bytes)| Event::Stock(which, number, bytes)),
        any::<u16>().prop_map(Event::Waiting),
        any::<u16>().prop_map(Event::Unproven),
        any::<u16>().prop_map(Event::Plans),
        any::<bool>().prop_map(Event::Helper),
        (any::<Index>(), select(InferencePhase::ALL), any::<u32>())
            .prop_map(|(which, phase, number)| Event::Client(which, phase, number)),
        any::<Index>().prop_map(Event::Forget),
        (select(Direction::ALL), any::<bool>(), any::<u32>())
            .prop_map(|(direction, client, bytes)| Event::Bytes(direction, client, bytes)),
        (select(SessionPhase::ALL), 0_u32..2_000_000)
            .prop_map(|(phase, milliseconds)| Event::Took(phase, milliseconds)),
        select(Refusal::ALL).prop_map(Event::Refused),
        select(TlsFailure::ALL).prop_map(Event::Tls),
    ]
}

/// A name and its labels.
type Sample = (&'static str, Vec<(&'static str, String)>);

/// The same, counted in the plainest way: a map of what a scrape must show.
#[derive(Default)]
struct Ledger {
    sums: BTreeMap<Sample, f64>,
    sessions: Vec<(Option<RunningSession>, u32, u32)>,
    handles: BTreeMap<String, ClientMetrics>,
}

impl Ledger {
    fn sum(&mut self, name: &'static str, labels: &[(&'static str, &str)]) -> &mut f64 {
        let labels = labels.iter().map(|&(name, value)| (name, value.to_owned()));
        self.sums.entry((name, labels.collect())).or_default()
    }

    /// The index picks one of what is there; none if there is nothing.
    fn session(&mut self, which: prop::sample::Index) -> Option<usize> {
        (!self.sessions.is_empty()).then(|| which.index(self.sessions.len()))
    }

    fn record(&mut self, metrics: &Arc<Metrics>, names: &[String], event: Event) {
        match event {
            Event::Begin => {
                self.sessions.push((Some(metrics.session_began()), 0, 0));
                *self.sum("trefoil_sessions_begun_total", &[]) += 1.0;
            }
            Event::End(which, outcome) => {
                let Some(at) = self.session(which) else { return };
                let (session, _, _) = self.sessions.swap_remove(at);
                session.unwrap().ended(outcome);
                *self.sum("trefoil_sessions_ended_total", &[("outcome", outcome.name())]) += 1.0;
            }
            Event::Stock(which, inferences, bytes) => {
                let Some(at) = self.session(which) else { return };
                let (session, stock, memory) = &mut self.sessions[at];
                session
                    .as_ref()
                    .unwrap()
                    .set_stock(inferences.into(), bytes.into());
                (*stock, *memory) = (inferences, bytes);
            }
            Event::Waiting(number) => {
                metrics.set_waiting(number.into());
                *self.sum("trefoil_sessions_waiting", &[]) = number.into();
            }
            Event::Unproven(number) => {
                metrics.set_unproven(number.into());
                *self.sum("trefoil_connections_unproven", &[]) = number.into();
            }
            Event::Plans(number) => {
                metrics.set_plans(number.into());
                *self.sum("trefoil_plans_loaded", &[]) = number.into();
            }
            Event::Helper(reachable) => {
                metrics.set_helper_reachable(reachable);
                *self.sum("trefoil_helper_reachable", &[]) = f64::from(u8::from(reachable));
            }
            Event::Client(which, phase, number) => {
                let name = which.get(names);
                let fresh = || metrics.client(name);
                let client = self.handles.entry(name.clone()).or_insert_with(fresh).clone();
                client.count_inferences(phase, number.into());
                let labels = [("client", name.as_str()), ("phase", phase.name())];
                *self.sum("trefoil_inferences_total", &labels) += f64::from(number);
            }
            Event::Forget(which) => {
                let name = which.get(names);
                metrics.forget_client(name);
                self.handles.remove(name);
                let is_other = |labels: &Vec<(_, String)>| labels.iter().all(|(_, value)| value != name);
                self.sums
                    .retain(|(metric, labels), _| *metric != "trefoil_inferences_total" || is_other(labels));
            }
            Event::Bytes(direction, client, bytes) => {
                let (peer, name) = match client {
                    true => (Party::Client, "client"),
                    false => (Party::Helper, "helper"),
                };
                metrics.count_bytes(direction, peer, bytes.into());
                let labels = [("direction", direction.name()), ("peer", name)];
                *self.sum("trefoil_link_bytes_total", &labels) += f64::from(bytes);
            }
            Event::Took(phase, milliseconds) => {
                let time = Duration::from_millis(milliseconds.into());
                metrics.took(phase, time);
                let labels = [("phase", phase.name())];
                *self.sum("trefoil_phase_seconds_count", &labels) += 1.0;
                *self.sum("trefoil_phase_seconds_sum", &labels) += time.as_secs_f64();
            }
            Event::Refused(reason) => {
                metrics.refused(reason);
                *self.sum("trefoil_refusals_total", &[("reason", reason.name())]) += 1.0;
            }
            Event::Tls(failure) => {
                metrics.tls_failed(failure);
                *self.sum("trefoil_tls_failures_total", &[("kind", failure.name())]) += 1.0;
            }
        }
    }

    fn compare(&mut self, shown: &Exposition) -> Result<(), TestCaseError> {
        *self.sum("trefoil_sessions_running", &[]) = self.sessions.len() as f64;
        let stock = self.sessions.iter().map(|&(_, stock, _)| f64::from(stock)).sum();
        *self.sum("trefoil_stock_inferences", &[]) = stock;
        let memory = self
            .sessions
            .iter()
            .map(|&(_, _, memory)| f64::from(memory))
            .sum();
        *self.sum("trefoil_stock_bytes", &[]) = memory;
        for ((name, labels), &expected) in &self.sums {
            let labels: Vec<_> = labels
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            let found = shown.get(name, &labels);
            // Sums of seconds are rounded in the order in which they came, here as there.
            prop_assert_eq!(found, Some(expected), "{} {:?}", name, labels);
        }
        for name in [
            "trefoil_inferences_total",
            "trefoil_sessions_begun_total",
            "trefoil_sessions_ended_total",
            "trefoil_link_bytes_total",
            "trefoil_refusals_total",
            "trefoil_tls_failures_total",
            "trefoil_phase_seconds_count",
        ] {
            let expected: f64 = self
                .sums
                .iter()
                .filter(|((one, _), _)| *one == name)
                .map(|(_, value)| value)
                .sum();
            // Whatever was not counted is zero.
            prop_assert_eq!(shown.sum(name), expected, "{}", name);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Clients of any name, for the file is an operator's, and an operator is a person.
    #[test]
    fn scrapes_show_what_was_counted(
        names in prop::collection::vec(any::<String>(), 1..4),
        events in prop::collection::vec(event(), 0..200),
    ) {
        let metrics = Metrics::new(Party::Server);
        let mut ledger = Ledger::default();
        for event in events {
            ledger.record(&metrics, &names, event);
        }
        let text = metrics.exposition();
        let shown = Exposition::read(&text).map_err(|why| TestCaseError::fail(format!("{why}\n{text}")))?;
        ledger.compare(&shown)?;
        drop(ledger);
        let shown = Exposition::read(&metrics.exposition()).map_err(TestCaseError::fail)?;
        prop_assert_eq!(shown.get("trefoil_sessions_running", &[]), Some(0.0));
        prop_assert_eq!(
            shown.get("trefoil_sessions_begun_total", &[]),
            Some(shown.sum("trefoil_sessions_ended_total"))
        );
    }
}
