//! The client as a person and a script meet it: what it prints, what it leaves behind when something
//! breaks, and what it says while it waits.

mod support;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use ndarray::{Array4, Axis, concatenate};
use serde_json::Value;
use support::commands::{Ended, LIMIT, REFUSAL_LIMIT, Running, party_beside, run};
use support::compiled::{deviation, distance};
use support::folder::{digits, read_floats};
use support::ring::Ring;
use tempfile::TempDir;

const TREFOIL: &str = env!("CARGO_BIN_EXE_trefoil");

fn party(command: &str) -> Command {
    let mut party = Command::new(party_beside(TREFOIL));
    party.arg(command);
    party
}

/// The plans of the digits, in a folder of their own.
fn compiled() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(TREFOIL);
    command.arg("compile").arg(digits("digits.onnx"));
    command.arg("--calibration").arg(digits("calibration.npy"));
    command.arg("--preprocess").arg(digits("preprocess.toml"));
    command.arg("--classes").arg(digits("classes.txt"));
    run(command.arg("-o").arg(folder.path()), LIMIT).succeeded();
    folder
}

/// `local` on the digits.
fn local(plans: &Path) -> Command {
    let mut command = party("local");
    command.arg("--plans").arg(plans);
    command.arg("--data").arg(digits("test_x.npy"));
    command
}

fn labelled(plans: &Path, flags: &[&str]) -> Ended {
    let mut command = local(plans);
    command.arg("--labels").arg(digits("test_y.npy"));
    run(command.args(["--images", "20"]).args(flags), LIMIT).succeeded()
}

#[test]
fn predictions_are_for_people_and_for_programs() {
    let folder = compiled();
    let (_, expected) = read_floats(&digits("expected_logits.npy"));

    let text = labelled(folder.path(), &["--top", "2"]).stdout;
    let mut lines = text.lines();
    let heading: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(heading, ["image", "label", "class", "name", "probability"]);
    // Two lines an image, an empty one, and the summary.
    assert!(lines.nth(40).is_some_and(str::is_empty), "{text}");
    assert!(
        text.contains("images       20\ntop-1        100.00% (20 of 20)\n"),
        "{text}"
    );

    let ended = labelled(folder.path(), &["--format", "jsonl", "--top", "10"]);
    assert!(
        ended.stderr.contains("top-1        100.00% (20 of 20)"),
        "{}",
        ended.stderr
    );
    let objects: Vec<Value> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(objects.len(), 20);
    for (number, (object, logits)) in objects.iter().zip(expected.chunks(10)).enumerate() {
        assert_eq!(object["name"], number.to_string());
        let top = object["top"].as_array().unwrap();
        assert_eq!((top.len(), &top[0]["class"]), (10, &object["label"]));
        let sum: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
        for class in top {
            let logit = logits[class["class"].as_u64().unwrap() as usize];
            assert_eq!(class["name"], class["class"].to_string());
            assert!((class["score"].as_f64().unwrap() - f64::from(logit)).abs() < 0.05);
            let probability = f64::from(logit).exp() / sum;
            assert!((class["probability"].as_f64().unwrap() - probability).abs() < 0.02);
        }
    }

    let csv = labelled(folder.path(), &["--format", "csv"]).stdout;
    let mut lines = csv.lines();
    assert_eq!(
        lines.next(),
        Some("name,label,rank,class,class_name,score,probability")
    );
    for (number, line) in lines.enumerate() {
        let fields: Vec<&str> = line.split(',').collect();
        assert_eq!(
            (fields[0], fields[2], fields[1]),
            (number.to_string().as_str(), "1", fields[3])
        );
    }

    let quiet = labelled(folder.path(), &["--quiet"]).stdout;
    assert!(quiet.starts_with("images       20\n"), "{quiet}");
}

#[test]
fn a_single_picture_is_classified() {
    let folder = compiled();
    let mut command = party("local");
    command.arg("--plans").arg(folder.path());
    command.arg("--data").arg(digits("test/000_label4.png"));
    let text = run(&mut command, LIMIT).succeeded().stdout;
    let columns: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(columns[..3], ["000_label4.png", "4", "4"]);
}

