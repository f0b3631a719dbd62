//! A step in progress: its messages, its masks, its time, and where errors are given their place.

use trefoil_ir::mpc::privacy::Key;
use trefoil_ir::mpc::{Stage, ValueId};

use super::ExecError;
use super::prepared::Step;
use crate::prg::StreamKey;
use crate::protocol::streams::StepStreams;
use crate::trace::{Lap, StopWatch};
use crate::wire::bits::BitsError;
use crate::wire::{FrameKind, Link, LinkError, Tag};

/// One step of one inference, from its beginning or from the message that it goes on with.
pub(super) struct At<'a> {
    pub(super) step: &'a Step,
    inference: u32,
    lap: Lap<'a>,
}

impl<'a> At<'a> {
    /// The step of one inference, whose time runs from now on.
    pub(super) fn new(step: &'a Step, inference: u32, watch: &'a StopWatch) -> Self {
        Self {
            step,
            inference,
            lap: watch.start(),
        }
    }

    /// The seconds that were computed so far, without the time that messages were waited for.
    pub(super) fn end(&self) -> f64 {
        self.lap.end_step(self.step.id, self.inference)
    }

    /// The value of this operand.
    pub(super) fn operand(&self, at: usize) -> ValueId {
        self.step.args[at].id
    }

    /// The streams that client and helper draw at the step.
    pub(super) fn client_streams<'k>(&self, key: &'k StreamKey) -> StepStreams<'k> {
        self.streams(key, Key::ClientHelper)
    }

    /// The streams that server and helper draw at the step.
    pub(super) fn server_streams<'k>(&self, key: &'k StreamKey) -> StepStreams<'k> {
        self.streams(key, Key::ServerHelper)
    }

    fn streams<'k>(&self, key: &'k StreamKey, of: Key) -> StepStreams<'k> {
        StepStreams::new(key, self.inference, self.step.id.0, self.step.draws.of_key(of))
    }

    pub(super) fn tag(&self, stage: Stage) -> Tag {
        Tag {
            inference: self.inference,
            step: self.step.id.0,
            kind: FrameKind::Message(stage),
        }
    }

    pub(super) fn send(&self, link: &mut dyn Link, stage: Stage, payload: Vec<u8>) -> Result<(), ExecError> {
        debug_assert_eq!(
            payload.len(),
            self.step.bytes(stage),
            "{stage:?} of {}",
            self.step.id
        );
        link.send(self.tag(stage), payload)
            .map_err(|source| self.step.link_error(source))
    }

    pub(super) fn receive(&self, link: &mut dyn Link, stage: Stage) -> Result<Vec<u8>, ExecError> {
        self.lap
            .wait(|| link.receive(self.tag(stage), self.step.bytes(stage)))
            .map_err(|source| self.step.link_error(source))
    }

    /// The error of a message that came on this link and cannot be what it should be.
    pub(super) fn malformed(&self, link: &dyn Link, source: BitsError) -> ExecError {
        ExecError::Malformed {
            step: self.step.id,
            origin: self.step.origin.clone(),
            peer: link.peer().clone(),
            source,
        }
    }

    /// For a message that this kind of step does not have.
    ///
    /// # Panics
    /// Always: the schedule lists the messages that the step declares, and no others.
    pub(super) fn unscheduled(&self, stage: Stage) -> ! {
        panic!("{} has no message {}", self.step.id, stage.word())
    }
}

impl Step {
    /// The error of a link that failed at this step.
    pub(super) fn link_error(&self, source: LinkError) -> ExecError {
        ExecError::Link {
            step: self.id,
            origin: self.origin.clone(),
            source,
        }
    }
}
