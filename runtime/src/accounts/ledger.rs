//! How many inferences each key has had today, counted in memory and backed by a file.
//!
//! **What is counted is on the disk first.** Not each inference by itself, which would wait for the
//! disk each time: what is written is the count and a *lease*, a hundredth of the quota or so, and
//! within the lease counting needs no disk. Whenever the process ends, by `kill -9` too, the file says at
//! least what was had, and at most a lease more: a client may lose these few, and never gets more than
//! its quota. A party that stops in order writes the exact numbers.
//!
//! If the file cannot be written, who has a quota is refused as soon as the lease is used up. Who has
//! none is counted in memory and goes on. Once it can be written again, all goes on as before.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::count::{Count, day_of};
use super::lock;
use super::store::{LedgerError, Store};
use crate::keys::PublicKey;

/// How long a ledger is waited for that another process has: a party that was just stopped may still hold it, and so
/// may for a moment whatever another party's process has started.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);

/// The largest lease.
const LEASE: u64 = 64;

/// The inferences of each key.
#[derive(Debug)]
pub struct Ledger {
    /// Of every key that was ever counted.
    tallies: Mutex<HashMap<PublicKey, Arc<Tally>>>,
    store: Option<Store>,
}

/// Why inferences are not had.
#[derive(Debug)]
pub(super) enum Shortfall {
    /// The day has fewer left.
    Quota {
        /// Inferences in a day.
        per_day: u64,
        /// Those left.
        left: u64,
        /// Hours to the next day.
        hours: u64,
    },
    /// They cannot be written down.
    Store(Arc<LedgerError>),
}

impl Ledger {
    /// Opens the ledger in a folder, or makes a new one there (`accounts.redb`, mode 0600; the folder
    /// 0700). To have all counts begin anew, remove the file while the party is stopped.
    ///
    /// # Errors
    /// If the folder or the file cannot be made, read or written, is damaged, or another process has it.
    pub fn open(folder: &Path) -> Result<Self, LedgerError> {
        let until = Instant::now() + PATIENCE;
        loop {
            match Store::open(folder) {
                Err(LedgerError::InUse { .. }) if Instant::now() < until => thread::sleep(PAUSE),
                opened => return Self::of(opened?),
            }
        }
    }

    /// A ledger that ends with the process.
    pub fn in_memory() -> Self {
        Self {
            tallies: Mutex::default(),
            store: None,
        }
    }

    pub(super) fn of(store: Store) -> Result<Self, LedgerError> {
        let counts = store.read()?.into_iter();
        let tallies = counts.map(|(key, count)| (key, Arc::new(Tally::new(key, count))));
        Ok(Self {
            tallies: Mutex::new(tallies.collect()),
            store: Some(store),
        })
    }

    /// The tally of a key.
    pub(super) fn tally(&self, key: &PublicKey) -> Arc<Tally> {
        let mut tallies = lock(&self.tallies);
        let tally = tallies.entry(*key);
        Arc::clone(tally.or_insert_with(|| Arc::new(Tally::new(*key, Count::default()))))
    }

    /// Counts inferences, all or none.
    pub(super) fn take(
        &self,
        tally: &Tally,
        inferences: u32,
        quota: Option<u64>,
        now: SystemTime,
    ) -> Result<(), Shortfall> {
        let wanted = u64::from(inferences);
        let Some(store) = &self.store else {
            return tally.spend(wanted, quota, now, Backing::None).map(drop);
        };
        if tally.spend(wanted, quota, now, Backing::Lease)? {
            return Ok(());
        }
        // One at a time sets aside more for a key; the others find it when their turn comes.
        let _turn = lock(&tally.turn);
        while !tally.spend(wanted, quota, now, Backing::Lease)? {
            let lease = tally.lease(wanted, quota, now);
            let written = store.write(&[(tally.key, lease)], now, || tally.leased(lease));
            match (written, quota) {
                (Ok(()), _) => {}
                (Err(_), None) => return tally.spend(wanted, quota, now, Backing::None).map(drop),
                (Err(error), Some(_)) => return Err(Shortfall::Store(error)),
            }
        }
        Ok(())
    }

