//! Commands on the smallest plans, all three parties in this process.

use std::fs;
use std::path::Path;

use clap::Parser;
use ndarray::{Array1, Array4, s};
use ndarray_npy::{read_npy, write_npy};
use trefoil_ir::mpc::Party;
use trefoil_ir::tail::{Array, DType};

use super::args::Args;
use super::images::client_error;
use super::{CliError, Exit, dispatch};
use crate::data::{DataSet, Origin, ResultsFile, Row};
use crate::keys::{PublicKey, SecretKey};
use crate::session::SessionError;
use crate::session::testing::{SHAPE, client_plan, files};
use crate::trace::tests::trace_file;

/// A folder of plans (the server's of compilation `server`) and five images.
fn folder(server: u8) -> (tempfile::TempDir, Array4<f32>) {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (files(1), files(server));
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    write("client.plan", &own.client);
    write("server.plan", &other.server);
    write("helper.plan", &own.helper);
    let mut number = 0.0;
    let images = Array4::from_shape_simple_fn((5, SHAPE.c, SHAPE.h, SHAPE.w), || {
        number += 0.5;
        number
    });
    write_npy(folder.path().join("x.npy"), &images).unwrap();
    write_npy(folder.path().join("y.npy"), &Array1::from(vec![0i64; 5])).unwrap();
    (folder, images)
}

fn local(folder: &Path, more: &str) -> Result<(), CliError> {
    let folder = folder.to_str().unwrap();
    let line = format!("trefoil-party local --plans {folder} --data {folder}/x.npy {more}");
    dispatch(Args::try_parse_from(line.split_whitespace()).unwrap())
}

fn message(error: &dyn std::error::Error) -> String {
    crate::net::listen::sentence(error)
}

#[test]
fn local_writes_logits_and_a_report() {
    let (folder, images) = folder(1);
    let path = folder.path();
    let (output, report) = (path.join("o.npy"), path.join("r.json"));
    let more = format!(
        "--output {} --report {} --images 3 --repeat 2 --labels {}",
        output.display(),
        report.display(),
        path.join("y.npy").display()
    );
    local(path, &more).unwrap();
    let logits: Array4<f32> = read_npy(&output).unwrap();
    assert_eq!(logits, images.slice(s![..3, .., .., ..]));
    let report: serde_json::Value = serde_json::from_str(&fs::read_to_string(&report).unwrap()).unwrap();
    assert_eq!(report["images"], 6);
    assert_eq!(report["bytes"]["online"], 6 * SHAPE.len());
    assert_eq!(report["round_trips"], 1);
    assert_eq!(report["links"]["client->server"]["total"], 4 * SHAPE.len());
    // Input and reveal; prepare, ready and run of two links each, and the helper's answer to the
    // last; what prepare and run announce.
    assert_eq!(report["headers"], 16 * 9 + 4 * 4);
    // Three hellos, three welcomes; of both ends of each pair its half of a secret and its proof.
    assert_eq!(report["setup"]["bytes"], 6 * 96 + 6 * 2 * 32);
    assert_eq!(report["setup"]["headers"], 16 * 18);
    for party in ["client", "server", "helper"] {
        assert!(report["peak_memory"][party].is_u64(), "{party}");
        assert!(report["steps"][1]["seconds"][party].is_f64(), "{party}");
    }
    // The output is a map: it has no class to compare.
    assert!(report.get("top1").is_none());
}

/// The report and the logits of a run of `local`.
fn ran(folder: &Path, more: &str) -> (serde_json::Value, Array4<f32>) {
    let (output, report) = (folder.join("o.npy"), folder.join("r.json"));
    let more = format!(
        "--output {} --report {} {more}",
        output.display(),
        report.display()
    );
    local(folder, &more).unwrap();
    let text = fs::read_to_string(&report).unwrap();
    (serde_json::from_str(&text).unwrap(), read_npy(&output).unwrap())
}

