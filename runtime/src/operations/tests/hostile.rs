//! Who comes and is neither a probe nor a scraper.

use std::io::Write;
use std::net::Shutdown;
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use rustix::net::sockopt::set_socket_recv_buffer_size;

use super::exposition::Exposition;
use super::{Answer, LONG, Serving, cut_off, limits};
use crate::operations::InferencePhase;

/// A time that hurts nobody who reads at once, even on a machine that has much to do.
const SHORT: Duration = Duration::from_secs(2);

#[test]
fn who_asks_a_letter_at_a_time_is_cut_off_and_holds_nobody_up() {
    let serving = Serving::start(limits(SHORT), |_| {});
    let mut slow = serving.connect();
    let mut silent = serving.connect();
    let request = b"GET /healthz HTTP/1.1\r\nHost: ".iter().copied();
    let mut sent = 0;
    for letter in request.chain(std::iter::repeat(b'x')) {
        if slow.write_all(&[letter]).is_err() {
            break;
        }
        sent += 1;
        assert!(sent < 2000, "nobody cuts it off");
        if sent % 16 == 0 {
            assert_eq!(serving.get("/healthz").status, 200);
        }
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(cut_off(&mut slow), b"");
    assert_eq!(cut_off(&mut silent), b"");
}

#[test]
fn a_header_that_does_not_end_is_cut_off_by_its_bytes() {
    // Time has no part in it.
    let serving = Serving::patient();
    let request = |bytes| format!("GET /healthz HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(bytes));
    for bytes in [9 << 10, 64 << 10, 1 << 20] {
        let mut long = serving.connect();
        // It may be cut off before all is sent.
        let _ = long.write_all(request(bytes).as_bytes());
        assert_eq!(cut_off(&mut long), b"", "of {bytes} bytes");
    }
    // What is well below the bound is a header like others.
    let answer = serving.ask(&request(4 << 10));
    assert_eq!(answer.status, 200);
}

#[test]
fn a_body_is_not_waited_for() {
    let serving = Serving::patient();
    let answer = serving.ask("GET /healthz HTTP/1.1\r\nHost: here\r\nContent-Length: 1000000000\r\n\r\n");
    assert_eq!(answer.status, 200);
}

#[test]
fn who_will_say_nothing_more_is_answered() {
    let serving = Serving::patient();
    for _ in 0..300 {
        let mut stream = serving.connect();
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n")
            .unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(Answer::read(&mut stream).unwrap().status, 200);
    }
}

#[test]
fn a_hundred_at_once_stop_no_later_one() {
    // Their time is not over before the test is.
    let serving = Serving::patient();
    let mut crowd: Vec<_> = (0..100).map(|_| serving.connect()).collect();
    for (number, one) in crowd.iter_mut().enumerate() {
        if number % 2 == 0 {
            // Those that have been shown out already do not hear it.
            let _ = one.write_all(b"GET /metrics HTTP/1.1\r\n");
        }
    }
    for _ in 0..10 {
        let answer = serving.get("/metrics");
        assert_eq!(answer.status, 200);
        Exposition::read(&answer.body).unwrap();
    }
    // Those that came last are still there, as many as may be, but for those who gave way to the ten.
    let (first, last) = crowd.split_at_mut(68);
    for one in first {
        assert_eq!(cut_off(one), b"");
    }
    for (number, one) in last.iter_mut().enumerate().skip(10) {
        one.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").unwrap();
        // Of those that had begun a request, this is a line of its header, and a wrong one.
        let status = if number % 2 == 0 { 400 } else { 200 };
        assert_eq!(Answer::read(one).unwrap().status, status);
    }
}

#[test]
fn a_hundred_who_ask_at_once_do_no_harm() {
    let serving = Serving::patient();
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                for _ in 0..10 {
                    assert_eq!(serving.get("/metrics").status, 200);
                }
            });
        }
    });
    assert_eq!(serving.get("/healthz").status, 200);
}

/// As many clients as a file may have; their text is larger than what the system keeps for a reader.
#[test]
fn who_reads_nothing_is_cut_off_and_costs_nobody_else() {
    const CLIENTS: usize = 100_000;
    let serving = Serving::start(limits(SHORT), |_| {});
    for number in 0..CLIENTS {
        let client = serving.metrics.client(&format!("hospital-{number}"));
        client.count_inferences(InferencePhase::Run, 1);
    }
    let mut lazy = serving.connect();
    set_socket_recv_buffer_size(&lazy, 64 << 10).unwrap();
    lazy.write_all(b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n")
        .unwrap();
    thread::sleep(2 * SHORT);
    assert_eq!(serving.get("/healthz").status, 200);
    let text = serving.metrics.exposition();
    let read = cut_off(&mut lazy);
    assert!(read.len() < text.len(), "all {} bytes came", text.len());
    let shown = Exposition::read(&text).unwrap();
    assert_eq!(shown.count("trefoil_inferences_total"), 2 * CLIENTS);
    assert_eq!(shown.sum("trefoil_inferences_total"), CLIENTS as f64);
    for number in 0..CLIENTS {
        serving.metrics.forget_client(&format!("hospital-{number}"));
    }
    let shown = Exposition::read(&serving.metrics.exposition()).unwrap();
    assert_eq!(shown.count("trefoil_inferences_total"), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn garbage_ends_nothing(garbage in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..5000), 1..16)) {
        let serving = Serving::start(limits(SHORT), |_| {});
        for bytes in garbage {
            let mut stream = serving.connect();
            // It may be cut off before all is sent.
            let _ = stream.write_all(&bytes);
            let _ = stream.shutdown(Shutdown::Write);
            let read = cut_off(&mut stream);
            prop_assert!(read.is_empty() || read.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&read));
        }
        prop_assert_eq!(serving.get("/healthz").status, 200);
    }
}

#[test]
fn what_looks_almost_like_a_request_is_refused() {
    let serving = Serving::start(limits(SHORT), |_| {});
    // The beginnings of TLS and of HTTP/2, and requests with something wrong.
    let requests: [&[u8]; 7] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /healthz HTTP/9.9\r\n\r\n",
        b"GET /healthz\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET /health\0z HTTP/1.1\r\n\r\n",
    ];
    for request in requests {
        let mut stream = serving.connect();
        stream.write_all(request).unwrap();
        let read = cut_off(&mut stream);
        let ok = read.starts_with(b"HTTP/1.1 2");
        assert!(!ok, "{} was answered", String::from_utf8_lossy(request));
    }
    assert!(serving.connect().set_read_timeout(Some(LONG)).is_ok());
    assert_eq!(serving.get("/healthz").status, 200);
}
