//! What the driver tells, as a bar.

use trefoil_runtime::terminal::Bar;

use crate::driver::compile::Progress;

/// A bar over calibration images.
pub(super) struct Calibrating(pub(super) Bar);

impl Calibrating {
    /// A bar over so many images.
    pub(super) fn new(images: usize) -> Self {
        Self(Bar::new(images, "calibrating"))
    }
}

impl Progress for Calibrating {
    fn calibrated(&mut self, done: usize, of: usize) {
        self.0.at(done);
        if done == of {
            self.0.clear();
        }
    }
}
