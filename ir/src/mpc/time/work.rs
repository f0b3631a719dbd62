//! What is computed, counted, and what each count costs on a machine.
//!
//! The constants of [`Machine`] are a fit, good on machines like the one they were measured on, with
//! all three parties on it. To fit them again, with code or on a machine of another kind:
//!
//! ```sh
//! for plan in PLANS/*; do     # five or more networks, of various sizes and patches
//!     trefoil-party local --plans $plan --data ... --repeat 9 --report $plan.json
//! done
//! cargo run --release -p trefoil-runtime --example machine -- PLANS/*.json
//! ```
//!
//! That prints the constants, to be pasted below, and how far each plan is off. Reports of runs with
//! `--link` may stand among the others: they take no part in the fit, and are compared with what was
//! predicted of them.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use crate::mpc::Phase;

/// What the parties do in a phase, all together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Multiply-adds of layers, as one party has them.
    pub macs: u64,
    /// Multiply-adds of sums over large patches, as one party has them.
    pub sum_macs: u64,
    /// Number of signs that are taken.
    pub signs: u64,
    /// Bytes of payload that are sent.
    pub bytes: u64,
    /// Number of messages that are sent.
    pub messages: u64,
}

impl Work {
    /// Names of the counts, in the order of [`counts`](Self::counts).
    pub const NAMES: [&str; 5] = ["mac", "sum_mac", "sign", "byte", "message"];

    /// The counts, in the order of [`NAMES`](Self::NAMES).
    pub const fn counts(&self) -> [u64; 5] {
        let Self {
            macs,
            sum_macs,
            signs,
            bytes,
            messages,
        } = *self;
        [macs, sum_macs, signs, bytes, messages]
    }
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.macs += other.macs;
        self.sum_macs += other.sum_macs;
        self.signs += other.signs;
        self.bytes += other.bytes;
        self.messages += other.messages;
    }
}

/// What arithmetic costs on the parties' machines, in seconds for all of a phase's parties.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machine {
    /// A multiply-add of a layer.
    pub mac: f64,
    /// A multiply-add of a sum over a large patch, its share of the box sums included.
    pub sum_mac: f64,
    /// A sign of a gate, beside its bytes.
    pub sign: f64,
    /// A byte sent: its streams and gates, packed, masked and unpacked.
    pub byte: f64,
    /// A message: a party's way to its step and the other's awakening.
    pub message: f64,
}

impl Machine {
    /// Measured on two cores with AVX-512 that all three parties share, networks from 0.8 M to 4 G
    /// multiply-adds with patches of all kinds: offline. (What sums take was fitted again by itself, and brought to
    /// the scale of the others.)
    pub const OFFLINE: Self = Self {
        mac: 0.035e-9,
        sum_mac: 0.80e-9,
        sign: 0.0,
        byte: 0.388e-9,
        message: 20.8e-6,
    };

    /// Online, measured like [`OFFLINE`](Self::OFFLINE).
    pub const ONLINE: Self = Self {
        mac: 0.019e-9,
        sum_mac: 0.60e-9,
        sign: 0.248e-9,
        byte: 1.802e-9,
        message: 24.3e-6,
    };

    /// The machine of a phase.
    pub const fn of(phase: Phase) -> Self {
        match phase {
            Phase::Offline => Self::OFFLINE,
            Phase::Online => Self::ONLINE,
        }
    }

    /// Seconds for each of a work's counts, in their order.
    pub const fn costs(&self) -> [f64; 5] {
        let Self {
            mac,
            sum_mac,
            sign,
            byte,
            message,
        } = *self;
        [mac, sum_mac, sign, byte, message]
    }

    /// Seconds for this work.
    pub fn seconds(&self, work: &Work) -> f64 {
        let counts = work.counts().into_iter().zip(self.costs());
        counts.map(|(count, cost)| count as f64 * cost).sum()
    }
}