/// A reader that closes the pipe early is no defect to report, neither of the results nor of the
/// messages.
#[cfg(unix)]
#[test]
fn closed_pipes_are_no_failure() {
    let folder = compiled();
    let code = folder.path().join("code");
    // The second image is far beyond what a pipe without a reader takes.
    for pipe in ["2>&1 | head -1", "| true", "2>&1 >/dev/null | true"] {
        let mut command = Command::new("sh");
        let line =
            format!("{{ \"$0\" local --plans \"$1\" --data \"$2\" --images 50; echo $? >\"$3\"; }} {pipe}");
        command.arg("-c").arg(line).arg(party_beside(TREFOIL));
        command.arg(folder.path()).arg(digits("test_x.npy")).arg(&code);
        let ended = run(&mut command, LIMIT);
        assert_eq!(fs::read_to_string(&code).unwrap().trim(), "0", "{pipe}");
        let said = ended.stdout + &ended.stderr;
        assert!(
            !said.contains("panicked") && !said.contains("error"),
            "{pipe}: {said}"
        );
    }
}

/// A server and a helper that serve until they are told to stop.
struct Parties {
    ring: Ring,
    program: PathBuf,
    helper: Running,
    helper_address: String,
}

impl Parties {
    fn new(plans: &Path) -> Self {
        let ring = Ring::new(plans, &["alice"]);
        let program = party_beside(TREFOIL);
        let mut helper = Running::start(&mut ring.helper(&program));
        let helper_address = helper.address();
        Self {
            ring,
            program,
            helper,
            helper_address,
        }
    }

    fn server(&self, flags: &[&str]) -> (Running, String) {
        let mut server = self.ring.server(&self.program, &self.helper_address);
        let mut server = Running::start(server.args(flags));
        let address = server.address();
        (server, address)
    }

    /// A client that gives up when its session is lost.
    fn client(&self, server: &str) -> Command {
        let mut client = self
            .ring
            .client(&self.program, "alice", server, &self.helper_address);
        client.args(["--retries", "0"]);
        client
    }
}

/// How often the digits are repeated, so that a run takes long enough to be broken.
const TIMES: usize = 8;

/// All digits, several times over.
fn many(folder: &Path) -> PathBuf {
    let digits: Array4<u8> = ndarray_npy::read_npy(digits("test_x.npy")).unwrap();
    let path = folder.join("many.npy");
    let all = concatenate(Axis(0), &vec![digits.view(); TIMES]).unwrap();
    ndarray_npy::write_npy(&path, &all).unwrap();
    path
}

/// That these are the first rows of the results.
fn assert_first(rows: usize, logits: &[f32]) {
    let (_, once) = read_floats(&digits("expected_logits.npy"));
    let expected: Vec<f32> = once.repeat(TIMES)[..10 * rows].to_vec();
    let (error, _) = distance(&expected, logits);
    assert!(error < 0.005 * deviation(&expected), "{error} apart");
}

#[cfg(unix)]
#[test]
fn what_was_computed_before_the_server_died_is_kept_and_gone_on_from() {
    let folder = compiled();
    let plans = folder.path();
    let (data, output, report) = (many(plans), plans.join("o.npy"), plans.join("r.json"));
    let parties = Parties::new(plans);
    let client = |server: &str, flags: &[&str]| {
        let mut client = parties.client(server);
        client.arg("--data").arg(&data).arg("--output").arg(&output);
        client.arg("--report").arg(&report).args(flags);
        client
    };
    let (server, address) = parties.server(&[]);
    let mut first = Running::start(&mut client(&address, &[]));
    first.line("20 ");
    server.signal("KILL");
    let told = first.wait(LIMIT).refused();
    let total = 500 * TIMES;
    assert!(told.contains(&format!(" of {total} results are in `")), "{told}");
    assert!(told.contains("o.npy.partial`") && !output.exists(), "{told}");
    let (shape, logits) = read_floats(&plans.join("o.npy.partial"));
    let kept = shape[0];
    assert!(
        told.contains(&format!("{kept} of {total}")) && kept > 20 && kept < total,
        "{told}"
    );
    assert_first(kept, &logits);
    let measured: Value = serde_json::from_str(&fs::read_to_string(&report).unwrap()).unwrap();
    assert!(measured["error"].is_string());
    assert_eq!(measured["images"], kept);

    let (_server, address) = parties.server(&[]);
    let told = run(&mut client(&address, &[]), REFUSAL_LIMIT).refused();
    assert!(
        told.contains(&format!("holds {kept} results")) && told.contains("--resume"),
        "{told}"
    );
    let ended = run(&mut client(&address, &["--resume", "--batch", "64"]), LIMIT).succeeded();
    let printed = ended.stdout.lines().take_while(|line| !line.is_empty());
    assert_eq!(printed.count(), 1 + total - kept);
    let (shape, logits) = read_floats(&output);
    assert_eq!(shape, [total, 10]);
    assert_first(total, &logits);
    let measured: Value = serde_json::from_str(&fs::read_to_string(&report).unwrap()).unwrap();
    assert_eq!(measured["images"], total - kept);
    assert!(!plans.join("o.npy.partial").exists());
    drop(parties.helper);
}

