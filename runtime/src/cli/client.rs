//! `client`: connects to server and helper.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use trefoil_ir::mpc::Party;

use super::args::ClientArgs;
use super::error::CliError;
use super::exit::Exit;
use super::images::{Job, client_error};
use super::results::Results;
use super::serve::door;
use super::{plans, set_threads};
use crate::amount::counted;
use crate::exec;
use crate::keys::SecretKey;
use crate::net::{Credentials, Door, NetError, Purpose, Stop, TcpLink, connect};
use crate::report::Tally;
use crate::session::{ClientSession, Identity, SessionError};
use crate::settings::{ClientSettings, SettingsError};
use crate::terminal::{note, print::chain};
use crate::trace::Tracer;
use crate::workers::on_own_threads;

/// For how long a party is asked again whose places are all taken.
const BUSY_PATIENCE: Duration = Duration::from_secs(20);

/// How long the client waits before it asks again, first and at most. The party itself has it wait
/// in turn each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// How long the client waits before it begins a new session in place of one that was lost: first, and at most.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(30);

/// Runs the command.
///
/// # Errors
/// If anything fails.
pub fn run(args: &ClientArgs) -> Result<(), CliError> {
    let settings = args.party.all()?;
    if let Some(role @ (Party::Server | Party::Helper)) = settings.role {
        return Err(CliError::Settings(SettingsError::Role {
            command: "client",
            role,
            remedy: "run `trefoil-party serve`",
        }));
    }
    let settings = settings.client()?;
    let credentials = Credentials::new(&SecretKey::read(&settings.key)?)?;
    let dial = Dial::new(&settings, &credentials)?;
    set_threads(settings.threads)?;
    let plan = plans::client(&settings.plan)?;
    let own = Identity::from(&plan);
    let job = Job::open(&plan, &args.images, 1)?;
    // From here on a signal ends the run while it waits for a place, or between two batches.
    let stop = Stop::on_signals()?;
    let mut results = Results::begin(&job, &plan)?;
    let mut party = exec::Client::new(plan);
    let mut tally = Tally::default();
    let runner = Runner {
        dial,
        own,
        job: &job,
        stop,
        trace: settings.trace,
    };
    let retries = Retries::new(settings.retries);
    let outcome = runner.run(&mut party, &mut results, &mut tally, retries);
    results.finish(outcome, party.plan(), &tally)
}

/// What stays the same from one session to the next.
struct Runner<'a> {
    dial: Dial,
    own: Identity,
    job: &'a Job,
    stop: Stop,
    trace: Option<PathBuf>,
}

impl Runner<'_> {
    /// Runs all images that have no result yet, in as many sessions as it takes.
    fn run(
        &self,
        party: &mut exec::Client,
        results: &mut Results<'_>,
        tally: &mut Tally,
        mut retries: Retries,
    ) -> Result<(), CliError> {
        // Who has never been reached is not asked for minutes: the address may be wrong.
        let mut was_open = false;
        while !results.are_complete() {
            let done = results.done();
            let (outcome, opened) = self.session(party, results, tally);
            was_open |= opened;
            let Err(error) = outcome else {
                return Ok(());
            };
            let may_pass = error.may_pass() && (was_open || error.exit() == Exit::Busy);
            if self.stop.requested() || !may_pass {
                return Err(error);
            }
            if results.done() > done {
                retries.begin_anew();
            }
            let Some(pause) = retries.next() else {
                return Err(error);
            };
            note(format_args!(
                "{}; a new session goes on behind the {} that have results, in {} seconds",
                chain(&error),
                counted(results.done(), "image"),
                pause.as_secs_f64()
            ));
            sleep(pause, &self.stop)?;
        }
        Ok(())
    }

    /// Runs images in one session, and whether it was opened.
    fn session(
        &self,
        party: &mut exec::Client,
        results: &mut Results<'_>,
        tally: &mut Tally,
    ) -> (Result<(), CliError>, bool) {
        let tracer = self
            .trace
            .as_deref()
            .map(|folder| Tracer::begin(folder, Party::Client));
        let recorder = tracer.as_ref().map(Tracer::recorder);
        party.set_watch(Tracer::watch(recorder.as_ref()));
        let mut id = None;
        let open = || {
            let mut session = self.dial.session(&self.own, &self.stop)?;
            for link in session.links_mut() {
                link.trace(recorder.as_ref());
            }
            id = Some(session.id());
            Ok(session)
        };
        let outcome = on_own_threads(|| self.job.run(open, party, results, tally, &self.stop));
        if let (Some(tracer), Some(id)) = (tracer, id)
            && let Err(error) = tracer.write(id, party.plan().program())
        {
            note(format_args!("the session's trace cannot be written: {error}"));
        }
        (outcome, id.is_some())
    }
}

