//! `local`: all three parties in this process, as threads that are linked by queues. The same
//! handshake, the same sessions, the same messages as between processes; with `--link` also the
//! same times as over a network.

use std::convert::Infallible;
use std::path::Path;
use std::sync::mpsc::channel;
use std::thread::{self, ScopedJoinHandle};

use trefoil_ir::mpc::time::LinkModel;
use trefoil_ir::mpc::{Party, Program};
use trefoil_ir::plan::{ClientPlan, HelperPlan, ServerPlan};

use super::args::LocalArgs;
use super::error::CliError;
use super::images::{Job, client_error};
use super::results::{Results, check_writable};
use super::{plans, set_threads};
use crate::exec;
use crate::files::write_private;
use crate::net::Stop;
use crate::report::Tally;
use crate::session::{ClientSession, Greeted, HelperSession, Identity, Record, ServerSession, SessionError};
use crate::trace::{Recorder, StopWatch, Trace, Traced};
use crate::wire::{Link, Traffic, WallClock, delayed_pair, pair};
use crate::workers::on_own_threads;

/// Frames that may wait on a link: enough for parties to work side by side, few enough that they
/// do not fill the memory.
const CAPACITY: usize = 64;

/// Runs the command.
///
/// # Errors
/// If anything fails: of several parties' errors the one that caused the others.
pub fn run(args: &LocalArgs) -> Result<(), CliError> {
    set_threads(args.threads)?;
    let client = plans::client(&args.plans.join("client.plan"))?;
    let server = plans::server(&args.plans.join("server.plan"))?;
    let helper = plans::helper(&args.plans.join("helper.plan"))?;
    let job = Job::open(&client, &args.images, args.repeat)?;
    args.trace.as_deref().map_or(Ok(()), check_writable)?;
    // From here on a signal ends the run between two batches.
    let stop = Stop::on_signals()?;
    let mut results = Results::begin(&job, &client)?;
    let wires = Wires::new(args.link, args.trace.is_some());
    let mut party = exec::Client::new(client).with_watch(wires.watch(Party::Client));
    let mut tally = Tally::default();
    tally.over(args.link.unwrap_or(LinkModel::IDEAL));
    let outcome = match results.are_complete() {
        true => Ok(()),
        false => {
            let client = Asking {
                job: &job,
                party: &mut party,
                results: &mut results,
                tally: &mut tally,
                stop: &stop,
            };
            together(client, server, helper, &wires)
        }
    };
    let traced = match (&args.trace, &wires.trace) {
        (Some(path), Some(trace)) => write_trace(path, trace, party.plan().program()),
        _ => Ok(()),
    };
    // Of a run that failed its own error says more.
    results.finish(outcome.and(traced), party.plan(), &tally)
}

/// What the client's side needs.
struct Asking<'a, 'b> {
    job: &'a Job,
    party: &'a mut exec::Client,
    results: &'a mut Results<'b>,
    tally: &'a mut Tally,
    stop: &'a Stop,
}

impl Asking<'_, '_> {
    fn ask(&mut self, server: Wire, helper: Wire) -> Result<(), CliError> {
        let plan: &ClientPlan = self.party.plan();
        let own = Identity::from(plan);
        self.job.run(
            || ClientSession::open(&own, server, helper).map_err(client_error),
            self.party,
            self.results,
            self.tally,
            self.stop,
        )
    }
}

fn write_trace(path: &Path, trace: &Trace, program: &Program) -> Result<(), CliError> {
    write_private(path, trace.to_json(program)).map_err(|source| CliError::Write {
        path: path.to_owned(),
        source,
    })
}

/// What the parties are linked with.
struct Wires {
    clock: WallClock,
    link: Option<LinkModel>,
    trace: Option<Trace>,
}

/// One end of it.
type Wire = Box<dyn Link>;

impl Wires {
    fn new(link: Option<LinkModel>, traced: bool) -> Self {
        let clock = WallClock::start();
        Self {
            clock,
            link,
            trace: traced.then(|| Trace::new(clock)),
        }
    }

    /// A connection between two parties: the ends that they hold.
    fn pair(&self, left: Party, right: Party) -> (Wire, Wire) {
        match self.link {
            Some(link) => {
                let (at_left, at_right) = delayed_pair(left, right, link, self.clock);
                let at_left = at_left.with_recorder(self.recorder(left));
                let at_right = at_right.with_recorder(self.recorder(right));
                (self.end(at_left, left), self.end(at_right, right))
            }
            None => {
                let (at_left, at_right) = pair(left, right, CAPACITY);
                (self.end(at_left, left), self.end(at_right, right))
            }
        }
    }