#[cfg(unix)]
#[test]
fn a_client_that_is_told_to_stop_keeps_what_it_has() {
    let folder = compiled();
    let mut command = party("local");
    command
        .arg("--plans")
        .arg(folder.path())
        .arg("--data")
        .arg(many(folder.path()));
    command.arg("--output").arg(folder.path().join("o.npy"));
    let mut local = Running::start(&mut command);
    local.line("20 ");
    local.signal("INT");
    let told = local.wait(LIMIT).refused();
    assert!(
        told.contains("stopped by a signal") && told.contains("o.npy.partial"),
        "{told}"
    );
    let (shape, logits) = read_floats(&folder.path().join("o.npy.partial"));
    assert_first(shape[0], &logits);
}

/// A file system of some pages, where this process may mount one.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn new(size: &str) -> Result<Self, String> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]);
        let mounted = mount.arg(folder.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Ok(Self(folder)),
            _ => Err("this process may not mount a small file system".to_owned()),
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // What stays mounted goes with the machine.
        let _ = Command::new("umount").arg(self.0.path()).output();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_noticed_before_the_first_image() {
    let Some(disk) = trefoil_tests::needed(SmallDisk::new("16k")) else {
        return;
    };
    let folder = compiled();
    let output = disk.0.path().join("o.npy");
    let ended = run(local(folder.path()).arg("--output").arg(&output), LIMIT);
    assert_eq!(ended.stdout, "", "no image is shown");
    let told = ended.refused();
    // 500 rows of 10 numbers of 4 bytes, and 128 of the header.
    assert!(
        told.contains("the results take 20128 bytes") && told.contains("make room"),
        "{told}"
    );
    assert_eq!(fs::read_dir(disk.0.path()).unwrap().count(), 0);
    let mut fits = local(folder.path());
    run(fits.args(["--images", "100", "--output"]).arg(&output), LIMIT).succeeded();
    assert_eq!(read_floats(&output).0, [100, 10]);
}

#[test]
fn a_client_says_for_whom_it_waits() {
    let folder = compiled();
    // Bound and dropped: nobody listens there.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let ring = Ring::new(folder.path(), &["alice"]);
    let mut client = ring.client(&party_beside(TREFOIL), "alice", &address, &address);
    client.args(["--connect-timeout", "1.5", "--retries", "0"]);
    client.arg("--data").arg(digits("test_x.npy"));
    let told = run(&mut client, REFUSAL_LIMIT).refused();
    assert!(
        told.starts_with(&format!("waiting for the server at {address}\n")),
        "{told}"
    );
    assert!(told.contains("within 1.5 seconds"), "{told}");
}

#[cfg(unix)]
#[test]
fn every_log_line_has_time_level_session_and_peer() {
    let folder = compiled();
    let plans = folder.path();
    let parties = Parties::new(plans);
    let (server, address) = parties.server(&["--log-format", "json"]);
    let mut client = parties.client(&address);
    client.args(["--images", "1", "--data"]).arg(digits("test_x.npy"));
    run(&mut client, LIMIT).succeeded();
    server.signal("TERM");
    parties.helper.signal("TERM");
    let (server, helper) = (
        server.wait(LIMIT).succeeded(),
        parties.helper.wait(LIMIT).succeeded(),
    );
    let objects: Vec<Value> = server
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let session = objects[0]["session"].as_str().unwrap();
    for (number, message) in ["session begins", "session ends after 1 image"]
        .into_iter()
        .enumerate()
    {
        let line = &objects[number];
        assert_eq!(
            (&line["message"], &line["level"]),
            (&message.into(), &"INFO".into())
        );
        assert_eq!(line["session"], session);
        assert!(
            line["peer"]
                .as_str()
                .is_some_and(|peer| peer.starts_with("127.0.0.1:"))
        );
    }
    assert!(
        objects.last().unwrap()["message"]
            .as_str()
            .is_some_and(|text| text.starts_with("stopping"))
    );
    let lines: Vec<&str> = helper.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{}", helper.stderr);
    for line in &lines {
        let (time, rest) = line.split_once(' ').unwrap();
        // RFC 3339 in UTC.
        assert!(
            time.len() > 19 && time.ends_with('Z') && &time[10..11] == "T",
            "{line}"
        );
        assert!(rest.trim_start().starts_with("INFO "), "{line}");
    }
    assert!(
        lines[1].contains(&format!("session={session} client=alice peer=127.0.0.1:")),
        "{}",
        lines[1]
    );
}
