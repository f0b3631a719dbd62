//! A bar while something is counted, where somebody watches.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// As wide as the terminal is; the numbers stand before it, so that a narrow one cuts the bar.
const TEMPLATE: &str = "{msg} {pos}/{len} {wide_bar} {eta} left";

/// Counts things on the standard error if that is a terminal; gone when it is dropped.
pub struct Bar {
    bar: ProgressBar,
}

impl Bar {
    /// A bar of so many things, such as "images".
    pub fn new(length: usize, what: &'static str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(length as u64), ProgressDrawTarget::stderr());
        // A template that does not parse is caught by the test below; the default serves as well.
        let style = ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.progress_chars("=> "));
        bar.set_message(what);
        Self { bar }
    }

    /// A bar that nobody sees.
    pub fn hidden() -> Self {
        let bar = ProgressBar::hidden();
        Self { bar }
    }

    /// One more is done.
    pub fn step(&self) {
        self.bar.inc(1);
    }

    /// So many are done.
    pub fn at(&self, done: usize) {
        self.bar.set_position(done as u64);
    }

    /// Runs something that prints, without tearing the bar.
    pub fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_shown_to_nobody_without_fail() {
        let bar = Bar::new(3, "images");
        bar.step();
        bar.at(2);
        assert_eq!((bar.bar.position(), bar.suspend(|| 7)), (2, 7));
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }
}