    fn recorder(&self, party: Party) -> Option<Recorder> {
        self.trace.as_ref().map(|trace| trace.recorder(party))
    }

    fn watch(&self, party: Party) -> StopWatch {
        StopWatch::new(self.recorder(party))
    }

    fn end(&self, link: impl Link + 'static, party: Party) -> Wire {
        match self.recorder(party) {
            Some(recorder) => Box::new(Traced::new(link, recorder)),
            None => Box::new(link),
        }
    }
}

/// What server and helper have to say.
pub(super) enum News {
    Setup(Traffic),
    Done(Party, Record),
}

/// Runs the three parties side by side, each on threads of its own, to their end.
fn together(
    mut client: Asking<'_, '_>,
    server: ServerPlan,
    helper: HelperPlan,
    wires: &Wires,
) -> Result<(), CliError> {
    let (client_server, server_client) = wires.pair(Party::Client, Party::Server);
    let (client_helper, helper_client) = wires.pair(Party::Client, Party::Helper);
    let (server_helper, helper_server) = wires.pair(Party::Server, Party::Helper);
    let (news, all_news) = channel();
    let server_news = news.clone();
    let outcome = thread::scope(|scope| {
        let server = scope.spawn(|| {
            on_own_threads(|| {
                let party = exec::Server::new(server).with_watch(wires.watch(Party::Server));
                serve(party, server_client, server_helper, move |n| {
                    drop(server_news.send(n))
                })
            })
        });
        let helper = scope.spawn(|| {
            on_own_threads(|| {
                let party = exec::Helper::new(helper).with_watch(wires.watch(Party::Helper));
                help(party, helper_client, helper_server, move |n| drop(news.send(n)))
            })
        });
        let asked = on_own_threads(|| client.ask(client_server, client_helper));
        cause(
            asked,
            joined(server, Party::Server),
            joined(helper, Party::Helper),
        )
    });
    for news in all_news {
        match news {
            News::Setup(traffic) => client.tally.setup_traffic(&traffic),
            News::Done(party, record) => client.tally.party(party, &record),
        }
    }
    outcome
}

/// The server's side of the run.
pub(super) fn serve(
    mut party: exec::Server,
    client: Wire,
    helper: Wire,
    tell: impl Fn(News),
) -> Result<(), SessionError> {
    let own = Identity::from(party.plan());
    // Here client and server are one, who asks for no more than there is.
    let client = Greeted::new(client, &own)?.with_memory(u64::MAX);
    let session = ServerSession::open(&own, client, || Ok::<_, Infallible>(helper))?;
    session.serve(&mut party, |record| tell(News::Done(Party::Server, record)))?;
    Ok(())
}

/// The helper's side of the run.
pub(super) fn help(
    mut party: exec::Helper,
    client: Wire,
    server: Wire,
    tell: impl Fn(News),
) -> Result<(), SessionError> {
    let own = Identity::from(party.plan());
    // Both are greeted before either answer is looked at.
    let client = Greeted::new(client, &own);
    let server = Greeted::new(server, &own);
    let session = HelperSession::open(client?, server?)?;
    // The client reports its own links; between server and helper there is one more.
    tell(News::Setup(session.server_setup().clone()));
    session.serve(&mut party, |record| tell(News::Done(Party::Helper, record)))?;
    Ok(())
}

fn joined(thread: ScopedJoinHandle<'_, Result<(), SessionError>>, party: Party) -> Result<(), CliError> {
    match thread.join() {
        Ok(result) => result.map_err(|source| CliError::Session {
            party,
            source: Box::new(source),
        }),
        Err(_) => Err(CliError::Panicked { party }),
    }
}

/// The error that caused the others, if there is one.
fn cause(
    client: Result<(), CliError>,
    server: Result<(), CliError>,
    helper: Result<(), CliError>,
) -> Result<(), CliError> {
    let others = [server.err(), helper.err()].into_iter().flatten();
    match client {
        Err(error) if !error.is_consequence() => Err(error),
        Err(error) => Err(others
            .into_iter()
            .find(|other| !other.is_consequence())
            .unwrap_or(error)),
        Ok(()) => others.into_iter().next().map_or(Ok(()), Err),
    }
}
