//! What probes and scrapers are told.

use std::io::Write;
use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use trefoil_ir::mpc::Party;

use super::exposition::Exposition;
use super::{Answer, Dummy, LONG, Serving, connect, cut_off, limits};
use crate::operations::{Heartbeat, Hindrance, Metrics, Operations, OperationsError, Outcome, Readiness};

#[test]
fn a_scrape_shows_what_was_counted() {
    let serving = Serving::patient();
    serving.metrics.session_began().ended(Outcome::Lost);
    let answer = serving.get("/metrics");
    assert_eq!(answer.status, 200);
    assert!(
        answer.says("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{answer:?}"
    );
    let shown = Exposition::read(&answer.body).unwrap();
    assert_eq!(
        shown.get("trefoil_sessions_ended_total", &[("outcome", "lost")]),
        Some(1.0)
    );
    // A small text is that of now, however soon it is asked for again.
    serving.metrics.set_plans(7);
    let shown = Exposition::read(&serving.get("/metrics").body).unwrap();
    assert_eq!(shown.get("trefoil_plans_loaded", &[]), Some(7.0));
}

#[test]
fn a_large_text_is_written_once_for_all_who_ask_at_once() {
    let serving = Serving::start(limits(LONG), |house| {
        house.large = 0;
        house.fresh = LONG;
    });
    let first = serving.get("/metrics").body;
    serving.metrics.set_plans(7);
    assert_eq!(serving.get("/metrics").body, first);
    let serving = Serving::start(limits(LONG), |house| {
        house.large = 0;
        house.fresh = Duration::ZERO;
    });
    let first = serving.get("/metrics").body;
    serving.metrics.set_plans(7);
    assert_ne!(serving.get("/metrics").body, first);
}

#[test]
fn readiness_is_that_of_now() {
    let serving = Serving::patient();
    let answer = serving.get("/readyz");
    assert_eq!((answer.status, answer.body.as_str()), (200, "ready\n"));
    *serving.party.hindrances.lock().unwrap() = vec![Hindrance::NoHelper, Hindrance::Draining];
    let answer = serving.get("/readyz");
    assert_eq!(answer.status, 503);
    let reasons: Vec<_> = answer.body.lines().collect();
    assert_eq!(reasons.len(), 2);
    assert!(reasons[0].contains("helper cannot be reached") && reasons[1].contains("being stopped"));
    // A party that cannot serve still lives.
    assert_eq!(serving.get("/healthz").status, 200);
    serving.party.hindrances.lock().unwrap().clear();
    assert_eq!(serving.get("/readyz").status, 200);
}

#[test]
fn a_loop_that_stands_still_is_dead() {
    let serving = Serving::start(limits(LONG), |house| house.silence = Duration::from_millis(400));
    let dead = Instant::now();
    while serving.get("/healthz").status == 200 {
        assert!(dead.elapsed() < LONG, "nobody notices that the loop stands still");
        std::thread::sleep(Duration::from_millis(20));
    }
    let answer = serving.get("/healthz");
    assert!(
        answer.status == 503 && answer.body.contains("has not come round"),
        "{answer:?}"
    );
    assert_eq!(serving.get("/readyz").status, 503);
    // It may have been a long disk.
    loop {
        serving.party.heartbeat.touch();
        if serving.get("/healthz").status == 200 {
            break;
        }
        assert!(
            dead.elapsed() < LONG,
            "nobody notices that the loop goes round again"
        );
    }
}

#[test]
fn silence_is_counted_from_the_last_touch() {
    let heartbeat = Heartbeat::new();
    std::thread::sleep(Duration::from_millis(30));
    let silence = heartbeat.silence();
    assert!(silence >= Duration::from_millis(29));
    let touched = Instant::now();
    heartbeat.touch();
    let silence = heartbeat.silence();
    // Milliseconds are cut off, once on each side.
    assert!(
        silence <= touched.elapsed() + Duration::from_millis(1),
        "{silence:?}"
    );
}

#[test]
fn what_is_not_there_is_not_found_and_nothing_can_be_done() {
    let serving = Serving::patient();
    for path in [
        "/",
        "/metrics/",
        "/metric",
        "/healthz/..",
        "//readyz",
        "/%2e%2e/etc/passwd",
    ] {
        let answer = serving.get(path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.body.contains("/metrics"), "{answer:?}");
    }
    assert_eq!(serving.get("/readyz?verbose").status, 200);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"] {
        let answer = serving.ask(&format!("{method} /metrics HTTP/1.1\r\nHost: here\r\n\r\n"));
        assert_eq!(answer.status, 405, "{method}");
        assert!(answer.says("allow: get,head"), "{answer:?}");
    }
    let answer = serving.ask("HEAD /metrics HTTP/1.1\r\nHost: here\r\n\r\n");
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    let answer = serving.ask("GET /healthz HTTP/1.0\r\n\r\n");
    assert_eq!((answer.status, answer.body.as_str()), (200, "alive\n"));
}

