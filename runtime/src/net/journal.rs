//! Lines for people to read, of which no peer can cause more than a few: what is beyond is counted,
//! and the count is a line now and then.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::line::{Figures, Level, Line, Whose};
use super::unproven::origin;
use crate::amount::counted;

/// What a line is about. Each kind has a limit of its own, so that strangers cannot crowd out what is
/// said of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Topic {
    /// Sessions that begin and end.
    Session,
    /// Sessions that fail.
    Failure,
    /// Connections that fail before their proof.
    Stranger,
    /// What this party lacks: places, threads, descriptors.
    Shortage,
}

impl Topic {
    const ALL: [Topic; 4] = [Topic::Session, Topic::Failure, Topic::Stranger, Topic::Shortage];

    /// How many lines one address may cause at once, and how many more each second.
    fn rate(self) -> (f64, f64) {
        match self {
            Topic::Session => (200.0, 5.0),
            Topic::Failure => (40.0, 0.5),
            Topic::Stranger => (20.0, 0.2),
            Topic::Shortage => (2.0, 0.1),
        }
    }

    fn level(self) -> Level {
        match self {
            Topic::Session => Level::Info,
            Topic::Failure | Topic::Stranger | Topic::Shortage => Level::Warn,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Topic::Session => "about sessions",
            Topic::Failure => "about sessions that failed",
            Topic::Stranger => "about connections without a proof",
            Topic::Shortage => "about what is short",
        }
    }
}

/// How often it is said what was left out.
const PERIOD: Duration = Duration::from_secs(10);

/// All addresses together may cause this many times the lines of one.
const TOGETHER: f64 = 4.0;

/// Addresses that are told apart; more of them share one limit.
const ADDRESSES: usize = 1024;

/// Takes lines and passes on those that are within the limits.
pub(super) struct Journal<'a> {
    write: &'a (dyn Fn(Line) + Sync),
    state: Mutex<State>,
}

struct State {
    buckets: HashMap<(Topic, Option<IpAddr>), Bucket>,
    told: Instant,
}

/// A limit, filled up as time goes by.
struct Bucket {
    lines: f64,
    most: f64,
    since: Instant,
    left_out: u64,
}

impl<'a> Journal<'a> {
    pub(super) fn new(write: &'a (dyn Fn(Line) + Sync)) -> Self {
        let state = State {
            buckets: HashMap::new(),
            told: Instant::now(),
        };
        Self {
            write,
            state: Mutex::new(state),
        }
    }

    /// A line that this peer has caused, or nobody in particular.
    pub(super) fn say(&self, topic: Topic, whose: Whose, text: impl FnOnce() -> String) {
        let may = self.with(|state| state.may(topic, whose.peer.map(origin), Instant::now()));
        if may {
            (self.write)(Line {
                level: topic.level(),
                text: text(),
                whose,
                figures: None,
            });
        }
    }

    /// A session has ended well.
    pub(super) fn sum_up(&self, whose: Whose, figures: Figures) {
        let may = self.with(|state| state.may(Topic::Session, whose.peer.map(origin), Instant::now()));
        if may {
            (self.write)(Line {
                level: Topic::Session.level(),
                text: format!("session ends after {}", counted(figures.images as usize, "image")),
                whose,
                figures: Some(figures),
            });
        }
    }

    /// A line that comes once, and that this party has caused itself.
    pub(super) fn announce(&self, text: String) {
        self.write(Level::Info, text);
    }

    fn write(&self, level: Level, text: String) {
        let whose = Whose::default();
        (self.write)(Line {
            level,
            text,
            whose,
            figures: None,
        });
    }

    /// Says what was left out, if it is time.
    pub(super) fn tick(&self) {
        let lines = self.with(|state| match state.told.elapsed() >= PERIOD {
            true => state.left_out(),
            false => Vec::new(),
        });
        lines.into_iter().for_each(|text| self.write(Level::Warn, text));
    }

