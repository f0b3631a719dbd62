//! Hosts of their own: server, helper and clients in network namespaces with their own addresses, deployed as
//! an owner would, over TLS. What a user of three machines sees, and what happens when one of them fails.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::commands::{Ended, LIMIT, Running, party_beside, run};
use support::compiled::{deviation, distance, top1};
use support::folder::{digits, read_floats};
use support::hosts::{Host, Network};
use tempfile::TempDir;

const TREFOIL: &str = env!("CARGO_BIN_EXE_trefoil");

/// Images of a run that is to be disturbed: it takes some seconds.
const MANY: usize = 300;

/// A network with a deployment of the digits.
struct Site {
    _network: Network,
    server: Host,
    helper: Host,
    alice: Host,
    bob: Host,
    folder: TempDir,
}

impl Site {
    /// None, with a word, where this system makes no hosts.
    fn new() -> Option<Self> {
        let built = Network::new().and_then(|mut network| {
            let mut host = || network.host();
            let (server, helper, alice, bob) = (host()?, host()?, host()?, host()?);
            Ok((network, server, helper, alice, bob))
        });
        let (network, server, helper, alice, bob) = trefoil_tests::needed(built)?;
        let folder = tempfile::tempdir().unwrap();
        let mut compile = Command::new(TREFOIL);
        compile.arg("compile").arg(digits("digits.onnx"));
        compile.arg("--calibration").arg(digits("calibration.npy"));
        compile.arg("--preprocess").arg(digits("preprocess.toml"));
        run(compile.arg("-o").arg(folder.path().join("plans")), LIMIT).succeeded();
        let site = Self {
            _network: network,
            server,
            helper,
            alice,
            bob,
            folder,
        };
        let mut deploy = Command::new(TREFOIL);
        deploy.arg("deploy").arg(site.path("plans"));
        deploy
            .arg("--server")
            .arg(format!("{}:7001", site.server.address));
        deploy
            .arg("--helper")
            .arg(format!("{}:7002", site.helper.address));
        deploy.args(["--client", "alice", "--client", "bob", "-o"]);
        let told = run(deploy.arg(site.path("d")), LIMIT).succeeded().stdout;
        let begins: Vec<_> = told.lines().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(
            begins,
            ["server", "helper", "clients", "made", "made", "made", "made"],
            "{told}"
        );
        Some(site)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn party(&self, host: &Host) -> Command {
        host.run(party_beside(TREFOIL))
    }

    fn serve(&self, role: &str, flags: &[&str]) -> Running {
        let host = if role == "server" {
            &self.server
        } else {
            &self.helper
        };
        let mut command = self.party(host);
        command
            .args(["serve", "--config"])
            .arg(self.path(&format!("d/{role}/party.toml")));
        let mut party = Running::start(command.args(flags));
        let address = party.address();
        assert!(address.starts_with("0.0.0.0:700"), "{address}");
        party
    }

    fn both(&self, flags: &[&str]) -> (Running, Running) {
        let helper = self.serve("helper", flags);
        (self.serve("server", flags), helper)
    }

    fn client(&self, name: &str, images: usize, results: &str, flags: &[&str]) -> Command {
        let host = if name == "alice" { &self.alice } else { &self.bob };
        let mut command = self.party(host);
        command
            .args(["client", "--config"])
            .arg(self.path(&format!("d/clients/{name}/party.toml")));
        command
            .arg("--data")
            .arg(digits("test_x.npy"))
            .arg("--images")
            .arg(images.to_string());
        command.arg("--output").arg(self.path(&format!("{results}.npy")));
        command.arg("--report").arg(self.path(&format!("{results}.json")));
        command.args(flags);
        command
    }

    fn logits(&self, results: &str) -> Vec<f32> {
        read_floats(&self.path(&format!("{results}.npy"))).1
    }

    fn report(&self, results: &str) -> Value {
        serde_json::from_str(&fs::read_to_string(self.path(&format!("{results}.json"))).unwrap()).unwrap()
    }

    /// What one process computes of the same images.
    fn local(&self, images: usize) -> Vec<f32> {
        let mut command = Command::new(party_beside(TREFOIL));
        command.arg("local").arg("--plans").arg(self.path("plans"));
        command
            .arg("--data")
            .arg(digits("test_x.npy"))
            .arg("--images")
            .arg(images.to_string());
        command
            .arg("--output")
            .arg(self.path("local.npy"))
            .arg("--report")
            .arg(self.path("local.json"));
        run(&mut command, LIMIT).succeeded();
        self.logits("local")
    }
}

fn stop(party: Running) -> String {
    party.signal("TERM");
    party.wait(LIMIT).succeeded().stderr
}

/// The same predictions, but for rounding coins; no image left out, none twice.
fn assert_same(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    let (error, _) = distance(a, b);
    assert!(error < 0.005 * deviation(a), "{error}");
    for (a, b) in a.chunks(10).zip(b.chunks(10)) {
        assert_eq!(top1(a), top1(b));
    }
}

/// Lines of a client's results until so many images have one.
fn wait_for_results(client: &mut Running, images: usize) {
    for _ in 0..=images {
        client.line("");
    }
}

fn failed(ended: Ended, code: i32) -> String {
    assert_eq!(ended.code, Some(code), "{}", ended.stderr);
    ended.stderr
}

#[test]
fn two_clients_of_three_hosts_get_what_one_process_computes() {
    let Some(site) = Site::new() else { return };
    let traces = site.path("traces");
    let trace = ["--trace", traces.to_str().unwrap()];
    let (server, helper) = site.both(&trace);
    let doctor = |host: &Host, who: &str| {
        let mut command = site.party(host);
        command
            .args(["doctor", "--config"])
            .arg(site.path(&format!("d/{who}/party.toml")));
        run(&mut command, LIMIT).succeeded().stdout
    };
    assert!(doctor(&site.server, "server").contains("ok    helper"));
    let seen = doctor(&site.alice, "clients/alice");
    assert!(
        seen.contains("ok    server") && seen.contains("ok    helper") && seen.contains("ok    an image"),
        "{seen}"
    );
    let clients = ["alice", "bob"].map(|name| Running::start(&mut site.client(name, 25, name, &trace)));
    for client in clients {
        client.wait(LIMIT).succeeded();
    }
    let local = site.local(25);
    for name in ["alice", "bob"] {
        assert_same(&site.logits(name), &local);
        for key in ["bytes", "round_trips"] {
            assert_eq!(site.report(name)[key], site.report("local")[key], "{name}: {key}");
        }
    }
    for log in [stop(server), stop(helper)] {
        assert!(
            log.contains("client=alice") && log.contains("client=bob"),
            "{log}"
        );
        assert_eq!(log.matches("session ends after 25 images").count(), 2, "{log}");
    }
    check_timelines(&site, &traces);
}

/// Each session's three traces make one timeline: all parties are in it, and nothing is received before it is sent.
fn check_timelines(site: &Site, traces: &Path) {
    let names: Vec<String> = fs::read_dir(traces)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.len(), 6, "{names:?}");
    for client in names.iter().filter(|name| name.ends_with(".client.json")) {
        let session = client.strip_suffix(".client.json").unwrap();
        let file = |party: &str| traces.join(format!("{session}.{party}.json"));
        let mut timeline = Command::new(party_beside(TREFOIL));
        timeline
            .arg("timeline")
            .args(["server", "helper", "client"].map(file));
        run(timeline.arg("-o").arg(site.path("t.json")), LIMIT).succeeded();
        let merged: Value = serde_json::from_str(&fs::read_to_string(site.path("t.json")).unwrap()).unwrap();
        let events = merged["traceEvents"].as_array().unwrap();
        let tracks = events.iter().filter(|event| event["name"] == "thread_name");
        let tracks: Vec<&str> = tracks
            .filter_map(|event| event["args"]["name"].as_str())
            .collect();
        assert!(
            ["client", "server", "helper"]
                .iter()
                .all(|party| tracks.contains(party)),
            "{tracks:?}"
        );
        let times = |kind: &str| -> std::collections::BTreeMap<String, f64> {
            let ends = events.iter().filter(|event| event["ph"] == kind);
            ends.map(|event| {
                (
                    event["id"].as_str().unwrap().to_owned(),
                    event["ts"].as_f64().unwrap(),
                )
            })
            .collect()
        };
        let (sent, received) = (times("s"), times("f"));
        // Three messages of the protocol an image at least.
        assert!(sent.len() > 75, "{}", sent.len());
        for (frame, time) in &sent {
            let come = received
                .get(frame)
                .unwrap_or_else(|| panic!("{frame} was never received"));
            assert!(come + 1.0 >= *time, "{frame}: sent {time}, received {come}");
        }
    }
}

