//! Looks at a party from outside: whether it is there, what it is, how far away, how fast. A connection of its
//! own purpose, on which the opener sends bytes and asks for others. A server keeps one to its helper for as
//! long as both run.
//!
//! ```text
//! opener    ── probe (so many bytes wanted, these sent) ──▶  answerer
//!           ◀── probed (the bytes, or facts if none were wanted) ──
//! ```
//!
//! Nothing of a session, a plan's secrets or a client is said on it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use trefoil_ir::mpc::Party;

use super::connect::{Door, connect};
use super::error::NetError;
use super::tcp::TcpLink;
use crate::pool;
use crate::wire::{FrameKind, Header, Link, LinkError, Tag};

/// The most bytes of a message, either way.
pub const LARGEST: u32 = 1 << 20;

/// What all messages of a connection may come to, unless it is the server's to the helper.
const MOST_BYTES: u64 = 256 << 20;

/// How long such a connection may last.
const MOST_TIME: Duration = Duration::from_secs(60);

/// Probes that are answered at a time; there are few reasons for more.
pub(super) const MOST: usize = 8;

/// What a party says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Its role.
    pub role: String,
    /// Its version of this program.
    pub version: String,
    /// Its clock: seconds since 1970.
    pub clock: u64,
    /// The ids of its plans, as a plan's `inspect` shows them.
    pub plans: Vec<String>,
    /// Sessions that it serves at a time.
    pub sessions: usize,
    /// Why it would not serve the client who looks, if it would not now: the code of an
    /// [`AbortReason`](crate::wire::AbortReason), so that nothing else can leave with it.
    #[serde(default)]
    pub refusal: Option<u32>,
}

impl Facts {
    /// Those of a party with these plans.
    pub(super) fn of(role: Party, plans: Vec<String>, sessions: usize) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            role: role.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            clock: now.map_or(0, |since| since.as_secs()),
            plans,
            sessions,
            refusal: None,
        }
    }
}

/// The opener's end.
pub struct Probe {
    link: TcpLink,
}

impl Probe {
    /// Opens a connection to look through; `door` has the purpose of a probe.
    ///
    /// # Errors
    /// If nobody answers, or somebody else does.
    pub fn open(door: &Door, timeout: Duration, stop: &dyn Fn() -> bool) -> Result<Self, NetError> {
        let link = connect(door, timeout, Duration::ZERO, stop)?;
        Ok(Self { link })
    }

    /// Sends so many bytes and waits for so many, 1 at least: how long both took.
    ///
    /// # Errors
    /// If the party fails.
    pub fn exchange(&mut self, sent: u32, wanted: u32) -> Result<Duration, LinkError> {
        let start = Instant::now();
        self.link.send(probe(wanted), pool::zeroed(sent as usize))?;
        let received = self
            .link
            .receive(Tag::control(FrameKind::Probed), wanted as usize)?;
        pool::recycle(received);
        Ok(start.elapsed())
    }

    /// What the party says of itself.
    ///
    /// # Errors
    /// If it fails, or says nothing that makes sense.
    pub fn ask(&mut self) -> Result<Facts, LinkError> {
        self.link.send(probe(0), Vec::new())?;
        let probed =
            |header: &Header| header.tag == Tag::control(FrameKind::Probed) && header.length <= LARGEST;
        let expected = || "`probed` with a party's facts".to_owned();
        let (_, facts) = self.link.receive_if(&probed, &expected)?;
        serde_json::from_slice(&facts).map_err(|_| LinkError::PeerMisbehaved {
            peer: self.link.peer().clone(),
            expected: "a party's facts".into(),
            got: "something else".into(),
        })
    }

    /// Looks again and again, so often, until `ended`.
    ///
    /// # Errors
    /// As soon as the party fails.
    pub(super) fn keep(&mut self, round: Duration, ended: &dyn Fn() -> bool) -> Result<(), LinkError> {
        while !ended() {
            self.exchange(0, 1)?;
            pause(round, &|| ended() || self.link.is_gone());
        }
        Ok(())
    }
}

/// Waits for a time, or until `ended`.
pub(super) fn pause(time: Duration, ended: &dyn Fn() -> bool) {
    const LOOK: Duration = Duration::from_millis(100);
    let until = Instant::now() + time;
    while !ended() && Instant::now() < until {
        thread::sleep(LOOK.min(time));
    }
}

fn probe(wanted: u32) -> Tag {
    Tag::of_inference(wanted, FrameKind::Probe)
}

/// Answers until the opener goes, or has had what it may.
///
/// # Errors
/// If the opener fails, or wants more than it may.
pub(super) fn answer(link: &mut TcpLink, opener: Party, facts: &dyn Fn() -> Facts) -> Result<(), LinkError> {
    let is_server = opener == Party::Server;
    if !is_server {
        link.limit_session(MOST_TIME);
    }
    let mut left = MOST_BYTES;
    loop {
        let fits = |header: &Header| {
            header.tag.kind == FrameKind::Probe
                && header.tag.step == 0
                && header.length <= LARGEST
                && header.tag.inference <= LARGEST
        };
        let received = link.receive_if(&fits, &|| format!("`probe` of {LARGEST} bytes at most"));
        let (tag, payload) = match received {
            Ok(received) => received,
            Err(LinkError::PeerDisconnected { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let passed = payload.len() as u64 + u64::from(tag.inference);
        pool::recycle(payload);
        left = match left.checked_sub(passed) {
            _ if is_server => MOST_BYTES,
            Some(left) => left,
            None => return Ok(()),
        };
        let answer = match tag.inference {
            0 => serde_json::to_vec(&facts()).unwrap_or_default(),
            wanted => pool::zeroed(wanted as usize),
        };
        link.send(Tag::control(FrameKind::Probed), answer)?;
        link.flush()?;
    }
}

/// Counts those that are answered.
#[derive(Default)]
pub(super) struct Probes(AtomicUsize);

impl Probes {
    /// Room for one more, unless there are enough; the server's is always answered.
    pub(super) fn enter(&self, opener: Party) -> Option<Probed<'_>> {
        let most = if opener == Party::Server { MOST + 1 } else { MOST };
        let more = |count| (count < most).then_some(count + 1);
        let entered = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        entered.ok().map(|_| Probed(self))
    }
}

/// One that is answered.
pub(super) struct Probed<'a>(&'a Probes);

impl Drop for Probed<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}