    /// Why the file could not be written when that was last tried.
    pub(super) fn trouble(&self) -> Option<Arc<LedgerError>> {
        self.store.as_ref()?.trouble()
    }

    /// Writes the exact numbers and ends all leases. From then on nothing more is written.
    pub(super) fn close(&self) -> Result<(), LedgerError> {
        let Some(store) = &self.store else { return Ok(()) };
        store.close(|| {
            let tallies = lock(&self.tallies);
            tallies.values().filter_map(|tally| tally.settle()).collect()
        })
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // Whoever wants to know calls it before; the file is right without it.
        let _ = self.close();
    }
}

/// What inferences must be backed by to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backing {
    /// By the disk.
    Lease,
    /// By nothing.
    None,
}

/// The count of one key.
#[derive(Debug)]
pub(super) struct Tally {
    key: PublicKey,
    /// Held for a moment only, never while a disk is waited for.
    state: Mutex<State>,
    /// Held by whoever writes.
    turn: Mutex<()>,
}

#[derive(Debug)]
struct State {
    count: Count,
    /// What the disk says.
    disk: Count,
}

impl State {
    /// The count at a time. It is kept, whether or not anything is counted: a midnight must have been
    /// seen to end a day.
    fn at(&mut self, now: SystemTime) -> Count {
        self.count = self.count.on(day_of(now));
        self.count
    }

    /// Up to where the disk backs the count.
    fn backed(&self) -> u64 {
        let is_same = self.disk.day == self.count.day;
        if is_same { self.disk.used } else { 0 }
    }
}

impl Tally {
    /// Of a key of which the disk says this.
    fn new(key: PublicKey, disk: Count) -> Self {
        Self {
            key,
            state: Mutex::new(State { count: disk, disk }),
            turn: Mutex::new(()),
        }
    }

    pub(super) fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Inferences of the day.
    pub(super) fn used(&self, now: SystemTime) -> u64 {
        lock(&self.state).at(now).used
    }

    /// Whether the day has any left.
    pub(super) fn check(&self, quota: Option<u64>, now: SystemTime) -> Result<(), Shortfall> {
        let count = lock(&self.state).at(now);
        within(count, 1, quota, now).map(drop)
    }

    /// Counts, if the backing allows it.
    fn spend(
        &self,
        wanted: u64,
        quota: Option<u64>,
        now: SystemTime,
        by: Backing,
    ) -> Result<bool, Shortfall> {
        let mut state = lock(&self.state);
        let used = within(state.at(now), wanted, quota, now)?;
        let is_backed = used <= state.backed() || by == Backing::None;
        if is_backed {
            state.count.used = used;
        }
        Ok(is_backed)
    }

    /// What is to be on the disk before that many are counted.
    fn lease(&self, wanted: u64, quota: Option<u64>, now: SystemTime) -> Count {
        let count = lock(&self.state).at(now);
        let used = count.used.saturating_add(wanted);
        let more = quota.map_or(LEASE, |quota| (quota / 100).clamp(1, LEASE));
        Count {
            used: used.saturating_add(more).min(quota.unwrap_or(u64::MAX)),
            ..count
        }
    }

    /// The disk says so now.
    fn leased(&self, lease: Count) {
        lock(&self.state).disk = lease;
    }

    /// Ends the lease; what the disk shall say instead, if that is something else.
    fn settle(&self) -> Option<(PublicKey, Count)> {
        let mut state = lock(&self.state);
        let is_exact = state.disk == state.count;
        state.disk = state.count;
        (!is_exact).then_some((self.key, state.count))
    }
}

/// The count with that many more, if the quota allows it.
fn within(count: Count, wanted: u64, quota: Option<u64>, now: SystemTime) -> Result<u64, Shortfall> {
    let used = count.used.saturating_add(wanted);
    match quota {
        Some(per_day) if used > per_day => Err(Shortfall::Quota {
            per_day,
            left: per_day.saturating_sub(count.used),
            hours: count.hours_left(now),
        }),
        _ => Ok(used),
    }
}
