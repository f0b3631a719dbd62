//! What strangers, and clients that mean harm, can do to others: real parties are attacked while true
//! clients come one after the other, all of which must be served. For the table of all attacks, each
//! for longer:
//!
//! ```text
//! TREFOIL_HOSTILE_SECONDS=30 cargo test -p trefoil-runtime --test hostile -- --ignored --nocapture
//! ```

#[path = "support/commands.rs"]
#[allow(dead_code)] // the end-to-end tests need more of it
mod commands;
#[path = "support/hostile.rs"]
mod hostile;
#[path = "support/plans.rs"]
#[allow(dead_code)] // the end-to-end tests need more of it
mod plans;
#[path = "support/ring.rs"]
#[allow(dead_code)] // the end-to-end tests need more of it
mod ring;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use commands::{LIMIT, REFUSAL_LIMIT, Running};
use hostile::{Attack, Target};
use plans::{IMAGE, Plans};
use ring::Ring;
use tempfile::TempDir;
use trefoil_runtime::keys::SecretKey;

/// True clients that come during an attack, at least.
const CANARIES: usize = 4;

/// More memory than any of these parties needs.
const MEMORY: u64 = 200 << 20;

/// How the parties are started.
#[derive(Clone, Copy)]
enum Start {
    /// As they are.
    Plain,
    /// With few descriptors.
    Descriptors(u32),
    /// With few threads, as another user: root has no such limit.
    Threads(u32),
}

/// What became of true clients during an attack.
struct Row {
    name: &'static str,
    served: usize,
    tried: usize,
    slowest: Duration,
    /// Kilobytes of server and helper at most.
    memory: [u64; 2],
    failures: Vec<String>,
}

/// How long an attack takes, if its clients do not take longer.
fn seconds() -> Duration {
    let given = std::env::var("TREFOIL_HOSTILE_SECONDS").ok();
    let seconds = given.and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(3))
}

/// Plans, an image, and a copy of the program that other users may run.
fn folder() -> (TempDir, Plans) {
    let folder = tempfile::tempdir().unwrap();
    let plans = Plans::new(1);
    plans.write(folder.path());
    let [c, h, w] = IMAGE;
    let image = ndarray::Array4::<f32>::zeros((1, c, h, w));
    ndarray_npy::write_npy(folder.path().join("x.npy"), &image).unwrap();
    (folder, plans)
}

fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_trefoil-party"))
}

/// A command of the program under this limit.
fn party(folder: &Path, start: Start) -> Command {
    match start {
        Start::Plain => Command::new(program()),
        Start::Descriptors(most) => {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("ulimit -n {most}; exec \"$@\""), "sh"]);
            shell.arg(program());
            shell
        }
        Start::Threads(most) => {
            let mut other = Command::new("prlimit");
            other.arg(format!("--nproc={most}"));
            other.args(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
            other.arg(folder.join("trefoil-party"));
            other
        }
    }
}

/// Whether a process of another user can be started with few threads; else what that wants.
fn can_limit_threads(folder: &Path) -> Result<(), String> {
    let copied = fs::copy(program(), folder.join("trefoil-party"));
    let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).is_ok();
    let readable = ["server.plan", "helper.plan", "clients.toml"].map(|name| open(&folder.join(name), 0o644));
    // Keys are for their owner alone.
    let owned = ["server.key", "helper.key"]
        .map(|name| std::os::unix::fs::chown(folder.join(name), Some(65534), Some(65534)).is_ok());
    let ready = copied.is_ok() && open(folder, 0o755) && readable == [true; 3] && owned == [true; 2];
    let mut command = party(folder, Start::Threads(60));
    let ran = command.arg("--version").output();
    match ready && ran.is_ok_and(|output| output.status.success()) {
        true => Ok(()),
        false => Err("threads can be limited by root alone, with prlimit and setpriv".to_owned()),
    }
}

/// The most memory that a process had, in kilobytes, which has not ended.
fn peak(process: &Running) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let digits = line.and_then(|line| line.split_whitespace().next());
    let peak = digits.and_then(|digits| digits.parse().ok());
    peak.unwrap_or_else(|| panic!("a running process has a peak: {status}"))
}

