//! The server: one session per client's connection.

use std::net::SocketAddr;
use std::time::Duration;

use trefoil_ir::mpc::Party;

use super::connect::connect;
use super::error::NetError;
use super::listen::{Listener, Outcome, ServeOptions, Service};
use super::stop::Stop;
use super::tcp::TcpLink;
use crate::exec;
use crate::session::{Identity, ServerSession, SessionError};
use crate::workers::on_own_threads;

/// How long a helper that does not answer is tried for. Clients are waiting.
const HELPER_PATIENCE: Duration = Duration::from_secs(5);

/// Serves clients until a stop is requested, or one session if the options say so.
///
/// # Errors
/// If the one session failed. In a series failures are logged, and the next client is served.
pub fn serve(
    listener: &Listener,
    helper: SocketAddr,
    own: Identity,
    party: &exec::Server,
    options: &ServeOptions,
    stop: &Stop,
    log: &(dyn Fn(String) + Sync),
) -> Result<(), NetError> {
    let handle = |mut link: TcpLink| match link.begins() {
        Ok(false) => Outcome::Nothing,
        // What came is read again by the handshake, which words the error.
        Ok(true) | Err(_) => Outcome::Ended(session(link, helper, &own, party, options, log)),
    };
    let service = Service {
        listener,
        options,
        per_session: 1,
        stop,
        log,
        handle,
    };
    service.run(Vec::new)
}

fn session(
    client: TcpLink,
    helper: SocketAddr,
    own: &Identity,
    party: &exec::Server,
    options: &ServeOptions,
    log: &(dyn Fn(String) + Sync),
) -> Result<u32, SessionError> {
    let dial = || connect(Party::Helper, helper, options.timeout, HELPER_PATIENCE);
    let mut session = ServerSession::accept(own, client, dial)?;
    let client = session.link_mut();
    client.limit_each();
    client.set_party(Party::Client);
    let id = session.id();
    log(format!("session {id} begins"));
    let session = session.with_memory(options.session_memory);
    let images = on_own_threads(|| session.serve(&mut party.clone(), |_| ()))?;
    log(format!("session {id} ends after {images} images"));
    Ok(images)
}
