//! How long a program takes, predicted from its cost: arithmetic, bytes over a link, round trips.
//!
//! * [`link`]: bandwidth and round trip, and the law by which frames arrive
//! * [`work`]: what is computed, and what that costs on a machine
//! * `offline`: helper and client side by side, computing and sending at once

pub mod link;
mod offline;
#[cfg(test)]
mod tests;
pub mod work;

pub use link::{Lane, LinkModel, LinkModelError, Passage};
pub use work::{Machine, Work};

use serde::{Deserialize, Serialize};

use super::cost::Cost;
use super::message::{HEADER_BYTES, Phase};

/// Predicted seconds of one image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// From the client's announcement until it sends the image: everything is prepared but for the last shares
    /// on their way to the server.
    pub offline: f64,
    /// From the image to the prediction.
    pub online: f64,
    /// The sum of both phases.
    pub total: f64,
}

impl Seconds {
    /// The time that a program of this cost takes over this link.
    pub fn predict(cost: &Cost, link: &LinkModel) -> Self {
        let offline = offline::seconds(cost, link, &Machine::OFFLINE);
        let online = online(cost, link, &Machine::ONLINE);
        Self {
            offline,
            online,
            total: offline + online,
        }
    }
}

/// Online client and server take turns: while one computes the other waits, and while a message
/// travels both do. So everything adds up, in both directions, and each round trip is waited for.
fn online(cost: &Cost, link: &LinkModel, machine: &Machine) -> f64 {
    let work = cost.work(Phase::Online);
    let headers = work.messages * HEADER_BYTES as u64;
    machine.seconds(&work) + link.transfer(work.bytes + headers) + cost.round_trips as f64 * link.round_trip
}
