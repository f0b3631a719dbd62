//! The streams of one step: each purpose is opened once and read on from group to group.

use std::collections::BTreeMap;

use crate::pool;
use crate::prg::{Purpose, Stream, StreamKey};
use crate::protocol::block::{self, Masks};

/// The streams of one step of one inference under one key.
pub struct StepStreams<'a> {
    key: &'a StreamKey,
    inference: u32,
    step: u32,
    open: BTreeMap<Purpose, Stream>,
}

impl<'a> StepStreams<'a> {
    /// The streams of this step.
    pub fn new(key: &'a StreamKey, inference: u32, step: u32) -> Self {
        Self {
            key,
            inference,
            step,
            open: BTreeMap::new(),
        }
    }

    /// Opens a stream again from its beginning, whose output was used before: the client draws the
    /// mask of a gate's result when it prepares the next layer and once more when it applies it.
    pub fn replay(&mut self, purpose: Purpose) {
        self.open
            .insert(purpose, self.key.replay(self.inference, self.step, purpose));
    }

    fn stream(&mut self, purpose: Purpose) -> &mut Stream {
        self.open
            .entry(purpose)
            .or_insert_with(|| self.key.stream(self.inference, self.step, purpose))
    }

    /// Ring elements of 32 bits.
    pub fn u32s(&mut self, purpose: Purpose, count: usize) -> Vec<u32> {
        let mut values = pool::zeroed(count);
        self.stream(purpose).fill(&mut values);
        values
    }

    /// Masks for `count` values, in blocks that take `bytes` each.
    pub fn masks(&mut self, purpose: Purpose, count: usize, bytes: usize) -> Masks {
        let all = block::blocks(count) * bytes;
        Masks::new(self.stream(purpose).region(all as u64), bytes)
    }

    /// `planes` single bits for each of `count` values.
    pub fn planes(&mut self, purpose: Purpose, planes: usize, count: usize) -> Masks {
        self.masks(purpose, count, Masks::plane_bytes(planes))
    }

    /// 16 bits for each of `count` values.
    pub fn halves(&mut self, purpose: Purpose, count: usize) -> Masks {
        self.masks(purpose, count, Masks::HALVES)
    }

    /// 32 bits for each of `count` values.
    pub fn words(&mut self, purpose: Purpose, count: usize) -> Masks {
        self.masks(purpose, count, Masks::WORDS)
    }
}
