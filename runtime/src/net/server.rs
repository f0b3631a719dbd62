//! The server: one session per client's connection.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use trefoil_ir::mpc::Party;

use super::connect::{Door, connect};
use super::control::Control;
use super::desk::Desk;
use super::error::NetError;
use super::journal::{Journal, Topic};
use super::line::{Line, Whose};
use super::listen::{Listener, sentence};
use super::options::ServeOptions;
use super::post::Post;
use super::probe::{Facts, Probe, Probes, pause};
use super::service::{Room, Service, whose};
use super::stop::Stop;
use super::tcp::TcpLink;
use crate::exec;
use crate::session::{Greeted, ServerSession, SessionError, TurnedOut};
use crate::trace::Tracer;
use crate::workers::on_own_threads;

/// How long a helper that does not answer is tried for. Clients are waiting.
const HELPER_PATIENCE: Duration = Duration::from_secs(5);

/// How long a session may go on whose other two parties' connections do not end at the same time.
pub(super) const ORDERLY: Duration = Duration::from_secs(2);

/// Serves clients until a stop is requested, or one session if the options say so. The helper is reached in two
/// ways: to look at it, and for sessions.
///
/// # Errors
/// If the one session failed. In a series failures are logged, and the next client is served.
pub fn serve(
    listener: &Listener,
    helper: &(Door, Door),
    post: &Post<exec::Server>,
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
        facts: &|| Facts::of(Party::Server, post.plans.names(), options.sessions),
        journal: &journal,
        serve: |client: Greeted<TcpLink>, control: &Arc<Control>| {
            let Some(hosted) = post.plans.find(client.identity()) else {
                return Err(withdrawn([client]));
            };
            let whose = whose(&client);
            let guest = client.link().guest().cloned();
            let mut desk = Desk::open(Party::Server, guest, &post.metrics, &journal, whose);
            let session = open(client, &helper.1, post, options, control);
            let tracer = post
                .trace
                .as_deref()
                .map(|folder| Tracer::begin(folder, Party::Server));
            let recorder = tracer.as_ref().map(Tracer::recorder);
            let ended = session.and_then(|mut session| {
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
    let over = Stop::default();
    thread::scope(|scope| {
        scope.spawn(|| look_after(&helper.0, post, (options, &journal), stop, &over));
        let served = service.run(Alone);
        over.request();
        served
    })
}

/// How often a server looks whether its helper can be reached, while no session shows it.
const ROUND: Duration = Duration::from_secs(10);

/// Keeps a connection to the helper open as long as the server runs: each end sees by it that the other is
/// there, and whoever watches the server that it can serve.
fn look_after(
    helper: &Door,
    post: &Post<exec::Server>,
    (options, journal): (&ServeOptions, &Journal<'_>),
    stop: &Stop,
    over: &Stop,
) {
    let ended = || stop.requested() || over.requested();
    // People are told of changes alone.
    let mut is_told = false;
    while !ended() {
        let lost = match Probe::open(helper, options.timeout, &ended) {
            Ok(mut probe) => {
                note(post, true);
                if std::mem::take(&mut is_told) {
                    journal.say(Topic::Session, Whose::default(), || {
                        "the helper can be reached again".to_owned()
                    });
                }
                // However it ends, it is looked again.
                probe.keep(ROUND, &ended).err().map(|error| sentence(&error))
            }
            Err(error) => Some(sentence(&error)),
        };
        if !ended() {
            note(post, false);
            if !std::mem::replace(&mut is_told, true) {
                let why = lost.unwrap_or_else(|| "its connection was closed".to_owned());
                journal.say(Topic::Shortage, Whose::default(), || {
                    format!("the helper cannot be reached: {why}")
                });
            }
            pause(Duration::from_secs(1), &ended);
        }
    }
}

fn note(post: &Post<exec::Server>, reached: bool) {
    post.vitals.set_helper(reached);
    post.metrics.set_helper_reachable(reached);
}

/// Nobody waits for anybody.
struct Alone;

impl Room for Alone {
    type Guests = Greeted<TcpLink>;

    fn enter(&mut self, one: Greeted<TcpLink>) -> Result<Option<Self::Guests>, Box<TurnedOut<TcpLink>>> {
        Ok(Some(one))
    }

    fn clear(&mut self) -> Vec<TurnedOut<TcpLink>> {
        Vec::new()
    }

    fn close(&mut self) -> Vec<Greeted<TcpLink>> {
        Vec::new()
    }

    fn is_empty(&self) -> bool {
        true
    }
}

/// Tells these connections that the plan of their session was withdrawn.
pub(super) fn withdrawn(links: impl IntoIterator<Item = Greeted<TcpLink>>) -> SessionError {
    let error = SessionError::Withdrawn;
    links.into_iter().for_each(|one| one.abort(error.reason()));
    error
}

/// Opens the session of a proven client; each of its two connections ends the other's waits.
fn open(
    mut client: Greeted<TcpLink>,
    helper: &Door,
    post: &Post<exec::Server>,
    options: &ServeOptions,
    control: &Arc<Control>,
) -> Result<ServerSession<TcpLink, TcpLink>, SessionError> {
    let own = client.identity().clone();
    let link = client.link_mut();
    link.limit_session(options.session_time);
    link.limit_requests(Some(options.idle_time));
    link.obey(control);
    let channel = Arc::clone(link.channel());
    let stock = link.guest().and_then(|guest| guest.stock());
    let memory = stock.map_or(options.session_memory, |stock| stock.min(options.session_memory));
    let client = client.with_memory(memory);
    let mut session = ServerSession::open(&own, client, || {
        let ended = || control.ended().is_some();
        let mut link = connect(helper, options.timeout, HELPER_PATIENCE, &ended)?;
        link.obey(control);
        // The client says nothing before its welcome, unless it gives up.
        link.watch(&channel, Party::Client, Duration::ZERO);
        note(post, true);
        Ok::<_, NetError>(link)
    })?;
    let helper = session.helper_mut();
    helper.dismiss();
    let channel = Arc::clone(helper.channel());
    session.link_mut().watch(&channel, Party::Helper, ORDERLY);
    Ok(session)
}
