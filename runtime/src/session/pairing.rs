//! The helper's waiting room: it brings the client's and the server's connection of a session
//! together by the session id.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use trefoil_ir::mpc::Party;

use super::error::SessionError;
use super::handshake::Greeted;
use super::statement::SessionId;
use crate::wire::Link;

/// Connections that wait for the other one of their session.
pub struct Pairing<L> {
    waiting: Mutex<HashMap<SessionId, (Instant, Greeted<L>)>>,
    patience: Duration,
}

/// The two connections of a session.
pub struct Pair<L> {
    /// The client's.
    pub client: Greeted<L>,
    /// The server's.
    pub server: Greeted<L>,
}

impl<L: Link> Pairing<L> {
    /// A waiting room that each connection is turned out of after this time.
    pub fn new(patience: Duration) -> Self {
        Self {
            waiting: Mutex::default(),
            patience,
        }
    }

    /// Brings a connection; returns both if the other one is there already.
    ///
    /// # Errors
    /// If this party of this session waits already. The second one is turned away, not the first:
    /// knowing a session id must not be enough to end it.
    pub fn offer(&self, one: Greeted<L>) -> Result<Option<Pair<L>>, SessionError> {
        let mut waiting = self.lock();
        let error = match waiting.entry(one.session()) {
            Entry::Vacant(place) => {
                place.insert((Instant::now(), one));
                return Ok(None);
            }
            Entry::Occupied(place) if place.get().1.opener() == one.opener() => SessionError::SessionTaken {
                session: one.session().to_string(),
                party: one.opener(),
            },
            Entry::Occupied(place) => {
                let (_, other) = place.remove();
                let (client, server) = match one.opener() {
                    Party::Client => (one, other),
                    Party::Server | Party::Helper => (other, one),
                };
                return Ok(Some(Pair { client, server }));
            }
        };
        // The other connections must not wait while this one is told.
        drop(waiting);
        one.abort(error.reason());
        Err(error)
    }

    /// Takes out the connections that have waited too long, with the error of each.
    pub fn expired(&self) -> Vec<(Greeted<L>, SessionError)> {
        let mut waiting = self.lock();
        let late = waiting.extract_if(|_, (since, _)| since.elapsed() >= self.patience);
        let late = late.map(|(session, (_, greeted))| {
            let error = SessionError::Unpaired {
                session: session.to_string(),
                missing: match greeted.opener() {
                    Party::Client => Party::Server,
                    Party::Server | Party::Helper => Party::Client,
                },
                seconds: self.patience.as_secs_f64(),
            };
            (greeted, error)
        });
        late.collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, (Instant, Greeted<L>)>> {
        // No update leaves the map half done, so a panic elsewhere has not harmed it.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
