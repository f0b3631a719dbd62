//! The helper: two connections make a session.

use std::thread;

use super::error::NetError;
use super::listen::{Listener, Outcome, ServeOptions, Service};
use super::stop::Stop;
use super::tcp::TcpLink;
use crate::exec;
use crate::session::{Greeted, HelperSession, Identity, Pair, Pairing, SessionError};
use crate::workers::on_own_threads;

/// Deals to clients until a stop is requested, or for one session if the options say so.
///
/// # Errors
/// If the one session failed. In a series failures are logged, and the next client is served.
pub fn serve(
    listener: &Listener,
    own: Identity,
    party: &exec::Helper,
    options: &ServeOptions,
    stop: &Stop,
    log: &(dyn Fn(String) + Sync),
) -> Result<(), NetError> {
    let pairing = Pairing::new(options.pair_timeout);
    let handle = |mut link: TcpLink| match link.begins() {
        Ok(false) => Outcome::Nothing,
        // What came is read again by the handshake, which words the error.
        Ok(true) | Err(_) => match pair(link, &own, &pairing) {
            Ok(None) => Outcome::Nothing,
            Ok(Some(pair)) => Outcome::Ended(session(pair, party, log)),
            Err(error) => Outcome::Ended(Err(error)),
        },
    };
    let turn_out = || {
        let late = pairing.expired().into_iter();
        let errors = late.map(|(greeted, error)| {
            let reason = error.reason();
            // Telling may take a moment, during which others must not wait.
            thread::spawn(move || greeted.abort(reason));
            error
        });
        errors.collect()
    };
    let service = Service {
        listener,
        options,
        per_session: 2,
        stop,
        log,
        handle,
    };
    service.run(turn_out)
}

fn pair(
    link: TcpLink,
    own: &Identity,
    pairing: &Pairing<TcpLink>,
) -> Result<Option<Pair<TcpLink>>, SessionError> {
    let mut greeted = Greeted::new(link, own)?;
    let opener = greeted.opener();
    let link = greeted.link_mut();
    link.limit_each();
    link.set_party(opener);
    pairing.offer(greeted)
}

fn session(
    Pair { client, server }: Pair<TcpLink>,
    party: &exec::Helper,
    log: &(dyn Fn(String) + Sync),
) -> Result<u32, SessionError> {
    let session = HelperSession::open(client, server)?;
    let id = session.id();
    log(format!("session {id} begins"));
    let images = on_own_threads(|| session.serve(&mut party.clone(), |_| ()))?;
    log(format!("session {id} ends after {images} images"));
    Ok(images)
}