#[test]
fn stocks_and_batches_of_any_size_give_every_image_its_result() {
    let (folder, images) = folder(1);
    // By stock and batch: how many are in stock at most, and how many run together at most.
    for (flags, stock, batch) in [
        ("", 1, 1),
        ("--stock 3", 3, 1),
        ("--batch 2", 2, 2),
        ("--stock 3 --batch 2", 3, 2),
        // A stock smaller than a batch is as large as one; a batch beyond the images is all of them.
        ("--stock 2 --batch 4", 4, 4),
        ("--stock 100 --batch 64", 5, 5),
        // Batches go on from one repetition to the next.
        ("--batch 4 --repeat 3", 4, 4),
    ] {
        let (report, logits) = ran(folder.path(), flags);
        assert_eq!(logits, images, "{flags}");
        assert_eq!(
            report["images"],
            if flags.contains("repeat") { 15 } else { 5 },
            "{flags}"
        );
        assert_eq!(
            (&report["stock"], &report["batch"]),
            (&stock.into(), &batch.into()),
            "{flags}"
        );
        assert_eq!(report["bytes"]["total"], 6 * SHAPE.len(), "{flags}");
        assert_eq!(report["round_trips"], 1, "{flags}");
        assert!(report["throughput"]["total"].as_f64() > Some(0.0), "{flags}");
        let (online, total) = (&report["throughput"]["online"], &report["throughput"]["total"]);
        assert!(online.as_f64() >= total.as_f64(), "{flags}");
    }
}

#[test]
fn a_link_delays_and_changes_nothing_else() {
    let (folder, images) = folder(1);
    let path = folder.path();
    let (output, report, trace) = (path.join("o.npy"), path.join("r.json"), path.join("t.json"));
    let more = format!(
        "--link 10Mbit,20ms --output {} --report {} --trace {}",
        output.display(),
        report.display(),
        trace.display()
    );
    local(path, &more).unwrap();
    let logits: Array4<f32> = read_npy(&output).unwrap();
    assert_eq!(logits, images);
    let report: serde_json::Value = serde_json::from_str(&fs::read_to_string(&report).unwrap()).unwrap();
    assert_eq!(report["predicted"]["link"], "10Mbit,20ms");
    assert_eq!(report["predicted"]["bytes"], report["bytes"]);
    let seconds = |phase: &str| report["seconds"][phase].as_f64().unwrap();
    let predicted = |phase: &str| report["predicted"]["seconds"][phase].as_f64().unwrap();
    for phase in ["offline", "online"] {
        // One round trip each: begin and ready, image and result.
        assert!(seconds(phase) >= 0.02 && predicted(phase) >= 0.02, "{phase}");
    }
    // The handshake is delayed as well: the client waits for two round trips at least.
    assert!(report["setup"]["seconds"].as_f64().unwrap() >= 0.04);
    let trace: serde_json::Value = serde_json::from_str(&fs::read_to_string(&trace).unwrap()).unwrap();
    // Of each image begin and ready to and from two parties, input and reveal; the handshakes; the end.
    assert!(trace_file::check(&trace) >= 5 * 6 + 18 + 2);
}

#[test]
fn the_cause_is_reported_and_not_what_followed_from_it() {
    let (folder, _) = folder(2);
    let error = message(&local(folder.path(), "").unwrap_err());
    assert!(
        error.contains("the client's plan") && error.contains("not of the same compilation"),
        "{error}"
    );
}

#[test]
fn an_image_that_cannot_be_used_is_named() {
    let (folder, mut images) = folder(1);
    images[[2, 1, 0, 2]] = 1e9;
    write_npy(folder.path().join("x.npy"), &images).unwrap();
    let error = message(&local(folder.path(), "").unwrap_err());
    assert!(
        error.starts_with("cannot use image 2: ") && error.contains("channel 1, row 0, column 2"),
        "{error}"
    );
    images[[2, 1, 0, 2]] = f32::NAN;
    write_npy(folder.path().join("x.npy"), &images).unwrap();
    assert!(local(folder.path(), "").is_err());
}

/// Settings of a client whose server and helper nobody runs.
fn nobody(folder: &Path) -> String {
    let key = folder.join("client.key");
    SecretKey::generate().unwrap().write(&key).unwrap();
    let [server, helper] = [1, 2].map(|byte| PublicKey::from_bytes([byte; 32]));
    format!(
        "--key {} --server 127.0.0.1:1 --server-key {server} --helper 127.0.0.1:1 --helper-key {helper}",
        key.display()
    )
}