/// How often a lost session is begun anew, and with what pauses.
struct Retries {
    most: usize,
    left: usize,
    pause: Duration,
}

impl Retries {
    fn new(most: usize) -> Self {
        Self {
            most,
            left: most,
            pause: FIRST_RETRY,
        }
    }

    /// A session has brought something.
    fn begin_anew(&mut self) {
        *self = Self::new(self.most);
    }

    /// The pause before the next attempt, if there is one.
    fn next(&mut self) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        let pause = self.pause;
        self.pause = (pause * 2).min(LAST_RETRY);
        Some(pause)
    }
}

/// How both parties are reached.
struct Dial {
    server: Door,
    helper: Door,
    /// Limit of every wait within a connection.
    timeout: Duration,
    /// Limit of a whole session.
    session_time: Duration,
    /// How long a party is waited for that does not listen yet.
    patience: Duration,
}

/// A party is waited for so long without a word.
const SILENCE: Duration = Duration::from_secs(1);

impl Dial {
    fn new(settings: &ClientSettings, credentials: &Credentials) -> Result<Self, CliError> {
        let door = |party, port| door(credentials, party, port, Purpose::Session);
        Ok(Self {
            server: door(Party::Server, &settings.server)?,
            helper: door(Party::Helper, &settings.helper)?,
            timeout: settings.timeout,
            session_time: settings.session_time,
            patience: settings.connect_timeout,
        })
    }

