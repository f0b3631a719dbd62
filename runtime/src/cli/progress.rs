//! A progress bar, where somebody watches.

use std::io::{self, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::error::CliError;

/// Counts images; shown on the standard error if that is a terminal.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar of so many images.
    pub fn new(images: usize) -> Self {
        let bar = ProgressBar::with_draw_target(Some(images as u64), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} images, {per_sec}, {eta} left");
        // A template that does not parse is caught by the test below; the default serves as well.
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar }
    }

    /// One more image is done.
    pub fn step(&self) {
        self.bar.inc(1);
    }

    /// Writes a line to the standard output, without tearing the bar.
    ///
    /// # Errors
    /// If the standard output is closed.
    pub fn print(&self, line: &str) -> Result<(), CliError> {
        self.bar.suspend(|| print(line))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Writes a line to the standard output at once, so that scripts that wait for it see it.
///
/// # Errors
/// If the standard output is closed.
pub fn print(line: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    let written = writeln!(out, "{line}").and_then(|()| out.flush());
    written.map_err(CliError::Stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_shown_to_nobody_without_fail() {
        let progress = Progress::new(2);
        progress.step();
        assert_eq!(progress.bar.position(), 1);
        assert!(ProgressStyle::with_template("{bar:40} {pos}/{len} images, {per_sec}, {eta} left").is_ok());
    }
}