#[test]
fn images_are_checked_before_anybody_is_called() {
    let (folder, mut images) = folder(1);
    let path = folder.path().to_str().unwrap();
    let client = |more: &str| {
        let line = format!(
            "trefoil-party client --plan {path}/client.plan {} --data {path}/x.npy {more}",
            nobody(folder.path())
        );
        message(&dispatch(Args::try_parse_from(line.split_whitespace()).unwrap()).unwrap_err())
    };
    images[[4, 1, 0, 2]] = 1e9;
    write_npy(folder.path().join("x.npy"), &images).unwrap();
    // Nobody listens there: an error of the connection would come if it were tried first.
    let error = client("");
    assert!(error.starts_with("cannot use image 4: "), "{error}");
}

#[test]
fn results_that_could_not_be_written_are_refused_before_the_run() {
    let (folder, _) = folder(1);
    let error = message(&local(folder.path(), "--report /none/r.json").unwrap_err());
    assert!(error.starts_with("cannot write `/none/r.json`"), "{error}");
    let error = message(&local(folder.path(), "--trace /none/t.json").unwrap_err());
    assert!(error.starts_with("cannot write `/none/t.json`"), "{error}");
}

#[test]
fn results_have_a_place_before_there_is_a_session() {
    let (folder, _) = folder(1);
    let path = folder.path();
    let refused = |more: &str| {
        let error = local(path, more).unwrap_err();
        // A session that had begun would have failed for the plans of two compilations.
        message(&error)
    };
    fs::write(path.join("server.plan"), files(2).server).unwrap();
    assert!(refused("--output /proc/o.npy").starts_with("cannot write `/proc/o.npy"));
    assert!(refused("--output /dev/null").contains("is not a file"));
    assert!(refused("--report /proc/r.json").starts_with("cannot write `/proc/r.json`"));
    let output = path.join("o.npy");
    let more = format!("--output {}", output.display());
    assert!(refused(&more).contains("not of the same compilation"));
    assert_eq!(
        fs::read_dir(path).unwrap().count(),
        5,
        "and nothing is left behind"
    );
}

/// What an interrupted run over the five images of the folder leaves: so many rows of -7.
fn interrupted(folder: &Path, output: &str, rows: usize) {
    let data = DataSet::open(&folder.join("x.npy"), None, None).unwrap();
    let origin = super::results::origin(&data, &client_plan(1)).unwrap();
    leave(folder, output, rows, &origin);
}

fn leave(folder: &Path, output: &str, rows: usize, origin: &Origin) {
    let (dtype, dims) = (DType::F32, vec![SHAPE.c, SHAPE.h, SHAPE.w]);
    let row = Row {
        dtype,
        dims: dims.clone(),
    };
    let mut earlier = ResultsFile::create(&folder.join(output), row, 5, origin).unwrap();
    for _ in 0..rows {
        let (dims, values) = (dims.clone(), vec![-7.0; SHAPE.len()]);
        earlier.append(&Array { dims, dtype, values }).unwrap();
    }
}

/// The names of a folder's results, in order.
fn results_in(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.contains(".npy")).collect();
    names.retain(|name| name != "x.npy" && name != "y.npy");
    names.sort();
    names
}

#[test]
fn a_run_goes_on_where_an_earlier_one_ended() {
    let (folder, images) = folder(1);
    let path = folder.path();
    let output = path.join("o.npy");
    // Two of five images; that they keep values which no image has shows that they were not computed again.
    interrupted(path, "o.npy", 2);
    let more = format!("--output {}", output.display());
    let error = message(&local(path, &more).unwrap_err());
    assert!(
        error.contains("o.npy.partial` holds 2 results") && error.contains("--resume"),
        "{error}"
    );
    let (report, logits) = ran(path, "--resume --batch 2");
    assert_eq!(report["images"], 3);
    assert!(report.get("error").is_none());
    assert_eq!(
        logits.slice(s![2.., .., .., ..]),
        images.slice(s![2.., .., .., ..])
    );
    let mut kept = logits.slice(s![..2, .., .., ..]).into_iter();
    assert!(kept.all(|&value| value == -7.0));
    assert_eq!(results_in(path), ["o.npy"]);
    // Without an earlier run it is an ordinary one.
    let (report, logits) = ran(path, "--resume");
    assert_eq!((&report["images"], logits), (&5.into(), images));
}

