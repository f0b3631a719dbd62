//! The helper: two connections make a session.

use std::sync::Arc;

use trefoil_ir::mpc::Party;

use super::control::Control;
use super::desk::Desk;
use super::error::NetError;
use super::journal::Journal;
use super::line::Line;
use super::listen::Listener;
use super::options::ServeOptions;
use super::post::Post;
use super::probe::{Facts, Probes};
use super::server::{ORDERLY, withdrawn};
use super::service::{Room, Service, whose};
use super::stop::Stop;
use super::tcp::TcpLink;
use crate::exec;
use crate::session::{Greeted, HelperSession, Pair, Pairing, SessionError, TurnedOut};
use crate::trace::Tracer;
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
        vitals: &post.vitals,
        metrics: &post.metrics,
        stop,
        probes: Probes::default(),
        closing: Arc::default(),
        facts: &|| Facts::of(Party::Helper, post.plans.names(), options.sessions),
        journal: &journal,
        serve: |pair: Pair<TcpLink>, control: &Arc<Control>| {
            let Some(hosted) = post.plans.find(pair.client.identity()) else {
                return Err(withdrawn([pair.client, pair.server]));
            };
            let whose = whose(&pair.client);
            let guest = pair.client.link().guest().cloned();
            let mut desk = Desk::open(Party::Helper, guest, &post.metrics, &journal, whose);
            let tracer = post
                .trace
                .as_deref()
                .map(|folder| Tracer::begin(folder, Party::Helper));
            let recorder = tracer.as_ref().map(Tracer::recorder);
            let ended = open(pair, options, control).and_then(|mut session| {
                desk.set_up(session.setup().time, &session.setup().traffic);
                session.link_mut().trace(recorder.as_ref());
                let mut party = hosted.party.clone().with_watch(Tracer::watch(recorder.as_ref()));
                on_own_threads(|| session.serve(&mut party, &mut desk))
            });
            if let Some(tracer) = tracer {
                desk.write(&tracer, hosted.party.plan().program());
            }
            desk.close(&ended);
            ended
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

/// Opens the session of two proven connections; each of them ends the other's waits.
fn open(
    Pair { mut client, server }: Pair<TcpLink>,
    options: &ServeOptions,
    control: &Arc<Control>,
) -> Result<HelperSession<TcpLink>, SessionError> {
    let link = client.link_mut();
    link.limit_session(options.session_time);
    // The server limits what the client does between requests, and is seen to be there.
    link.limit_requests(None);
    link.watch(server.link().channel(), Party::Server, ORDERLY);
    link.obey(control);
    HelperSession::open(client, server)
}
