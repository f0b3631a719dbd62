//! What a party drops unused is nowhere in its memory any more: neither where it was kept, nor in a
//! copy that was made on the way, dropped or not.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::process::Command;

use trefoil_ir::mpc::Stage;

use super::*;
use crate::prg::Purpose;
use crate::wire::{Link, Tag};

/// Bytes of a secret. It repeats them, so that what allocations after it leave of it is found.
const PERIOD: usize = 32;

/// Looks for a secret in this process's memory.
struct Search {
    /// The secret's bytes, turned round bit by bit so that they are not found here.
    turned: [u8; PERIOD],
    /// Taken beforehand: what is allocated later may overwrite what is looked for.
    buffer: Vec<u8>,
    maps: String,
}

impl Search {
    fn new(turned: [u8; PERIOD]) -> Self {
        Self {
            turned,
            buffer: vec![0; 1 << 20],
            maps: String::with_capacity(1 << 20),
        }
    }

    /// How often the secret's bytes stand anywhere, from a multiple of eight bytes on, as they do in
    /// every copy of a buffer.
    fn places(&mut self) -> usize {
        let memory = File::open("/proc/self/mem").unwrap();
        self.maps.clear();
        let mut maps = File::open("/proc/self/maps").unwrap();
        maps.read_to_string(&mut self.maps).unwrap();
        let own = self.buffer.as_ptr_range();
        let [own_start, own_end] = [own.start, own.end].map(|at| at as u64);
        let writable = self.maps.lines().filter(|line| line.contains(" rw"));
        let mut places = 0;
        for (start, end) in writable.map(range) {
            let stretches = [(start, end.min(own_start)), (start.max(own_end), end)];
            for (mut at, end) in stretches {
                while at < end {
                    let len = (end - at).min(self.buffer.len() as u64) as usize;
                    let part = &mut self.buffer[..len];
                    // What is mapped without memory behind it cannot be read.
                    if memory.read_exact_at(part, at).is_ok() {
                        places += count(part, &self.turned);
                    }
                    at += len as u64;
                }
            }
        }
        places
    }
}

/// The addresses in a line of `/proc/self/maps`.
fn range(line: &str) -> (u64, u64) {
    let (start, rest) = line.split_once('-').unwrap();
    let (end, _) = rest.split_once(' ').unwrap();
    let address = |hex| u64::from_str_radix(hex, 16).unwrap();
    (address(start), address(end))
}

fn count(bytes: &[u8], turned: &[u8; PERIOD]) -> usize {
    let words = bytes.as_chunks::<8>().0;
    let wanted = turned.as_chunks::<8>().0;
    let is_there = |words: &&[[u8; 8]]| {
        let mut pairs = words.iter().zip(wanted);
        pairs.all(|(word, turned)| u64::from_ne_bytes(*word) == !u64::from_ne_bytes(*turned))
    };
    words.windows(wanted.len()).filter(is_there).count()
}

/// In a process of its own, in which no other test overwrites what was left behind.
#[test]
fn an_unused_stock_leaves_no_copy_behind() {
    let name = "exec::tests::wiped::alone_in_its_process";
    let output = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--ignored", "--test-threads=1"])
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && words.contains("1 passed"), "{words}");
}

#[test]
#[ignore = "run by the one above, in a process of its own"]
fn alone_in_its_process() {
    let (mut b, x) = Build::new(Shape::new(2, 64, 32));
    let z = b.lift(x);
    let build = b.reveal(z);
    let program = build.program.clone();
    let is_truncation = |&id: &ValueId| matches!(program.step(id).op, Op::Truncate(_));
    let step = program.ids().find(is_truncation).unwrap();
    let mut server = Server::new(plans(&build).server);
    let (mut client, mut link) = pair(Party::Client, Party::Server, 64);

    let mut turned = [0; PERIOD];
    key(9).stream(0, 0, Purpose::InputMask).fill(&mut turned);
    let mut search = Search::new(turned);
    assert_eq!(search.places(), 0);

    let bytes = 4 * program.ty(step).shape.len();
    let mut share = Vec::with_capacity(bytes);
    share.extend(turned.iter().cycle().take(bytes).map(|byte| !byte));
    client
        .send(Tag::message(0, step, Stage::MaskedShare), share)
        .unwrap();
    let stock = server.offline(0, &mut link).unwrap();
    assert_eq!(search.places(), bytes / PERIOD);
    drop(stock);
    assert_eq!(search.places(), 0);
}
