//! Three parties over loopback, and all that can come to a listening port besides a client.

mod limits;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use trefoil_ir::mpc::{Party, Stage, ValueId};

use super::connect::Door;
use super::line::Line;
use super::offer::{Hosted, Offer};
use super::pace::set_intervals;
use super::post::Post;
use super::tls::testing::{Spoken, keys};
use super::tls::{Channel, Purpose};
use super::vitals::Vitals;
use super::{Listener, NetError, ServeOptions, Stop, TcpLink, connect, helper, server};
use crate::exec;
use crate::operations::Metrics;
use crate::session::testing::{client_identity, client_plan, helper_plan, image, revealed, server_plan};
use crate::session::{ClientSession, Identity, SessionError, SessionId};
use crate::wire::{AbortReason, FrameKind, Header, Link, LinkError, Tag};

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(20);

fn options() -> ServeOptions {
    ServeOptions {
        timeout: LONG,
        hello_timeout: SHORT,
        pair_timeout: Duration::from_secs(2),
        grace: Duration::from_millis(200),
        ..ServeOptions::default()
    }
}

/// A party that serves in a thread.
struct Serving {
    address: SocketAddr,
    stop: Stop,
    lines: Arc<Mutex<Vec<String>>>,
    thread: JoinHandle<Result<(), NetError>>,
}

impl Serving {
    fn start(
        serve: impl FnOnce(Listener, &Stop, &(dyn Fn(Line) + Sync)) -> Result<(), NetError> + Send + 'static,
    ) -> Self {
        let listener = Listener::bind("127.0.0.1:0").unwrap();
        let (address, stop) = (listener.address(), Stop::default());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (stopping, log) = (stop.clone(), Arc::clone(&lines));
        let thread = thread::spawn(move || {
            serve(listener, &stopping, &move |line: Line| {
                log.lock().unwrap().push(line.to_string())
            })
        });
        Self {
            address,
            stop,
            lines,
            thread,
        }
    }

    fn helper(number: u8, options: ServeOptions) -> Self {
        Self::start(move |listener, stop, log| {
            let plan = helper_plan(number);
            let identity = Identity::from(&plan);
            let post = post(Party::Helper, identity, exec::Helper::new(plan));
            helper::serve(&listener, &post, &options, stop, log)
        })
    }

    fn server(helper: SocketAddr, options: ServeOptions) -> Self {
        Self::start(move |listener, stop, log| {
            let plan = server_plan(1);
            let identity = Identity::from(&plan);
            let post = post(Party::Server, identity, exec::Server::new(plan));
            let [look, go] = [Purpose::Probe, Purpose::Session]
                .map(|purpose| keys().door(&keys().server, Party::Helper, helper, purpose));
            server::serve(&listener, &(look, go), &post, &options, stop, log)
        })
    }

    fn stop(self) -> Result<(), NetError> {
        self.stop.request();
        self.thread.join().unwrap()
    }

