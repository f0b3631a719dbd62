//! The settings of a party: from flags, the environment and `party.toml`, in this order, and defaults
//! behind them.
//!
//! * [`Settings`]: all there are, each declared once; [`Settings::read`] reads a file
//! * [`resolve`]: what a role makes of them, checked
//! * [`value`]: kinds of values

pub mod resolve;
pub mod value;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use trefoil_ir::mpc::Party;
use trefoil_ir::text::closest;

use crate::amount;
use crate::keys::PublicKey;
use value::{countable, log_format, log_level, path, positive, public_key, role, seconds, text};

pub use resolve::{ClientSettings, Hall, HelperSettings, Port, ServerSettings};
pub use value::{LogFormat, LogLevel, ValueError};

/// Declares the settings: what they say in the help, their variable, name, type and reader.
macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $env:literal $value:literal $name:ident: $ty:ty = $reader:expr;)*) => {
        /// The settings that were given, of whatever role.
        #[derive(Clone, Debug, Default, PartialEq, clap::Args)]
        pub struct Settings {
            $(
                $(#[doc = $doc])+
                #[arg(long, env = $env, value_name = $value, value_parser = $reader, help_heading = "Settings")]
                pub $name: Option<$ty>,
            )*
            /// Names of those that the environment gives: where they are another role's, they are passed
            /// over, since an environment may be that of several parties.
            #[arg(skip)]
            pub(crate) ambient: Vec<&'static str>,
        }

        impl Settings {
            /// Names in `party.toml`, and the variables.
            pub const NAMES: &'static [(&'static str, &'static str)] = &[$((stringify!($name), $env)),*];

            /// These, and behind them the others.
            #[must_use]
            pub fn or(self, other: Self) -> Self {
                Self {
                    $($name: self.$name.or(other.$name),)*
                    ambient: self.ambient,
                }
            }

            /// Sets one by its name; false if there is none of that name.
            fn set(&mut self, name: &str, value: &str) -> Result<bool, String> {
                match name {
                    $(stringify!($name) => {
                        let read: Result<$ty, _> = ($reader)(value);
                        self.$name = Some(read.map_err(|error| error.to_string())?);
                    })*
                    _ => return Ok(false),
                }
                Ok(true)
            }

            /// Marks those that are as these variables have them.
            pub(crate) fn mark_ambient(&mut self, variable: impl Fn(&str) -> Option<String>) {
                let mut names = Vec::new();
                $(
                    let value = variable($env).map(|text| ($reader)(&text).ok());
                    if self.$name.is_some() && value.is_some_and(|value| value == self.$name) {
                        names.push(stringify!($name));
                    }
                )*
                self.ambient = names;
            }

            /// The names of those that are given.
            pub(crate) fn given(&self) -> Vec<&'static str> {
                let mut names = Vec::new();
                $(if self.$name.is_some() { names.push(stringify!($name)); })*
                names
            }
        }
    };
}

