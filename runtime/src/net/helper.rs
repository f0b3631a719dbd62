//! The helper: two connections make a session.

use std::sync::Arc;

use trefoil_ir::mpc::Party;

use super::control::Control;
use super::error::NetError;
use super::journal::{Journal, Topic};
use super::line::{Line, Whose};
use super::listen::Listener;
use super::options::ServeOptions;
use super::post::Post;
use super::server::{ORDERLY, withdrawn};
use super::service::{Room, Service};
use super::stop::Stop;
use super::tcp::TcpLink;
use crate::amount::counted;
use crate::exec;
use crate::session::{Greeted, HelperSession, Pair, Pairing, SessionError, TurnedOut};
use crate::workers::on_own_threads;

/// Deals to clients until a stop is requested, or for one session if the options say so.
///
/// # Errors
/// If the one session failed. In a series failures are logged, and the next client is served.
pub fn serve(
    listener: &Listener,
    post: &Post<exec::Helper>,
    options: &ServeOptions,
    stop: &Stop,
    log: &(dyn Fn(Line) + Sync),
) -> Result<(), NetError> {
    let journal = Journal::new(log);
    let service = Service {
        listener,
        options,
        tls: post.credentials.answering(Arc::clone(&post.known))?,
        known: &*post.known,
        hosts: &post.plans,
        stop,
        journal: &journal,
        serve: |pair: Pair<TcpLink>, control: &Arc<Control>| {
            match post.plans.find(pair.client.identity()) {
                Some(hosted) => session(pair, &hosted.party, options, control, &journal),
                None => Err(withdrawn([pair.client, pair.server])),
            }
        },
    };
    service.run(Pairing::new(options.pair_timeout, options.unpaired()))
}

impl Room for Pairing<TcpLink> {
    type Guests = Pair<TcpLink>;

    fn enter(&mut self, one: Greeted<TcpLink>) -> Result<Option<Self::Guests>, Box<TurnedOut<TcpLink>>> {
        self.offer(one)
    }

    fn clear(&mut self) -> Vec<TurnedOut<TcpLink>> {
        Pairing::clear(self, TcpLink::is_gone)
    }

    fn close(&mut self) -> Vec<Greeted<TcpLink>> {
        Pairing::close(self)
    }

    fn is_empty(&self) -> bool {
        Pairing::is_empty(self)
    }
}

fn session(
    Pair { mut client, server }: Pair<TcpLink>,
    party: &exec::Helper,
    options: &ServeOptions,
    control: &Arc<Control>,
    journal: &Journal<'_>,
) -> Result<u32, SessionError> {
    let link = client.link_mut();
    link.limit_session(options.session_time);
    // The server limits what the client does between requests, and is seen to be there.
    link.limit_requests(None);
    link.watch(server.link().channel(), Party::Server, ORDERLY);
    link.obey(control);
    let peer = link.address();
    let session = HelperSession::open(client, server)?;
    let whose = Whose {
        session: Some(session.id()),
        peer,
    };
    journal.say(Topic::Session, whose, || "session begins".to_owned());
    let images = on_own_threads(|| session.serve(&mut party.clone(), |_| ()))?;
    journal.say(Topic::Session, whose, || {
        format!("session ends after {}", counted(images as usize, "image"))
    });
    Ok(images)
}