    /// Says what was left out, as nothing will be said any more.
    pub(super) fn close(&self) {
        let lines = self.with(State::left_out);
        lines.into_iter().for_each(|text| self.write(Level::Warn, text));
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        // Counts of lines: a panic elsewhere has harmed nothing that matters.
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn may(&mut self, topic: Topic, peer: Option<IpAddr>, now: Instant) -> bool {
        let known = self.buckets.contains_key(&(topic, peer));
        let peer = peer.filter(|_| known || self.buckets.len() < ADDRESSES);
        let (most, rate) = topic.rate();
        let own = Bucket::full(most, now);
        let own = self.buckets.entry((topic, peer)).or_insert(own);
        own.fill(rate, now);
        if !own.take() {
            return false;
        }
        if peer.is_none() {
            return true;
        }
        let all = Bucket::full(TOGETHER * most, now);
        let all = self.buckets.entry((topic, None)).or_insert(all);
        all.fill(TOGETHER * rate, now);
        all.take()
    }

    /// Says what was left out, in a line a topic at most, and forgets the addresses that are quiet again.
    fn left_out(&mut self) -> Vec<String> {
        let seconds = self.told.elapsed().as_secs_f64();
        self.told = Instant::now();
        let topics = Topic::ALL.into_iter();
        let lines = topics
            .filter_map(|topic| self.left_out_of(topic, seconds))
            .collect();
        let now = Instant::now();
        self.buckets.retain(|(topic, _), bucket| {
            bucket.fill(topic.rate().1, now);
            bucket.lines < bucket.most
        });
        lines
    }

    /// Says what was left out of one topic in so many seconds, if anything was.
    fn left_out_of(&mut self, topic: Topic, seconds: f64) -> Option<String> {
        let mut lines = 0;
        let mut from = Vec::new();
        for ((of, peer), bucket) in &mut self.buckets {
            if *of == topic && bucket.left_out > 0 {
                lines += std::mem::take(&mut bucket.left_out);
                from.extend(*peer);
            }
        }
        let whose = match from[..] {
            [one] => format!(", caused from {one}"),
            [] => String::new(),
            _ => format!(", caused from {} addresses", from.len()),
        };
        let word = topic.word();
        (lines > 0).then(|| format!("{lines} more lines {word} in {seconds:.0} seconds{whose}"))
    }
}

impl Bucket {
    fn full(most: f64, since: Instant) -> Self {
        Self {
            lines: most,
            most,
            since,
            left_out: 0,
        }
    }

    fn fill(&mut self, rate: f64, now: Instant) {
        let seconds = now.saturating_duration_since(self.since).as_secs_f64();
        self.lines = (self.lines + seconds * rate).min(self.most);
        self.since = now;
    }

    /// Takes a line, or counts it among those left out.
    fn take(&mut self) -> bool {
        let may = self.lines >= 1.0;
        match may {
            true => self.lines -= 1.0,
            false => self.left_out += 1,
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn at(address: IpAddr) -> Whose {
        Whose {
            peer: Some(SocketAddr::from((address, 7))),
            ..Whose::default()
        }
    }

    fn address(last: u8) -> Whose {
        at(IpAddr::from([10, 0, 0, last]))
    }

    /// What comes of lines from these addresses.
    fn lines(say: impl FnOnce(&Journal<'_>)) -> Vec<String> {
        let lines = Mutex::new(Vec::new());
        let write = |line: Line| lines.lock().unwrap().push(line.text);
        let journal = Journal::new(&write);
        say(&journal);
        journal.close();
        lines.into_inner().unwrap()
    }

    #[test]
    fn nobody_fills_the_log_and_what_is_left_out_is_counted() {
        let lines = lines(|journal| {
            for n in 0..1000 {
                journal.say(Topic::Stranger, address(1), || format!("line {n}"));
            }
        });
        assert_eq!(lines.len(), 21, "{lines:?}");
        assert_eq!(lines[19], "line 19");
        assert!(
            lines[20].starts_with(
                "980 more lines about connections without a proof in 0 seconds, caused from 10.0.0.1"
            ),
            "{}",
            lines[20]
        );
    }

    #[test]
    fn one_address_and_one_topic_leave_the_others_their_lines() {
        let lines = lines(|journal| {
            for _ in 0..1000 {
                journal.say(Topic::Stranger, address(1), || "noise".to_owned());
            }
            journal.say(Topic::Stranger, address(2), || "another".to_owned());
            journal.say(Topic::Session, address(1), || "session".to_owned());
        });
        assert!(lines.iter().any(|line| line == "another") && lines.iter().any(|line| line == "session"));
    }

    #[test]
    fn many_addresses_are_limited_together() {
        let lines = lines(|journal| {
            for n in 0..100_000u32 {
                let peer = IpAddr::from(n.to_be_bytes());
                journal.say(Topic::Stranger, at(peer), || "noise".to_owned());
            }
            journal.with(|state| assert!(state.buckets.len() <= ADDRESSES + 1));
        });
        assert!(lines.len() <= 82, "{}", lines.len());
    }

    #[test]
    fn lines_come_back_with_time() {
        let start = Instant::now();
        let mut bucket = Bucket::full(2.0, start);
        assert!(bucket.take() && bucket.take() && !bucket.take());
        bucket.fill(0.5, start + Duration::from_secs(2));
        assert!(bucket.take() && !bucket.take());
        bucket.fill(0.5, start + Duration::from_secs(3600));
        assert_eq!(bucket.lines, 2.0);
    }
}