/// Whatever becomes of the server's host, the client goes on behind its last result in a new session: no image
/// is lost, none is answered twice, and every session has masks of its own.
#[test]
fn a_client_survives_its_server() {
    let Some(site) = Site::new() else { return };
    let (server, helper) = site.both(&[]);
    let mut alice = Running::start(&mut site.client("alice", MANY, "alice", &["--timeout", "3"]));
    wait_for_results(&mut alice, 5);
    server.signal("KILL");
    drop(server);
    let server = site.serve("server", &[]);
    let ended = alice.wait(LIMIT).succeeded();
    assert!(
        ended.stderr.contains("a new session goes on behind"),
        "{}",
        ended.stderr
    );
    assert_same(&site.logits("alice"), &site.local(MANY));
    let log = stop(server);
    assert!(log.contains("session ends after"), "{log}");
    stop(helper);
}

/// A cable that is cut is told by name within the time limit; others are served on, and so is the client when
/// the cable is there again.
#[test]
fn a_cable_that_is_cut() {
    let Some(site) = Site::new() else { return };
    let (server, helper) = site.both(&["--timeout", "2"]);
    let flags = ["--timeout", "2", "--retries", "0"];
    let mut alice = Running::start(&mut site.client("alice", MANY, "alice", &flags));
    wait_for_results(&mut alice, 5);
    let start = Instant::now();
    site.alice.connect(false);
    // The other client is served as if nothing were.
    run(&mut site.client("bob", 5, "bob", &flags), LIMIT).succeeded();
    let told = failed(alice.wait(LIMIT), 6);
    assert!(
        told.contains("did not send") || told.contains("did not read"),
        "{told}"
    );
    assert!(
        told.contains("the server at") || told.contains("the helper at"),
        "{told}"
    );
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    site.alice.connect(true);
    run(
        site.client("alice", MANY, "alice", &["--resume"]).arg("--quiet"),
        LIMIT,
    )
    .succeeded();
    assert_same(&site.logits("alice"), &site.local(MANY));
    stop(server);
    stop(helper);
}

