//! Predicted memory of each party: what it holds throughout, for each inference in stock, and for
//! each image that is online.
//!
//! | party | constants | an inference in stock | while one is prepared | while an image is online |
//! | --- | --- | --- | --- | --- |
//! | client | F, multipliers, levels | what gates were dealt, as packed on the wire, and 2 bytes an element; masks of image and output | its masks and shares; a message | messages and gates of a round |
//! | server | W, biases, multipliers, levels | the client's masked shares | | x - a and shares; messages and gates of a round |
//! | helper | B | | its masks and shares; a message | |
//!
//! Masks and shares take 4 bytes an element and are held until their last use. The messages of a
//! round are counted twice: as bytes that wait to be sent or read, and as what the gates that they
//! belong to keep of them from one round to the next. Buffers of threads are not counted.

use super::message::{Link, Message, Party, Phase};
use super::op::Class;
use super::program::{ConstKind, Program, ValueId};
use super::schedule::{Schedule, Slot};

/// Predicted bytes of all parties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// What the client takes.
    pub client: PartyMemory,
    /// What the server takes.
    pub server: PartyMemory,
    /// What the helper takes.
    pub helper: PartyMemory,
}

/// Predicted bytes of one party.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartyMemory {
    /// Constants, held throughout.
    pub constants: u64,
    /// What each prepared inference leaves until it is run.
    pub stock: u64,
    /// What preparing an inference takes besides; one is prepared at a time.
    pub offline: u64,
    /// What each image takes while it is online, beside what is left of its stock.
    pub online: u64,
}

/// Bytes of a ring element in memory.
const WORD: u64 = 4;

/// Bytes of half a ring element.
const HALF: u64 = 2;

impl Memory {
    /// The memory of a program.
    pub fn predict(program: &Program) -> Self {
        let live = WORD * most_live_elements(program);
        let of_round = 2 * largest_round(program);
        let of_client = largest_message(program, Party::Client);
        let of_helper = largest_message(program, Party::Helper);
        Self {
            client: PartyMemory {
                constants: constants(program, Party::Client),
                stock: client_stock(program),
                offline: live + of_client.max(of_helper),
                online: of_round,
            },
            server: PartyMemory {
                constants: constants(program, Party::Server),
                stock: sent(program, Link::ClientToServer, Phase::Offline).sum(),
                offline: 0,
                online: live + of_round,
            },
            helper: PartyMemory {
                constants: constants(program, Party::Helper),
                stock: 0,
                offline: live + of_helper,
                online: 0,
            },
        }
    }
}

impl PartyMemory {
    /// The peak with so many inferences in stock, of which so many are run together.
    pub fn peak(&self, stock: u64, batch: u64) -> u64 {
        let working = self.offline.max(self.online.saturating_mul(batch));
        let fixed = self.constants.saturating_add(working);
        fixed.saturating_add(self.stock.saturating_mul(stock))
    }
}

/// Elements of all values that are still needed, at the step where they are most. A step's result
/// and its operands are live together.
fn most_live_elements(program: &Program) -> u64 {
    let mut last_use: Vec<usize> = (0..program.steps.len()).collect();
    for (at, step) in program.steps.iter().enumerate() {
        step.args.iter().for_each(|a| last_use[a.index()] = at);
    }
    let mut ending: Vec<Vec<usize>> = vec![Vec::new(); program.steps.len()];
    for (at, &end) in last_use.iter().enumerate() {
        ending[end].push(at);
    }
    let mut live = 0;
    let mut most = 0;
    for (step, ended) in program.steps.iter().zip(&ending) {
        live += step.ty.shape.len();
        most = most.max(live);
        for &at in ended {
            live -= program.steps[at].ty.shape.len();
        }
    }
    most as u64
}

/// Bytes of every message on this link in this phase.
fn sent(program: &Program, link: Link, phase: Phase) -> impl Iterator<Item = u64> + '_ {
    let messages = program.ids().flat_map(|id| program.messages(id));
    let of_link = messages.filter(move |m| m.stage.link() == link && m.stage.phase() == phase);
    of_link.map(|m| m.bytes() as u64)
}

/// The largest message that a party sends offline.
fn largest_message(program: &Program, from: Party) -> u64 {
    let links = Link::ALL.into_iter().filter(|link| link.from() == from);
    let messages = links.flat_map(|link| sent(program, link, Phase::Offline));
    messages.max().unwrap_or(0)
}

/// Bytes that pass in the largest round, both ways.
fn largest_round(program: &Program) -> u64 {
    let mut largest = 0;
    for round in Schedule::new(program).rounds {
        let slots = round.server.iter().chain(&round.client);
        largest = largest.max(slots.map(|slot| slot_bytes(program, slot)).sum());
    }
    largest
}

