//! The sessions of a listening party: how many there are, who waits for a place, and how each is told
//! to end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::control::Control;
use super::tcp::TcpLink;
use crate::session::{Greeted, Pair, say_wait};
use crate::wire::{Cause, LinkError};

/// How often those who wait for a place are told that they do.
const TELL: Duration = Duration::from_secs(2);

/// How long a session may be without a request while others wait for its place.
const PRESSED_IDLE: Duration = Duration::from_secs(5);

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

    /// Each connection, to write to.
    fn links_mut(&mut self) -> Vec<&mut TcpLink>;

    /// Tells everybody at the other ends that so many wait before them.
    fn tell(&mut self, before: u32) -> Result<(), LinkError> {
        let mut links = self.links_mut().into_iter();
        links.try_for_each(|link| say_wait(link, before))
    }
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

    fn links_mut(&mut self) -> Vec<&mut TcpLink> {
        vec![self.link_mut()]
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

    fn links_mut(&mut self) -> Vec<&mut TcpLink> {
        vec![self.client.link_mut(), self.server.link_mut()]
    }
}

/// The places, and who waits for one.
pub(super) struct Sessions<G> {
    running: Vec<Arc<Control>>,
    waiting: VecDeque<(Instant, G)>,
    limits: Limits,
    told: Instant,
}

/// How many there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Sessions at a time.
    pub(super) places: usize,
    /// Clients that wait for one.
    pub(super) queue: usize,
    /// How long they may.
    pub(super) patience: Duration,
}

impl<G: Guests> Sessions<G> {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            running: Vec::new(),
            waiting: VecDeque::new(),
            limits,
            told: Instant::now(),
        }
    }

    /// How many there are.
    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    /// How many wait for a place.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether anybody waits for a place.
    pub(super) fn any_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Has these wait for a place; gives them back if too many wait already.
    pub(super) fn wait(&mut self, guests: G) -> Option<G> {
        let free = self.limits.places.saturating_sub(self.running.len());
        if self.waiting.len() >= self.limits.queue.saturating_add(free) {
            return Some(guests);
        }
        self.waiting.push_back((Instant::now(), guests));
        None
    }

    /// Tells those who wait, now and then, how many do before them; who cannot be told is dropped.
    pub(super) fn tell(&mut self) {
        if self.told.elapsed() < TELL {
            return;
        }
        self.told = Instant::now();
        let mut before = 0;
        self.waiting.retain_mut(|(_, guests)| {
            let told = guests.tell(before).is_ok();
            before += u32::from(told);
            told
        });
    }

    /// Frees the places of sessions that are over, and has those who idle make room for others.
    pub(super) fn tidy(&mut self) {
        self.running.retain(|control| !control.is_over());
        let now = SystemTime::now();
        self.running
            .iter()
            .for_each(|control| control.check_standing(now));
        let ending = self.running.iter().filter(|control| control.ended().is_some());
        let free = self.limits.places.saturating_sub(self.running.len()) + ending.count();
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
        if self.running.len() >= self.limits.places {
            return None;
        }
        let (_, guests) = self.waiting.pop_front()?;
        let guest = guests.client().link().guest().cloned();
        let control = Arc::new(Control::of(guest));
        self.running.push(Arc::clone(&control));
        Some((guests, control))
    }

    /// Takes out those who have gone while they waited (dropped), and those who have waited too long.
    pub(super) fn late(&mut self) -> Vec<G> {
        self.waiting
            .retain(|(_, guests)| !guests.links().into_iter().any(TcpLink::is_gone));
        let patience = self.limits.patience;
        let late = self
            .waiting
            .iter()
            .take_while(|(since, _)| since.elapsed() >= patience);
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
