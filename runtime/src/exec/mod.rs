//! Walking a plan: the three parties step by step, over links.
//!
//! Each party has an offline phase, before the image is known, and (client and server) an online
//! phase, which takes what the offline phase left in a *stock*. A stock serves one inference and is
//! consumed by it. The online phases of several inferences can run as a *batch*: each round of
//! theirs is one. Sizes of all messages come from the plan.
//!
//! - [`Client`], [`Server`], [`Helper`]: the parties, who walk through steps, rounds and batches
//! - `step`: what each party does at a step of each kind
//! - `prepared`: all steps with what they need, made once per plan
//! - `at`: a step in progress: its messages, masks and time
//! - `batch`: a round of several images
//! - `stock`: what an inference leaves until its image comes
//! - `store`: values alive, and the memory that they take

// What a step is, is decided in `step`, once.
#![cfg_attr(not(test), warn(clippy::wildcard_enum_match_arm))]

mod at;
mod batch;
mod client;
mod helper;
mod prepared;
#[cfg(test)]
mod same_bits;
mod server;
mod step;
mod stock;
mod store;
#[cfg(test)]
mod tests;

pub use client::Client;
pub use helper::Helper;
pub use server::Server;
pub use stock::{ClientStock, ServerStock};

use thiserror::Error;
use trefoil_ir::mpc::ValueId;

use crate::wire::bits::BitsError;
use crate::wire::{Link, LinkError, Peer};

/// Why an inference could not be finished.
#[derive(Debug, Error)]
pub enum ExecError {
    /// A link failed, or its peer sent another frame than the plan foresees.
    #[error("step {step} ({origin})")]
    Link {
        /// The step at which it failed.
        step: ValueId,
        /// ONNX name of its origin.
        origin: String,
        /// Why.
        #[source]
        source: LinkError,
    },
    /// A link failed when what several steps had for it was to be sent.
    #[error("what was ready for {peer} could not be sent")]
    Flush {
        /// For whom it was.
        peer: Peer,
        /// Why.
        #[source]
        source: LinkError,
    },
    /// A message has the right length but cannot be what it should be.
    #[error("step {step} ({origin}): {peer} sent a malformed message; check that it runs the same version")]
    Malformed {
        /// The step at which it failed.
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
        /// Values of the image.
        given: usize,
        /// Values of the plan's input.
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

/// Sends what is buffered.
fn flush(link: &mut dyn Link) -> Result<(), ExecError> {
    link.flush().map_err(|source| ExecError::Flush {
        peer: link.peer().clone(),
        source,
    })
}
