//! The clients of a server or helper, as `clients.toml` lists them.
//!
//! ```toml
//! [[client]]
//! name = "alice"
//! key = "ed25519:..."
//! expires = 2027-03-01
//! sessions = 2
//! inferences-per-day = 10000
//! stock = "500MB"
//! ```
//!
//! A client is who holds the key; its name is for people, logs and metrics. Name and key are required.

pub mod edit;
mod expiry;
mod fault;
mod parse;
#[cfg(test)]
mod tests;
mod write;

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

pub use expiry::Expiry;
pub use fault::{ClientsError, ClientsFault, Fault};

use crate::keys::PublicKey;

/// Bytes of the largest file.
const LONGEST: u64 = 4 << 20;

/// Clients of the longest list.
const MOST_CLIENTS: usize = 100_000;

/// The most sessions that one client may be given at once.
const MOST_SESSIONS: u32 = 10_000;

/// Sessions at once, unless the file says otherwise.
const SESSIONS: u32 = 2;

/// Characters of the longest name.
const LONGEST_NAME: usize = 64;

/// A client, and what it may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// What people, logs and metrics call it.
    pub name: String,
    /// What it proves itself by.
    pub key: PublicKey,
    /// When it ceases to be a client.
    pub expires: Option<Expiry>,
    /// Sessions at once, running and waiting together.
    pub sessions: u32,
    /// Inferences in a day (UTC), if it has a limit of its own.
    pub inferences_per_day: Option<u64>,
    /// Bytes that stock and batch of a session may take, if it has a limit of its own.
    pub stock: Option<u64>,
}

impl Client {
    /// A client with no limits but those that all have.
    pub fn new(name: impl Into<String>, key: PublicKey) -> Self {
        Self {
            name: name.into(),
            key,
            expires: None,
            sessions: SESSIONS,
            inferences_per_day: None,
            stock: None,
        }
    }

    fn check(&self) -> Result<(), Fault> {
        if !is_client_name(&self.name) {
            return Err(Fault::name(&self.name));
        }
        let limits = [
            (
                "sessions",
                Some(u64::from(self.sessions)),
                u64::from(MOST_SESSIONS),
            ),
            ("inferences-per-day", self.inferences_per_day, u64::MAX),
            ("stock", self.stock, u64::MAX),
        ];
        for (limit, value, most) in limits {
            match value {
                Some(0) => return Err(Fault::zero(&self.name, limit)),
                Some(value) if value > most => return Err(Fault::too_large(&self.name, limit, most)),
                Some(_) | None => {}
            }
        }
        Ok(())
    }
}

/// Whether a text can be a client's name: 1 to 64 letters (a-z, A-Z), digits and `.`, `_`, `-`, of which
/// a letter or digit comes first, so that it can be a file's name and no flag.
pub fn is_client_name(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    text.len() <= LONGEST_NAME
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(is_plain)
}

/// All clients: no two have a name or a key in common, and each limit lets something through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clients(Vec<Client>);

impl Clients {
    /// These clients.
    ///
    /// # Errors
    /// If two share a name or a key, a name is none, a limit is zero or beyond reason, or they are too many.
    pub fn new(clients: impl IntoIterator<Item = Client>) -> Result<Self, ClientsFault> {
        let placed = clients
            .into_iter()
            .map(|client| (client, parse::Places::default()));
        Self::gather(placed).map_err(ClientsFault::from)
    }

    /// Clients with their places in a file.
    fn gather(clients: impl IntoIterator<Item = (Client, parse::Places)>) -> Result<Self, parse::Placed> {
        let mut list: Vec<Client> = Vec::new();
        let (mut names, mut keys) = (HashMap::new(), HashMap::new());
        for (client, places) in clients {
            client.check().map_err(|fault| places.name.of(fault))?;
            if list.len() == MOST_CLIENTS {
                return Err(places.name.of(Fault::TooMany));
            }
            if names.insert(client.name.clone(), ()).is_some() {
                return Err(places.name.of(Fault::SameName { name: client.name }));
            }
            if let Some(first) = keys.insert(client.key, list.len()) {
                return Err(places.key.of(Fault::SameKey {
                    name: client.name,
                    other: list[first].name.clone(),
                }));
            }
            list.push(client);
        }
        Ok(Self(list))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, or does not say what a file of clients says.
    pub fn read(path: &Path) -> Result<Self, ClientsError> {
        let path = path.to_owned();
        let mut text = String::new();
        let read = File::open(&path).and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text));
        match read {
            Ok(_) => Self::parse(&text).map_err(|source| ClientsError::Content { path, source }),
            Err(source) => Err(ClientsError::Read { path, source }),
        }
    }

    /// Refuses one key for two roles: a client with the key of one of these parties, which are named as
    /// in a sentence ("the server").
    ///
    /// # Errors
    /// If a client has such a key.
    pub fn check_distinct(&self, parties: &[(&str, PublicKey)]) -> Result<(), ClientsFault> {
        let clash = self.0.iter().find_map(|client| {
            let party = parties.iter().find(|(_, key)| *key == client.key);
            party.map(|(party, _)| (client, *party))
        });
        match clash {
            None => Ok(()),
            Some((client, party)) => Err(Fault::TwoRoles {
                name: client.name.clone(),
                party: party.to_owned(),
            }
            .into()),
        }
    }

    /// Each client, as listed.
    pub fn iter(&self) -> std::slice::Iter<'_, Client> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl IntoIterator for Clients {
    type Item = Client;
    type IntoIter = std::vec::IntoIter<Client>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Clients {
    type Item = &'a Client;
    type IntoIter = std::slice::Iter<'a, Client>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