/// Bytes of what one step sends in one message of a round.
fn slot_bytes(program: &Program, slot: &Slot) -> u64 {
    let messages = program.messages(slot.step).into_iter();
    let of_slot = messages.filter(|message| message.stage == slot.stage);
    of_slot.map(|message| message.bytes() as u64).sum()
}

fn client_stock(program: &Program) -> u64 {
    program.ids().map(|id| client_stock_of(program, id)).sum()
}

/// What the client keeps of a step until it is run.
fn client_stock_of(program: &Program, id: ValueId) -> u64 {
    let step = program.step(id);
    let elements = step.ty.shape.len() as u64;
    match step.op.class() {
        Class::Input => WORD * elements,
        Class::Gate(_) => gate_stock(&program.messages(id), elements),
        Class::Reveal => HALF * elements,
        Class::Local(_) | Class::Truncate(_) => 0,
    }
}

/// What was dealt, and the top bits of the operand, which has as many elements as the result.
/// Channels that pass all together leave nothing.
fn gate_stock(messages: &[Message], elements: u64) -> u64 {
    if messages.iter().all(|m| m.bytes() == 0) {
        return 0;
    }
    let dealt = messages.iter().filter(|m| m.stage.link() == Link::HelperToClient);
    dealt.map(|m| m.bytes() as u64).sum::<u64>() + HALF * elements
}

fn constants(program: &Program, party: Party) -> u64 {
    let held = program.constants.iter().filter(|c| holds(party, c.kind));
    held.map(|c| WORD * c.len().unwrap_or(0) as u64).sum()
}

/// Whether a party keeps (its share of) a constant of this kind in memory.
fn holds(party: Party, kind: ConstKind) -> bool {
    match party {
        Party::Client => kind != ConstKind::Bias,
        Party::Server => true,
        Party::Helper => kind == ConstKind::Weight,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Patch, Shape, Window};
    use crate::mpc::op;

    /// A convolution of 10 pixels to 3 channels, a ReLU, and its result revealed.
    fn program() -> Program {
        let mut program = Program::new("memory");
        let shape = Shape::new(1, 2, 5);
        let x = program.push(op::Input { shape }, &[], "x").unwrap();
        let weight = program.declare(ConstKind::Weight, vec![3, 1, 1, 1]);
        let bias = Some(program.declare(ConstKind::Bias, vec![3]));
        let conv = op::Conv2d {
            weight,
            bias,
            channels: 3,
            window: Window::dense([1, 1]),
            groups: 1,
        };
        let z = program.push(conv, &[x], "c").unwrap();
        let keep = vec![15; 3];
        let z = program.push(op::Truncate { keep }, &[z], "r").unwrap();
        let patches = vec![Patch::PIXEL; 3];
        let y = program.push(op::BlockRelu::new(patches), &[z], "r").unwrap();
        program.push(op::Reveal, &[y], "y").unwrap();
        program
            .verify()
            .unwrap_or_else(|faults| panic!("{faults:?}"))
            .into_inner()
    }

    #[test]
    fn each_party_holds_what_the_table_says() {
        let program = program();
        let memory = Memory::predict(&program);
        let gate = ValueId(3);
        let of = |stage| {
            let messages = program.messages(gate);
            let message = messages.into_iter().find(|m| m.stage == stage);
            message.map_or(0, |m| m.bytes() as u64)
        };
        use crate::mpc::Stage::{Deal, M1, M2, M3, M4};
        let elements = 30;
        let live = WORD * (30 + 30);
        assert_eq!(
            memory.client.stock,
            WORD * 10 + of(Deal) + HALF * elements + HALF * elements
        );
        assert_eq!(memory.server.stock, WORD * elements);
        assert_eq!(memory.helper.stock, 0);
        assert_eq!(memory.client.offline, live + of(Deal).max(WORD * elements));
        assert_eq!(memory.helper.offline, live + of(Deal));
        let round = (of(M1) + of(M2)).max(of(M3) + of(M4));
        assert_eq!(memory.client.online, 2 * round);
        assert_eq!(memory.server.online, live + 2 * round);
        let constants = [memory.client, memory.server, memory.helper].map(|party| party.constants);
        assert_eq!(constants, [3 * WORD, 6 * WORD, 3 * WORD]);
    }

    #[test]
    fn stocks_and_batches_add_up_and_do_not_overflow() {
        let party = PartyMemory {
            constants: 1000,
            stock: 10,
            offline: 50,
            online: 20,
        };
        assert_eq!(party.peak(1, 1), 1000 + 10 + 50);
        assert_eq!(party.peak(7, 4), 1000 + 70 + 80);
        assert_eq!(party.peak(u64::MAX, u64::MAX), u64::MAX);
    }
}