#[test]
fn another_plan_and_other_images_are_not_mixed_with_earlier_results() {
    let (folder, images) = folder(1);
    let path = folder.path();
    let resume =
        || message(&local(path, &format!("--resume --output {}/o.npy", path.display())).unwrap_err());
    interrupted(path, "o.npy", 2);
    // Written anew: the time is another one, and the number that was no image's is now.
    let kept = fs::metadata(path.join("x.npy")).unwrap().modified().unwrap();
    write_npy(path.join("x.npy"), &(images + 1.0)).unwrap();
    let error = resume();
    assert!(error.contains("are of another data than this run's"), "{error}");
    let file = fs::File::options().write(true).open(path.join("x.npy")).unwrap();
    file.set_modified(kept).unwrap();
    for (name, bytes) in [
        ("client", files(2).client),
        ("server", files(2).server),
        ("helper", files(2).helper),
    ] {
        fs::write(path.join(format!("{name}.plan")), bytes).unwrap();
    }
    let error = resume();
    assert!(error.contains("are of another plan than this run's"), "{error}");
    assert_eq!(results_in(path), ["o.npy.partial", "o.npy.partial.run"]);
}

#[test]
fn results_that_are_more_than_a_row_apart_are_not_of_one_run() {
    let (folder, images) = folder(1);
    let path = folder.path();
    let both = format!("--output {0}/o.npy --logits {0}/l.npy", path.display());
    let left = |outputs, logits| {
        interrupted(path, "o.npy", outputs);
        interrupted(path, "l.npy", logits);
    };
    left(4, 2);
    let error = message(&local(path, &format!("{both} --resume")).unwrap_err());
    assert!(
        error.contains("o.npy.partial` holds 4 results and") && error.contains("l.npy.partial` holds 2"),
        "{error}"
    );
    let partial: Array4<f32> = read_npy(path.join("o.npy.partial")).unwrap();
    assert_eq!(partial.dim().0, 4, "and nothing is lost");
    for name in results_in(path) {
        fs::remove_file(path.join(name)).unwrap();
    }
    // A run may end between the two.
    left(4, 3);
    local(path, &format!("{both} --resume")).unwrap();
    assert_eq!(results_in(path), ["l.npy", "o.npy"]);
    for name in ["o.npy", "l.npy"] {
        let rows: Array4<f32> = read_npy(path.join(name)).unwrap();
        assert_eq!(
            rows.slice(s![3.., .., .., ..]),
            images.slice(s![3.., .., .., ..]),
            "{name}"
        );
        assert_eq!(rows[[2, 0, 0, 0]], -7.0, "{name}");
    }
}

#[test]
fn results_that_lack_nothing_but_their_names_need_no_session() {
    let (folder, _) = folder(1);
    let path = folder.path();
    // The run was killed between the names of the two.
    interrupted(path, "o.npy", 5);
    interrupted(path, "l.npy", 5);
    fs::rename(path.join("o.npy.partial"), path.join("o.npy")).unwrap();
    // Nobody listens there, and the plans of `local` are of two compilations.
    fs::write(path.join("server.plan"), files(2).server).unwrap();
    let folder = path.display();
    let both = format!("--output {folder}/o.npy --logits {folder}/l.npy --resume");
    let client = format!(
        "trefoil-party client --plan {folder}/client.plan {} --data {folder}/x.npy {both}",
        nobody(path)
    );
    dispatch(Args::try_parse_from(client.split_whitespace()).unwrap()).unwrap();
    assert_eq!(results_in(path), ["l.npy", "o.npy"]);
    interrupted(path, "o.npy", 5);
    interrupted(path, "l.npy", 5);
    let report = format!("{both} --report {folder}/r.json");
    local(path, &report).unwrap();
    assert_eq!(results_in(path), ["l.npy", "o.npy"]);
    let logits: Array4<f32> = read_npy(path.join("l.npy")).unwrap();
    assert_eq!((logits.dim().0, logits[[4, 0, 0, 0]]), (5, -7.0));
}

