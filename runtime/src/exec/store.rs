//! Values alive at one party: freed after their last use, and counted.

use trefoil_ir::mpc::ValueId;

use super::prepared::Step;
use crate::pool;

/// Bytes at once, and the most of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Memory {
    current: u64,
    peak: u64,
}

impl Memory {
    pub(super) fn starting_with(bytes: usize) -> Self {
        Self {
            current: bytes as u64,
            peak: bytes as u64,
        }
    }

    pub(super) fn add(&mut self, bytes: usize) {
        self.current += bytes as u64;
        self.peak = self.peak.max(self.current);
    }

    pub(super) fn free(&mut self, bytes: usize) {
        self.current = self.current.saturating_sub(bytes as u64);
    }

    pub(super) fn current(&self) -> u64 {
        self.current
    }

    pub(super) fn peak(&self) -> u64 {
        self.peak
    }
}

/// What a party holds of a value.
pub(super) enum Value {
    /// Ring elements: x - a, a mask, a share, D or R.
    Ring(Vec<u32>),
    /// The client's top bits of R.
    Top(Vec<u16>),
}

impl Value {
    fn bytes(&self) -> usize {
        match self {
            Value::Ring(values) => values.len() * 4,
            Value::Top(values) => values.len() * 2,
        }
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        match self {
            Value::Ring(values) => pool::recycle(std::mem::take(values)),
            Value::Top(values) => pool::recycle(std::mem::take(values)),
        }
    }
}

/// The values of one inference.
pub(super) struct Store {
    values: Vec<Option<Value>>,
    bytes: Vec<usize>,
    uses: Vec<usize>,
    pub(super) memory: Memory,
}

impl Store {
    /// `uses` says how often each value will be an operand.
    pub(super) fn new(uses: &[usize], memory: Memory) -> Self {
        Self {
            values: uses.iter().map(|_| None).collect(),
            bytes: vec![0; uses.len()],
            uses: uses.to_vec(),
            memory,
        }
    }

    pub(super) fn put(&mut self, id: ValueId, value: Value) {
        #[cfg(test)]
        tap::record(id, &value);
        self.bytes[id.index()] = value.bytes();
        self.memory.add(value.bytes());
        self.values[id.index()] = Some(value);
    }

    /// Ring elements of a value.
    ///
    /// # Panics
    /// If the value is not alive or not of ring elements: the verifier has seen to both.
    pub(super) fn ring(&self, id: ValueId) -> &[u32] {
        match &self.values[id.index()] {
            Some(Value::Ring(values)) => values,
            Some(Value::Top(_)) | None => panic!("{id} is not alive as ring elements"),
        }
    }

    /// Top bits of a value.
    ///
    /// # Panics
    /// If the value is not alive or not of top bits.
    pub(super) fn top(&self, id: ValueId) -> &[u16] {
        match &self.values[id.index()] {
            Some(Value::Top(values)) => values,
            Some(Value::Ring(_)) | None => panic!("{id} is not alive as top bits"),
        }
    }

    /// The value's ring elements, taken out if this is their last use, else copied.
    pub(super) fn take_ring(&mut self, id: ValueId) -> Vec<u32> {
        if self.uses[id.index()] > 1 {
            return self.ring(id).to_vec();
        }
        match &mut self.values[id.index()] {
            Some(Value::Ring(values)) => std::mem::take(values),
            Some(Value::Top(_)) | None => panic!("{id} is not alive as ring elements"),
        }
    }

    /// Notes that a step has used its operands; frees those whose last use it was.
    pub(super) fn used(&mut self, step: &Step) {
        for arg in step.args.iter().map(|arg| arg.id.index()) {
            self.uses[arg] -= 1;
            if self.uses[arg] == 0 {
                self.memory.free(std::mem::take(&mut self.bytes[arg]));
                self.values[arg] = None;
            }
        }
    }
}

/// What a party has stored, for tests that put the shares of all parties together.
#[cfg(test)]
pub(super) mod tap {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use super::{Value, ValueId};

    thread_local!(static STORED: RefCell<BTreeMap<ValueId, Vec<u32>>> = const { RefCell::new(BTreeMap::new()) });

    pub(super) fn record(id: ValueId, value: &Value) {
        if let Value::Ring(values) = value {
            STORED.with(|stored| stored.borrow_mut().insert(id, values.clone()));
        }
    }

    /// Everything that this thread's party has stored as ring elements since the last call.
    pub(in crate::exec) fn take() -> BTreeMap<ValueId, Vec<u32>> {
        STORED.with(|stored| std::mem::take(&mut *stored.borrow_mut()))
    }
}
