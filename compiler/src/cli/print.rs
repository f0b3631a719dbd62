//! Printing to standard output.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

use anyhow::{Context, Result};

/// Prints a line. A reader that has closed the pipe (`trefoil inspect F | head`) has seen enough:
/// that is no error, and ends nothing but the printing.
pub(super) fn line(text: Arguments<'_>) -> Result<()> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("standard output cannot be written to")
        }
        _ => Ok(()),
    }
}

/// `println!` for commands: returns early from the calling function if it cannot print.
macro_rules! say {
    ($($text:tt)*) => { $crate::cli::print::line(format_args!($($text)*))? };
}
pub(super) use say;