    /// Opens a session, and asks again for a while if all places are taken, or a connection was dropped
    /// before it was this client's, as a crowd of strangers may bring about. A stop ends the waiting.
    fn session(&self, own: &Identity, stop: &Stop) -> Result<ClientSession<TcpLink>, CliError> {
        let start = Instant::now();
        let busy_until = start + self.timeout.min(BUSY_PATIENCE);
        let dropped_until = start + self.patience;
        let mut pause = FIRST_PAUSE;
        loop {
            let links = self.both(stop)?;
            match self.ask(own, links, stop) {
                Err(_) if stop.requested() => return Err(CliError::Stopped),
                Err(error) if error.is_dropped() && Instant::now() + pause < dropped_until => {
                    sleep(pause, stop)?;
                }
                Err(error) if error.is_busy() && Instant::now() + pause < busy_until => {
                    if pause == FIRST_PAUSE {
                        note(format_args!("waiting for a place: {}", chain(&error)));
                    }
                    sleep(pause, stop)?;
                }
                opened => return opened.map_err(client_error),
            }
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// Asks for a session over fresh connections.
    fn ask(
        &self,
        own: &Identity,
        (mut server, mut helper): (TcpLink, TcpLink),
        stop: &Stop,
    ) -> Result<ClientSession<TcpLink>, SessionError> {
        for link in [&mut server, &mut helper] {
            link.limit_session(self.session_time);
            link.heed(Some(stop));
        }
        let mut told = None;
        let mut waiting = |party: Party, before: u32| {
            if told != Some((party, before)) {
                note(format_args!(
                    "waiting for a place at the {party}: {} before this client",
                    counted(before as usize, "other")
                ));
            }
            told = Some((party, before));
        };
        let mut session = ClientSession::open_patiently(own, server, helper, &mut waiting)?;
        // From now on a stop ends it between two batches.
        session.links_mut().into_iter().for_each(|link| link.heed(None));
        Ok(session)
    }

    /// Connects to server and helper.
    fn both(&self, stop: &Stop) -> Result<(TcpLink, TcpLink), CliError> {
        let server = self.patiently(&self.server, stop)?;
        if let Ok(helper) = connect(&self.helper, self.timeout, Duration::ZERO, &|| stop.requested()) {
            return Ok((server, helper));
        }
        // The server must not wait for a hello while the helper is starting. A connection without a
        // byte is no session.
        drop(server);
        let helper = self.patiently(&self.helper, stop)?;
        Ok((self.patiently(&self.server, stop)?, helper))
    }

    /// Connects, and says that it waits if that takes long.
    fn patiently(&self, door: &Door, stop: &Stop) -> Result<TcpLink, CliError> {
        let until = Instant::now() + self.patience;
        let mut told = false;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let error = match connect(door, self.timeout, SILENCE.min(left), &|| stop.requested()) {
                Ok(link) => return Ok(link),
                Err(error @ NetError::Tls { .. }) => return Err(error.into()),
                Err(error) => error,
            };
            if stop.requested() {
                return Err(CliError::Stopped);
            }
            if left <= SILENCE {
                return Err(self.unreached(error).into());
            }
            if !told {
                let Door { party, address, .. } = door;
                note(format_args!("waiting for the {party} at {address}"));
            }
            told = true;
        }
    }

    /// The error of the last attempt, as that of all of them.
    fn unreached(&self, error: NetError) -> NetError {
        match error {
            NetError::Connect {
                party,
                address,
                source,
                ..
            } => NetError::Connect {
                party,
                address,
                seconds: self.patience.as_secs_f64(),
                source,
            },
            error => error,
        }
    }
}

/// Sleeps, unless a stop is requested.
fn sleep(time: Duration, stop: &Stop) -> Result<(), CliError> {
    let until = Instant::now() + time;
    loop {
        if stop.requested() {
            return Err(CliError::Stopped);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(FIRST_PAUSE));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{SocketAddr, TcpListener, TcpStream};

    use super::*;
    use crate::net::Channel;
    use crate::net::tls::testing::keys;
    use crate::session::testing::client_plan;
    use crate::wire::{AbortReason, Header, Tag};

    /// Answers every connection in this way, and keeps it.
    fn answering<K>(answer: impl Fn(TcpStream) -> K + Send + 'static) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming() {
                kept.push(answer(stream.unwrap()));
            }
        });
        address
    }

    /// The server's end of a connection.
    fn shaken(stream: TcpStream) -> Option<Channel> {
        let keys = keys();
        let config = keys.server.answering(keys.known_to(Party::Server)).unwrap();
        let channel = Channel::answerer(stream, &config).unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        channel.shake_hands(until, &|| false).ok()?;
        Some(channel)
    }

    #[test]
    fn a_stop_ends_the_waiting_for_a_place() {
        const LONG: Duration = Duration::from_secs(20);
        let busy = answering(|stream| {
            let tag = Tag::abort(AbortReason::Busy);
            let channel = shaken(stream)?;
            // Who is told so may have gone.
            let _ = (&channel).write_all(&Header { tag, length: 0 }.encode());
            Some(channel)
        });
        let mute = answering(shaken);
        let silent = answering(|stream| stream);
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for (name, address) in [
            ("busy", busy),
            ("mute", mute),
            ("silent", silent),
            ("nobody", nobody),
        ] {
            let dial = Dial {
                server: keys().door(&keys().client, Party::Server, address, Purpose::Session),
                helper: keys().door(&keys().client, Party::Server, address, Purpose::Session),
                timeout: LONG,
                session_time: LONG,
                patience: LONG,
            };
            let stop = Stop::default();
            let start = Instant::now();
            let opened = thread::scope(|scope| {
                scope.spawn(|| {
                    thread::sleep(Duration::from_millis(300));
                    stop.request();
                });
                dial.session(&Identity::from(&client_plan(1)), &stop).map(drop)
            });
            assert!(matches!(opened, Err(CliError::Stopped)), "{name}: {opened:?}");
            assert!(start.elapsed() < LONG / 2, "{name}: {:?}", start.elapsed());
        }
    }
}