#[test]
fn a_run_that_fails_has_a_report_too() {
    let (folder, _) = folder(2);
    let report = folder.path().join("r.json");
    let error = message(&local(folder.path(), &format!("--report {}", report.display())).unwrap_err());
    let report: serde_json::Value = serde_json::from_str(&fs::read_to_string(&report).unwrap()).unwrap();
    assert_eq!(
        (&report["images"], &report["error"]),
        (&0.into(), &error.as_str().into())
    );
}

#[test]
fn threads_beyond_reason_are_not_started() {
    let (folder, _) = folder(1);
    local(folder.path(), "--threads 100000 --quiet").unwrap();
    let cores = std::thread::available_parallelism().unwrap().get();
    assert!(rayon::current_num_threads() <= 4 * cores);
}

#[test]
fn wrong_files_are_named() {
    let (folder, _) = folder(1);
    let path = folder.path();
    fs::copy(path.join("client.plan"), path.join("server.plan")).unwrap();
    let error = message(&local(path, "").unwrap_err());
    assert!(
        error.contains("server.plan") && error.contains("this is the client's plan"),
        "{error}"
    );
    fs::remove_file(path.join("helper.plan")).unwrap();
    fs::write(path.join("server.plan"), files(1).server).unwrap();
    let error = message(&local(path, "").unwrap_err());
    assert!(
        error.starts_with("cannot read the plan") && error.contains("helper.plan"),
        "{error}"
    );
}

#[test]
fn what_is_missing_or_no_address_is_refused_before_anything_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().display();
    let key = SecretKey::generate().unwrap();
    key.write(&folder.path().join("key")).unwrap();
    let (one, two) = (PublicKey::from_bytes([1; 32]), PublicKey::from_bytes([2; 32]));
    let own = key.public();
    let client = format!("client --key {dir}/key --plan none --data none --server-key {one}");
    for (line, words) in [
        ("serve --plans none".to_owned(), "no role is set"),
        ("serve --role client".to_owned(), "`serve` is not for a client"),
        (
            format!("serve --config {dir}/none"),
            "cannot read the configuration",
        ),
        (
            format!("{client} --server s:1 --helper h --helper-key {two}"),
            "`h` is no address of the helper",
        ),
        (
            format!("{client} --server s:1 --helper h:2 --helper-key {one}"),
            "have the same key",
        ),
        (
            format!(
                "serve --role helper --key {dir}/key --plans none --listen 127.0.0.1:0 --clients none --server-key {own}"
            ),
            "have the same key",
        ),
        (
            format!(
                "serve --role helper --key {dir}/key --plans none --listen 127.0.0.1:0 --clients none --server-key {one}"
            ),
            "none",
        ),
    ] {
        let words_of_line = std::iter::once("trefoil-party").chain(line.split(' '));
        let error = message(&dispatch(Args::try_parse_from(words_of_line).unwrap()).unwrap_err());
        assert!(error.contains(words), "{line}: {error}");
    }
}

#[test]
fn each_failure_has_the_code_that_scripts_know() {
    use crate::wire::{AbortReason, LinkError, Peer};
    let session = |source| {
        let source = SessionError::Told(source);
        client_error(source).exit()
    };
    let peer = Peer::local(Party::Server);
    let aborted = |reason| {
        let peer = peer.clone();
        session(LinkError::PeerAborted { peer, reason })
    };
    for (reason, exit) in [
        (AbortReason::Busy, Exit::Busy),
        (AbortReason::ClientSessions, Exit::Busy),
        (AbortReason::Quota, Exit::Refused),
        (AbortReason::Revoked, Exit::Refused),
        (AbortReason::PlanMismatch, Exit::Refused),
        (AbortReason::Stopping, Exit::Lost),
        (AbortReason::PeerLost, Exit::Lost),
        (AbortReason::Misbehaviour, Exit::Wrong),
    ] {
        assert_eq!(aborted(reason), exit, "{reason}");
    }
    let codes: Vec<u8> = [
        Exit::Wrong,
        Exit::Busy,
        Exit::Refused,
        Exit::Lost,
        Exit::Incomplete,
    ]
    .map(Exit::code)
    .into();
    assert_eq!(codes, [1, 3, 4, 5, 6]);
    assert_eq!(
        session(LinkError::PeerDisconnected { peer: peer.clone() }),
        Exit::Lost
    );
}
