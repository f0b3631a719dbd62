//! `client`: connects to server and helper.

use trefoil_ir::mpc::Party;

use super::args::ClientArgs;
use super::error::CliError;
use super::images::{Job, client_error};
use super::{plans, set_threads};
use crate::exec;
use crate::net::address::loopback;
use crate::net::connect;
use crate::net::connect::CONNECT_PATIENCE;
use crate::session::{ClientSession, Identity};

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

    let timeout = args.party.timeout;
    let server = connect(Party::Server, server, timeout, CONNECT_PATIENCE)?;
    let helper = connect(Party::Helper, helper, timeout, CONNECT_PATIENCE)?;
    let session = ClientSession::open(own, server, helper).map_err(client_error)?;
    let (results, tally) = job.run(session, &mut party)?;
    job.finish(party.plan(), &results, &tally)
}
