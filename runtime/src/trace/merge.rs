//! One timeline of the traces that the parties of a session have each written on a machine of its own.
//!
//! Their clocks differ, by milliseconds where they are kept and by anything where they are not. No frame is received
//! before it is sent: each frame from the client to another party says how much later that one's clock must be read at
//! least, and each frame back how much later at most. In the middle of the two both ways take equally long.

use std::collections::HashMap;

use serde_json::Value;

use super::file::Origin;

/// Why traces cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// A file that is no trace of a party.
    #[error(
        "file {number} is no trace that a party wrote: give files that `--trace DIR` of serve and client left"
    )]
    NoTrace {
        /// Which of the files, from 1 on.
        number: usize,
        /// What is wrong with it, if it is no JSON.
        source: Option<serde_json::Error>,
    },
    /// Files of several sessions.
    #[error("the files are of the sessions {one} and {other}: give those of one session")]
    Sessions {
        /// One session.
        one: String,
        /// Another.
        other: String,
    },
    /// A party twice, or none at all.
    #[error("give one file of each party, the client's among them")]
    Parties,
}

/// A party's file.
struct Part {
    origin: Origin,
    file: Value,
}

/// Puts traces of one session together: texts of files, in any order.
///
/// # Errors
/// If they are no traces of one session, or the client's is missing.
pub fn merge(texts: &[String]) -> Result<String, MergeError> {
    let mut parts = Vec::new();
    for (at, text) in texts.iter().enumerate() {
        parts.push(read(at + 1, text)?);
    }
    let client = parts.iter().position(|part| part.origin.party == "client");
    let client = parts.swap_remove(client.ok_or(MergeError::Parties)?);
    let mut merged = client.file.clone();
    for (at, part) in parts.iter().enumerate() {
        let before = &parts[..at];
        if part.origin.party == "client" || before.iter().any(|other| other.origin.party == part.origin.party)
        {
            return Err(MergeError::Parties);
        }
        if part.origin.session != client.origin.session {
            return Err(MergeError::Sessions {
                one: client.origin.session.clone(),
                other: part.origin.session.clone(),
            });
        }
        let shift = shift(&client, part);
        if let Some(entries) = merged["traceEvents"].as_array_mut() {
            // Its own name of the process is there already.
            entries.extend(
                events(part)
                    .filter(|entry| entry["name"] != "process_name")
                    .map(|entry| later(entry, shift)),
            );
        }
    }
    Ok(merged.to_string())
}

fn read(number: usize, text: &str) -> Result<Part, MergeError> {
    let no_trace = |source| MergeError::NoTrace { number, source };
    let file: Value = serde_json::from_str(text).map_err(|error| no_trace(Some(error)))?;
    let origin = serde_json::from_value(file["trefoil"].clone()).map_err(|error| no_trace(Some(error)))?;
    match file["traceEvents"].is_array() {
        true => Ok(Part { origin, file }),
        false => Err(no_trace(None)),
    }
}

fn events(part: &Part) -> impl Iterator<Item = &Value> {
    part.file["traceEvents"].as_array().into_iter().flatten()
}

fn later(entry: &Value, shift: f64) -> Value {
    let mut entry = entry.clone();
    if let Some(time) = entry["ts"].as_f64() {
        entry["ts"] = (time + shift).into();
    }
    entry
}

/// When frames were sent, or received, by name.
fn times<'a>(part: &'a Part, kind: &str) -> HashMap<&'a str, f64> {
    let of_kind = events(part).filter(|entry| entry["ph"] == kind);
    of_kind
        .filter_map(|entry| Some((entry["id"].as_str()?, entry["ts"].as_f64()?)))
        .collect()
}

