//! A client's account, and the guests who hold its places.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, RwLock};
use std::time::SystemTime;

use super::clients::Client;
use super::ledger::{Ledger, Shortfall, Tally};
use super::refusal::Refusal;
use super::{Usage, read, write};
use crate::keys::PublicKey;

/// A client, and what it has at the moment.
#[derive(Debug)]
pub(super) struct Account {
    /// What `clients.toml` says; none once the client is removed from it.
    client: RwLock<Option<Arc<Client>>>,
    tally: Arc<Tally>,
    sessions: AtomicU32,
}

impl Account {
    pub(super) fn new(client: Client, tally: Arc<Tally>) -> Self {
        Self {
            client: RwLock::new(Some(Arc::new(client))),
            tally,
            sessions: AtomicU32::new(0),
        }
    }

    /// Has it say what a new file says.
    pub(super) fn become_of(&self, client: Option<Client>) {
        *write(&self.client) = client.map(Arc::new);
    }

    pub(super) fn is_client(&self) -> bool {
        read(&self.client).is_some()
    }

    pub(super) fn sessions(&self) -> u32 {
        self.sessions.load(Ordering::Acquire)
    }

    pub(super) fn usage(&self, now: SystemTime) -> Option<Usage> {
        let client = self.client()?;
        Some(Usage {
            used_today: self.tally.used(now),
            quota: client.inferences_per_day,
            sessions: self.sessions(),
            name: client.name.clone(),
        })
    }

    fn client(&self) -> Option<Arc<Client>> {
        read(&self.client).clone()
    }

    /// Takes a place, if fewer than `most` are taken.
    fn sit(&self, most: u32) -> bool {
        let more = |taken: u32| (taken < most).then(|| taken + 1);
        let order = Ordering::AcqRel;
        self.sessions.fetch_update(order, Ordering::Acquire, more).is_ok()
    }
}

/// A client's session: one of its places, free again when this is dropped.
#[derive(Debug)]
pub struct Guest {
    account: Arc<Account>,
    ledger: Arc<Ledger>,
    key: PublicKey,
    name: String,
}

impl Guest {
    pub(super) fn enter(
        account: &Arc<Account>,
        ledger: &Arc<Ledger>,
        now: SystemTime,
    ) -> Result<Self, Refusal> {
        let key = *account.tally.key();
        let client = account.client().ok_or(Refusal::Unknown { key })?;
        check_expiry(&client, now)?;
        let spent = account.tally.check(client.inferences_per_day, now);
        spent.map_err(|shortfall| refusal(&client, shortfall))?;
        if !account.sit(client.sessions) {
            return Err(Refusal::Sessions {
                name: client.name.clone(),
                most: client.sessions,
            });
        }
        Ok(Self {
            account: Arc::clone(account),
            ledger: Arc::clone(ledger),
            key,
            name: client.name.clone(),
        })
    }

    /// The client's name when the session began.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The client's key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Bytes that stock and batch of the session may take, if the client has a limit of its own.
    pub fn stock(&self) -> Option<u64> {
        self.account.client()?.stock
    }

    /// Whether the client still is one. Cheap: it waits for nobody but a reload of this one client.
    ///
    /// # Errors
    /// If it has been removed, or its time is over.
    pub fn standing(&self, now: SystemTime) -> Result<(), Refusal> {
        check_expiry(&*self.client()?, now)
    }

    /// Counts inferences, all or none, before they are prepared or run.
    ///
    /// # Errors
    /// If the client is no longer one, its day has fewer left, or they cannot be counted.
    pub fn take(&self, inferences: u32, now: SystemTime) -> Result<(), Refusal> {
        let client = self.client()?;
        check_expiry(&client, now)?;
        let quota = client.inferences_per_day;
        let taken = self.ledger.take(&self.account.tally, inferences, quota, now);
        taken.map_err(|shortfall| refusal(&client, shortfall))
    }

    fn client(&self) -> Result<Arc<Client>, Refusal> {
        self.account.client().ok_or_else(|| Refusal::Revoked {
            name: self.name.clone(),
        })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.account.sessions.fetch_sub(1, Ordering::AcqRel);
    }
}

fn check_expiry(client: &Client, now: SystemTime) -> Result<(), Refusal> {
    match &client.expires {
        Some(expires) if expires.is_over(now) => Err(Refusal::Expired {
            name: client.name.clone(),
            expires: expires.clone(),
        }),
        _ => Ok(()),
    }
}

fn refusal(client: &Client, shortfall: Shortfall) -> Refusal {
    let name = client.name.clone();
    match shortfall {
        Shortfall::Quota { per_day, left, hours } => Refusal::Quota {
            name,
            per_day,
            left,
            hours,
        },
        Shortfall::Store(source) => Refusal::Store { name, source },
    }
}
