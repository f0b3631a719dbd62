//! The trace as a file of trace events, which Perfetto (ui.perfetto.dev) and chrome://tracing show:
//! one process, a thread for each party, for each computing thread that works for one, and for each
//! direction of a delayed link; complete events for everything that took time; arrows from who sent
//! a frame to who received it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use trefoil_ir::mpc::cost::Bytes;
use trefoil_ir::mpc::{Party, Program, ValueId};

use super::{Direction, Event, Frame, Origin, Trace, Track, What};

/// The one process.
const PROCESS: u32 = 1;

/// An entry of the file.
#[derive(Serialize)]
struct Entry {
    name: String,
    /// The kind of event.
    ph: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cat: Option<&'static str>,
    pid: u32,
    tid: u32,
    /// Microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<f64>,
    /// What the parts of an arrow have in common.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// To what an arrow's end belongs: "e" is the event around it.
    #[serde(skip_serializing_if = "Option::is_none")]
    bp: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<Value>,
}

#[derive(Serialize)]
struct File<'a> {
    #[serde(rename = "displayTimeUnit")]
    unit: &'static str,
    /// Whoever shows the file passes over it.
    #[serde(rename = "trefoil", skip_serializing_if = "Option::is_none")]
    origin: Option<&'a Origin>,
    #[serde(rename = "traceEvents")]
    entries: Vec<Entry>,
}

impl Trace {
    /// The file's content; names of steps are the program's.
    pub fn to_json(&self, program: &Program) -> String {
        self.to_json_of(program, None)
    }

    /// The same, of a session at one of several machines.
    pub(super) fn to_json_of(&self, program: &Program, origin: Option<&Origin>) -> String {
        let events = self.events();
        let tracks: BTreeSet<Track> = events.iter().map(|event| event.track).collect();
        let mut entries: Vec<Entry> = tracks.into_iter().flat_map(names).collect();
        entries.insert(0, label("process_name", 0, json!({ "name": "trefoil" })));
        for event in &events {
            entries.push(complete(event, program));
            entries.extend(arrow(event));
        }
        let file = File {
            unit: "ms",
            origin,
            entries,
        };
        serde_json::to_string(&file).expect("entries have string keys and finite numbers")
    }
}

/// The row of a track: each party with its workers, then wires.
fn row(track: Track) -> u32 {
    match track {
        Track::Party(of) => 1000 * number(of),
        Track::Worker(of, thread) => 1000 * number(of) + 1 + thread as u32,
        Track::Wire(Direction { from, to }) => 10_000 + 10 * number(from) + number(to),
    }
}

/// A party's place among the three.
fn number(party: Party) -> u32 {
    match party {
        Party::Client => 1,
        Party::Server => 2,
        Party::Helper => 3,
    }
}

/// What a track is called, and where it stands.
fn names(track: Track) -> [Entry; 2] {
    let name = match track {
        Track::Party(party) => party.to_string(),
        Track::Worker(party, thread) => format!("{party}, thread {thread}"),
        Track::Wire(Direction { from, to }) => format!("wire {from} -> {to}"),
    };
    [
        label("thread_name", row(track), json!({ "name": name })),
        label(
            "thread_sort_index",
            row(track),
            json!({ "sort_index": row(track) }),
        ),
    ]
}

fn label(name: &str, tid: u32, args: Value) -> Entry {
    Entry {
        args: Some(args),
        ..entry(name.to_owned(), "M", tid)
    }
}

fn entry(name: String, ph: &'static str, tid: u32) -> Entry {
    Entry {
        name,
        ph,
        cat: None,
        pid: PROCESS,
        tid,
        ts: None,
        dur: None,
        id: None,
        bp: None,
        args: None,
    }
}

/// The event itself.
fn complete(event: &Event, program: &Program) -> Entry {
    let (name, category, args) = describe(&event.what, program);
    Entry {
        cat: Some(category),
        ts: Some(microseconds(event.begin)),
        dur: Some(microseconds(event.end.saturating_sub(event.begin))),
        args: Some(args),
        ..entry(name, "X", row(event.track))
    }
}

/// Name, category and arguments.
fn describe(what: &What, program: &Program) -> (String, &'static str, Value) {
    match what {
        What::Phase { phase, inference } => (phase.to_string(), "phase", json!({ "inference": inference })),
        What::Step { step, inference } => step_words(*step, *inference, program),
        What::Send(frame) => frame_words(frame, "send ", "message", program),
        What::Wait(frame) => frame_words(frame, "wait for ", "wait", program),
        What::Receive(frame) => frame_words(frame, "receive ", "message", program),
        What::Travel(frame) => frame_words(frame, "", "wire", program),
    }
}

fn frame_words(
    frame: &Frame,
    verb: &str,
    category: &'static str,
    program: &Program,
) -> (String, &'static str, Value) {
    let word = frame.tag.kind.word();
    (format!("{verb}{word}"), category, frame_args(frame, program))
}

fn step_words(id: ValueId, inference: u32, program: &Program) -> (String, &'static str, Value) {
    let step = program.step(id);
    let mut bytes = Bytes::default();
    for message in program.messages(id) {
        bytes.add(message.stage.phase(), message.bytes() as u64);
    }
    let name = format!("{} {}", step.op.name(), step.origin);
    let args = json!({ "step": id.0, "inference": inference, "bytes": bytes });
    (name, "step", args)
}

fn frame_args(frame: &Frame, program: &Program) -> Value {
    let Direction { from, to } = frame.direction;
    let mut args = json!({ "from": from.to_string(), "to": to.to_string(), "bytes": frame.bytes });
    if frame.tag.stage().is_some() {
        args["step"] = json!(frame.tag.step);
        args["inference"] = json!(frame.tag.inference);
        let step = program.steps.get(frame.tag.step as usize);
        args["origin"] = json!(step.map(|step| &step.origin));
    }
    args
}

/// An arrow begins where a frame is sent, passes the wire, and ends where it is received.
fn arrow(event: &Event) -> Option<Entry> {
    let (ph, frame) = match &event.what {
        What::Send(frame) => ("s", frame),
        What::Travel(frame) => ("t", frame),
        What::Receive(frame) => ("f", frame),
        What::Phase { .. } | What::Step { .. } | What::Wait(_) => return None,
    };
    let Direction { from, to } = frame.direction;
    Some(Entry {
        cat: Some("frame"),
        ts: Some(microseconds(event.begin)),
        id: Some(format!("{from} {to} {}", frame.number)),
        bp: (ph == "f").then_some("e"),
        ..entry(frame.tag.kind.word().to_owned(), ph, row(event.track))
    })
}

/// Microseconds, to the nanosecond.
fn microseconds(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e3
}
