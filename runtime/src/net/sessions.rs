//! The sessions of a listening party: how many there are, who waits for a place, and how each is told
//! to end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::control::Control;
use super::tcp::TcpLink;
use crate::session::{Greeted, Pair};
use crate::wire::Cause;

/// How long a proven client waits for a place before it is told that there is none.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// How long a session may be without a request while others wait for its place.
const PRESSED_IDLE: Duration = Duration::from_secs(5);

/// Proven clients that wait for a place, for each place; who comes then is told at once.
const QUEUE: usize = 4;

/// A session's place as its thread holds it: free again when it is dropped, whatever happens.
pub(super) struct Seat(pub(super) Arc<Control>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// The connections of a session that may begin.
pub(super) trait Guests: Sized + Send {
    /// The client's connection.
    fn client(&self) -> &Greeted<TcpLink>;

    /// Each connection.
    fn each(self) -> Vec<Greeted<TcpLink>>;

    /// Each connection, to look at.
    fn links(&self) -> Vec<&TcpLink>;
}

impl Guests for Greeted<TcpLink> {
    fn client(&self) -> &Greeted<TcpLink> {
        self
    }

    fn each(self) -> Vec<Greeted<TcpLink>> {
        vec![self]
    }

    fn links(&self) -> Vec<&TcpLink> {
        vec![self.link()]
    }
}

impl Guests for Pair<TcpLink> {
    fn client(&self) -> &Greeted<TcpLink> {
        &self.client
    }

    fn each(self) -> Vec<Greeted<TcpLink>> {
        vec![self.client, self.server]
    }

    fn links(&self) -> Vec<&TcpLink> {
        vec![self.client.link(), self.server.link()]
    }
}

/// The places, and who waits for one.
pub(super) struct Sessions<G> {
    running: Vec<Arc<Control>>,
    waiting: VecDeque<(Instant, G)>,
    places: usize,
}

impl<G: Guests> Sessions<G> {
    pub(super) fn new(places: usize) -> Self {
        Self {
            running: Vec::new(),
            waiting: VecDeque::new(),
            places,
        }
    }

    /// How many there are.
    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    /// Whether anybody waits for a place.
    pub(super) fn any_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Has these wait for a place; gives them back if too many wait already.
    pub(super) fn wait(&mut self, guests: G) -> Option<G> {
        if self.waiting.len() >= self.places.saturating_mul(QUEUE) {
            return Some(guests);
        }
        self.waiting.push_back((Instant::now(), guests));
        None
    }

    /// Frees the places of sessions that are over, and has those who idle make room for others.
    pub(super) fn tidy(&mut self) {
        self.running.retain(|control| !control.is_over());
        let ending = self.running.iter().filter(|control| control.ended().is_some());
        let free = self.places.saturating_sub(self.running.len()) + ending.count();
        for _ in free..self.waiting.len() {
            let idle = self
                .running
                .iter()
                .filter_map(|control| Some((control, displaceable(control)?)));
            let Some((idlest, _)) = idle.max_by_key(|(_, time)| *time) else {
                return;
            };
            let seconds = PRESSED_IDLE.as_secs_f64();
            idlest.end(Cause::Displaced { seconds });
        }
    }

    /// The next who has a place now.
    pub(super) fn admit(&mut self) -> Option<(G, Arc<Control>)> {
        if self.running.len() >= self.places {
            return None;
        }
        let (_, guests) = self.waiting.pop_front()?;
        let control = Arc::new(Control::default());
        self.running.push(Arc::clone(&control));
        Some((guests, control))
    }

    /// Takes out those who have gone while they waited (dropped), and those who have waited too long.
    pub(super) fn late(&mut self) -> Vec<G> {
        self.waiting
            .retain(|(_, guests)| !guests.links().into_iter().any(TcpLink::is_gone));
        let late = self
            .waiting
            .iter()
            .take_while(|(since, _)| since.elapsed() >= PATIENCE);
        let count = late.count();
        self.waiting.drain(..count).map(|(_, guests)| guests).collect()
    }

    /// Takes out all who wait.
    pub(super) fn close(&mut self) -> Vec<G> {
        self.waiting.drain(..).map(|(_, guests)| guests).collect()
    }

    /// Tells all sessions to end.
    pub(super) fn end(&self, cause: Cause) {
        self.running.iter().for_each(|control| control.end(cause));
    }
}

/// How long a session has been idle that may be ended to make room; `None` if it may not.
fn displaceable(control: &Control) -> Option<Duration> {
    let idle = control.idle_for().filter(|&idle| idle >= PRESSED_IDLE);
    idle.filter(|_| control.ended().is_none())
}
