//! Traces of two parties that play a round.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use trefoil_ir::Shape;
use trefoil_ir::mpc::{Party, Phase, Program, Stage, ValueId, op};

use super::{Recorder, StopWatch, Trace, Traced};
use crate::wire::{Link, Metered, Tag, WallClock, delayed_pair, pair};

#[path = "../../../tests/support/trace.rs"]
pub(crate) mod trace_file;

const INPUT: Tag = Tag::message(4, ValueId(0), Stage::Input);
const REVEAL: Tag = Tag::message(4, ValueId(1), Stage::Reveal);

fn program() -> Program {
    let mut program = Program::new("echo");
    let shape = Shape::new(1, 2, 3);
    let x = program.push(op::Input { shape }, &[], "picture").unwrap();
    program.push(op::Reveal, &[x], "answer").unwrap();
    program
}

/// Client and server exchange two frames within a phase and a step each.
fn play(trace: &Trace, client: impl Link, server: impl Link + 'static) {
    let (mut client, mut server) = (Metered::new(client), Metered::new(server));
    let of_server = StopWatch::new(Some(trace.recorder(Party::Server)));
    let of_client = StopWatch::new(Some(trace.recorder(Party::Client)));
    let server = thread::spawn(move || {
        let phase = of_server.start();
        let step = of_server.start();
        server.receive(INPUT, 24).unwrap();
        step.end_step(ValueId(0), 4);
        server.send(REVEAL, vec![0; 12]).unwrap();
        phase.end_phase(Phase::Online, 4);
    });
    let phase = of_client.start();
    client.send(INPUT, vec![0; 24]).unwrap();
    client.receive(REVEAL, 12).unwrap();
    phase.end_phase(Phase::Online, 4);
    server.join().unwrap();
}

fn file(trace: &Trace) -> Value {
    serde_json::from_str(&trace.to_json(&program())).unwrap()
}

/// Complete events: row's name and own name.
fn rows(file: &Value) -> Vec<(String, String)> {
    let events = file["traceEvents"].as_array().unwrap();
    let row = |event: &Value| {
        let is = |label: &&Value| label["name"] == "thread_name" && label["tid"] == event["tid"];
        let label = events.iter().find(is).unwrap();
        label["args"]["name"].as_str().unwrap().to_owned()
    };
    let complete = events.iter().filter(|event| event["ph"] == "X");
    let mut rows: Vec<_> = complete
        .map(|event| (row(event), event["name"].as_str().unwrap().to_owned()))
        .collect();
    rows.sort();
    rows
}

const PARTIES: [(&str, &str); 9] = [
    ("client", "online"),
    ("client", "receive reveal"),
    ("client", "send input"),
    ("client", "wait for reveal"),
    ("server", "input picture"),
    ("server", "online"),
    ("server", "receive input"),
    ("server", "send reveal"),
    ("server", "wait for input"),
];

const WIRES: [(&str, &str); 2] = [
    ("wire client -> server", "input"),
    ("wire server -> client", "reveal"),
];

fn owned(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect()
}

#[test]
fn a_round_over_queues_is_traced() {
    let trace = Trace::new(WallClock::start());
    let (client, server) = pair(Party::Client, Party::Server, 4);
    play(
        &trace,
        Traced::new(client, trace.recorder(Party::Client)),
        Traced::new(server, trace.recorder(Party::Server)),
    );
    let file = file(&trace);
    assert_eq!(trace_file::check(&file), 2);
    assert_eq!(rows(&file), owned(&PARTIES));
}

#[test]
fn a_delayed_round_shows_what_is_on_the_wire() {
    let clock = WallClock::start();
    let trace = Trace::new(clock);
    let recorder = |party| trace.recorder(party);
    let link = "1Mbit,4ms".parse().unwrap();
    let (client, server) = delayed_pair(Party::Client, Party::Server, link, clock);
    let client = client.with_recorder(Some(recorder(Party::Client)));
    let server = server.with_recorder(Some(recorder(Party::Server)));
    play(
        &trace,
        Traced::new(client, recorder(Party::Client)),
        Traced::new(server, recorder(Party::Server)),
    );
    let file = file(&trace);
    assert_eq!(trace_file::check(&file), 2);
    assert_eq!(rows(&file), [owned(&PARTIES), owned(&WIRES)].concat());
    let events = file["traceEvents"].as_array().unwrap();
    let wire = events
        .iter()
        .find(|e| e["ph"] == "X" && e["cat"] == "wire")
        .unwrap();
    // 24 bytes and a header at 8 us a byte.
    assert_eq!(wire["dur"], 320.0);
    assert_eq!(
        (&wire["args"]["bytes"], &wire["args"]["origin"]),
        (&24.into(), &"picture".into())
    );
    let received = events.iter().find(|e| e["name"] == "receive input").unwrap();
    let arrives = wire["ts"].as_f64().unwrap() + 320.0 + 2000.0;
    assert!(
        received["ts"].as_f64().unwrap() >= arrives - 0.001,
        "not before it arrived"
    );
}

#[test]
fn steps_name_their_op_and_bytes() {
    let trace = Trace::new(WallClock::start());
    let watch = StopWatch::new(Some(trace.recorder(Party::Client)));
    watch.start().end_step(ValueId(0), 7);
    let file = file(&trace);
    let events = file["traceEvents"].as_array().unwrap();
    let step = events.iter().find(|event| event["cat"] == "step").unwrap();
    let bytes = serde_json::json!({ "offline": 0, "online": 24, "total": 24 });
    assert_eq!(
        step["args"],
        serde_json::json!({ "step": 0, "inference": 7, "bytes": bytes })
    );
}

#[test]
fn a_computing_thread_has_a_row_of_its_own() {
    let trace = Trace::new(WallClock::start());
    let recorder: Recorder = trace.recorder(Party::Server);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    // The party's own thread is the one that is heard of first.
    recorder.step(ValueId(0), 0, Instant::now());
    pool.install(|| recorder.step(ValueId(1), 0, Instant::now()));
    let file = file(&trace);
    assert_eq!(trace_file::check(&file), 0);
    let steps = rows(&file);
    assert_eq!(steps[1..], owned(&[("server, thread 0", "reveal answer")]));
    assert_eq!(steps[0].0, "server");
}

#[test]
fn steps_are_measured_without_a_trace_and_waiting_is_no_work() {
    let link = "1Gbit,20ms".parse().unwrap();
    let (client, server) = delayed_pair(Party::Client, Party::Server, link, WallClock::start());
    let (mut client, mut server) = (Metered::new(client), Metered::new(server));
    let begin = Instant::now();
    let watch = StopWatch::default();
    let lap = watch.start();
    client.send(INPUT, vec![0; 24]).unwrap();
    lap.wait(|| server.receive(INPUT, 24)).unwrap();
    let computed = lap.end_step(ValueId(0), 0);
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(10));
    assert!(computed <= took.as_secs_f64() - 0.009, "{computed} of {took:?}");
}
