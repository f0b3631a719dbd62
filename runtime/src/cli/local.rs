//! `local`: all three parties in this process, as threads that are linked by queues. The same
//! handshake, the same sessions, the same messages as between processes.

use std::convert::Infallible;
use std::sync::mpsc::channel;
use std::thread::{self, ScopedJoinHandle};

use trefoil_ir::mpc::Party;
use trefoil_ir::plan::{ClientPlan, HelperPlan, ServerPlan};

use super::args::LocalArgs;
use super::error::CliError;
use super::images::{Job, Results, client_error};
use super::{plans, set_threads};
use crate::exec;
use crate::report::Tally;
use crate::session::{
    ClientSession, Greeted, HelperSession, Identity, ImageRecord, ServerSession, SessionError,
};
use crate::wire::{MemoryLink, Traffic, pair};
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
    let mut party = exec::Client::new(client);
    let (results, tally) = together(&job, &mut party, server, helper)?;
    job.finish(party.plan(), &results, &tally)
}

/// What server and helper have to say.
enum News {
    Setup(Traffic),
    Image(Party, ImageRecord),
}

fn together(
    job: &Job,
    party: &mut exec::Client,
    server_plan: ServerPlan,
    helper_plan: HelperPlan,
) -> Result<(Results, Tally), CliError> {
    let (client_server, server_client) = pair(Party::Client, Party::Server, CAPACITY);
    let (client_helper, helper_client) = pair(Party::Client, Party::Helper, CAPACITY);
    let (server_helper, helper_server) = pair(Party::Server, Party::Helper, CAPACITY);
    let (news, all_news) = channel();
    let server_news = news.clone();
    let (client, server, helper) = thread::scope(|scope| {
        let server = scope.spawn(|| {
            on_own_threads(|| {
                serve(server_plan, server_client, server_helper, move |n| {
                    drop(server_news.send(n))
                })
            })
        });
        let helper = scope.spawn(|| {
            on_own_threads(|| {
                help(helper_plan, helper_client, helper_server, move |n| {
                    drop(news.send(n))
                })
            })
        });
        let client = on_own_threads(|| ask(job, party, client_server, client_helper));
        (
            client,
            joined(server, Party::Server),
            joined(helper, Party::Helper),
        )
    });
    let (results, mut tally) = cause(client, server, helper)?;
    for news in all_news {
        match news {
            News::Setup(traffic) => tally.setup_traffic(&traffic),
            News::Image(party, record) => tally.party(party, &record),
        }
    }
    Ok((results, tally))
}

fn ask(
    job: &Job,
    party: &mut exec::Client,
    server: MemoryLink,
    helper: MemoryLink,
) -> Result<(Results, Tally), CliError> {
    let plan: &ClientPlan = party.plan();
    let session = ClientSession::open(&Identity::from(plan), server, helper).map_err(client_error)?;
    job.run(session, party)
}

fn serve(
    plan: ServerPlan,
    client: MemoryLink,
    helper: MemoryLink,
    tell: impl Fn(News),
) -> Result<(), SessionError> {
    let own = Identity::from(&plan);
    let mut party = exec::Server::new(plan);
    let session = ServerSession::accept(&own, client, || Ok::<_, Infallible>(helper))?;
    session.serve(&mut party, |record| tell(News::Image(Party::Server, record)))?;
    Ok(())
}

fn help(
    plan: HelperPlan,
    client: MemoryLink,
    server: MemoryLink,
    tell: impl Fn(News),
) -> Result<(), SessionError> {
    let own = Identity::from(&plan);
    let mut party = exec::Helper::new(plan);
    let (client, server) = (Greeted::new(client, &own), Greeted::new(server, &own));
    let session = HelperSession::open(client?, server?)?;
    // The client reports its own links; between server and helper there is one more.
    tell(News::Setup(session.server_setup().clone()));
    session.serve(&mut party, |record| tell(News::Image(Party::Helper, record)))?;
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

/// The result, or the error that caused the others.
fn cause<T>(
    client: Result<T, CliError>,
    server: Result<(), CliError>,
    helper: Result<(), CliError>,
) -> Result<T, CliError> {
    let others = [server.err(), helper.err()].into_iter().flatten();
    match client {
        Err(error) if !error.is_consequence() => Err(error),
        Err(error) => Err(others
            .into_iter()
            .find(|other| !other.is_consequence())
            .unwrap_or(error)),
        Ok(result) => others.into_iter().next().map_or(Ok(result), Err),
    }
}
