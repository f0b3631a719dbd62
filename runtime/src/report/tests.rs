//! Figures by image, by stock and by batch, and what a report says in words.

use std::time::Duration;

use trefoil_ir::mpc::Stage;

use super::*;
use crate::exec::Measured;
use crate::session::testing::client_plan;
use crate::session::{BatchRun, Preparation, Record};
use crate::wire::{Count, Traffic};

fn record(phase: Phase, inferences: u32, step_seconds: f64) -> Record {
    let mut record = Record {
        phase,
        inferences,
        measured: Measured::default(),
        traffic: Traffic::default(),
    };
    record.measured.step_seconds = vec![step_seconds, 0.0];
    record.measured.peak_memory = u64::from(inferences) * 10;
    record
}

/// A stock that took so many seconds.
fn preparation(inferences: u32, seconds: u64) -> Preparation {
    let mut record = record(Phase::Offline, inferences, 0.25 * f64::from(inferences));
    let bytes = 40 * u64::from(inferences);
    let messages = u64::from(inferences);
    let count = Count { messages, bytes };
    record.traffic.sent.insert((0, Stage::MaskedShare), count);
    Preparation {
        time: Duration::from_secs(seconds),
        record,
    }
}

/// A batch that took so many seconds.
fn batch(images: u32, seconds: u64) -> BatchRun {
    let mut record = record(Phase::Online, images, 0.5 * f64::from(images));
    let count = |bytes| Count {
        messages: images.into(),
        bytes: bytes * u64::from(images),
    };
    record.traffic.sent.insert((0, Stage::Input), count(72));
    record.traffic.received.insert((1, Stage::Reveal), count(36));
    record.traffic.control = Count {
        messages: 4,
        bytes: 8,
    };
    record.traffic.round_trips = 1;
    BatchRun {
        units: vec![],
        time: Duration::from_secs(seconds),
        record,
    }
}

fn json(tally: &Tally, accuracy: Option<Accuracy>) -> serde_json::Value {
    let report = tally.report(client_plan(1).program(), accuracy);
    serde_json::from_str(&report.to_json()).unwrap()
}

#[test]
fn figures_are_those_of_one_image() {
    let mut tally = Tally::default();
    for online in [2, 3, 10] {
        tally.prepared(&preparation(1, 1));
        tally.batch(&batch(1, online));
    }
    tally.party(Party::Server, &record(Phase::Online, 1, 2.0));
    let report = json(
        &tally,
        Some(Accuracy {
            correct: 3,
            labelled: 4,
        }),
    );
    assert_eq!(
        (&report["images"], &report["stock"], &report["batch"]),
        (&3.into(), &1.into(), &1.into())
    );
    assert_eq!(report["top1"], 0.75);
    assert_eq!((&report["correct"], &report["labelled"]), (&3.into(), &4.into()));
    assert_eq!(report["seconds"]["offline"], 1.0);
    assert_eq!(report["seconds"]["online"], 5.0);
    assert_eq!(report["seconds"]["total"], 6.0);
    assert_eq!(report["seconds"]["median"]["total"], 4.0);
    assert_eq!(report["throughput"]["online"], 0.2);
    assert_eq!(report["throughput"]["total"], 3.0 / 18.0);
    let bytes = serde_json::json!({ "offline": 40, "online": 108, "total": 148 });
    assert_eq!(report["bytes"], bytes);
    assert_eq!(report["headers"], 7 * 16 + 8);
    assert_eq!(report["round_trips"], 1);
    assert_eq!(report["links"]["client->server"]["online"], 72);
    assert_eq!(report["schema"], super::SCHEMA);
    assert_eq!(report["predicted"]["link"], "ideal");
    assert_eq!(
        report["predicted_seconds"]["ideal"],
        report["predicted"]["seconds"]
    );
    let of_plan = serde_json::json!({ "offline": 0, "online": 108, "total": 108 });
    assert_eq!(report["predicted"]["bytes"], of_plan);
    assert_eq!(report["predicted"]["round_trips"], 1);
    assert_eq!(report["predicted"]["work"]["online"]["messages"], 2);
    let memory = serde_json::json!({ "client": 10, "server": 10, "helper": null });
    assert_eq!(report["peak_memory"], memory);
    assert_eq!(report["steps"][0]["name"], "x");
    assert_eq!(report["steps"][0]["op"], "input");
    assert_eq!(report["steps"][0]["seconds"]["client"], 0.75);
    assert_eq!(report["steps"][0]["seconds"]["server"], 2.0);
    assert_eq!(report["steps"][1]["bytes"]["online"], 36);
}

#[test]
fn the_summary_names_the_link_if_there_is_one() {
    let plan = client_plan(1);
    let mut tally = Tally::default();
    assert!(!tally.report(plan.program(), None).summary().contains("link"));
    tally.over("8Mbit,20ms".parse().unwrap());
    let report = tally.report(plan.program(), None);
    // 108 bytes in two frames at 1 us a byte, and one round trip.
    let online = report.predicted.seconds.online;
    assert!((0.02014..0.021).contains(&online), "{online}");
    let summary = report.summary();
    assert!(
        summary.contains("link         8Mbit,20ms: predicted 0.0"),
        "{summary}"
    );
}

#[test]
fn stocks_and_batches_are_divided_among_their_images() {
    let mut tally = Tally::default();
    tally.prepared(&preparation(4, 8));
    tally.batch(&batch(3, 6));
    // One is left in stock, and two come to it; one of them stays.
    tally.prepared(&preparation(2, 5));
    tally.batch(&batch(2, 5));
    let report = json(&tally, None);
    assert_eq!(
        (&report["images"], &report["stock"], &report["batch"]),
        (&5.into(), &4.into(), &3.into())
    );
    let close = |value: &serde_json::Value, wanted: f64| {
        assert!(
            (value.as_f64().unwrap() - wanted).abs() < 1e-12,
            "{value} {wanted}"
        );
    };
    close(&report["seconds"]["offline"], (4.0 * 2.0 + 2.0 * 2.5) / 6.0);
    close(&report["seconds"]["online"], (3.0 * 6.0 + 2.0 * 5.0) / 5.0);
    close(
        &report["seconds"]["total"],
        (4.0 * 2.0 + 2.5 + 3.0 * 2.0 + 2.0 * 2.5) / 5.0,
    );
    close(&report["seconds"]["median"]["online"], 6.0);
    close(&report["throughput"]["online"], 5.0 / 11.0);
    close(&report["throughput"]["total"], 5.0 / 24.0);
    // What was prepared and not used is no image's.
    let bytes = serde_json::json!({ "offline": 40, "online": 108, "total": 148 });
    assert_eq!(report["bytes"], bytes);
    assert_eq!(report["round_trips"], 1);
    assert_eq!(report["steps"][0]["seconds"]["client"], 0.75);
    let text = tally.report(client_plan(1).program(), None).summary();
    assert!(
        text.contains("online for a batch of 3\nthroughput   0.2 images a second, 0.5 out"),
        "{text}"
    );
}

#[test]
fn a_run_without_images_has_a_report() {
    let report = Tally::default().report(client_plan(1).program(), None);
    assert_eq!((report.images, report.seconds.mean.total), (0, 0.0));
    assert_eq!((report.batch, report.throughput.total), (0, 0.0));
}