/// How many microseconds later a party's times are on the client's clock.
fn shift(client: &Part, part: &Part) -> f64 {
    let said = part.origin.epoch - client.origin.epoch;
    // A frame from the client is received after it was sent, and one to it sent before it is received.
    let received = times(part, "f");
    let least = times(client, "s")
        .into_iter()
        .filter_map(|(frame, sent)| Some(sent - received.get(frame)?))
        .reduce(f64::max);
    let come = times(client, "f");
    let most = times(part, "s")
        .into_iter()
        .filter_map(|(frame, sent)| Some(come.get(frame)? - sent))
        .reduce(f64::min);
    match (least, most) {
        (Some(least), Some(most)) => f64::midpoint(least, most),
        (Some(least), None) => said.max(least),
        (None, Some(most)) => said.min(most),
        (None, None) => said,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// A frame: from whom to whom, its number, when it was sent and received by a clock that all share.
    type Passed<'a> = (&'a str, &'a str, u32, f64, f64);

    /// What a party writes whose clock began at `began` and runs `ahead` of all others.
    fn file(party: &str, began: f64, ahead: f64, frames: &[Passed<'_>]) -> String {
        let entries = frames.iter().flat_map(|(from, to, number, sent, received)| {
            let id = format!("{from} {to} {number}");
            let begin = json!({ "name": "m", "ph": "s", "id": id, "ts": sent - began });
            let end = json!({ "name": "m", "ph": "f", "id": id, "ts": received - began });
            [(*from == party).then_some(begin), (*to == party).then_some(end)]
        });
        let origin = Origin {
            session: "5e55".into(),
            party: party.into(),
            epoch: began + ahead,
        };
        let entries: Vec<Value> = entries.flatten().collect();
        json!({ "trefoil": origin, "traceEvents": entries }).to_string()
    }

    proptest! {
        /// However wrong clocks are, nothing is received before it is sent.
        #[test]
        fn causes_come_before_effects(
            ahead in -1e9..1e9f64,
            begins in (0.0..1e6f64, 0.0..1e6f64),
            delays in prop::collection::vec((1.0..5e4f64, 1.0..5e4f64), 1..20),
        ) {
            let mut now = 2e6;
            let mut frames = Vec::new();
            for (number, (there, back)) in delays.into_iter().enumerate() {
                let number = number as u32;
                frames.push(("client", "server", number, now, now + there));
                frames.push(("server", "client", number, now + there, now + there + back));
                now += there + back;
            }
            let texts = [file("client", begins.0, 0.0, &frames), file("server", begins.1, ahead, &frames)];
            let merged: Value = serde_json::from_str(&merge(&texts).unwrap()).unwrap();
            let part = Part { origin: serde_json::from_value(merged["trefoil"].clone()).unwrap(), file: merged };
            let (sent, received) = (times(&part, "s"), times(&part, "f"));
            prop_assert_eq!(sent.len(), frames.len());
            for (frame, time) in sent {
                prop_assert!(received[frame] >= time - 1e-3, "{frame}: {time} {}", received[frame]);
            }
        }
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let client = file("client", 0.0, 0.0, &[]);
        let server = file("server", 0.0, 0.0, &[]);
        let other = server.replace("5e55", "5e56");
        let refused = |texts: &[&String]| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).clone()).collect();
            merge(&texts).unwrap_err()
        };
        assert!(matches!(refused(&[&server]), MergeError::Parties));
        assert!(matches!(refused(&[]), MergeError::Parties));
        assert!(matches!(
            refused(&[&client, &server, &server]),
            MergeError::Parties
        ));
        assert!(matches!(refused(&[&client, &client]), MergeError::Parties));
        assert!(matches!(refused(&[&client, &other]), MergeError::Sessions { .. }));
        for nonsense in [
            "",
            "{}",
            "[]",
            r#"{"trefoil": {"session": "a", "party": "client", "epoch": 0}}"#,
        ] {
            let error = refused(&[&client, &nonsense.to_owned()]);
            assert!(
                matches!(error, MergeError::NoTrace { number: 2, .. }),
                "{nonsense}: {error}"
            );
        }
        assert!(merge(&[client, server]).is_ok());
    }
}
