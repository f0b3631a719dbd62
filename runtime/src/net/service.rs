//! The loop of a listening party: it accepts connections, reads those that have proved nothing yet,
//! gives places to those that have, and ends on request. Sessions run in threads of their own.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::ServerConfig;
use trefoil_ir::mpc::Party;

use super::control::Control;
use super::desk::{reason, word};
use super::error::NetError;
use super::journal::{Journal, Topic};
use super::leaving::Leaving;
use super::line::Whose;
use super::listen::{Listener, sentence};
use super::options::ServeOptions;
use super::probe::{self, Facts, Probes};
use super::sessions::{Guests, Seat, Sessions};
use super::stop::Stop;
use super::tcp::TcpLink;
use super::tls::{Channel, Known, TlsFault};
use super::unproven::{Arrival, Failed, Reception, Unproven, Verdict};
use super::vitals::Vitals;
use crate::operations::{Metrics, Readiness, Refusal as Word, TlsFailure};
use crate::session::{Greeted, Hosts, SessionError, TurnedOut};
use crate::wire::{AbortReason, Cause, Link, LinkError};

/// How often the loop looks at clocks and results while there are any.
const TICK: Duration = Duration::from_millis(10);

/// How often it looks for a request to stop when nothing goes on.
const REST: Duration = Duration::from_millis(100);

/// Connections that are accepted before those that are there have their turn.
const BURST: usize = 64;

/// Where proven connections come together to sessions.
pub(super) trait Room {
    /// All connections of a session.
    type Guests: Guests;

    /// Takes a connection; returns the session's if they are complete.
    fn enter(&mut self, one: Greeted<TcpLink>) -> Result<Option<Self::Guests>, Box<TurnedOut<TcpLink>>>;

    /// Takes out the connections that cannot stay. Called regularly.
    fn clear(&mut self) -> Vec<TurnedOut<TcpLink>>;

    /// Takes out all connections.
    fn close(&mut self) -> Vec<Greeted<TcpLink>>;

    /// Whether nobody waits.
    fn is_empty(&self) -> bool;
}

/// A listener at work.
pub(super) struct Service<'a, S> {
    /// Where connections come from.
    pub(super) listener: &'a Listener,
    /// How to serve.
    pub(super) options: &'a ServeOptions,
    /// How this party encrypts.
    pub(super) tls: Arc<ServerConfig>,
    /// Whose keys it takes.
    pub(super) known: &'a dyn Known,
    /// Its plans.
    pub(super) hosts: &'a (dyn Hosts + Sync),
    /// How it is.
    pub(super) vitals: &'a Vitals,
    /// What it counts.
    pub(super) metrics: &'a Metrics,
    /// Ends the service.
    pub(super) stop: &'a Stop,
    /// Those who look at this party.
    pub(super) probes: Probes,
    /// Ends them.
    pub(super) closing: Arc<Control>,
    /// What they are told.
    pub(super) facts: &'a (dyn Fn() -> Facts + Sync),
    /// Takes lines for people to read.
    pub(super) journal: &'a Journal<'a>,
    /// Runs a session, in a thread of its own.
    pub(super) serve: S,
}

/// How a session ended.
type Ended = Result<u32, SessionError>;

/// What the loop looks after.
struct Hall<R: Room> {
    unproven: Unproven,
    room: R,
    sessions: Sessions<R::Guests>,
    leaving: Leaving,
    /// Until when nothing is accepted, since there are no descriptors.
    closed: Option<Instant>,
    /// Whether anybody has proved who it is.
    proven: bool,
    /// How the one session of `--once` ended, once it has.
    result: Option<Ended>,
}