    /// Waits for a log line that contains this.
    fn saw(&self, wanted: &str) {
        let start = Instant::now();
        while !self
            .lines
            .lock()
            .unwrap()
            .iter()
            .any(|line| line.contains(wanted))
        {
            assert!(
                start.elapsed() < LONG,
                "no `{wanted}` in {:?}",
                self.lines.lock().unwrap()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A listening party with one plan, that knows those whom it should.
fn post<P>(party: Party, identity: Identity, executor: P) -> Post<P> {
    let hosted = Hosted {
        identity,
        party: executor,
    };
    Post {
        credentials: keys().of(party).clone(),
        known: keys().known_to(party),
        plans: Offer::new(vec![hosted]).unwrap(),
        vitals: Arc::new(Vitals::new(party)),
        metrics: Metrics::new(party),
        trace: None,
    }
}

/// The client, with the plan that was made for its key.
fn own(number: u8) -> Identity {
    client_identity(number, &keys().client.public())
}

/// How the client reaches a party.
fn door(party: Party, address: SocketAddr) -> Door {
    keys().door(&keys().client, party, address, Purpose::Session)
}

fn reach(door: &Door, timeout: Duration) -> Result<TcpLink, NetError> {
    connect(door, timeout, SHORT, &|| false)
}

fn link(party: Party, address: SocketAddr) -> TcpLink {
    reach(&door(party, address), LONG).unwrap()
}

/// A party that shakes hands and says nothing, nor does it end.
fn mute(party: Party) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let kept: Vec<_> = listener
            .incoming()
            .map(|stream| answer(stream.unwrap(), party))
            .collect();
        drop(kept);
    });
    address
}

/// The answerer's end of a connection of the client's.
fn answer(stream: TcpStream, party: Party) -> Option<Spoken> {
    set_intervals(&stream, LONG).unwrap();
    stream.set_nodelay(true).unwrap();
    let config = keys().of(party).answering(keys().known_to(party)).unwrap();
    let channel = Channel::answerer(stream, &config).unwrap();
    channel.shake_hands(Instant::now() + LONG, &|| false).ok()?;
    channel.socket().set_read_timeout(Some(LONG)).unwrap();
    channel.socket().set_write_timeout(Some(LONG)).unwrap();
    Some(Spoken(channel))
}

fn classify(number: u8, server: SocketAddr, helper: SocketAddr) -> Result<(), SessionError> {
    let own = own(number);
    let mut party = exec::Client::new(client_plan(number));
    let (server, helper) = (link(Party::Server, server), link(Party::Helper, helper));
    let mut session = ClientSession::open(&own, server, helper)?;
    for first in 0..3 {
        assert_eq!(session.infer(&mut party, &image(first))?.units, revealed(first));
    }
    session.end()
}

/// A client's open session.
fn session(server: SocketAddr, helper: SocketAddr) -> ClientSession<TcpLink> {
    let own = own(1);
    let links = (link(Party::Server, server), link(Party::Helper, helper));
    ClientSession::open(&own, links.0, links.1).unwrap()
}

/// An address at which nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn sessions_run_one_after_the_other_and_side_by_side() {
    let helper = Serving::helper(1, options());
    let server = Serving::server(helper.address, options());
    classify(1, server.address, helper.address).unwrap();
    let (s, h) = (server.address, helper.address);
    let clients = [(); 2].map(|()| thread::spawn(move || classify(1, s, h)));
    for client in clients {
        client.join().unwrap().unwrap();
    }
    server.saw("ends after 3 images");
    server.stop().unwrap();
    helper.stop().unwrap();
}

#[test]
fn what_is_no_client_is_logged_and_disturbs_nobody() {
    let helper = Serving::helper(1, options());
    let server = Serving::server(helper.address, options());
    for address in [server.address, helper.address] {
        let mut garbage = TcpStream::connect(address).unwrap();
        garbage
            .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
        let mut answer = Vec::new();
        garbage.read_to_end(&mut answer).unwrap();
        assert_eq!(answer.len(), 7, "an alert and nothing else");
        // Whoever has a key still has to speak the protocol.
        let party = if address == server.address {
            Party::Server
        } else {
            Party::Helper
        };
        let mut garbage = keys().channel(party, address);
        garbage
            .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
        let mut answer = Vec::new();
        garbage.read_to_end(&mut answer).unwrap();
        assert_eq!(answer.len(), 16, "an abort and nothing else");
        drop(TcpStream::connect(address).unwrap());
    }
    let silent = TcpStream::connect(server.address).unwrap();
    classify(1, server.address, helper.address).unwrap();
    for party in [&server, &helper] {
        party.saw("what came is not encrypted");
        party.saw("broke the protocol");
    }
    server.saw("did not send within 0.3 seconds");
    drop(silent);
    classify(1, server.address, helper.address).unwrap();
    server.stop().unwrap();
    helper.stop().unwrap();
}

/// Whoever has the server's key, and a client's plan besides, is no client.
#[test]
fn a_party_plays_no_other() {
    let helper = Serving::helper(1, options());
    let door = keys().door(&keys().server, Party::Helper, helper.address, Purpose::Session);
    let server = reach(&self::door(Party::Server, mute(Party::Server)), LONG).unwrap();
    let error = ClientSession::open(&own(1), server, reach(&door, LONG).unwrap())
        .err()
        .unwrap();
    let reason = AbortReason::Stranger;
    let link = error.link_error().unwrap();
    assert!(
        matches!(link, LinkError::PeerAborted { reason: r, .. } if *r == reason),
        "{link}"
    );
    helper.saw("whoever speaks as the client has shown the server's key");
    helper.stop().unwrap();
}

#[test]
fn a_hello_in_drops_is_cut_off() {
    let helper = Serving::helper(1, options());
    let mut slow = keys().channel(Party::Helper, helper.address);
    let start = Instant::now();
    while slow.write_all(&[0x81]).is_ok() && start.elapsed() < LONG {
        thread::sleep(SHORT / 10);
    }
    assert!(start.elapsed() < LONG / 4);
    helper.stop().unwrap();
}

