//! Kinds of values that settings have, each read from the same text in a file, a variable and a flag.

use std::path::PathBuf;
use std::time::Duration;

use trefoil_ir::mpc::Party;

use crate::keys::{NoPublicKey, PublicKey};

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people: `TIME LEVEL what happened field=value ...`.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// The least level of lines that are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// What this party failed at.
    Error,
    /// Who was not served, and what is short.
    Warn,
    /// Sessions, and all of the above.
    #[default]
    Info,
    /// What happened within sessions, and all of the above.
    Debug,
}

/// A text that a setting does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// No positive number.
    #[error("give a whole number of 1 or more")]
    NotPositive,
    /// No number of things.
    #[error("give a whole number from 0 to 1000000")]
    NotCountable,
    /// No time.
    #[error("give a number of seconds between 0.001 and 1000000")]
    NoTime,
    /// No role.
    #[error("give server, helper or client")]
    NoRole,
    /// No format.
    #[error("give text or json")]
    NoFormat,
    /// No level.
    #[error("give error, warn, info or debug")]
    NoLevel,
    /// Nothing.
    #[error("give something: it is empty")]
    Empty,
}

/// A number of 1 or more.
pub(crate) fn positive(text: &str) -> Result<usize, ValueError> {
    let number = text.parse().ok();
    number.filter(|&number| number > 0).ok_or(ValueError::NotPositive)
}

/// A number of things, of which there may be none.
pub(crate) fn countable(text: &str) -> Result<usize, ValueError> {
    let number = text.parse().ok();
    let allowed = number.filter(|&number| number <= 1_000_000);
    allowed.ok_or(ValueError::NotCountable)
}

/// A time.
pub(crate) fn seconds(text: &str) -> Result<Duration, ValueError> {
    let number: Option<f64> = text.parse().ok();
    let allowed = number.filter(|seconds| (0.001..=1e6).contains(seconds));
    allowed.map(Duration::from_secs_f64).ok_or(ValueError::NoTime)
}

pub(super) fn role(text: &str) -> Result<Party, ValueError> {
    match text {
        "server" => Ok(Party::Server),
        "helper" => Ok(Party::Helper),
        "client" => Ok(Party::Client),
        _ => Err(ValueError::NoRole),
    }
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, ValueError> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(ValueError::NoFormat),
    }
}

pub(super) fn log_level(text: &str) -> Result<LogLevel, ValueError> {
    match text {
        "error" => Ok(LogLevel::Error),
        "warn" => Ok(LogLevel::Warn),
        "info" => Ok(LogLevel::Info),
        "debug" => Ok(LogLevel::Debug),
        _ => Err(ValueError::NoLevel),
    }
}

pub(super) fn path(text: &str) -> Result<PathBuf, ValueError> {
    self::text(text).map(PathBuf::from)
}

pub(super) fn text(text: &str) -> Result<String, ValueError> {
    match text.is_empty() {
        true => Err(ValueError::Empty),
        false => Ok(text.to_owned()),
    }
}

pub(super) fn public_key(text: &str) -> Result<PublicKey, NoPublicKey> {
    text.parse()
}