/// Attacks a server and a helper while true clients come, one after the other.
fn row(name: &'static str, start: Start, flags: &[&str], attack: Attack) -> Option<Row> {
    let (folder, _plans) = folder();
    let folder = folder.path();
    let ring = Ring::new(folder, &["canary", "enemy"]);
    if matches!(start, Start::Threads(_)) {
        trefoil_tests::needed(can_limit_threads(folder))?;
    }
    // The ring's command, run by whatever sets limits.
    let listening = |like: &Command| {
        let mut process = party(folder, start);
        process.args(like.get_args()).args(["--grace", "1"]).args(flags);
        let mut process = Running::start(&mut process);
        let address = process.address();
        (process, address)
    };
    let (helper, helper_address) = listening(&ring.helper(&program()));
    let (server, server_address) = listening(&ring.server(&program(), &helper_address));
    let target = Target {
        server: server_address.parse().unwrap(),
        helper: helper_address.parse().unwrap(),
        plan: Arc::new(fs::read(ring.plan("enemy")).unwrap()),
        key: SecretKey::read(&folder.join("enemy.key")).unwrap(),
        server_key: ring.server,
        helper_key: ring.helper,
        stop: Arc::default(),
    };
    let attackers = attack(&target);
    std::thread::sleep(Duration::from_millis(500));
    let mut row = Row {
        name,
        served: 0,
        tried: 0,
        slowest: Duration::ZERO,
        memory: [0; 2],
        failures: vec![],
    };
    let begin = Instant::now();
    while row.tried < CANARIES || begin.elapsed() < seconds() {
        let mut client = ring.client(&program(), "canary", &server_address, &helper_address);
        client.arg("--data").arg(folder.join("x.npy"));
        let start = Instant::now();
        let ended = Running::start(&mut client).wait(LIMIT);
        row.slowest = row.slowest.max(start.elapsed());
        row.tried += 1;
        match ended.code {
            Some(0) => row.served += 1,
            _ => row.failures.push(ended.stderr),
        }
    }
    row.memory = [peak(&server), peak(&helper)];
    // Nobody who goes on coming keeps a party from its end.
    for process in [server, helper] {
        process.signal("TERM");
        let ended = process.wait(REFUSAL_LIMIT).succeeded();
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
        // Some hundred thousand connections are no reason for a large log.
        let lines = ended.stderr.lines().count();
        assert!(lines < 1000, "{name}: {lines} lines: {}", ended.stderr);
    }
    target.stop.store(true, Ordering::Relaxed);
    for attacker in attackers {
        attacker.join().unwrap();
    }
    Some(row)
}

impl Row {
    fn print(&self) {
        let [server, helper] = self.memory.map(|kilobytes| kilobytes / 1024);
        println!(
            "| {} | {}/{} | {:.2} s | {server}/{helper} MB |",
            self.name,
            self.served,
            self.tried,
            self.slowest.as_secs_f64()
        );
    }

    fn check(&self) {
        self.print();
        assert_eq!(self.served, self.tried, "{}: {:?}", self.name, self.failures);
        let within = |kilobytes: &u64| (1..MEMORY).contains(&(kilobytes * 1024));
        assert!(self.memory.iter().all(within), "{:?}", self.memory);
    }
}

/// An attack, and how the parties are started.
type Case = (&'static str, Start, &'static [&'static str], Attack);

const CASES: [Case; 14] = [
    (
        "8 and 16 connections of a byte",
        Start::Plain,
        &[],
        hostile::one_byte,
    ),
    ("200 silent connections", Start::Plain, &[], hostile::silent),
    ("a flood of connections", Start::Plain, &[], hostile::flood),
    ("random bytes", Start::Plain, &[], hostile::noise),
    ("a hello byte by byte", Start::Plain, &[], hostile::slow_hello),
    ("handshakes cut off", Start::Plain, &[], hostile::cut_off),
    ("8 idle clients", Start::Plain, &[], hostile::idle_clients),
    (
        "8 requests byte by byte",
        Start::Plain,
        &[],
        hostile::slow_requests,
    ),
    ("8 runs without a server", Start::Plain, &[], hostile::patience),
    ("16 halves of sessions", Start::Plain, &[], hostile::halves),
    (
        "300 connections, 64 descriptors",
        Start::Descriptors(64),
        &[],
        hostile::silent,
    ),
    (
        "200 connections, 60 threads",
        Start::Threads(60),
        &["--threads", "2"],
        hostile::silent,
    ),
    (
        "32 handshakes that stop half-way",
        Start::Plain,
        &[],
        hostile::half_handshakes,
    ),
    (
        "handshakes with unknown keys",
        Start::Plain,
        &[],
        hostile::unknown_keys,
    ),
];

fn check(number: usize) {
    let (name, start, flags, attack) = CASES[number];
    if let Some(row) = row(name, start, flags, attack) {
        row.check();
    }
}

#[test]
fn connections_of_one_byte() {
    check(0);
}

#[test]
fn silent_connections() {
    check(1);
}

#[test]
fn a_flood_of_connections() {
    check(2);
}

#[test]
fn random_bytes() {
    check(3);
}

#[test]
fn a_hello_byte_by_byte() {
    check(4);
}

#[test]
fn handshakes_that_are_cut_off() {
    check(5);
}

#[test]
fn idle_clients() {
    check(6);
}

#[test]
fn requests_byte_by_byte() {
    check(7);
}

#[test]
fn runs_without_a_server() {
    check(8);
}

#[test]
fn halves_of_sessions() {
    check(9);
}

#[test]
fn few_descriptors() {
    check(10);
}

#[test]
fn few_threads() {
    check(11);
}

#[test]
fn handshakes_that_stop_half_way() {
    check(12);
}

#[test]
fn handshakes_with_unknown_keys() {
    check(13);
}

#[test]
#[ignore = "takes some minutes: the table of all attacks, one after the other"]
fn the_table() {
    println!("| attack | served | slowest | peak memory, server/helper |");
    println!("| --- | --- | --- | --- |");
    let rows = CASES
        .iter()
        .filter_map(|&(name, start, flags, attack)| row(name, start, flags, attack));
    let rows: Vec<Row> = rows.inspect(Row::print).collect();
    rows.iter().for_each(Row::check);
}
