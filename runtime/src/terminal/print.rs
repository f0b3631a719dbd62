//! Lines: results on the standard output; notes, warnings and errors on the standard error, coloured
//! where that is a terminal and neither `NO_COLOR` nor `TERM=dumb` says otherwise.
//!
//! Whatever comes this way may hold names of a stranger's files: but for line breaks and tabs, no
//! character of it acts on a terminal ([`printable_lines`]).

use std::error::Error;
use std::fmt::{Arguments, Display};
use std::io::{self, ErrorKind, Write};

use clap::builder::styling::{AnsiColor, Style};
use trefoil_ir::text::printable_lines;

/// As clap's own errors.
const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();

/// Writes a line to the standard output at once, so that scripts that wait for it see it. A reader
/// that has closed the pipe (`trefoil inspect F | head`) has seen enough: that is no error.
///
/// # Errors
/// If the line cannot be written for another reason, such as a full disk.
pub fn line(text: Arguments<'_>) -> io::Result<()> {
    self::text(&printable_lines(&format!("{text}\n"))).map(drop)
}

/// Writes text that has its own line ends, as [`line()`] writes a line. False if the reader has closed the pipe.
///
/// # Errors
/// As [`line()`].
pub fn text(text: &str) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    open_or_closed(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

fn open_or_closed(written: io::Result<()>) -> io::Result<bool> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true),
    }
}

/// Writes a line to the standard error. That it cannot be written is nothing that anybody could be
/// told.
pub fn note(text: Arguments<'_>) {
    let text = text.to_string();
    let _ = writeln!(anstream::stderr().lock(), "{}", printable_lines(&text));
}

/// Writes `warning: TEXT` to the standard error.
pub fn warning(text: impl Display) {
    styled(WARNING, "warning:", &text.to_string());
}

/// Writes `error: TEXT` to the standard error, the causes behind it.
pub fn error(error: &dyn Error) {
    styled(ERROR, "error:", &chain(error));
}

fn styled(style: Style, word: &str, text: &str) {
    let _ = writeln!(
        anstream::stderr().lock(),
        "{style}{word}{style:#} {}",
        printable_lines(text)
    );
}

/// An error and its causes, as one line. Many errors, of libraries above all, say their cause and
/// hand it on as well: what has been said is not said again.
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        next = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_pipes_end_nothing() {
        let failed = |kind| open_or_closed(Err(io::Error::from(kind)));
        assert!(matches!(failed(ErrorKind::BrokenPipe), Ok(false)));
        assert!(failed(ErrorKind::StorageFull).is_err());
    }

    #[test]
    fn causes_follow_in_order() {
        #[derive(Debug, thiserror::Error)]
        #[error("the outer")]
        struct Outer(#[source] io::Error);
        assert_eq!(
            chain(&Outer(io::Error::other("the inner"))),
            "the outer: the inner"
        );
    }

    #[test]
    fn causes_are_said_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("the outer: {0}")]
        struct Outer(#[source] io::Error);
        assert_eq!(
            chain(&Outer(io::Error::other("the inner"))),
            "the outer: the inner"
        );
    }
}
