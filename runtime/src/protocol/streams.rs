//! The streams of one step: each purpose is opened once and read on from group to group.

use std::collections::BTreeMap;

use crate::prg::{Purpose, Stream, StreamKey};
use crate::wire::bits::BitPlane;

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
        let mut values = vec![0; count];
        self.stream(purpose).fill_u32(&mut values);
        values
    }

    /// Ring elements of up to 16 bits.
    pub fn u16s(&mut self, purpose: Purpose, count: usize, bits: u32) -> Vec<u16> {
        let mut values = vec![0; count];
        self.stream(purpose).fill_u16(&mut values);
        let mask = super::low(bits);
        values.iter_mut().for_each(|v| *v &= mask);
        values
    }

    /// One plane of bits.
    pub fn plane(&mut self, purpose: Purpose, len: usize) -> BitPlane {
        let mut words = vec![0; len.div_ceil(64)];
        self.stream(purpose).fill_words(&mut words);
        BitPlane::from_words(words, len)
    }

    /// Several planes of bits.
    pub fn planes(&mut self, purpose: Purpose, count: usize, len: usize) -> Vec<BitPlane> {
        (0..count).map(|_| self.plane(purpose, len)).collect()
    }
}
