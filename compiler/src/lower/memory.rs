//! Predicted peak memory of each party, one image at a time.
//!
//! Counted are the arenas that grow with the network:
//!
//! | party | throughout | while its users are missing |
//! | --- | --- | --- |
//! | client | F; all that the helper dealt, as packed on the wire; 4 bytes per truncated element | its masks and shares, 4 bytes per element |
//! | server | W and biases; the client's masked shares, 4 bytes per truncated element or sum | x - a and shares, 4 bytes per element |
//! | helper | B | its masks and shares, 4 bytes per element |
//!
//! The first column is what the offline phase leaves for the online one. Buffers of a single
//! message and of threads are not in it.

use trefoil_ir::mpc::{ConstKind, Kind, Link, Party, Program};

/// Bytes of each party.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The client's peak.
    pub client: u64,
    /// The server's peak.
    pub server: u64,
    /// The helper's peak.
    pub helper: u64,
}

/// Bytes of a ring element in memory.
const WORD: u64 = 4;

impl Memory {
    /// The peaks of a program.
    pub fn predict(program: &Program) -> Self {
        let live = WORD * most_live_elements(program);
        let truncated = WORD * elements(program, Kind::Truncated);
        let shares = truncated + WORD * elements(program, Kind::Sums);
        Self {
            client: live + truncated + dealt_bytes(program) + constant_bytes(program, Party::Client),
            server: live + shares + constant_bytes(program, Party::Server),
            helper: live + constant_bytes(program, Party::Helper),
        }
    }
}

/// Elements of all values that are still needed, at the step where they are most. A step's result
/// and its operands are live together.
fn most_live_elements(program: &Program) -> u64 {
    let size = |at: usize| program.steps[at].ty.shape.len() as u64;
    let mut last_use: Vec<usize> = (0..program.steps.len()).collect();
    for (at, step) in program.steps.iter().enumerate() {
        step.args.iter().for_each(|a| last_use[a.index()] = at);
    }
    let mut ending: Vec<Vec<usize>> = vec![Vec::new(); program.steps.len()];
    last_use
        .iter()
        .enumerate()
        .for_each(|(at, &end)| ending[end].push(at));
    let (mut live, mut most) = (0, 0);
    for (at, ended) in ending.iter().enumerate() {
        live += size(at);
        most = most.max(live);
        live -= ended.iter().map(|&e| size(e)).sum::<u64>();
    }
    most
}

fn elements(program: &Program, kind: Kind) -> u64 {
    let of_kind = program.steps.iter().filter(|s| s.ty.kind == kind);
    of_kind.map(|s| s.ty.shape.len() as u64).sum()
}

fn dealt_bytes(program: &Program) -> u64 {
    let messages = program.ids().flat_map(|id| program.messages(id));
    let dealt = messages.filter(|m| m.stage.link() == Link::HelperToClient);
    dealt.map(|m| m.bytes() as u64).sum()
}

fn constant_bytes(program: &Program, party: Party) -> u64 {
    let holds = |kind: ConstKind| match party {
        Party::Client => kind != ConstKind::Bias,
        Party::Server => true,
        Party::Helper => kind == ConstKind::Weight,
    };
    let held = program.constants.iter().filter(|c| holds(c.kind));
    held.map(|c| WORD * c.len().unwrap_or(0) as u64).sum()
}
