//! What an inference's offline phase leaves until its image comes. A stock serves one inference, is
//! consumed by it, and wiped.

use std::collections::BTreeMap;

use trefoil_ir::mpc::ValueId;
use zeroize::Zeroizing;

use super::step::gate;
use super::store::Memory;
use crate::pool;

/// What the offline phase of one inference left at the client. Used once.
pub struct ClientStock {
    inference: u32,
    pub(super) input_mask: Vec<u32>,
    pub(super) gates: BTreeMap<ValueId, gate::Stock>,
    /// The client's half of what is revealed.
    pub(super) revealed: Vec<u16>,
    /// Bytes of all of this.
    pub(super) bytes: u64,
}

impl ClientStock {
    pub(super) fn new(inference: u32) -> Self {
        Self {
            inference,
            input_mask: Vec::new(),
            gates: BTreeMap::new(),
            revealed: Vec::new(),
            bytes: 0,
        }
    }

    /// Which inference this serves.
    pub fn inference(&self) -> u32 {
        self.inference
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn wipe(&mut self) {
        pool::recycle(std::mem::take(&mut self.input_mask));
        pool::recycle(std::mem::take(&mut self.revealed));
        self.gates.clear();
    }

    /// Whether nothing is left that [`wipe`](Self::wipe) should have wiped.
    #[cfg(test)]
    pub(super) fn is_wiped(&self) -> bool {
        let gates = self.gates.values().all(gate::Stock::is_wiped);
        gates && self.input_mask.is_empty() && self.revealed.is_empty()
    }
}

impl Drop for ClientStock {
    fn drop(&mut self) {
        self.wipe();
    }
}

/// What the offline phase of one inference left at the server: the client's masked shares. Used
/// once.
pub struct ServerStock {
    inference: u32,
    /// Wiped when they were used or are dropped unused.
    pub(super) shares: BTreeMap<ValueId, Zeroizing<Vec<u8>>>,
    pub(super) memory: Memory,
    /// Bytes of the shares.
    bytes: u64,
}

impl ServerStock {
    /// An empty one; `memory` counts what the server holds already.
    pub(super) fn new(inference: u32, memory: Memory) -> Self {
        Self {
            inference,
            shares: BTreeMap::new(),
            memory,
            bytes: 0,
        }
    }

    /// Which inference this serves.
    pub fn inference(&self) -> u32 {
        self.inference
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Keeps a masked share.
    pub(super) fn keep(&mut self, truncation: ValueId, share: Vec<u8>) {
        self.bytes += share.len() as u64;
        self.memory.add(share.len());
        self.shares.insert(truncation, Zeroizing::new(share));
    }
}
