//! `client`: connects to server and helper.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use trefoil_ir::mpc::Party;

use super::args::ClientArgs;
use super::error::CliError;
use super::images::{Job, client_error};
use super::results::Results;
use super::{plans, set_threads};
use crate::exec;
use crate::net::address::loopback;
use crate::net::connect::CONNECT_PATIENCE;
use crate::net::{NetError, Stop, TcpLink, connect};
use crate::report::Tally;
use crate::session::{ClientSession, Identity};
use crate::terminal::{note, print::chain};
use crate::workers::on_own_threads;

/// For how long a party is asked again whose places are all taken.
const BUSY_PATIENCE: Duration = Duration::from_secs(20);

/// How long the client waits before it asks again, first and at most. The party itself has it wait
/// in turn each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// Runs the command.
///
/// # Errors
/// If anything fails.
pub fn run(args: &ClientArgs) -> Result<(), CliError> {
    let (server, helper) = (loopback(&args.server)?, loopback(&args.helper)?);
    set_threads(args.party.threads)?;
    let plan = plans::client(&args.party.plan)?;
    let own = Identity::from(&plan);
    let job = Job::open(&plan, &args.images, 1)?;
    let mut results = Results::begin(&job, &plan)?;
    let (mut party, mut tally) = (exec::Client::new(plan), Tally::default());
    let dial = Dial::new(args, server, helper);
    let outcome = dial.session(&own).and_then(|session| {
        // From here on a signal ends the run between two batches.
        let stop = Stop::on_signals()?;
        on_own_threads(|| job.run(session, &mut party, &mut results, &mut tally, &stop))
    });
    results.finish(outcome, party.plan(), &tally)
}

/// How both parties are reached.
struct Dial {
    server: SocketAddr,
    helper: SocketAddr,
    /// Of every wait within a connection.
    timeout: Duration,
    /// Of a whole session.
    session_time: Duration,
    /// For a party that does not listen yet.
    patience: Duration,
}

/// A party is waited for so long without a word.
const SILENCE: Duration = Duration::from_secs(1);

impl Dial {
    fn new(args: &ClientArgs, server: SocketAddr, helper: SocketAddr) -> Self {
        let timeout = args.party.timeout;
        Self {
            server,
            helper,
            timeout,
            session_time: args.party.session_time,
            patience: args.connect_timeout.unwrap_or(CONNECT_PATIENCE.min(timeout)),
        }
    }

    /// Opens a session, and asks again for a while if all places are taken.
    fn session(&self, own: &Identity) -> Result<ClientSession<TcpLink>, CliError> {
        let until = Instant::now() + self.timeout.min(BUSY_PATIENCE);
        let mut pause = FIRST_PAUSE;
        loop {
            let (mut server, mut helper) = self.both()?;
            for link in [&mut server, &mut helper] {
                link.limit_session(self.session_time);
            }
            match ClientSession::open(own, server, helper) {
                Err(error) if error.is_busy() && Instant::now() + pause < until => {
                    if pause == FIRST_PAUSE {
                        note(format_args!("waiting for a place: {}", chain(&error)));
                    }
                    thread::sleep(pause);
                }
                opened => return opened.map_err(client_error),
            }
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    fn both(&self) -> Result<(TcpLink, TcpLink), NetError> {
        let server = self.patiently(Party::Server, self.server)?;
        if let Ok(helper) = connect(Party::Helper, self.helper, self.timeout, Duration::ZERO) {
            return Ok((server, helper));
        }
        // The server must not wait for a hello while the helper is starting. A connection without a
        // byte is no session.
        drop(server);
        let helper = self.patiently(Party::Helper, self.helper)?;
        Ok((self.patiently(Party::Server, self.server)?, helper))
    }

    /// Connects, and says that it waits if that takes long.
    fn patiently(&self, party: Party, address: SocketAddr) -> Result<TcpLink, NetError> {
        let at_once = connect(party, address, self.timeout, SILENCE.min(self.patience));
        if at_once.is_ok() || self.patience <= SILENCE {
            return at_once;
        }
        note(format_args!("waiting for the {party} at {address}"));
        let later = connect(party, address, self.timeout, self.patience - SILENCE);
        later.map_err(|error| match error {
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
        })
    }
}
