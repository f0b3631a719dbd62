//! `client`: connects to server and helper.

use std::net::SocketAddr;
use std::time::Duration;

use trefoil_ir::mpc::Party;

use super::args::ClientArgs;
use super::error::CliError;
use super::images::{Job, client_error};
use super::{plans, set_threads};
use crate::exec;
use crate::net::address::loopback;
use crate::net::connect::CONNECT_PATIENCE;
use crate::net::{NetError, TcpLink, connect};
use crate::session::{ClientSession, Identity};
use crate::workers::on_own_threads;

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

    let (server, helper) = connect_both(server, helper, args.party.timeout)?;
    let session = ClientSession::open(&own, server, helper).map_err(client_error)?;
    let (results, tally) = on_own_threads(|| job.run(session, &mut party))?;
    job.finish(party.plan(), &results, &tally)
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
