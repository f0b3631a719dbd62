//! What the parties did when, for `--trace`: phases, steps, frames sent and received, waiting.
//!
//! A [`Trace`] collects events on one monotonic clock. Whatever knows something of a party's has a
//! [`Recorder`] of that party's: its links, which are [`Traced`] and see every frame, and its
//! [`StopWatch`], which measures steps in any case. Where nobody traces, there is no recorder: one test
//! of an `Option` an event. An event holds names, sizes and times, and nothing of a payload.
//!
//! * [`link`]: a link that records what passes
//! * [`clock`]: the stop-watch of the executor
//! * [`json`]: the file, in the format that Perfetto and Chrome read
//! * [`mod@file`]: the trace of a session at one of several machines; [`mod@merge`]: one of all of them

pub mod clock;
pub mod file;
pub mod json;
pub mod link;
pub mod merge;
#[cfg(test)]
pub(crate) mod tests;

pub use clock::{Lap, StopWatch};
pub use file::{Origin, Tracer};
pub use link::{Tap, Traced};
pub use merge::{MergeError, merge};

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use trefoil_ir::mpc::time::Passage;
use trefoil_ir::mpc::{Party, Phase, ValueId};

use crate::wire::clock::duration;
use crate::wire::{Clock, Tag, WallClock};

/// The events of a run. Clones are the same trace.
#[derive(Clone)]
pub struct Trace {
    clock: WallClock,
    events: Arc<Mutex<Vec<Event>>>,
}

/// The most events of a trace, some hundred megabytes.
const MOST: usize = 1 << 21;

/// Something that took time.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Event {
    track: Track,
    begin: Duration,
    end: Duration,
    what: What,
}

/// Who or what was busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Track {
    /// A party's own thread.
    Party(Party),
    /// A computing thread that works for a party.
    Worker(Party, usize),
    /// A direction of a delayed link.
    Wire(Direction),
}

/// From whom to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Direction {
    from: Party,
    to: Party,
}

/// With what the time of an event went by.
#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Phase { phase: Phase, inference: u32 },
    Step { step: ValueId, inference: u32 },
    Send(Frame),
    Wait(Frame),
    Receive(Frame),
    Travel(Frame),
}

/// A frame, by its place in its direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Frame {
    direction: Direction,
    /// Counted from 0 at both ends.
    number: u64,
    tag: Tag,
    /// Payload.
    bytes: u64,
}

impl Trace {
    /// An empty trace that counts from this clock's beginning.
    pub fn new(clock: WallClock) -> Self {
        Self {
            clock,
            events: Arc::default(),
        }
    }

    /// A party's way to tell what it does.
    pub fn recorder(&self, party: Party) -> Recorder {
        Recorder {
            trace: self.clone(),
            party,
            own: Arc::default(),
        }
    }

    /// All events so far, by their beginning; of those that begin together, the longest first.
    fn events(&self) -> Vec<Event> {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner).clone();
        events.sort_by_key(|event| (event.begin, std::cmp::Reverse(event.end)));
        events
    }
}

/// Tells a trace what one party does.
#[derive(Clone)]
pub struct Recorder {
    trace: Trace,
    party: Party,
    /// The party's own thread: the first that had something to tell.
    own: Arc<OnceLock<ThreadId>>,
}

impl Recorder {
    /// The time on the trace's clock.
    fn now(&self) -> Duration {
        self.trace.clock.now()
    }

    /// A phase of an inference, from `begin` until now.
    fn phase(&self, phase: Phase, inference: u32, begin: Instant) {
        let begin = self.trace.clock.time(begin);
        self.party(begin, self.now(), What::Phase { phase, inference });
    }

    /// A step, from `begin` until now.
    fn step(&self, step: ValueId, inference: u32, begin: Instant) {
        let begin = self.trace.clock.time(begin);
        self.party(begin, self.now(), What::Step { step, inference });
    }

    /// A frame handed to a link, from `begin` until now.
    fn sent(&self, frame: Frame, begin: Duration) {
        self.party(begin, self.now(), What::Send(frame));
    }

    /// A frame waited for from `begin` until `come`, then read until now.
    fn received(&self, frame: Frame, begin: Duration, come: Duration) {
        self.party(begin, come, What::Wait(frame));
        self.party(come, self.now(), What::Receive(frame));
    }

    /// A frame on a link that shares the trace's clock.
    pub(crate) fn on_the_wire(&self, frame: Frame, passage: &Passage) {
        self.add(Event {
            track: Track::Wire(frame.direction),
            begin: duration(passage.begins),
            end: duration(passage.ends),
            what: What::Travel(frame),
        });
    }

    /// A frame of this party's to another one.
    pub(crate) fn frame_to(&self, to: Party, number: u64, tag: Tag, bytes: u64) -> Frame {
        let direction = Direction { from: self.party, to };
        Frame {
            direction,
            number,
            tag,
            bytes,
        }
    }

    /// A frame of another party's to this one.
    fn frame_from(&self, from: Party, number: u64, tag: Tag, bytes: u64) -> Frame {
        let direction = Direction { from, to: self.party };
        Frame {
            direction,
            number,
            tag,
            bytes,
        }
    }

    fn party(&self, begin: Duration, end: Duration, what: What) {
        let thread = thread::current().id();
        let track = if thread == *self.own.get_or_init(|| thread) {
            Track::Party(self.party)
        } else {
            Track::Worker(self.party, rayon::current_thread_index().unwrap_or(0))
        };
        self.add(Event {
            track,
            begin,
            end,
            what,
        });
    }

    fn add(&self, event: Event) {
        let events = self.trace.events.lock();
        let mut events = events.unwrap_or_else(PoisonError::into_inner);
        // What is beyond is lost: nobody looks at a million events.
        if events.len() < MOST {
            events.push(event);
        }
    }
}
