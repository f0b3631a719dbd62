//! What a program costs: bits, bytes, messages and round trips, exactly, and arithmetic.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::message::{Link, Phase};
use super::program::{Program, ValueId};
use super::schedule::Schedule;
use super::time::Work;

/// Bytes by phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bytes {
    /// Before the input is known.
    pub offline: u64,
    /// In bytes of payload, with the input known.
    pub online: u64,
    /// The sum of both phases.
    pub total: u64,
}

impl Bytes {
    /// Adds bytes of one phase.
    pub fn add(&mut self, phase: Phase, bytes: u64) {
        match phase {
            Phase::Offline => self.offline += bytes,
            Phase::Online => self.online += bytes,
        }
        self.total += bytes;
    }
}

/// Cost of one step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepCost {
    /// Bytes of payload by phase.
    pub bytes: Bytes,
    /// Bits of content (bytes are filled up per section).
    pub content_bits: u64,
    /// Signs that are taken: one a pixel or patch, and two of a clip.
    pub drelus: u64,
    /// Multiply-adds of one party, in each phase.
    pub macs: u64,
    /// Those of `macs` that take sums over large patches.
    pub sum_macs: u64,
    /// Messages, in the order of their stages: direction, phase, bytes of payload.
    pub messages: Vec<(Link, Phase, u64)>,
}

impl StepCost {
    /// What is computed in a phase. Layers are computed in both: offline on masks, online on what
    /// is masked.
    pub fn work(&self, phase: Phase) -> Work {
        let mut work = Work {
            macs: self.macs - self.sum_macs,
            sum_macs: self.sum_macs,
            signs: self.drelus,
            bytes: 0,
            messages: 0,
        };
        for &(_, of, bytes) in &self.messages {
            if of == phase {
                work.bytes += bytes;
                work.messages += 1;
            }
        }
        work
    }

    /// Bytes of each offline message in a direction.
    pub fn sent_offline(&self, link: Link) -> impl Iterator<Item = u64> + '_ {
        self.messages
            .iter()
            .filter(move |&&(on, phase, _)| on == link && phase == Phase::Offline)
            .map(|&(.., bytes)| bytes)
    }
}

/// Cost of a program, one image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// The cost of each step, in program order.
    pub steps: Vec<StepCost>,
    /// Bytes by direction and phase.
    pub links: BTreeMap<(Link, Phase), u64>,
    /// Number of messages, each of which has a header of its own.
    pub messages: u64,
    /// Round trips of the online phase.
    pub round_trips: usize,
}

impl Cost {
    /// The cost of a program.
    pub fn new(program: &Program) -> Self {
        let mut cost = Cost {
            round_trips: Schedule::new(program).round_trips(),
            ..Self::default()
        };
        for id in program.ids() {
            cost.add_step(program, id);
        }
        cost
    }

    fn add_step(&mut self, program: &Program, id: ValueId) {
        let effort = program.effort(id);
        let mut step = StepCost {
            drelus: drelus(program, id),
            macs: effort.macs,
            sum_macs: effort.sum_macs,
            ..StepCost::default()
        };
        for message in program.messages(id) {
            let link = message.stage.link();
            let phase = message.stage.phase();
            let bytes = message.bytes() as u64;
            step.bytes.add(phase, bytes);
            step.content_bits += message.content_bits();
            *self.links.entry((link, phase)).or_default() += bytes;
            step.messages.push((link, phase, bytes));
            self.messages += 1;
        }
        self.steps.push(step);
    }

    /// Bytes of all links, by phase.
    pub fn bytes(&self) -> Bytes {
        let mut bytes = Bytes::default();
        for (&(_, phase), &count) in &self.links {
            bytes.add(phase, count);
        }
        bytes
    }

    /// Signs of all steps.
    pub fn drelus(&self) -> u64 {
        self.steps.iter().map(|s| s.drelus).sum()
    }

    /// Multiply-adds of one party.
    pub fn macs(&self) -> u64 {
        self.steps.iter().map(|s| s.macs).sum()
    }

    /// What is computed in a phase.
    pub fn work(&self, phase: Phase) -> Work {
        let mut work = Work::default();
        for step in &self.steps {
            work += step.work(phase);
        }
        work
    }
}

fn drelus(program: &Program, id: ValueId) -> u64 {
    let groups = program.step(id).op.gate_groups(&program.operands(id));
    groups.iter().flatten().map(|g| g.drelus() as u64).sum()
}