#[test]
fn no_more_sessions_than_allowed() {
    let helper = Serving::helper(1, options());
    let one = ServeOptions {
        sessions: 1,
        queue: 0,
        ..options()
    };
    let server = Serving::server(helper.address, one);
    let first = session(server.address, helper.address);
    let error = classify(1, server.address, helper.address).unwrap_err();
    let link = error.link_error().unwrap();
    assert!(
        matches!(
            link,
            LinkError::PeerAborted {
                reason: AbortReason::Busy,
                ..
            }
        ),
        "{link}"
    );
    assert!(error.is_busy());
    first.end().unwrap();
    classify(1, server.address, helper.address).unwrap();
    server.stop().unwrap();
    helper.stop().unwrap();
}

#[test]
fn an_unreachable_helper_is_an_error_and_not_the_end() {
    let helper = Serving::helper(1, options());
    let server = Serving::server(nobody(), options());
    for _ in 0..2 {
        let error = classify(1, server.address, helper.address).unwrap_err();
        let link = error.link_error().unwrap();
        assert!(
            matches!(
                link,
                LinkError::PeerAborted {
                    reason: AbortReason::HelperUnreachable,
                    ..
                }
            ),
            "{link}"
        );
    }
    server.saw("the server cannot reach the helper: cannot connect to the helper at 127.0.0.1:");
    helper.saw("the server of session");
    server.stop().unwrap();
    helper.stop().unwrap();
}

#[test]
fn one_session_and_its_status() {
    let once = || ServeOptions {
        once: true,
        ..options()
    };
    let helper = Serving::helper(1, once());
    let server = Serving::server(helper.address, once());
    // A port that is only looked at is no session.
    drop(TcpStream::connect(server.address).unwrap());
    classify(1, server.address, helper.address).unwrap();
    server.thread.join().unwrap().unwrap();
    helper.thread.join().unwrap().unwrap();

    let helper = Serving::helper(2, once());
    let server = Serving::server(helper.address, once());
    let errors = [
        classify(1, server.address, helper.address)
            .unwrap_err()
            .to_string(),
        super::listen::sentence(&server.thread.join().unwrap().unwrap_err()),
        super::listen::sentence(&helper.thread.join().unwrap().unwrap_err()),
    ];
    for error in errors {
        assert!(error.contains("are not of the same compilation"), "{error}");
    }
}

#[test]
fn stopping_cuts_a_session_off_after_a_moment() {
    let helper = Serving::helper(1, options());
    let server = Serving::server(helper.address, options());
    let mut session = session(server.address, helper.address);
    let start = Instant::now();
    let stopped = thread::spawn(move || {
        let lines = Arc::clone(&server.lines);
        server.stop().unwrap();
        lines
    });
    // It is told by whichever party it talks to.
    let error = loop {
        if let Err(error) = session.infer(&mut exec::Client::new(client_plan(1)), &image(0)) {
            break error;
        }
    };
    let reason = AbortReason::Stopping;
    let link = error.link_error().unwrap();
    assert!(
        matches!(link, LinkError::PeerAborted { peer, reason: r } if *r == reason && peer.party == Some(Party::Server)),
        "{link}"
    );
    let lines = stopped.join().unwrap();
    let said = lines.lock().unwrap().join("\n");
    assert!(
        said.contains("stopping: running sessions (1) may go on for 0.2 seconds"),
        "{said}"
    );
    assert!(said.contains("because this party is being stopped"), "{said}");
    helper.stop().unwrap();
    assert!(start.elapsed() < LONG / 2);
}

#[test]
fn the_client_alone_is_turned_out() {
    let patience = ServeOptions {
        pair_timeout: SHORT,
        once: true,
        ..options()
    };
    let helper = Serving::helper(1, patience);
    // The server is no server: it takes the connection and says nothing.
    let links = (
        reach(&door(Party::Server, mute(Party::Server)), SHORT * 3).unwrap(),
        link(Party::Helper, helper.address),
    );
    let error = ClientSession::open(&own(1), links.0, links.1).err().unwrap();
    let error = error.link_error().unwrap();
    assert!(matches!(error, LinkError::Timeout { .. }), "{error}");
    let error = super::listen::sentence(&helper.thread.join().unwrap().unwrap_err());
    assert!(
        error.contains("did not come to the helper within 0.3 seconds"),
        "{error}"
    );
}

/// Two ends of a connection, the second without a link.
fn bare(timeout: Duration) -> (TcpLink, Spoken) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let door = door(Party::Helper, listener.local_addr().unwrap());
    thread::scope(|scope| {
        let answered = scope.spawn(|| answer(listener.accept().unwrap().0, Party::Helper));
        let mut link = reach(&door, LONG).unwrap();
        link.set_timeout(timeout).unwrap();
        (link, answered.join().unwrap().unwrap())
    })
}

const DEAL: Tag = Tag::message(0, ValueId(1), Stage::Deal);