settings! {
    /// What this party is: server, helper or client.
    "TREFOIL_ROLE" "ROLE" role: Party = role;
    /// The file of this party's secret key.
    "TREFOIL_KEY" "FILE" key: PathBuf = path;
    /// Plans of a server or helper: one, or a folder of *.plan.
    "TREFOIL_PLANS" "PATH" plans: PathBuf = path;
    /// The plan of a client.
    "TREFOIL_PLAN" "FILE" plan: PathBuf = path;
    /// Where to listen; port 0 takes a free one. The address is printed.
    "TREFOIL_LISTEN" "ADDR" listen: String = text;
    /// Where the server listens.
    "TREFOIL_SERVER" "ADDR" server: String = text;
    /// The server's public key.
    "TREFOIL_SERVER_KEY" "KEY" server_key: PublicKey = public_key;
    /// Where the helper listens.
    "TREFOIL_HELPER" "ADDR" helper: String = text;
    /// The helper's public key.
    "TREFOIL_HELPER_KEY" "KEY" helper_key: PublicKey = public_key;
    /// Who may be a client, and how much.
    "TREFOIL_CLIENTS" "FILE" clients: PathBuf = path;
    /// The folder of counters that survive a restart.
    "TREFOIL_STATE" "DIR" state: PathBuf = path;
    /// Where /healthz, /readyz and /metrics are; nowhere if it is not given.
    "TREFOIL_OPERATIONS" "ADDR" operations: String = text;
    /// Sessions at a time [default: 8].
    "TREFOIL_SESSIONS" "N" sessions: usize = positive;
    /// Clients that may wait for a place [default: 64].
    "TREFOIL_QUEUE" "N" queue: usize = countable;
    /// Seconds that a client may wait for a place [default: 600].
    "TREFOIL_QUEUE_TIME" "S" queue_time: Duration = seconds;
    /// Memory that stock and batch of one session may take, such as 500MB or 2GiB; a single image is
    /// always served [default: 1GB].
    "TREFOIL_SESSION_MEMORY" "BYTES" session_memory: u64 = amount::bytes;
    /// Ends a session whose client asks for nothing for so many seconds [default: 30].
    "TREFOIL_IDLE_TIME" "S" idle_time: Duration = seconds;
    /// Ends a session after so many seconds [default: 14400].
    "TREFOIL_SESSION_TIME" "S" session_time: Duration = seconds;
    /// Gives a peer up that is silent for so many seconds, or slower than 8 kB a second beyond them
    /// [default: 60].
    "TREFOIL_TIMEOUT" "S" timeout: Duration = seconds;
    /// Lets sessions go on for so many seconds after a request to stop [default: 8].
    "TREFOIL_GRACE" "S" grace: Duration = seconds;
    /// Waits so many seconds for a party that does not answer yet [default: 10, or --timeout where that
    /// is less].
    "TREFOIL_CONNECT_TIMEOUT" "S" connect_timeout: Duration = seconds;
    /// How often a client begins a new session in a row when one is lost [default: 10].
    "TREFOIL_RETRIES" "N" retries: usize = countable;
    /// Writes what this party did when, a file a session, into this folder; `timeline` puts those of all parties
    /// together.
    "TREFOIL_TRACE" "DIR" trace: PathBuf = path;
    /// Computing threads, of which more than 4 a core are not started [default: one a core].
    "TREFOIL_THREADS" "N" threads: usize = positive;
    /// How log lines are written: text or json [default: text].
    "TREFOIL_LOG_FORMAT" "FORMAT" log_format: LogFormat = log_format;
    /// The least level of lines that are logged: error, warn, info or debug [default: info].
    "TREFOIL_LOG_LEVEL" "LEVEL" log_level: LogLevel = log_level;
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read the configuration `{}`: check that it exists and that you may read it", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is no TOML.
    #[error("the configuration `{}` is no TOML", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: Box<toml::de::Error>,
    },
    /// A name that is no setting.
    #[error("`{}` sets `{name}`, which is no setting{hint}: `trefoil-party serve --help` lists them", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
        /// The setting that may be meant.
        hint: String,
    },
    /// A value that a setting does not take.
    #[error("`{}` sets `{name}` to a value that it does not take: {problem}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The setting.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A setting that a role needs.
    #[error(
        "a {role} needs `{name}`: set it in party.toml, as the flag --{name} or as the variable {variable}"
    )]
    Missing {
        /// The role.
        role: Party,
        /// The setting.
        name: String,
        /// Its variable.
        variable: &'static str,
    },
    /// A setting that makes no sense in a role.
    #[error("a {role} has no `{name}`: remove it, or correct `role`")]
    Senseless {
        /// The role.
        role: Party,
        /// The setting.
        name: String,
    },
    /// The command is another role's.
    #[error("`{command}` is not for a {role}: {remedy}")]
    Role {
        /// The command.
        command: &'static str,
        /// The role that is set.
        role: Party,
        /// What to do.
        remedy: &'static str,
    },
    /// No role at all.
    #[error("no role is set: give --config party.toml, or --role server or helper")]
    NoRole,
    /// One key is to be that of two parties.
    #[error(
        "the {one} and the {other} have the same key {key}: whoever has two roles breaks the protocol; make each \
         party a key of its own with `trefoil-party keygen`"
    )]
    OneKey {
        /// One party.
        one: Party,
        /// The other.
        other: Party,
        /// Their key.
        key: PublicKey,
    },
}

/// The file's name of a setting.
pub(crate) fn written(name: &str) -> String {
    name.replace('_', "-")
}

impl Settings {
    /// Those that a file gives. Relative paths in it are relative to its folder.
    ///
    /// # Errors
    /// If it cannot be read, is no TOML, or sets what there is not.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let read = std::fs::read_to_string(path);
        let text = read.map_err(|source| SettingsError::Read {
            path: path.to_owned(),
            source,
        })?;
        let mut settings = Self::parse(&text, path)?;
        settings.lie_beside(path.parent().unwrap_or(Path::new("")));
        Ok(settings)
    }

    /// Those that a text gives, which stands in this file.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse(text: &str, path: &Path) -> Result<Self, SettingsError> {
        let table: toml::Table = toml::from_str(text).map_err(|source| SettingsError::Toml {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        let mut settings = Self::default();
        for (name, value) in &table {
            let refused = |problem| SettingsError::Value {
                path: path.to_owned(),
                name: name.clone(),
                problem,
            };
            let value = plain(value).ok_or_else(|| refused("it is a text or a number".to_owned()))?;
            let known =
                !name.contains('_') && settings.set(&name.replace('-', "_"), &value).map_err(refused)?;
            if !known {
                return Err(SettingsError::Unknown {
                    path: path.to_owned(),
                    name: name.clone(),
                    hint: did_you_mean(name),
                });
            }
        }
        Ok(settings)
    }

    fn lie_beside(&mut self, folder: &Path) {
        let paths = [
            &mut self.key,
            &mut self.plans,
            &mut self.plan,
            &mut self.clients,
            &mut self.state,
            &mut self.trace,
        ];
        for path in paths.into_iter().flatten() {
            *path = folder.join(&path);
        }
    }
}

/// The setting that somebody may have meant.
fn did_you_mean(name: &str) -> String {
    let known: Vec<String> = Settings::NAMES.iter().map(|(name, _)| written(name)).collect();
    match closest(name, known.iter().map(String::as_str)) {
        Some(known) => format!("; did you mean \"{known}\"?"),
        None => String::new(),
    }
}

/// A value as a flag would have it.
fn plain(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(_)
        | toml::Value::Datetime(_)
        | toml::Value::Array(_)
        | toml::Value::Table(_) => None,
    }
}
