//! Log lines of server and helper, on the standard error: time (UTC), level, what happened, and the
//! session and the peer that it happened to. Of images and keys nothing is ever logged.

use std::io;

use tracing::field::display;
use tracing::level_filters::LevelFilter;
use tracing::{debug, info, warn};
use tracing_subscriber::fmt;

use crate::net::{Figures, Level, Line, Whose};
use crate::settings::{LogFormat, LogLevel};

/// Sends what this process logs from now on to the standard error.
pub fn start((format, level): (LogFormat, LogLevel)) {
    // A line that cannot be written is lost: nobody can be told.
    let lines = fmt()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_max_level(match level {
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
        })
        .with_target(false)
        .log_internal_errors(false);
    // Whoever has set a logger before, as tests do, keeps it.
    let _ = match format {
        LogFormat::Text => tracing::subscriber::set_global_default(lines.finish()),
        LogFormat::Json => tracing::subscriber::set_global_default(lines.json().flatten_event(true).finish()),
    };
}

/// Logs a line of a listening party's.
pub fn line(line: Line) {
    let Line {
        level,
        text,
        whose,
        figures,
    } = line;
    let Whose {
        session,
        peer,
        client,
    } = whose;
    let session = session.map(display);
    let peer = peer.map(display);
    let client = client.map(display);
    if let Some(Figures {
        images,
        seconds,
        sent,
        received,
    }) = figures
    {
        return info!(session, client, peer, images, seconds, sent, received, "{text}");
    }
    match level {
        Level::Debug => debug!(session, client, peer, "{text}"),
        Level::Info => info!(session, client, peer, "{text}"),
        Level::Warn => warn!(session, client, peer, "{text}"),
    }
}

/// Logs what this party itself has done.
pub fn info(text: &str) {
    info!("{text}");
}

/// Logs what this party itself has failed at.
pub fn warn(text: &str) {
    warn!("{text}");
}
