//! The server: one session per client's connection.

use std::sync::Arc;
use std::time::Duration;

use trefoil_ir::mpc::Party;

use super::connect::{Door, connect};
use super::control::Control;
use super::error::NetError;
use super::journal::{Journal, Topic};
use super::line::{Line, Whose};
use super::listen::Listener;
use super::options::ServeOptions;
use super::post::Post;
use super::service::{Room, Service};
use super::stop::Stop;
use super::tcp::TcpLink;
use crate::amount::counted;
use crate::exec;
use crate::session::{Greeted, ServerSession, SessionError, TurnedOut};
use crate::workers::on_own_threads;

/// How long a helper that does not answer is tried for. Clients are waiting.
const HELPER_PATIENCE: Duration = Duration::from_secs(5);

/// How long a session may go on whose other two parties' connections do not end at the same time.
pub(super) const ORDERLY: Duration = Duration::from_secs(2);

/// Serves clients until a stop is requested, or one session if the options say so.
///
/// # Errors
/// If the one session failed. In a series failures are logged, and the next client is served.
pub fn serve(
    listener: &Listener,
    helper: &Door,
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
        stop,
        journal: &journal,
        serve: |client: Greeted<TcpLink>, control: &Arc<Control>| {
            let Some(hosted) = post.plans.find(client.identity()) else {
                return Err(withdrawn([client]));
            };
            let session = open(client, helper, options, control)?;
            run(session, &hosted.party, &journal)
        },
    };
    service.run(Alone)
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
    options: &ServeOptions,
    control: &Arc<Control>,
) -> Result<ServerSession<TcpLink, TcpLink>, SessionError> {
    let link = client.link_mut();
    link.limit_session(options.session_time);
    link.limit_requests(Some(options.idle_time));
    link.obey(control);
    let channel = Arc::clone(link.channel());
    let own = client.identity().clone();
    let client = client.with_memory(options.session_memory);
    let mut session = ServerSession::open(&own, client, || {
        let ended = || control.ended().is_some();
        let mut link = connect(helper, options.timeout, HELPER_PATIENCE, &ended)?;
        link.obey(control);
        // The client says nothing before its welcome, unless it gives up.
        link.watch(&channel, Party::Client, Duration::ZERO);
        Ok::<_, NetError>(link)
    })?;
    let helper = session.helper_mut();
    helper.dismiss();
    let channel = Arc::clone(helper.channel());
    session.link_mut().watch(&channel, Party::Helper, ORDERLY);
    Ok(session)
}

fn run(
    mut session: ServerSession<TcpLink, TcpLink>,
    party: &exec::Server,
    journal: &Journal<'_>,
) -> Result<u32, SessionError> {
    let whose = Whose {
        session: Some(session.id()),
        peer: session.link_mut().address(),
    };
    journal.say(Topic::Session, whose, || "session begins".to_owned());
    let images = on_own_threads(|| session.serve(&mut party.clone(), |_| ()))?;
    journal.say(Topic::Session, whose, || {
        format!("session ends after {}", counted(images as usize, "image"))
    });
    Ok(images)
}
