//! Who may be a client of a server or helper, and how much.
//!
//! * [`Clients`]: what `clients.toml` says: names, keys, when they expire, and their limits
//! * [`Ledger`]: how many inferences each key has had today, which a restart does not forget
//! * [`Accounts`]: both together, shared by all sessions of a listening party
//! * [`Guest`]: a client's session, which holds one of its places for as long as it lives
//! * [`Refusal`]: why a client is turned away, or its session ends
//!
//! Time is always a parameter: none of this looks at a clock.

mod clients;
mod count;
mod guest;
mod ledger;
mod refusal;
mod store;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::SystemTime;

pub use clients::{Client, Clients, ClientsError, ClientsFault, Expiry, Fault, edit, is_client_name};
use guest::Account;
pub use guest::Guest;
pub use ledger::Ledger;
pub use refusal::Refusal;
pub use store::LedgerError;

use crate::keys::PublicKey;

/// The clients of a listening party, and what they take.
#[derive(Debug)]
pub struct Accounts {
    /// Of every client, and of those removed whose sessions have not ended.
    accounts: RwLock<HashMap<PublicKey, Arc<Account>>>,
    ledger: Arc<Ledger>,
}

/// What a client has taken of what it may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The client.
    pub name: String,
    /// Inferences of the current day.
    pub used_today: u64,
    /// Inferences that it may have in a day, if there is a limit.
    pub quota: Option<u64>,
    /// Sessions that it has now.
    pub sessions: u32,
}

impl Accounts {
    /// Accounts of these clients. Without a ledger, a restart forgets what was counted.
    pub fn new(clients: Clients, ledger: Option<Ledger>) -> Self {
        let accounts = Self {
            accounts: RwLock::default(),
            ledger: Arc::new(ledger.unwrap_or_else(Ledger::in_memory)),
        };
        accounts.replace(clients);
        accounts
    }

    /// Has these be the clients from now on. Guests keep their places and see their new limits at
    /// once; whoever is no longer a client is told by [`Guest::standing`].
    pub fn replace(&self, clients: Clients) {
        let mut accounts = write(&self.accounts);
        let mut listed: HashMap<_, _> = clients.into_iter().map(|client| (client.key, client)).collect();
        accounts.retain(|key, account| {
            account.become_of(listed.remove(key));
            account.is_client() || account.sessions() > 0
        });
        for (key, client) in listed {
            accounts.insert(key, Arc::new(Account::new(client, self.ledger.tally(&key))));
        }
    }

    /// Whether a key is a client's, whatever its limits say.
    pub fn knows(&self, key: &PublicKey) -> bool {
        read(&self.accounts)
            .get(key)
            .is_some_and(|account| account.is_client())
    }

    /// Takes one of a client's places.
    ///
    /// # Errors
    /// If there is no such client, its access has expired, it has all its sessions or had all its
    /// inferences today.
    pub fn enter(&self, key: &PublicKey, now: SystemTime) -> Result<Guest, Refusal> {
        // Held to the end, so that no reload comes between the account and its place.
        let accounts = read(&self.accounts);
        let account = accounts.get(key).ok_or(Refusal::Unknown { key: *key })?;
        Guest::enter(account, &self.ledger, now)
    }

    /// What each client has taken, by name.
    pub fn usage(&self, now: SystemTime) -> Vec<Usage> {
        let accounts = read(&self.accounts);
        let mut usage: Vec<_> = accounts
            .values()
            .filter_map(|account| account.usage(now))
            .collect();
        usage.sort_by(|a, b| a.name.cmp(&b.name));
        usage
    }

    /// Why the ledger cannot be written, if it could not be when that was last tried. Clients with a
    /// limit are then refused once what was set aside for them is used up.
    pub fn trouble(&self) -> Option<Arc<LedgerError>> {
        self.ledger.trouble()
    }

    /// Writes what was counted, to the inference. Nobody with a limit gets another one after that.
    ///
    /// # Errors
    /// If it cannot be written: the ledger then says a few more than were had.
    pub fn close(&self) -> Result<(), LedgerError> {
        self.ledger.close()
    }
}

/// A lock of values that are right at all times, whoever panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
