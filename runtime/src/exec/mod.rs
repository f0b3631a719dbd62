//! Walking a plan: the three parties step by step, over links.
//!
//! Each party has an offline phase, before the image is known, and (client and server) an online
//! phase, which takes what the offline phase left in a *stock*. A stock serves one inference and is
//! consumed by it. The online phases of several inferences can run as a *batch*: each round of
//! theirs is one. Sizes of all messages come from the plan.
//!
//! - [`Client`], [`Server`], [`Helper`]: the parties
//! - `batch`: a round of several images
//! - `prepared`: constants packed for the kernels, groups and schedule, made once per plan
//! - `local`: the steps without messages, the same for all parties but for what each may know
//! - `store`: values alive, and the memory that they take

mod batch;
mod client;
mod helper;
mod local;
mod prepared;
#[cfg(test)]
mod same_bits;
mod server;
mod store;
#[cfg(test)]
mod tests;

pub use client::{Client, ClientStock};
pub use helper::Helper;
pub use server::{Server, ServerStock};

use thiserror::Error;
use trefoil_ir::mpc::privacy::DrawId;
use trefoil_ir::mpc::{Program, Stage, ValueId};

use crate::prg::Purpose;
use crate::wire::bits::BitsError;
use crate::wire::{FrameKind, Link, LinkError, Peer, Tag};

/// Why an inference could not be finished.
#[derive(Debug, Error)]
pub enum ExecError {
    /// A link failed, or its peer sent another frame than the plan foresees.
    #[error("step {step} ({origin})")]
    Link {
        /// The step.
        step: ValueId,
        /// ONNX name of its origin.
        origin: String,
        /// What happened.
        #[source]
        source: LinkError,
    },
    /// A message has the right length but cannot be what it should be.
    #[error("step {step} ({origin}): {peer} sent a malformed message; check that it runs the same version")]
    Malformed {
        /// The step.
        step: ValueId,
        /// ONNX name of its origin.
        origin: String,
        /// Who sent it.
        peer: Peer,
        /// What is wrong with it.
        #[source]
        source: BitsError,
    },
    /// The caller gave an image of another size than the plan's input.
    #[error("the image has {given} values, and the plan expects {expected}")]
    Image {
        /// Values given.
        given: usize,
        /// Values expected.
        expected: usize,
    },
    /// The caller gave another number of images than of prepared inferences.
    #[error("the batch has {images} images and {stocks} prepared inferences: each image takes one")]
    Batch {
        /// Images given.
        images: usize,
        /// Prepared inferences given.
        stocks: usize,
    },
}

/// What an inference, or several together, took at one party.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Seconds of the offline phase, waiting included.
    pub offline_seconds: f64,
    /// Seconds of the online phase, waiting included.
    pub online_seconds: f64,
    /// Seconds of computation by step, waiting for messages not included. Of images that are
    /// worked on side by side, the sum.
    pub step_seconds: Vec<f64>,
    /// Most bytes of values, stock and packed weights at once; of a batch, with the most of each
    /// image, and without stocks that are not used in it.
    pub peak_memory: u64,
}

impl Measured {
    /// Adds what was measured of other inferences, or in another phase.
    pub fn merge(&mut self, other: &Measured) {
        self.offline_seconds += other.offline_seconds;
        self.online_seconds += other.online_seconds;
        add_seconds(&mut self.step_seconds, &other.step_seconds);
        self.peak_memory = self.peak_memory.max(other.peak_memory);
    }
}

fn add_seconds(sums: &mut Vec<f64>, seconds: &[f64]) {
    if sums.len() < seconds.len() {
        sums.resize(seconds.len(), 0.0);
    }
    sums.iter_mut().zip(seconds).for_each(|(sum, s)| *sum += s);
}

fn tag(inference: u32, step: ValueId, stage: Stage) -> Tag {
    Tag {
        inference,
        step: step.0,
        kind: FrameKind::Message(stage),
    }
}

/// Bytes of a step's message.
fn message_bytes(program: &Program, step: ValueId, stage: Stage) -> usize {
    program
        .messages(step)
        .iter()
        .find(|m| m.stage == stage)
        .map_or(0, trefoil_ir::mpc::Message::bytes)
}

/// A step in progress: where errors are given their place.
struct At<'a> {
    program: &'a Program,
    inference: u32,
    step: ValueId,
}

impl At<'_> {
    fn send(&self, link: &mut dyn Link, stage: Stage, payload: Vec<u8>) -> Result<(), ExecError> {
        debug_assert_eq!(
            payload.len(),
            message_bytes(self.program, self.step, stage),
            "{stage:?} of {}",
            self.step
        );
        link.send(tag(self.inference, self.step, stage), payload)
            .map_err(|e| self.link(e))
    }

    fn receive(&self, link: &mut dyn Link, stage: Stage) -> Result<Vec<u8>, ExecError> {
        let bytes = message_bytes(self.program, self.step, stage);
        link.receive(tag(self.inference, self.step, stage), bytes)
            .map_err(|e| self.link(e))
    }

    fn link(&self, source: LinkError) -> ExecError {
        ExecError::Link {
            step: self.step,
            origin: self.origin(),
            source,
        }
    }

    fn malformed(&self, link: &dyn Link, source: BitsError) -> ExecError {
        ExecError::Malformed {
            step: self.step,
            origin: self.origin(),
            peer: link.peer().clone(),
            source,
        }
    }

    fn origin(&self) -> String {
        let step = self.program.step(self.step);
        format!("{} \"{}\"", step.op.name(), step.origin)
    }
}

/// Sends what is buffered; there is no step that could be blamed for a failure.
fn flush(program: &Program, link: &mut dyn Link) -> Result<(), ExecError> {
    link.flush().map_err(|source| {
        At {
            program,
            inference: 0,
            step: ValueId(0),
        }
        .link(source)
    })
}

/// The mask of the client's image.
const INPUT_MASK: DrawId = DrawId::only(Purpose::InputMask);