impl<S> Service<'_, S> {
    /// Serves until a stop is requested, or the one session of `once` is over.
    pub(super) fn run<R: Room>(&self, room: R) -> Result<(), NetError>
    where
        S: Fn(R::Guests, &Arc<Control>) -> Ended + Sync,
    {
        let unproven = self.options.unproven();
        let mut hall = Hall {
            unproven: Unproven::new(unproven, self.options.hello_timeout),
            room,
            sessions: Sessions::new(self.options.limits()),
            leaving: Leaving::new(unproven),
            closed: None,
            proven: false,
            result: None,
        };
        thread::scope(|scope| {
            let (outcomes, results) = channel();
            while !self.stop.requested() && hall.result.is_none() {
                self.turn(scope, &mut hall, (&outcomes, &results));
            }
            self.finish(&mut hall, &results);
        });
        self.journal.close();
        match hall.result {
            Some(result) => result
                .map(drop)
                .map_err(|error| NetError::Session(Box::new(error))),
            None if self.options.once => Err(NetError::Stopped),
            None => Ok(()),
        }
    }

    /// One turn of the loop: everybody is looked at, however many newcomers there are.
    fn turn<'scope, R: Room>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        hall: &mut Hall<R>,
        (outcomes, results): (&Sender<Ended>, &Receiver<Ended>),
    ) where
        R::Guests: 'scope,
        S: Fn(R::Guests, &Arc<Control>) -> Ended + Sync,
    {
        let (newcomers, verdicts) = self.look(hall);
        for verdict in verdicts {
            match verdict {
                Verdict::Probe(channel, peer, opener) => self.show(scope, *channel, peer, opener),
                other => self.judge(hall, other),
            }
        }
        let turned = hall.room.clear();
        turned.into_iter().for_each(|one| self.turn_out(hall, one));
        self.seat(scope, hall, outcomes);
        hall.leaving.tidy();
        results.try_iter().for_each(|ended| self.settle(hall, ended));
        self.journal.tick();
        if newcomers {
            self.accept(hall);
        }
    }

    /// Waits until something comes, and reads what those say who have proved nothing yet: whether there are
    /// newcomers, and what the others came to.
    fn look<R: Room>(&self, hall: &mut Hall<R>) -> (bool, Vec<Verdict>) {
        let (newcomers, ready) = self.wait(hall);
        self.vitals.heartbeat().touch();
        self.vitals.set_starved(hall.closed.is_some());
        self.metrics.set_unproven(hall.unproven.len());
        self.metrics.set_waiting(hall.sessions.waiting());
        let reception = Reception {
            hosts: self.hosts,
            known: self.known,
        };
        (newcomers, hall.unproven.advance(&ready, &reception))
    }

    /// Waits until something comes, for a moment at most: whether newcomers have come, and which of
    /// the unproven connections can be read.
    fn wait<R: Room>(&self, hall: &mut Hall<R>) -> (bool, Vec<bool>) {
        let now = Instant::now();
        hall.closed = hall.closed.filter(|until| *until > now);
        // Of a single session the rest waits in the operating system's queue.
        let once = self.options.once && hall.has_session();
        let open = hall.closed.is_none() && !once;
        let listening = open.then(|| PollFd::new(self.listener.socket(), PollFlags::IN));
        let reading = hall
            .unproven
            .streams()
            .map(|stream| PollFd::new(stream, PollFlags::IN));
        let mut polled: Vec<PollFd<'_>> = listening.into_iter().chain(reading).collect();
        if poll(&mut polled, Some(&timespec(hall.interval()))).is_err() {
            // Interrupted by a signal, say.
            polled.iter_mut().for_each(PollFd::clear_revents);
        }
        let mut ready = polled.iter().map(|one| !one.revents().is_empty());
        let newcomers = open && ready.next().unwrap_or(false);
        (newcomers, ready.collect())
    }

    /// Accepts a number of connections.
    fn accept<R: Room>(&self, hall: &mut Hall<R>) {
        // Nobody who has just come is dropped for others before it has been looked at.
        for _ in 0..BURST.min(hall.unproven.most() / 2) {
            match self.listener.accept() {
                Ok(None) => return,
                Ok(Some((stream, peer))) => self.enter(hall, stream, peer),
                Err(error) => return self.out_of_descriptors(hall, &error),
            }
        }
    }

    fn enter<R: Room>(&self, hall: &mut Hall<R>, stream: TcpStream, peer: SocketAddr) {
        // A connection that fails as early as this has nobody to tell.
        if let Ok(Some(dropped)) = hall.unproven.enter(stream, peer, &self.tls) {
            let peer = Some(dropped);
            self.journal.say(Topic::Shortage, at(peer), || {
                format!(
                    "{} connections have proved nothing yet: the one from {dropped} was dropped for another",
                    hall.unproven.most()
                )
            });
        }
    }

    /// Makes room for the next one, or waits until there is some.
    fn out_of_descriptors<R: Room>(&self, hall: &mut Hall<R>, error: &io::Error) {
        self.journal.say(Topic::Shortage, Whose::default(), || {
            format!("cannot accept a connection: {error}: raise the limit of open files, or lower --sessions")
        });
        let made_room = hall.leaving.close_oldest() || hall.unproven.drop_one().is_some();
        if !made_room {
            hall.closed = Some(Instant::now() + REST);
        }
    }

    /// Does what follows from a connection's hello and proof.
    fn judge<R: Room>(&self, hall: &mut Hall<R>, verdict: Verdict) {
        match verdict {
            Verdict::Nothing | Verdict::Probe(..) => {}
            Verdict::Failed(failed) => self.refuse(hall, *failed),
            Verdict::Proven(arrival) => {
                hall.proven = true;
                self.receive(hall, *arrival);
            }
        }
    }

    /// Answers a probe, in a thread of its own, if there is room for one.
    fn show<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        channel: Channel,
        peer: SocketAddr,
        opener: Party,
    ) {
        let Some(place) = self.probes.enter(opener) else {
            return;
        };
        let Ok(mut link) = TcpLink::new(channel, Some(opener), peer, self.options.timeout) else {
            return;
        };
        link.obey(&self.closing);
        let thread = thread::Builder::new()
            .stack_size(self.options.stack)
            .name("probe".to_owned());
        let refusal = (opener == Party::Client)
            .then(|| link.channel().peer_key())
            .flatten()
            .and_then(|key| self.known.admit(&key).err())
            .map(|refusal| reason(&refusal).code());
        let own = self.facts;
        let facts = move || Facts { refusal, ..own() };
        // Without a thread nobody answers, and the opener looks again later.
        let _ = thread.spawn_scoped(scope, move || {
            let _place = place;
            if let Err(error) = probe::answer(&mut link, opener, &facts) {
                link.abort(error.reason());
            }
        });
    }

    fn refuse<R: Room>(&self, hall: &mut Hall<R>, failed: Failed) {
        let Failed {
            channel,
            peer,
            refusal,
            error,
            spoke,
        } = failed;
        hall.leaving
            .dismiss(Arc::new(channel), refusal.as_deref(), error.reason());
        self.count(&error);
        // Of a single session the first to speak decides, until somebody has proved who it is.
        if self.options.once && spoke && !hall.proven {
            hall.result = Some(Err(error));
        } else {
            self.failed(Topic::Stranger, at(Some(peer)), &error);
        }
    }

    fn receive<R: Room>(&self, hall: &mut Hall<R>, arrival: Arrival) {
        let Arrival {
            channel,
            peer,
            key,
            proven,
        } = arrival;
        let guest = match self.known.admit(&key) {
            Ok(guest) => guest,
            Err(refusal) => {
                self.metrics.refused(word(&refusal));
                hall.leaving.dismiss(Arc::new(channel), None, reason(&refusal));
                let error = SessionError::Refused(Box::new(refusal));
                return self.failed(Topic::Failure, at(Some(peer)), &error);
            }
        };
        // A connection that fails as early as this has nobody to tell.
        let Ok(mut link) = TcpLink::new(channel, Some(proven.opener()), peer, self.options.timeout) else {
            return;
        };
        link.host(guest);
        match hall.room.enter(Greeted::over(link, proven)) {
            Ok(None) => {}
            Ok(Some(guests)) => {
                if let Some(guests) = hall.sessions.wait(guests) {
                    self.no_place(hall, guests);
                }
            }
            Err(turned) => self.turn_out(hall, *turned),
        }
    }

    /// Gives places to those who wait for them.
    fn seat<'scope, R: Room>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        hall: &mut Hall<R>,
        outcomes: &Sender<Ended>,
    ) where
        R::Guests: 'scope,
        S: Fn(R::Guests, &Arc<Control>) -> Ended + Sync,
    {
        hall.sessions.tidy();
        while let Some((guests, control)) = hall.sessions.admit() {
            self.start(scope, hall, (guests, control), outcomes);
        }
        for guests in hall.sessions.late() {
            self.no_place(hall, guests);
        }
        hall.sessions.tell();
    }

    /// Starts a session in a thread of its own, if there is one.
    fn start<'scope, R: Room>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        hall: &mut Hall<R>,
        (guests, control): (R::Guests, Arc<Control>),
        outcomes: &Sender<Ended>,
    ) where
        R::Guests: 'scope,
        S: Fn(R::Guests, &Arc<Control>) -> Ended + Sync,
    {
        let session = guests.client().session();
        let whose = whose(guests.client());
        let channels: Vec<_> = guests
            .links()
            .into_iter()
            .map(|link| Arc::clone(link.channel()))
            .collect();
        let seat = Seat(control);
        let named = whose.clone();
        let outcomes = outcomes.clone();
        let thread = thread::Builder::new().stack_size(self.options.stack);
        if let Err(error) = thread
            .name(format!("session {session}"))
            .spawn_scoped(scope, move || self.attend(guests, named, seat, outcomes))
        {
            self.journal.say(Topic::Shortage, whose, || {
                format!(
                    "a session was refused, the system gives no thread: {error}: \
                     raise its limit of threads, or lower --sessions"
                )
            });
            for channel in channels {
                hall.leaving.dismiss(channel, None, AbortReason::Busy);
            }
        }
    }

    /// Runs a session on the thread that is its own, and hands its outcome to the loop.
    fn attend<G>(&self, guests: G, whose: Whose, seat: Seat, outcomes: Sender<Ended>)
    where
        S: Fn(G, &Arc<Control>) -> Ended,
    {
        let ended = self.session(guests, &seat.0);
        if let Err(error) = &ended
            && !self.options.once
        {
            self.failed(Topic::Failure, whose, error);
        }
        // The loop may have ended already, with another result.
        let _ = outcomes.send(ended);
    }

    /// Runs a session. A defect that ends it ends no other one, and is told as every failure is.
    fn session<G>(&self, guests: G, control: &Arc<Control>) -> Ended
    where
        S: Fn(G, &Arc<Control>) -> Ended,
    {
        // What a session shares with others is counted or set in one go, and sound at any time.
        let serve = AssertUnwindSafe(|| (self.serve)(guests, control));
        catch_unwind(serve).unwrap_or(Err(SessionError::Panicked))
    }

    fn no_place<R: Room>(&self, hall: &mut Hall<R>, guests: R::Guests) {
        let whose = whose(guests.client());
        let session = guests.client().session().to_string();
        self.metrics.refused(Word::Busy);
        self.failed(Topic::Failure, whose, &SessionError::NoPlace { session });
        for one in guests.each() {
            hall.leaving
                .dismiss(Arc::clone(one.link().channel()), None, AbortReason::Busy);
        }
    }

    fn turn_out<R: Room>(&self, hall: &mut Hall<R>, (one, error): TurnedOut<TcpLink>) {
        hall.leaving
            .dismiss(Arc::clone(one.link().channel()), None, error.reason());
        // The single session is another's, if there is one.
        if self.options.once && !hall.has_session() {
            hall.result = Some(Err(error));
        } else {
            self.failed(Topic::Failure, whose(&one), &error);
        }
    }

    /// Keeps the result of the one session of `--once`. Errors of others were told by their threads.
    fn settle<R: Room>(&self, hall: &mut Hall<R>, ended: Ended) {
        if self.options.once && hall.result.is_none() {
            hall.result = Some(ended);
        }
    }

    fn failed(&self, topic: Topic, whose: Whose, error: &SessionError) {
        self.journal
            .say(topic, whose, || format!("a session failed: {}", sentence(error)));
    }

    /// Lets the sessions end for a time, then ends them. Whoever comes as long as one runs is told that
    /// this party stops: later it is too late, since nobody who comes may keep it from its end.
    fn finish<R: Room>(&self, hall: &mut Hall<R>, results: &Receiver<Ended>) {
        let stopping = hall.result.is_none();
        self.closing.end(Cause::Stopping);
        hall.dismiss_all();
        let grace = match stopping {
            true => self.options.grace,
            false => Duration::ZERO,
        };
        if stopping {
            self.vitals.set_draining();
            self.announce_stop(hall.sessions.running());
        }
        let until = Instant::now() + grace;
        while hall.sessions.running() > 0 || !hall.leaving.is_empty() {
            if Instant::now() >= until {
                hall.sessions.end(Cause::Stopping);
            }
            match stopping && hall.sessions.running() > 0 {
                true => self.turn_away(hall),
                false => {
                    thread::sleep(TICK);
                    self.vitals.heartbeat().touch();
                }
            }
            hall.leaving.tidy();
            hall.sessions.tidy();
            results.try_iter().for_each(drop);
        }
    }

    /// Tells those who come now, once they have shown who they are, that this party stops.
    fn turn_away<R: Room>(&self, hall: &mut Hall<R>) {
        let (newcomers, verdicts) = self.look(hall);
        for verdict in verdicts {
            match verdict {
                Verdict::Proven(arrival) => {
                    let channel = Arc::new(arrival.channel);
                    hall.leaving.dismiss(channel, None, AbortReason::Stopping);
                }
                Verdict::Failed(failed) => self.refuse(hall, *failed),
                Verdict::Nothing | Verdict::Probe(..) => {}
            }
        }
        if newcomers {
            self.accept(hall);
        }
    }

    /// Counts how a connection failed that never was anybody's.
    fn count(&self, error: &SessionError) {
        match error.link_error() {
            Some(LinkError::Io { source, .. }) => {
                if let Some(fault) = TlsFault::of(source) {
                    self.metrics.tls_failed(fault.word());
                }
            }
            Some(LinkError::Timeout { .. }) => self.metrics.tls_failed(TlsFailure::Timeout),
            Some(LinkError::PeerDisconnected { .. }) => self.metrics.tls_failed(TlsFailure::Closed),
            Some(
                LinkError::PeerMisbehaved { .. }
                | LinkError::PeerAborted { .. }
                | LinkError::TooLong { .. }
                | LinkError::Ended(_),
            ) => self.metrics.refused(Word::Unproven),
            None => self.metrics.refused(match error.reason() {
                AbortReason::PlanMismatch => Word::Plan,
                AbortReason::Misbehaviour => Word::Version,
                _ => Word::Unproven,
            }),
        }
    }

    fn announce_stop(&self, sessions: usize) {
        let seconds = self.options.grace.as_secs_f64();
        self.journal.announce(match sessions {
            0 => "stopping: no session runs".to_owned(),
            _ => format!("stopping: running sessions ({sessions}) may go on for {seconds} seconds"),
        });
    }
}

