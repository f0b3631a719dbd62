//! Memory that starts on a cache line, so that vector loads do not straddle two.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

use crate::wipe::wipe;

const LINE_BYTES: usize = 64;
const LINE_WORDS: usize = LINE_BYTES / size_of::<u32>();

/// A fixed number of words, the first of them on a cache-line boundary.
pub(super) struct Aligned {
    words: Vec<u32>,
    start: usize,
    len: usize,
}

impl Aligned {
    pub(super) fn zeroed(len: usize) -> Aligned {
        let words = vec![0; len + LINE_WORDS - 1];
        // Alignment is for speed alone: should it not be attainable, any start is right.
        let start = words.as_ptr().align_offset(LINE_BYTES);
        let start = start.min(LINE_WORDS - 1);
        Aligned { words, start, len }
    }
}

/// What is in it are weights, or values of a layer.
impl Drop for Aligned {
    fn drop(&mut self) {
        wipe(&mut self.words);
    }
}

impl Deref for Aligned {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        &self.words[self.start..self.start + self.len]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u32] {
        &mut self.words[self.start..self.start + self.len]
    }
}

thread_local! {
    static SCRATCH: RefCell<Aligned> = RefCell::new(Aligned::zeroed(0));
}

/// Runs `work` on `len` words of this thread's scratch memory, whose contents are arbitrary.
///
/// Tasks last well under a millisecond: a fresh allocation for each would spend a tenth of that
/// on page faults. `work` must not come back here, nor wait for other tasks.
pub(super) fn with_scratch<T>(len: usize, work: impl FnOnce(&mut [u32]) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.len < len {
            *scratch = Aligned::zeroed(len);
        }
        work(&mut scratch[..len])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_start_on_a_line() {
        for len in [0, 1, 17, 1000] {
            let buffer = Aligned::zeroed(len);
            assert_eq!(buffer.len(), len);
            assert_eq!(buffer.as_ptr() as usize % LINE_BYTES, 0);
        }
    }

    #[test]
    fn scratch_grows() {
        with_scratch(3, |words| assert_eq!(words.len(), 3));
        with_scratch(300, |words| assert_eq!(words.len(), 300));
    }
}
