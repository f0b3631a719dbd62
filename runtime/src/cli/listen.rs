//! `server` and `helper`: print their address and serve.

use super::args::{HelperArgs, ListenArgs, PartyArgs, ServerArgs};
use super::error::CliError;
use super::log;
use super::{plans, print, set_threads};
use crate::exec;
use crate::net::{self, Listener, ServeOptions, Stop};
use crate::session::Identity;

/// Runs `server`.
///
/// # Errors
/// If it cannot start, or its one session failed.
pub fn server(args: &ServerArgs) -> Result<(), CliError> {
    let (listener, stop) = start(&args.party, &args.listen)?;
    let plan = plans::server(&args.party.plan)?;
    let own = Identity::from(&plan);
    let party = exec::Server::new(plan);
    announce(&listener)?;
    let options = ServeOptions {
        session_memory: args.session_memory,
        idle_time: args.idle_time,
        ..options(&args.party, &args.listen)
    };
    todo!();
    Ok(())
}

/// Runs `helper`.
///
/// # Errors
/// If it cannot start, or its one session failed.
pub fn helper(args: &HelperArgs) -> Result<(), CliError> {
    let (listener, stop) = start(&args.party, &args.listen)?;
    let plan = plans::helper(&args.party.plan)?;
    let own = Identity::from(&plan);
    let party = exec::Helper::new(plan);
    announce(&listener)?;
    let options = options(&args.party, &args.listen);
    todo!();
    Ok(())
}

/// A wrong address fails before a large plan is read.
fn start(party: &PartyArgs, listen: &ListenArgs) -> Result<(Listener, Stop), CliError> {
    log::start(listen.log_format);
    let listener = Listener::bind(&listen.listen)?;
    set_threads(party.threads)?;
    Ok((listener, Stop::on_signals()?))
}

/// The line that scripts wait for.
fn announce(listener: &Listener) -> Result<(), CliError> {
    print(&format!("listening on {}\n", listener.address())).map(drop)
}

fn options(party: &PartyArgs, listen: &ListenArgs) -> ServeOptions {
    ServeOptions {
        timeout: party.timeout,
        session_time: party.session_time,
        grace: listen.grace,
        sessions: listen.sessions,
        once: listen.once,
        ..ServeOptions::default()
    }
}