impl<R: Room> Hall<R> {
    /// Tells everybody who has no place that this party stops.
    fn dismiss_all(&mut self) {
        let waiting = self.sessions.close().into_iter().flat_map(Guests::each);
        for one in self.room.close().into_iter().chain(waiting) {
            let channel = Arc::clone(one.link().channel());
            self.leaving.dismiss(channel, None, AbortReason::Stopping);
        }
        for channel in self.unproven.close() {
            self.leaving
                .dismiss(Arc::new(channel), None, AbortReason::Stopping);
        }
        self.sessions.tidy();
    }

    /// Whether a session runs or is about to.
    fn has_session(&self) -> bool {
        self.sessions.running() > 0 || self.sessions.any_waiting()
    }

    /// How long the loop may wait for something to come.
    fn interval(&self) -> Duration {
        let quiet = self.unproven.is_empty()
            && self.leaving.is_empty()
            && self.room.is_empty()
            && !self.has_session();
        if quiet { REST } else { TICK }
    }
}

/// A line of a peer that is nobody yet.
fn at(peer: Option<SocketAddr>) -> Whose {
    Whose {
        peer,
        ..Whose::default()
    }
}

/// A line of somebody's session.
pub(super) fn whose(one: &Greeted<TcpLink>) -> Whose {
    let link = one.link();
    Whose {
        session: Some(one.session()),
        peer: link.address(),
        client: link.guest().map(|guest| guest.name().into()),
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec {
        tv_sec: time.as_secs() as i64,
        tv_nsec: i64::from(time.subsec_nanos()),
    }
}
