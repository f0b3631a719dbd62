//! Printing to standard output.

use std::fmt::Arguments;

use anyhow::{Context, Result};
use trefoil_runtime::terminal;

/// Prints a line.
pub(super) fn line(text: Arguments<'_>) -> Result<()> {
    terminal::line(text).context("standard output cannot be written to")
}

/// `println!` for commands: returns early from the calling function if it cannot print.
macro_rules! say {
    ($($text:tt)*) => { $crate::cli::print::line(format_args!($($text)*))? };
}
pub(super) use say;
