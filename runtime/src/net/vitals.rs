//! How a listening party is, for whoever watches it.

use std::sync::atomic::{AtomicBool, Ordering};

use trefoil_ir::mpc::Party;

use crate::operations::{Heartbeat, Hindrance, Readiness};

/// What keeps a party from serving, if anything does.
pub struct Vitals {
    heartbeat: Heartbeat,
    /// Whether it needs a helper that cannot be reached.
    helperless: AtomicBool,
    draining: AtomicBool,
    starved: AtomicBool,
}

impl Vitals {
    /// Those of a party that has just begun; a server has not reached its helper yet.
    pub fn new(party: Party) -> Self {
        Self {
            heartbeat: Heartbeat::new(),
            helperless: AtomicBool::new(party == Party::Server),
            draining: AtomicBool::new(false),
            starved: AtomicBool::new(false),
        }
    }

    /// The helper has been reached, or could not be.
    pub(super) fn set_helper(&self, reached: bool) {
        self.helperless.store(!reached, Ordering::Relaxed);
    }

    /// No new sessions begin.
    pub(super) fn set_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// There are no descriptors for further connections, or there are again.
    pub(super) fn set_starved(&self, starved: bool) {
        self.starved.store(starved, Ordering::Relaxed);
    }
}

impl Readiness for Vitals {
    fn heartbeat(&self) -> &Heartbeat {
        &self.heartbeat
    }

    fn hindrances(&self) -> Vec<Hindrance> {
        let all = [
            (&self.helperless, Hindrance::NoHelper),
            (&self.draining, Hindrance::Draining),
            (&self.starved, Hindrance::NoDescriptors),
        ];
        let there = all.into_iter().filter(|(flag, _)| flag.load(Ordering::Relaxed));
        there.map(|(_, hindrance)| hindrance).collect()
    }
}
