//! The helper's waiting room: it brings the client's and the server's connection of a session
//! together by the session id.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::{Duration, Instant};

use trefoil_ir::mpc::Party;

use super::error::SessionError;
use super::greeting::Greeted;
use super::statement::SessionId;
use crate::wire::Link;

/// How long a server's connection waits at most: its client has been here before it, since it
/// introduces itself to the helper first, and waits here while it is in the server's queue.
const SERVERS_PATIENCE: Duration = Duration::from_secs(2);

/// Connections that wait for the other one of their session.
pub struct Pairing<L> {
    waiting: HashMap<SessionId, (Instant, Greeted<L>)>,
    patience: Duration,
    most: usize,
}

/// The two connections of a session.
pub struct Pair<L> {
    /// The client's.
    pub client: Greeted<L>,
    /// The server's.
    pub server: Greeted<L>,
}

/// A connection that cannot stay, and why. It is the caller's to tell it so.
pub type TurnedOut<L> = (Greeted<L>, SessionError);

impl<L: Link> Pairing<L> {
    /// A waiting room that each connection is turned out of after this time, and the one that has
    /// waited longest when there are more than so many.
    pub fn new(patience: Duration, most: usize) -> Self {
        Self {
            waiting: HashMap::new(),
            patience,
            most,
        }
    }

    /// Brings a connection; returns both if the other one is there already.
    ///
    /// # Errors
    /// If the other one has another of this helper's plans: the masks of one must not be used with the program of
    /// the other. Or if this party of this session waits already. The second one is turned away, not the first:
    /// knowing a session id must not be enough to end it.
    pub fn offer(&mut self, one: Greeted<L>) -> Result<Option<Pair<L>>, Box<TurnedOut<L>>> {
        match self.waiting.entry(one.session()) {
            Entry::Vacant(place) => {
                place.insert((Instant::now(), one));
                Ok(None)
            }
            Entry::Occupied(place) if place.get().1.opener() == one.opener() => {
                let error = SessionError::SessionTaken {
                    session: one.session().to_string(),
                    party: one.opener(),
                };
                Err(Box::new((one, error)))
            }
            Entry::Occupied(place) if !place.get().1.identity().is(one.identity()) => {
                let session = one.session().to_string();
                Err(Box::new((one, SessionError::PlansApart { session })))
            }
            Entry::Occupied(place) => {
                let (_, other) = place.remove();
                let (client, server) = match one.opener() {
                    Party::Client => (one, other),
                    Party::Server | Party::Helper => (other, one),
                };
                Ok(Some(Pair { client, server }))
            }
        }
    }

    /// Takes out the connections that have gone, those that have waited too long, and of too many
    /// those that have waited longest.
    pub fn clear(&mut self, is_gone: impl Fn(&L) -> bool) -> Vec<TurnedOut<L>> {
        let patience = self.patience;
        let gone = self.waiting.extract_if(|_, (_, one)| is_gone(one.link()));
        let mut out: Vec<_> = gone.map(|(_, (_, one))| turned(one, left)).collect();
        let late = self
            .waiting
            .extract_if(|_, (since, one)| since.elapsed() >= of(one, patience));
        out.extend(late.map(|(_, (_, one))| turned(one, |one| unpaired(one, of(one, patience)))));
        while self.waiting.len() > self.most {
            let oldest = self.waiting.iter().min_by_key(|(_, (since, _))| *since);
            let Some(oldest) = oldest.map(|(id, _)| *id) else {
                break;
            };
            let one = self.waiting.remove(&oldest);
            out.extend(one.map(|(_, one)| turned(one, crowded)));
        }
        out
    }

    /// Takes out all of them.
    pub fn close(&mut self) -> Vec<Greeted<L>> {
        self.waiting.drain().map(|(_, (_, one))| one).collect()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// How long this one may wait.
fn of<L: Link>(one: &Greeted<L>, patience: Duration) -> Duration {
    match one.opener() {
        Party::Client => patience,
        Party::Server | Party::Helper => patience.min(SERVERS_PATIENCE),
    }
}

fn turned<L: Link>(one: Greeted<L>, why: impl Fn(&Greeted<L>) -> SessionError) -> TurnedOut<L> {
    let error = why(&one);
    (one, error)
}

fn missing<L: Link>(one: &Greeted<L>) -> Party {
    match one.opener() {
        Party::Client => Party::Server,
        Party::Server | Party::Helper => Party::Client,
    }
}

fn unpaired<L: Link>(one: &Greeted<L>, patience: Duration) -> SessionError {
    SessionError::Unpaired {
        session: one.session().to_string(),
        missing: missing(one),
        seconds: patience.as_secs_f64(),
    }
}

fn left<L: Link>(one: &Greeted<L>) -> SessionError {
    SessionError::LeftAlone {
        session: one.session().to_string(),
        missing: missing(one),
        left: one.opener(),
    }
}

fn crowded<L: Link>(one: &Greeted<L>) -> SessionError {
    SessionError::NoPlace {
        session: one.session().to_string(),
    }
}
