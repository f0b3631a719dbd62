//! Log lines of server and helper, on the standard error: time (UTC), level, what happened, and the
//! session and the peer that it happened to. Of images and keys nothing is ever logged.

use std::io;

use clap::ValueEnum;
use tracing::field::display;
use tracing::{info, warn};
use tracing_subscriber::fmt;

use crate::net::{Level, Line, Whose};

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people: `TIME LEVEL what happened field=value ...`.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// Sends what this process logs from now on to the standard error.
pub fn start(format: LogFormat) {
    // A line that cannot be written is lost: nobody can be told.
    let lines = fmt()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_target(false)
        .log_internal_errors(false);
    // Whoever has set a logger before, as tests do, keeps it.
    let _ = match format {
        LogFormat::Text => tracing::subscriber::set_global_default(lines.finish()),
        LogFormat::Json => tracing::subscriber::set_global_default(lines.json().flatten_event(true).finish()),
    };
}

/// Logs a line.
pub fn line(line: Line) {
    let Line { level, text, whose } = line;
    let Whose { session, peer } = whose;
    let session = session.map(display);
    let peer = peer.map(display);
    match level {
        Level::Info => info!(session, peer, "{text}"),
        Level::Warn => warn!(session, peer, "{text}"),
    }
}
