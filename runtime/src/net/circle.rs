//! Whom a listening party takes: its clients, each within its limits, and at a helper the server.

use std::sync::Arc;
use std::time::SystemTime;

use trefoil_ir::mpc::Party;

use super::tls::Known;
use crate::accounts::{Accounts, Guest, Refusal};
use crate::keys::PublicKey;
use crate::operations::Allowance;

/// Those whom a listening party knows.
pub struct Circle {
    accounts: Arc<Accounts>,
    peers: Vec<(Party, PublicKey)>,
}

impl Circle {
    /// These clients, and these parties besides them.
    pub fn new(accounts: Arc<Accounts>, peers: &[(Party, PublicKey)]) -> Self {
        Self {
            accounts,
            peers: peers.to_vec(),
        }
    }
}

impl Known for Circle {
    fn role_of(&self, key: &PublicKey) -> Option<Party> {
        let peer = self.peers.iter().find(|(_, known)| known == key);
        let client = || self.accounts.knows(key).then_some(Party::Client);
        peer.map(|(party, _)| *party).or_else(client)
    }

    fn admit(&self, key: &PublicKey) -> Result<Option<Guest>, Refusal> {
        match self.role_of(key) {
            Some(Party::Server | Party::Helper) => Ok(None),
            Some(Party::Client) | None => self.accounts.enter(key, SystemTime::now()).map(Some),
        }
    }
}

/// What each client has had today, for whoever monitors this party.
pub fn allowances(accounts: &Accounts) -> Vec<Allowance> {
    let usage = accounts.usage(SystemTime::now()).into_iter();
    usage
        .map(|usage| Allowance {
            client: usage.name,
            used: usage.used_today,
            quota: usage.quota,
        })
        .collect()
}
