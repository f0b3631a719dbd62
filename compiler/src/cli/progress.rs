//! Progress bars, on a terminal only.

use indicatif::{ProgressBar, ProgressStyle};

use crate::driver::compile::Progress;

/// A bar over `length` items; hidden where standard error is no terminal.
pub(super) fn bar(length: usize, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} [{bar:40}] {pos}/{len}, {eta} left")
        .expect("the template is well-formed")
        .progress_chars("=> ");
    ProgressBar::new(length as u64)
        .with_style(style)
        .with_message(what)
}

/// A bar over calibration images.
pub(super) struct Calibrating(pub(super) ProgressBar);

impl Progress for Calibrating {
    fn calibrated(&mut self, done: usize, of: usize) {
        self.0.set_position(done as u64);
        if done == of {
            self.0.finish_and_clear();
        }
    }
}