#[test]
fn lengths_are_the_plans_and_not_the_peers() {
    for length in [0, 3, 5, u32::MAX] {
        let (mut link, mut peer) = bare(SHORT);
        peer.write_all(&Header { tag: DEAL, length }.encode()).unwrap();
        let error = link.receive(DEAL, 4).unwrap_err();
        assert!(matches!(error, LinkError::PeerMisbehaved { .. }), "{error}");
    }
}

#[test]
fn a_connection_may_end_anywhere() {
    let mut frame = Header { tag: DEAL, length: 4 }.encode().to_vec();
    frame.extend([1, 2, 3, 4]);
    for sent in 0..frame.len() {
        let (mut link, mut peer) = bare(LONG);
        peer.write_all(&frame[..sent]).unwrap();
        drop(peer);
        let error = link.receive(DEAL, 4).unwrap_err();
        assert!(
            matches!(error, LinkError::PeerDisconnected { .. }),
            "{sent}: {error}"
        );
    }
    let (mut link, mut peer) = bare(LONG);
    peer.write_all(&frame).unwrap();
    assert_eq!(link.receive(DEAL, 4).unwrap(), [1, 2, 3, 4]);
}

#[test]
fn silence_ends_at_the_timeout_and_names_the_remedy() {
    let (mut link, peer) = bare(Duration::from_millis(50));
    let error = link.receive(DEAL, 4).unwrap_err().to_string();
    let expected = format!(
        "the helper at {} did not send within 0.05 seconds: check that it still runs, \
         or raise --timeout where it has more to compute",
        peer.0.socket().local_addr().unwrap()
    );
    assert_eq!(error, expected);
}

#[test]
fn a_peer_that_does_not_read_is_given_up() {
    let (mut link, _peer) = bare(Duration::from_millis(100));
    let error = (0..1000)
        .find_map(|_| link.send(DEAL, vec![0; 1 << 20]).err())
        .unwrap();
    assert!(
        matches!(error, LinkError::Timeout { doing: "read", .. }),
        "{error}"
    );
}

/// A client that is busy sending hears why the server reads no more.
#[test]
fn a_sender_hears_why_the_peer_left() {
    let (mut link, mut peer) = bare(LONG);
    link.send(DEAL, vec![0; 1 << 20]).unwrap();
    let abort = Tag::abort(AbortReason::SessionMemory);
    // A frame that was under way, then the reason; closed with much unread.
    for (tag, payload) in [(DEAL, &[7; 3][..]), (abort, &[])] {
        let length = payload.len() as u32;
        peer.write_all(&Header { tag, length }.encode()).unwrap();
        peer.write_all(payload).unwrap();
    }
    drop(peer);
    let error = (0..100).find_map(|_| link.send(DEAL, vec![0; 1 << 20]).err());
    let error = error.unwrap();
    let reason = AbortReason::SessionMemory;
    assert!(
        matches!(error, LinkError::PeerAborted { reason: r, .. } if r == reason),
        "{error}"
    );
}

#[test]
fn a_client_that_wants_too_large_a_stock_is_told_and_the_next_is_served() {
    let helper = Serving::helper(1, options());
    let small = ServeOptions {
        session_memory: 100_000,
        ..options()
    };
    let server = Serving::server(helper.address, small);
    let own = own(1);
    let plan = client_plan(1);
    let (to_server, to_helper) = (
        link(Party::Server, server.address),
        link(Party::Helper, helper.address),
    );
    let mut session = ClientSession::open(&own, to_server, to_helper).unwrap();
    let error = session.prepare(&mut exec::Client::new(plan), 1000).err().unwrap();
    let error = super::listen::sentence(&error);
    assert!(
        error.contains("take a smaller --stock or --batch, or start it with a higher --session-memory"),
        "{error}"
    );
    server.saw("the client wants a stock of 1000 inferences");
    classify(1, server.address, helper.address).unwrap();
    server.stop().unwrap();
    helper.stop().unwrap();
}

#[test]
fn frames_are_flushed_before_a_receive() {
    let (mut link, mut peer) = bare(LONG);
    let echo = thread::spawn(move || {
        let mut frame = [0; 16];
        peer.read_exact(&mut frame).unwrap();
        peer.write_all(&frame).unwrap();
    });
    let ready = Tag::of_inference(7, FrameKind::Ready);
    link.send(ready, vec![]).unwrap();
    assert!(link.receive(ready, 0).unwrap().is_empty());
    echo.join().unwrap();
}

#[test]
fn nobody_at_the_address_is_said_in_time() {
    let error = reach(&door(Party::Helper, nobody()), LONG).err().unwrap();
    assert!(
        matches!(
            error,
            NetError::Connect {
                party: Party::Helper,
                ..
            }
        ),
        "{error}"
    );
}
