//! The rounds of the online phase.
//!
//! In a round the server sends one bundle of messages and the client answers with one. Gates that
//! do not depend on each other share rounds: a step's round is one more than the last round that
//! any of its operands needs, so the number of rounds is the length of the longest alternating
//! chain of messages, and not the number of layers.

use super::message::{Link, Phase, Stage};
use super::program::{Program, ValueId};

/// A message in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The step that sends it.
    pub step: ValueId,
    /// Which of the step's messages it is.
    pub stage: Stage,
}

/// One exchange between server and client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Steps whose operands are complete before this round, in program order: local ones are
    /// computed, gates begin.
    pub begin: Vec<ValueId>,
    /// What the server sends.
    pub server: Vec<Slot>,
    /// What the client answers.
    pub client: Vec<Slot>,
}

/// The online phase of a program: the client sends its masked image, then the rounds follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The rounds in order.
    pub rounds: Vec<Round>,
}

impl Schedule {
    /// The schedule of a program.
    pub fn new(program: &Program) -> Self {
        let mut rounds: Vec<Round> = Vec::new();
        let mut ready = vec![0usize; program.steps.len()];
        for id in program.ids() {
            let start = program
                .step(id)
                .args
                .iter()
                .map(|a| ready[a.index()])
                .max()
                .unwrap_or(0);
            let mut length = 0;
            round(&mut rounds, start).begin.push(id);
            for message in program.messages(id) {
                let stage = message.stage;
                let Some(offset) = round_offset(stage) else {
                    continue;
                };
                length = length.max(offset + 1);
                let round = round(&mut rounds, start + offset);
                let slots = if stage.link() == Link::ServerToClient {
                    &mut round.server
                } else {
                    &mut round.client
                };
                slots.push(Slot { step: id, stage });
            }
            ready[id.index()] = start + length;
        }
        // A last entry of local steps that nothing is sent of belongs to no exchange.
        while rounds
            .last()
            .is_some_and(|r| r.server.is_empty() && r.client.is_empty())
        {
            rounds.pop();
        }
        Self { rounds }
    }

    /// Round trips as the client waits for them: each round is one, the first of which the
    /// client's image opens.
    pub fn round_trips(&self) -> usize {
        self.rounds.len()
    }
}

fn round(rounds: &mut Vec<Round>, at: usize) -> &mut Round {
    if rounds.len() <= at {
        rounds.resize_with(at + 1, Round::default);
    }
    &mut rounds[at]
}

/// In which round after its step's begin a message travels; `None` for what is sent before the
/// rounds.
fn round_offset(stage: Stage) -> Option<usize> {
    debug_assert!(stage.phase() == Phase::Online || !matches!(stage, Stage::M1 | Stage::M2));
    match stage {
        Stage::M1 | Stage::M2 | Stage::Reveal => Some(0),
        Stage::M3 | Stage::M4 => Some(1),
        Stage::Input | Stage::Deal | Stage::MaskedShare | Stage::TruncationMask => None,
    }
}
