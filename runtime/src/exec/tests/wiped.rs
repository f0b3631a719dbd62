//! What a party drops unused is nowhere in its memory any more: neither where it was kept, nor in a
//! copy that was made on the way, dropped or not.
#![cfg(target_os = "linux")]

use std::fs::{File, read_to_string};
use std::os::unix::fs::FileExt;
use std::process::Command;

use trefoil_ir::mpc::Stage;

use super::*;
use crate::prg::Purpose;
use crate::wire::{Link, Tag};

/// Bytes that are looked for, turned round bit by bit so that they are not found here.
struct Needle([u64; 4]);

impl Needle {
    /// The number of places where they stand in this process's memory. Where they begin must be a
    /// multiple of eight bytes, as it is in every copy of a buffer.
    fn places(&self) -> usize {
        let memory = File::open("/proc/self/mem").unwrap();
        let maps = read_to_string("/proc/self/maps").unwrap();
        let writable = maps.lines().filter(|line| line.contains(" rw"));
        let mut buffer = vec![0; 1 << 20];
        let own = buffer.as_ptr_range();
        let own = own.start as u64..own.end as u64;
        let mut places = 0;
        for line in writable {
            let (start, rest) = line.split_once('-').unwrap();
            let (end, _) = rest.split_once(' ').unwrap();
            let [mut at, end] = [start, end].map(|hex| u64::from_str_radix(hex, 16).unwrap());
            while at < end {
                if own.contains(&at) {
                    at = own.end;
                    continue;
                }
                let until = if at < own.start { own.start.min(end) } else { end };
                let len = (until - at).min(1 << 20) as usize;
                // What is mapped without memory behind it cannot be read.
                if memory.read_exact_at(&mut buffer[..len], at).is_ok() {
                    places += self.places_in(&buffer[..len]);
                }
                at += len as u64;
            }
        }
        places
    }

    fn places_in(&self, bytes: &[u8]) -> usize {
        let words = bytes.as_chunks().0;
        let starts = words.windows(self.0.len());
        starts
            .filter(|words| {
                words
                    .iter()
                    .zip(self.0)
                    .all(|(word, own)| u64::from_le_bytes(*word) == !own)
            })
            .count()
    }
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
    let (mut b, x) = Build::new(Shape::new(2, 16, 16));
    let z = b.lift(x);
    let build = b.reveal(z);
    let program = build.program.clone();
    let is_truncation = |&id: &ValueId| matches!(program.step(id).op, Op::Truncate(_));
    let step = program.ids().find(is_truncation).unwrap();

    let mut turned = vec![0; program.ty(step).shape.len()];
    key(9).stream(0, 0, Purpose::InputMask).fill::<u32>(&mut turned);
    let words: Vec<u64> = turned[64..72]
        .chunks(2)
        .map(|pair| u64::from(pair[1]) << 32 | u64::from(pair[0]))
        .collect();
    let needle = Needle(words.try_into().unwrap());
    assert_eq!(needle.places(), 0);

    let share: Vec<u8> = turned.iter().flat_map(|word| (!word).to_le_bytes()).collect();
    let (mut client, mut link) = pair(Party::Client, Party::Server, 64);
    client
        .send(Tag::message(0, step, Stage::MaskedShare), share)
        .unwrap();
    let stock = Server::new(plans(&build).server).offline(0, &mut link).unwrap();
    assert_eq!(needle.places(), 1);
    drop(stock);
    assert_eq!(needle.places(), 0);
}
