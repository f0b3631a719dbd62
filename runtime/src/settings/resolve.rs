//! What each role makes of the settings: all that it needs, and nothing that makes no sense in it.

use std::path::PathBuf;
use std::time::Duration;

use trefoil_ir::mpc::Party;

use super::{LogFormat, LogLevel, Settings, SettingsError, written};
use crate::keys::PublicKey;
use crate::net::ServeOptions;

/// Settings that make sense in every role.
const COMMON: [&str; 8] = [
    "role",
    "key",
    "timeout",
    "session_time",
    "trace",
    "threads",
    "log_format",
    "log_level",
];

/// And besides them those of a listening party,
const LISTENING: [&str; 9] = [
    "plans",
    "listen",
    "clients",
    "state",
    "operations",
    "sessions",
    "queue",
    "queue_time",
    "grace",
];

/// of the server,
const SERVER: [&str; 4] = ["helper", "helper_key", "session_memory", "idle_time"];

/// of the helper,
const HELPER: [&str; 1] = ["server_key"];

/// and of a client.
const CLIENT: [&str; 7] = [
    "plan",
    "server",
    "server_key",
    "helper",
    "helper_key",
    "connect_timeout",
    "retries",
];

/// How a new session is begun in place of one that was lost, unless something else is said.
const RETRIES: usize = 10;

/// How long a client waits for a party that does not answer yet, unless something else is said.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What a listening party is told.
#[derive(Clone, Debug)]
pub struct Hall {
    /// The file of its key.
    pub key: PathBuf,
    /// Its plans: one, or a folder of them.
    pub plans: PathBuf,
    /// Where it listens.
    pub listen: String,
    /// Who its clients are.
    pub clients: PathBuf,
    /// The folder of its counters, if they are to survive a restart.
    pub state: Option<PathBuf>,
    /// Where operators look, if anywhere.
    pub operations: Option<String>,
    /// How it serves.
    pub options: ServeOptions,
    /// The folder of traces, if there are to be any.
    pub trace: Option<PathBuf>,
    /// Computing threads.
    pub threads: Option<usize>,
    /// How it logs.
    pub log: (LogFormat, LogLevel),
}

/// Where a party is, and its key.
#[derive(Clone, Debug)]
pub struct Port {
    /// Where it listens.
    pub address: String,
    /// Its public key.
    pub key: PublicKey,
}

/// What a server is told.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// As every listening party.
    pub hall: Hall,
    /// Its helper.
    pub helper: Port,
}

/// What a helper is told.
#[derive(Clone, Debug)]
pub struct HelperSettings {
    /// As every listening party.
    pub hall: Hall,
    /// The key of its server.
    pub server_key: PublicKey,
}

/// What a client is told.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// The file of its key.
    pub key: PathBuf,
    /// Its plan.
    pub plan: PathBuf,
    /// The server.
    pub server: Port,
    /// The helper.
    pub helper: Port,
    /// How long a peer may take for a message.
    pub timeout: Duration,
    /// How long a session may take.
    pub session_time: Duration,
    /// How long a party is waited for that does not answer.
    pub connect_timeout: Duration,
    /// How often in a row a lost session is begun anew.
    pub retries: usize,
    /// The folder of traces, if there are to be any.
    pub trace: Option<PathBuf>,
    /// Computing threads.
    pub threads: Option<usize>,
}

impl Settings {
    /// What a server makes of them.
    ///
    /// # Errors
    /// If something is missing, or makes no sense.
    pub fn server(self) -> Result<ServerSettings, SettingsError> {
        let role = Party::Server;
        self.check(role, &[&LISTENING, &SERVER])?;
        Ok(ServerSettings {
            helper: self.helper(role)?,
            hall: self.hall(role)?,
        })
    }