#[test]
fn a_connection_is_for_one_answer() {
    let serving = Serving::patient();
    let one = "GET /healthz HTTP/1.1\r\nHost: here\r\nConnection: keep-alive\r\n\r\n";
    let mut stream = serving.connect();
    stream.write_all(one.repeat(5).as_bytes()).unwrap();
    let all = String::from_utf8(cut_off(&mut stream)).unwrap();
    assert!(all.matches("alive\n").count() <= 1, "{all}");
    let answer = serving.ask(one);
    assert!(
        answer.says("connection: close") && answer.says("cache-control: no-store"),
        "{answer:?}"
    );
}

#[test]
fn a_defect_in_an_answer_ends_nothing_else() {
    let serving = Serving::patient();
    serving.party.defect.store(true, Ordering::Relaxed);
    for _ in 0..40 {
        let answer = serving.get("/readyz");
        assert!(
            answer.status == 500 && answer.body.contains("defect"),
            "{answer:?}"
        );
    }
    assert_eq!(serving.get("/healthz").status, 200);
    serving.metrics.ask_allowances(|| panic!("a defect, as ordered"));
    assert_eq!(serving.get("/metrics").status, 500);
    serving.metrics.ask_allowances(Vec::new);
    serving.party.defect.store(false, Ordering::Relaxed);
    assert_eq!(serving.get("/readyz").status, 200);
    Exposition::read(&serving.get("/metrics").body).unwrap();
}

fn start_at(address: std::net::SocketAddr) -> Result<Operations, OperationsError> {
    Operations::start(address, Metrics::new(Party::Helper), Arc::new(Dummy::default()))
}

#[test]
fn an_address_that_is_taken_is_told_at_the_start() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let Err(error) = start_at(address) else {
        panic!("two listen on {address}");
    };
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    assert!(matches!(error, OperationsError::Listen { .. }));
    // Of networks that nobody has.
    assert!(start_at("192.0.2.1:0".parse().unwrap()).is_err());
}

#[test]
fn its_end_frees_the_port_whoever_is_connected() {
    for _ in 0..3 {
        let operations = start_at("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = operations.address();
        assert_ne!(address.port(), 0);
        let mut idle = connect(address);
        let mut begun = connect(address);
        begun.write_all(b"GET /metr").unwrap();
        let mut asked = connect(address);
        asked.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").unwrap();
        assert_eq!(Answer::read(&mut asked).unwrap().status, 200);
        drop(operations);
        cut_off(&mut idle);
        cut_off(&mut begun);
        let again = start_at(address).unwrap();
        assert_eq!(again.address(), address);
    }
}

/// A party that waits where it must not.
struct Stuck {
    heartbeat: Heartbeat,
    asked: mpsc::SyncSender<()>,
    until: std::sync::Mutex<mpsc::Receiver<()>>,
}

impl Readiness for Stuck {
    fn heartbeat(&self) -> &Heartbeat {
        &self.heartbeat
    }

    fn hindrances(&self) -> Vec<Hindrance> {
        let _ = self.asked.send(());
        let _ = self.until.lock().unwrap().recv();
        Vec::new()
    }
}

#[test]
fn a_party_that_is_stuck_can_still_end() {
    let (asked, was_asked) = mpsc::sync_channel(1);
    let (release, until) = mpsc::channel();
    let stuck = Stuck {
        heartbeat: Heartbeat::new(),
        asked,
        until: until.into(),
    };
    let address = "127.0.0.1:0".parse().unwrap();
    let operations = Operations::start(address, Metrics::new(Party::Server), Arc::new(stuck)).unwrap();
    let mut stream = connect(operations.address());
    stream.write_all(b"GET /readyz HTTP/1.1\r\n\r\n").unwrap();
    was_asked.recv_timeout(LONG).unwrap();
    // Would wait for ever if it waited for the answer.
    drop(operations);
    release.send(()).unwrap();
    cut_off(&mut stream);
}
