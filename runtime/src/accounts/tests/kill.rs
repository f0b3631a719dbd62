//! Processes that are killed while they count, and processes that want the same folder.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use super::*;

/// Where the process to be killed keeps its accounts, and how many inferences it may have.
const FOLDER: &str = "TREFOIL_TEST_ACCOUNTS";
const QUOTA: &str = "TREFOIL_TEST_QUOTA";

/// The most taken at once.
const MOST: u64 = 3;

/// A process that takes inferences and says so, until it gets no more.
fn victim(folder: &Path, quota: u64) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "accounts::tests::kill::takes_until_it_is_killed",
            "--exact",
            "--ignored",
            "--nocapture",
        ])
        .env(FOLDER, folder)
        .env(QUOTA, quota.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

/// The number in a line that says what was taken.
fn taken(line: std::io::Result<String>) -> Option<u64> {
    line.unwrap().strip_prefix("took ")?.parse().ok()
}

#[test]
#[ignore = "run by those below, in a process of its own"]
fn takes_until_it_is_killed() {
    let folder = std::env::var_os(FOLDER).unwrap();
    let quota = std::env::var(QUOTA).unwrap().parse().unwrap();
    let ledger = Ledger::open(Path::new(&folder)).unwrap();
    let accounts = Accounts::new(clients(&[Some(quota)]), Some(ledger));
    let Ok(guest) = accounts.enter(&key(0), at(0, 0)) else {
        return;
    };
    for turn in 0.. {
        let wanted = 1 + turn % MOST as u32;
        if guest.take(wanted, at(0, 0)).is_err() {
            return;
        }
        std::io::stdout()
            .write_all(format!("\ntook {wanted}\n").as_bytes())
            .unwrap();
    }
}

#[test]
fn killed_at_any_moment_nobody_gets_more_than_the_quota() {
    const QUOTA: u64 = 5000;
    const LEASE: u64 = QUOTA / 100;
    let folder = tempfile::tempdir().unwrap();
    // At most: what was said, and what crashes cost.
    let mut had = 0;
    for lines in [1, 2, 7, 40, 41, 150, 300, 77] {
        let (mut child, mut output) = victim(folder.path(), QUOTA);
        had += output.by_ref().filter_map(taken).take(lines).sum::<u64>();
        child.kill().unwrap();
        child.wait().unwrap();
        had += output.filter_map(taken).sum::<u64>();

        let used = Ledger::open(folder.path()).unwrap().tally(&key(0)).used(at(0, 0));
        assert!(
            (had..=had + LEASE + MOST).contains(&used),
            "{used} counted, {had} had"
        );
        had = used;
    }
    let (mut child, output) = victim(folder.path(), QUOTA);
    had += output.filter_map(taken).sum::<u64>();
    assert!(child.wait().unwrap().success());
    assert!((QUOTA - MOST..=QUOTA).contains(&had), "{had}");
}

#[test]
fn another_process_has_the_folder_for_as_long_as_it_lives() {
    let folder = tempfile::tempdir().unwrap();
    // So many that it waits for somebody to read what it says.
    let (mut child, mut output) = victim(folder.path(), 1_000_000_000);
    assert!(output.by_ref().find_map(taken).is_some());
    let opened = Ledger::open(folder.path()).map(drop);
    child.kill().unwrap();
    child.wait().unwrap();
    let text = opened.unwrap_err().to_string();
    assert!(text.contains("another process has the accounts"), "{text}");
    Ledger::open(folder.path()).unwrap();
}
