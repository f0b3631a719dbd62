//! `client`: connects to server and helper.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use trefoil_ir::mpc::Party;

use super::args::{ClientArgs, PartyArgs};
use super::error::CliError;
use super::images::{Job, client_error};
use super::{plans, set_threads};
use crate::exec;
use crate::net::address::loopback;
use crate::net::connect::CONNECT_PATIENCE;
use crate::net::{NetError, TcpLink, connect};
use crate::session::{ClientSession, Identity};
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
    let mut party = exec::Client::new(plan);

    let session = open(&own, server, helper, &args.party)?;
    let (results, tally) = on_own_threads(|| job.run(session, &mut party))?;
    job.finish(party.plan(), &results, &tally)
}

/// Opens a session, and asks again for a while if all places are taken.
fn open(
    own: &Identity,
    server: SocketAddr,
    helper: SocketAddr,
    party: &PartyArgs,
) -> Result<ClientSession<TcpLink>, CliError> {
    let until = Instant::now() + party.timeout.min(BUSY_PATIENCE);
    let mut pause = FIRST_PAUSE;
    loop {
        let (mut server, mut helper) = connect_both(server, helper, party.timeout)?;
        for link in [&mut server, &mut helper] {
            link.limit_session(party.session_time);
        }
        match ClientSession::open(own, server, helper) {
            Err(error) if error.is_busy() && Instant::now() + pause < until => thread::sleep(pause),
            opened => return opened.map_err(client_error),
        }
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

fn connect_both(
    server: SocketAddr,
    helper: SocketAddr,
    timeout: Duration,
) -> Result<(TcpLink, TcpLink), NetError> {
    let reach_server = || connect(Party::Server, server, timeout, CONNECT_PATIENCE);
    let reach_helper = |patience| connect(Party::Helper, helper, timeout, patience);
    let server = reach_server()?;
    if let Ok(helper) = reach_helper(Duration::ZERO) {
        return Ok((server, helper));
    }
    // The server must not wait for a hello while the helper is starting. A connection without a
    // byte is no session.
    drop(server);
    let helper = reach_helper(CONNECT_PATIENCE)?;
    Ok((reach_server()?, helper))
}
