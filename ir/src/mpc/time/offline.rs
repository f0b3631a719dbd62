//! The offline phase on a model of the parties: helper and client walk the program side by side.
//!
//! At each step the helper computes, and sends what it deals; the client computes, sends the server
//! its masked share, and waits for what was dealt. So the helper runs ahead, its messages queue on
//! the link, and the phase takes as long as the slower of computing and sending, with a beginning
//! and an end where only one of them goes on. Both compute on one machine, which is never idle while
//! one of them could use it: their work adds up, and time passes only where both wait for the link.

use super::link::{Lane, LinkModel};
use super::work::Machine;
use crate::mpc::cost::{Cost, StepCost};
use crate::mpc::message::{HEADER_BYTES, Link, Phase};

/// A frame without payload: begin, ready.
const EMPTY: u64 = HEADER_BYTES as u64;

/// Seconds that the offline phase takes.
pub(super) fn seconds(cost: &Cost, link: &LinkModel, machine: &Machine) -> f64 {
    let mut phase = Walk::begin(link, machine);
    // Each turn is one step of one of the two.
    for _ in 0..2 * cost.steps.len() {
        phase.advance(&cost.steps);
    }
    phase.end(link)
}

/// A party on its way through the program.
#[derive(Default)]
struct Walker {
    /// The step that it computes next.
    step: usize,
    /// When it is done with the steps before, in seconds from the begin of the phase.
    done: f64,
}

/// The phase in progress; times are seconds from its begin.
struct Walk<'a> {
    machine: &'a Machine,
    /// When the machine is free.
    free: f64,
    helper: Walker,
    client: Walker,
    to_client: Lane,
    to_server: Lane,
    /// When the client has what the helper dealt for each step.
    dealt: Vec<f64>,
    /// When the server has all shares so far.
    shared: f64,
}

impl<'a> Walk<'a> {
    /// The client announces the image to both, and goes on.
    fn begin(link: &LinkModel, machine: &'a Machine) -> Self {
        let lane = Lane::new(*link);
        let mut to_server = lane.clone();
        Self {
            machine,
            free: 0.0,
            helper: Walker {
                step: 0,
                done: lane.clone().send(0.0, EMPTY).arrives,
            },
            client: Walker::default(),
            shared: to_server.send(0.0, EMPTY).arrives,
            to_client: lane,
            to_server,
            dealt: Vec::new(),
        }
    }

    /// One step of the party that can begin it first, the helper if both can.
    fn advance(&mut self, steps: &[StepCost]) {
        let helper = steps
            .get(self.helper.step)
            .map(|step| (self.helper.done.max(self.free), step));
        let client = steps
            .get(self.client.step)
            .and_then(|step| Some((self.client_has(steps)?.max(self.free), step)));
        match (helper, client) {
            (Some((begin, step)), client) if client.is_none_or(|(other, _)| begin <= other) => {
                self.help(begin, step);
            }
            (_, Some((begin, step))) => self.ask(begin, step),
            // A client that waits has a helper with steps to go.
            (_, None) => {}
        }
    }

    /// When the client has done and received what its next step stands on; `None` if the helper has
    /// not dealt that yet.
    fn client_has(&self, steps: &[StepCost]) -> Option<f64> {
        let Some(last) = self.client.step.checked_sub(1) else {
            return Some(self.client.done);
        };
        let mut dealt = steps[last].sent_offline(Link::HelperToClient);
        if dealt.next().is_none() {
            return Some(self.client.done);
        }
        let arrived = self.dealt.get(last)?;
        Some(arrived.max(self.client.done))
    }

    /// Each party does half of a step's work: its own convolution, its own side of a gate.
    fn compute(&mut self, begin: f64, step: &StepCost) -> f64 {
        self.free = begin + self.machine.seconds(&step.work(Phase::Offline)) / 2.0;
        self.free
    }

    fn help(&mut self, begin: f64, step: &StepCost) {
        let done = self.compute(begin, step);
        let mut arrives = 0.0;
        for bytes in step.sent_offline(Link::HelperToClient) {
            arrives = self.to_client.send(done, bytes + EMPTY).arrives;
        }
        self.dealt.push(arrives);
        self.helper = Walker {
            step: self.helper.step + 1,
            done,
        };
    }

    fn ask(&mut self, begin: f64, step: &StepCost) {
        let done = self.compute(begin, step);
        for bytes in step.sent_offline(Link::ClientToServer) {
            self.shared = self.to_server.send(done, bytes + EMPTY).arrives;
        }
        self.client = Walker {
            step: self.client.step + 1,
            done,
        };
    }

    /// The helper tells the client when it is done, which waits for that. The image follows upon the last
    /// share: the phase ends when that has left.
    fn end(mut self, link: &LinkModel) -> f64 {
        let helper = self.to_client.send(self.helper.done, EMPTY).arrives;
        self.client.done.max(helper).max(self.shared - link.latency())
    }
}