    /// What a helper makes of them.
    ///
    /// # Errors
    /// As [`server`](Self::server).
    pub fn helper_of(self) -> Result<HelperSettings, SettingsError> {
        let role = Party::Helper;
        self.check(role, &[&LISTENING, &HELPER])?;
        Ok(HelperSettings {
            server_key: need(role, "server_key", self.server_key)?,
            hall: self.hall(role)?,
        })
    }

    /// What a client makes of them.
    ///
    /// # Errors
    /// As [`server`](Self::server).
    pub fn client(self) -> Result<ClientSettings, SettingsError> {
        let role = Party::Client;
        self.check(role, &[&CLIENT])?;
        let server = Port {
            address: need(role, "server", self.server.clone())?,
            key: need(role, "server_key", self.server_key)?,
        };
        let helper = self.helper(role)?;
        if server.key == helper.key {
            return Err(SettingsError::OneKey {
                one: Party::Server,
                other: Party::Helper,
                key: server.key,
            });
        }
        let timeout = self.timeout.unwrap_or(ServeOptions::default().timeout);
        Ok(ClientSettings {
            key: need(role, "key", self.key)?,
            plan: need(role, "plan", self.plan)?,
            server,
            helper,
            timeout,
            session_time: self.session_time.unwrap_or(ServeOptions::default().session_time),
            connect_timeout: self.connect_timeout.unwrap_or(CONNECT_TIMEOUT.min(timeout)),
            retries: self.retries.unwrap_or(RETRIES),
            trace: self.trace,
            threads: self.threads,
        })
    }

    /// Refuses what makes no sense in a role, unless it only lies in the environment.
    fn check(&self, role: Party, besides: &[&[&str]]) -> Result<(), SettingsError> {
        let makes_sense =
            |name: &&str| COMMON.contains(name) || besides.iter().any(|names| names.contains(name));
        let senseless = |name: &&str| !makes_sense(name) && !self.ambient.contains(name);
        match self.given().into_iter().find(senseless) {
            Some(name) => Err(SettingsError::Senseless {
                role,
                name: written(name),
            }),
            None => Ok(()),
        }
    }

    fn helper(&self, role: Party) -> Result<Port, SettingsError> {
        Ok(Port {
            address: need(role, "helper", self.helper.clone())?,
            key: need(role, "helper_key", self.helper_key)?,
        })
    }

    fn hall(self, role: Party) -> Result<Hall, SettingsError> {
        let usual = ServeOptions::default();
        let queue_time = self.queue_time.unwrap_or(usual.queue_time);
        let options = ServeOptions {
            timeout: self.timeout.unwrap_or(usual.timeout),
            // At the helper a client may be in the server's queue.
            pair_timeout: queue_time + usual.pair_timeout.saturating_sub(usual.queue_time),
            idle_time: self.idle_time.unwrap_or(usual.idle_time),
            session_time: self.session_time.unwrap_or(usual.session_time),
            grace: self.grace.unwrap_or(usual.grace),
            sessions: self.sessions.unwrap_or(usual.sessions),
            queue: self.queue.unwrap_or(usual.queue),
            queue_time,
            session_memory: self.session_memory.unwrap_or(usual.session_memory),
            ..usual
        };
        Ok(Hall {
            key: need(role, "key", self.key)?,
            plans: need(role, "plans", self.plans)?,
            listen: need(role, "listen", self.listen)?,
            clients: need(role, "clients", self.clients)?,
            state: self.state,
            operations: self.operations,
            options,
            trace: self.trace,
            threads: self.threads,
            log: (
                self.log_format.unwrap_or_default(),
                self.log_level.unwrap_or_default(),
            ),
        })
    }
}

/// A setting that a role cannot do without.
fn need<T>(role: Party, name: &str, value: Option<T>) -> Result<T, SettingsError> {
    value.ok_or_else(|| SettingsError::Missing {
        role,
        name: written(name),
        variable: variable(name),
    })
}

fn variable(name: &str) -> &'static str {
    let found = Settings::NAMES.iter().find(|(known, _)| *known == name);
    found.map_or("", |(_, variable)| variable)
}
