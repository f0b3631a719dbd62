//! What a trace file must hold, whatever was traced. The runtime's own tests use it as well.

use std::collections::BTreeMap;

use serde_json::Value;

/// Whole nanoseconds, so that sums are exact.
fn nanoseconds(value: &Value) -> i64 {
    let microseconds = value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number of microseconds"));
    (microseconds * 1e3).round() as i64
}

/// The parts of an arrow.
#[derive(Default)]
struct Arrow<'a> {
    begins: Vec<&'a Value>,
    passes: Vec<&'a Value>,
    ends: Vec<&'a Value>,
}

/// Checks that events nest on each thread, that each has a name, and that each frame that was sent
/// was received. Returns how many frames there were.
pub(crate) fn check(trace: &Value) -> usize {
    let events = trace["traceEvents"].as_array().expect("the events are an array");
    let of_kind = |kind: &'static str| events.iter().filter(move |event| event["ph"] == kind);
    let named: Vec<&Value> = of_kind("M")
        .filter(|event| event["name"] == "thread_name")
        .map(|event| &event["tid"])
        .collect();
    let mut rows: BTreeMap<i64, Vec<(i64, i64)>> = BTreeMap::new();
    for event in of_kind("X") {
        assert!(
            event["name"].as_str().is_some_and(|name| !name.is_empty()),
            "{event}"
        );
        assert!(event["pid"] == 1 && named.contains(&&event["tid"]), "{event}");
        let (begin, length) = (nanoseconds(&event["ts"]), nanoseconds(&event["dur"]));
        assert!(begin >= 0 && length >= 0, "{event}");
        let row = event["tid"].as_i64().expect("a row is a number");
        rows.entry(row).or_default().push((begin, begin + length));
    }
    for (row, spans) in &mut rows {
        check_nesting(*row, spans);
    }
    let mut arrows: BTreeMap<&str, Arrow<'_>> = BTreeMap::new();
    for event in events {
        let Some(id) = event["id"].as_str() else { continue };
        let arrow = arrows.entry(id).or_default();
        match event["ph"].as_str() {
            Some("s") => arrow.begins.push(event),
            Some("t") => arrow.passes.push(event),
            Some("f") => arrow.ends.push(event),
            _ => panic!("{event} is no part of an arrow"),
        }
    }
    for (id, arrow) in &arrows {
        check_arrow(id, arrow, &rows);
    }
    let count = |verb: &str| {
        let with = |event: &&Value| event["name"].as_str().is_some_and(|name| name.starts_with(verb));
        of_kind("X").filter(with).count()
    };
    assert_eq!((count("send "), count("receive ")), (arrows.len(), arrows.len()));
    arrows.len()
}

/// Two spans of a row are apart, or one lies within the other.
fn check_nesting(row: i64, spans: &mut [(i64, i64)]) {
    spans.sort_by_key(|&(begin, end)| (begin, -end));
    let mut open: Vec<(i64, i64)> = Vec::new();
    for &(begin, end) in spans.iter() {
        while open.last().is_some_and(|&(_, of_open)| of_open <= begin) {
            open.pop();
        }
        if let Some(&around) = open.last() {
            assert!(
                end <= around.1,
                "on row {row} ({begin}, {end}) crosses {around:?}"
            );
        }
        open.push((begin, end));
    }
}

/// An arrow has a beginning and an end in this order, and each lies at the beginning of an event.
fn check_arrow(id: &str, arrow: &Arrow<'_>, rows: &BTreeMap<i64, Vec<(i64, i64)>>) {
    assert_eq!((arrow.begins.len(), arrow.ends.len()), (1, 1), "frame {id}");
    assert!(arrow.passes.len() <= 1, "frame {id}");
    let parts = [&arrow.begins, &arrow.passes, &arrow.ends].into_iter().flatten();
    let mut last = 0;
    for part in parts {
        let time = nanoseconds(&part["ts"]);
        // Times on the wire are rounded.
        assert!(time >= last - 1, "frame {id} goes back in time");
        last = time;
        let row = part["tid"].as_i64().expect("a row is a number");
        let begins = |&(begin, _): &(i64, i64)| begin == time;
        assert!(rows[&row].iter().any(begins), "frame {id}: no event at {part}");
    }
}