/// A party that is stopped in its tracks, as by a debugger or a machine that swaps.
#[test]
fn a_party_that_stands_still() {
    let Some(site) = Site::new() else { return };
    let (server, helper) = site.both(&["--timeout", "2"]);
    for (party, name) in [(&server, "server"), (&helper, "helper")] {
        let flags = ["--timeout", "2", "--retries", "0"];
        let mut alice = Running::start(&mut site.client("alice", MANY, name, &flags));
        wait_for_results(&mut alice, 5);
        party.signal("STOP");
        let told = failed(alice.wait(LIMIT), 6);
        assert!(told.contains(&format!("the {name}")), "{told}");
        party.signal("CONT");
        // It needs a moment to see that the session is over.
        thread::sleep(Duration::from_secs(1));
        run(&mut site.client("bob", 3, "bob", &[]), LIMIT).succeeded();
    }
    stop(server);
    stop(helper);
}

/// A network as between continents: packets that are lost cost time, and nothing else.
#[test]
fn packets_that_are_lost() {
    let Some(site) = Site::new() else { return };
    for host in [&site.server, &site.helper, &site.alice] {
        let disturbed = host
            .disturb()
            .map_err(|error| format!("delay and loss need tc with netem: {error}"));
        if trefoil_tests::needed(disturbed).is_none() {
            return;
        }
    }
    let (server, helper) = site.both(&[]);
    run(&mut site.client("alice", 3, "alice", &[]), LIMIT).succeeded();
    assert_same(&site.logits("alice"), &site.local(3));
    stop(server);
    stop(helper);
}

/// A disk without room for the counters: clients with a quota are told so, and others are served.
#[test]
fn a_disk_that_is_full() {
    let Some(site) = Site::new() else { return };
    let state = site.path("d/server/state");
    fs::create_dir(&state).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs"])
        .arg(&state)
        .status();
    let mounted = mounted.is_ok_and(|status| status.success());
    let needed = mounted
        .then_some(())
        .ok_or("a full disk is made by mount, as root".to_owned());
    if trefoil_tests::needed(needed).is_none() {
        return;
    }
    let _mount = Mount(&state);
    let list = site.path("d/server/clients.toml");
    let text = fs::read_to_string(&list).unwrap();
    let key = text.lines().find(|line| line.starts_with("key = ")).unwrap();
    fs::write(
        &list,
        text.replacen(key, &format!("{key}\ninferences-per-day = 10000"), 1),
    )
    .unwrap();
    let (server, helper) = site.both(&[]);
    run(&mut site.client("alice", 3, "alice", &[]), LIMIT).succeeded();
    // All that is left of the disk is taken, and a day's counts have to be written.
    let _ = fs::write(state.join("ballast"), vec![1; 2 << 20]);
    let ended = run(
        &mut site.client("alice", MANY, "alice", &["--retries", "0"]),
        LIMIT,
    );
    if ended.code != Some(0) {
        assert!(ended.stderr.contains("cannot count"), "{}", ended.stderr);
    }
    run(&mut site.client("bob", 3, "bob", &[]), LIMIT).succeeded();
    assert!(!stop(helper).contains("panicked"));
    let mut server = server;
    assert!(server.is_alive());
}

struct Mount<'a>(&'a Path);

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}
