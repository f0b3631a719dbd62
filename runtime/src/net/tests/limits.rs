//! What nobody can do to others by being slow, many, silent or gone.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;

use super::*;
use crate::net::control::Control;
use crate::net::journal::Journal;
use crate::net::pace::FLOOR;
use crate::net::probe::{Facts, Probes};
use crate::net::service::Service;
use crate::net::unproven::{Reception, Unproven};
use crate::session::{Pair, Pairing, Statement};
use crate::wire::Cause;

fn reason(error: &SessionError) -> AbortReason {
    match error.link_error() {
        Some(LinkError::PeerAborted { reason, .. }) => *reason,
        _ => panic!("{error}"),
    }
}

/// A newcomer takes the place of those who have shown what most have: nobody who has begun a handshake goes for
/// others that are silent.
#[test]
fn who_shows_less_pushes_nobody_out() {
    let keys = keys();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let known = keys.known_to(Party::Server);
    let tls = keys.server.answering(Arc::clone(&known)).unwrap();
    let mut pool = Unproven::new(4, LONG);
    let enter = |pool: &mut Unproven, bytes: &[u8]| {
        let mut opener = TcpStream::connect(address).unwrap();
        opener.write_all(bytes).unwrap();
        let (stream, peer) = listener.accept().unwrap();
        assert_eq!(peer, opener.local_addr().unwrap());
        (pool.enter(stream, peer, &tls).unwrap(), opener)
    };
    // The beginning of a handshake, as far as the length of its first record.
    let (none, begun) = enter(&mut pool, &[0x16, 3, 1, 1, 0]);
    assert_eq!(none, None);
    let plan = server_plan(1);
    let reception = Reception {
        hosts: &Identity::from(&plan),
        known: &*known,
    };
    // Until its bytes have come.
    for _ in 0..50 {
        assert!(pool.advance(&[true], &reception).is_empty());
        thread::sleep(Duration::from_millis(2));
    }
    let mut silent: Vec<TcpStream> = Vec::new();
    for number in 0..20_usize {
        let (dropped, opener) = enter(&mut pool, &[]);
        // Of the silent ones, the oldest.
        let oldest = number
            .checked_sub(3)
            .map(|oldest| silent[oldest].local_addr().unwrap());
        assert_eq!(dropped, oldest, "{number}");
        silent.push(opener);
    }
    assert!(
        pool.streams()
            .any(|stream| stream.peer_addr().unwrap() == begun.local_addr().unwrap())
    );
}

#[test]
fn connections_without_a_proof_keep_nobody_out() {
    let few = || ServeOptions {
        unproven: 8,
        sessions: 1,
        hello_timeout: LONG,
        ..options()
    };
    let helper = Serving::helper(1, few());
    let server = Serving::server(helper.address, few());
    let strangers = [server.address, helper.address].map(|address| {
        let begun = |_| {
            let mut stranger = TcpStream::connect(address).unwrap();
            // The first byte of a handshake.
            stranger.write_all(&[0x16]).unwrap();
            stranger
        };
        (0..40).map(begun).collect::<Vec<_>>()
    });
    classify(1, server.address, helper.address).unwrap();
    server.saw("connections have proved nothing yet: the one from 127.0.0.1:");
    helper.saw("connections have proved nothing yet: the one from 127.0.0.1:");
    // Each pool holds eight, and the others were closed.
    for crowd in strangers {
        for mut stranger in crowd.into_iter().take(32) {
            stranger.set_read_timeout(Some(LONG)).unwrap();
            // Nothing, or the end by force, as a byte of it was never read.
            match stranger.read(&mut [0]) {
                Ok(0) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
                still => panic!("{still:?}"),
            }
        }
    }
    server.stop().unwrap();
    helper.stop().unwrap();
}

/// Whoever knows the plan goes last, however long it has been there.
#[test]
fn a_hello_that_fits_is_kept_before_silence() {
    let few = ServeOptions {
        unproven: 8,
        hello_timeout: LONG,
        ..options()
    };
    let helper = Serving::helper(1, few);
    let hello = |number| {
        let statement = own(number).statement(Party::Helper, SessionId::random().unwrap());
        let payload = statement.encode();
        let header = Header {
            tag: Tag::control(FrameKind::Hello),
            length: payload.len() as u32,
        };
        let mut stream = keys().channel(Party::Helper, helper.address);
        stream.write_all(&header.encode()).unwrap();
        stream.write_all(&payload).unwrap();
        stream
    };
    let mut client = hello(1);
    let mut half = [0; 48];
    client.read_exact(&mut half).unwrap();
    assert_eq!(half[0], 0x84);
    let crowd: Vec<_> = (0..100)
        .map(|_| TcpStream::connect(helper.address).unwrap())
        .collect();
    helper.saw("connections have proved nothing yet");
    thread::sleep(SHORT);
    // It is still waited for: a half of its own brings the proof of the helper.
    client.write_all(&half).unwrap();
    let mut proof = [0; 48];
    client.read_exact(&mut proof).unwrap();
    assert_eq!(proof[0], 0x89);
    drop(crowd);
    // Of many that know the plan the oldest goes.
    let (mut oldest, others) = (hello(1), (0..8).map(|_| hello(1)).collect::<Vec<_>>());
    let mut rest = Vec::new();
    let _ = oldest.read_to_end(&mut rest);
    assert!(rest.len() <= 48, "its half at most, and no word after it");
    drop(others);
    helper.stop().unwrap();
}

#[test]
fn without_threads_a_session_is_refused_and_the_party_lives() {
    let helper = Serving::helper(1, options());
    // A stack that no system gives: a thread cannot be started.
    let greedy = ServeOptions {
        stack: 1 << 60,
        ..options()
    };
    let server = Serving::server(helper.address, greedy);
    for _ in 0..3 {
        let error = classify(1, server.address, helper.address).unwrap_err();
        assert_eq!(reason(&error), AbortReason::Busy, "{error}");
    }
    server.saw("the system gives no thread");
    server.stop().unwrap();
    helper.stop().unwrap();
}

#[test]
fn a_client_that_asks_for_nothing_is_ended_and_told() {
    let impatient = ServeOptions {
        idle_time: SHORT,
        ..options()
    };
    let helper = Serving::helper(1, options());
    let server = Serving::server(helper.address, impatient);
    let mut idle = session(server.address, helper.address);
    server.saw("the client asked for nothing within 0.3 seconds");
    // The helper has no limit of its own, and ends with the server.
    helper.saw("the server gave the session up");
    let error = idle
        .prepare(&mut exec::Client::new(client_plan(1)), 1)
        .err()
        .unwrap();
    assert_eq!(reason(&error), AbortReason::Idle, "{error}");
    server.stop().unwrap();
    helper.stop().unwrap();
}

#[test]
fn a_client_that_idles_while_another_waits_is_told_which_places_to_raise() {
    let one = ServeOptions {
        sessions: 1,
        idle_time: LONG,
        ..options()
    };
    let patient = ServeOptions {
        pair_timeout: LONG,
        ..options()
    };
    let helper = Serving::helper(1, patient);
    let server = Serving::server(helper.address, one);
    let mut idle = session(server.address, helper.address);
    classify(1, server.address, helper.address).unwrap();
    let error = idle
        .prepare(&mut exec::Client::new(client_plan(1)), 1)
        .err()
        .unwrap();
    assert_eq!(reason(&error), AbortReason::Displaced, "{error}");
    let said = AbortReason::Displaced.to_string();
    assert!(
        said.contains("--sessions") && !said.contains("--idle-time"),
        "{said}"
    );
    server.stop().unwrap();
    helper.stop().unwrap();
}

#[test]
fn a_session_has_an_end_however_busy_it_is() {
    let short = ServeOptions {
        session_time: SHORT,
        ..options()
    };
    let helper = Serving::helper(1, options());
    let server = Serving::server(helper.address, short);
    let mut busy = session(server.address, helper.address);
    let mut party = exec::Client::new(client_plan(1));
    let start = Instant::now();
    let error = loop {
        assert!(start.elapsed() < LONG);
        if let Err(error) = busy.infer(&mut party, &image(0)) {
            break error;
        }
    };
    assert_eq!(reason(&error), AbortReason::SessionTime, "{error}");
    server.saw("the session took longer than the 0.3 seconds");
    server.stop().unwrap();
    helper.stop().unwrap();
}

#[test]
fn the_clients_own_limit_of_a_session() {
    let (mut link, mut peer) = bare(LONG);
    link.limit_session(SHORT);
    let error = link.receive(DEAL, 4).unwrap_err();
    assert!(
        matches!(error, LinkError::Ended(Cause::SessionTime { .. })),
        "{error}"
    );
    // It can still say why it gives up.
    link.abort(AbortReason::SessionTime);
    let mut said = [0; 16];
    peer.read_exact(&mut said).unwrap();
    assert_eq!(said[0], 0x88);
}

/// Sends these bytes a piece at a time until nobody reads any more.
fn trickle(mut peer: Spoken, bytes: Vec<u8>, piece: usize, pause: Duration) -> JoinHandle<()> {
    thread::spawn(move || {
        for piece in bytes.chunks(piece) {
            if peer.write_all(piece).is_err() {
                return;
            }
            thread::sleep(pause);
        }
        // The connection must not end before it has been read.
        let _ = peer.read(&mut [0]);
    })
}

#[test]
fn a_byte_now_and_then_is_not_enough() {
    let pause = SHORT / 10;
    let header = Header { tag: DEAL, length: 4 }.encode().to_vec();
    for (begun, rest) in [(0, header.clone()), (16, vec![0; 100])] {
        let length = if begun == 0 { 4 } else { 100 };
        let (mut link, mut peer) = bare(SHORT);
        let header = Header { tag: DEAL, length }.encode();
        peer.write_all(&header[..begun]).unwrap();
        let start = Instant::now();
        let sender = trickle(peer, rest, 1, pause);
        let error = link.receive(DEAL, length as usize).unwrap_err();
        assert!(start.elapsed() < LONG / 4);
        let message = error.to_string();
        assert!(
            message.contains("did not send a whole message within 0."),
            "{message}"
        );
        drop(link);
        sender.join().unwrap();
    }
}

#[test]
fn a_slow_network_is_enough() {
    let timeout = Duration::from_secs(1);
    let length = FLOOR as usize * 6;
    let (mut link, mut peer) = bare(timeout);
    let header = Header {
        tag: DEAL,
        length: length as u32,
    };
    peer.write_all(&header.encode()).unwrap();
    // Four times as fast as it must be, and beyond the timeout of a silent peer.
    let pieces = 30;
    let pause = Duration::from_secs_f64(length as f64 / f64::from(4 * FLOOR) / f64::from(pieces));
    let start = Instant::now();
    let sender = trickle(peer, vec![7; length], length / pieces as usize, pause);
    assert_eq!(link.receive(DEAL, length).unwrap(), vec![7; length]);
    assert!(start.elapsed() > timeout);
    drop(link);
    sender.join().unwrap();
}

#[test]
fn a_peer_that_reads_a_byte_now_and_then_is_given_up() {
    let (mut link, mut peer) = bare(SHORT);
    let (done, over) = std::sync::mpsc::channel::<()>();
    let reader = thread::spawn(move || {
        let mut byte = [0];
        let goes_on = || matches!(over.recv_timeout(SHORT / 10), Err(RecvTimeoutError::Timeout));
        while goes_on() && matches!(peer.read(&mut byte), Ok(1)) {}
    });
    let start = Instant::now();
    let error = (0..1000).find_map(|_| link.send(DEAL, vec![0; 1 << 20]).err());
    assert!(
        matches!(error, Some(LinkError::Timeout { doing: "read", .. })),
        "{error:?}"
    );
    assert!(start.elapsed() < LONG / 4);
    drop(done);
    reader.join().unwrap();
}

#[test]
fn a_helper_notices_that_the_server_is_gone() {
    let helper = Serving::helper(1, options());
    let server = Serving::server(helper.address, options());
    let idle = session(server.address, helper.address);
    let start = Instant::now();
    server.stop().unwrap();
    helper.saw("the server gave the session up: it is being stopped");
    assert!(start.elapsed() < LONG / 4);
    drop(idle);
    helper.stop().unwrap();
}

#[test]
fn half_a_session_leaves_the_helper_when_it_goes() {
    let patient = ServeOptions {
        pair_timeout: LONG,
        ..options()
    };
    let helper = Serving::helper(1, patient);
    // A server that is none takes the connection and says nothing.
    let server = reach(&door(Party::Server, mute(Party::Server)), SHORT).unwrap();
    let own = own(1);
    let opened = ClientSession::open(&own, server, link(Party::Helper, helper.address));
    assert!(opened.is_err());
    helper.saw("had not come to the helper when the client left it");
    helper.stop().unwrap();
}

#[test]
fn the_log_has_an_end() {
    let helper = Serving::helper(1, options());
    for _ in 0..200 {
        let mut stranger = TcpStream::connect(helper.address).unwrap();
        stranger.write_all(&[0xff; 16]).unwrap();
    }
    helper.saw("what came is not encrypted");
    let lines = Arc::clone(&helper.lines);
    thread::sleep(SHORT);
    helper.stop().unwrap();
    let lines = lines.lock().unwrap();
    assert!(lines.len() < 40, "{}", lines.len());
    let last = lines.join("\n");
    assert!(
        last.contains("more lines about connections without a proof"),
        "{last}"
    );
}

/// Connections one after the other, each kept, as long as somebody listens there.
fn crowd(address: SocketAddr) -> JoinHandle<()> {
    thread::spawn(move || {
        let (start, mut kept) = (Instant::now(), Vec::new());
        while start.elapsed() < LONG {
            match TcpStream::connect(address) {
                Ok(stream) => kept.push(stream),
                Err(_) => return,
            }
            thread::sleep(SHORT / 6);
        }
    })
}

#[test]
fn nobody_who_comes_keeps_a_stopped_party_from_its_end() {
    let helper = Serving::helper(1, options());
    let server = Serving::server(helper.address, options());
    let running = session(server.address, helper.address);
    let crowds = [server.address, helper.address].map(crowd);
    let start = Instant::now();
    // One with a session, which is cut off, and one without.
    server.stop().unwrap();
    drop(running);
    helper.stop().unwrap();
    assert!(start.elapsed() < LONG / 2, "{:?}", start.elapsed());
    for crowd in crowds {
        crowd.join().unwrap();
    }
}

#[test]
fn the_one_session_goes_on_when_somebody_else_is_turned_out() {
    let once = ServeOptions {
        once: true,
        pair_timeout: LONG,
        ..options()
    };
    let helper = Serving::helper(1, once);
    // Half a session: its server takes the hello and is gone when it is told to.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let (nowhere, address) = (mute.local_addr().unwrap(), helper.address);
    let half = thread::spawn(move || {
        let own = own(1);
        let links = (link(Party::Server, nowhere), link(Party::Helper, address));
        ClientSession::open(&own, links.0, links.1).map(drop)
    });
    let mut other = answer(mute.accept().unwrap().0, Party::Server).unwrap();
    // It introduces itself to the helper before it answers this.
    other.read_exact(&mut [0; 16 + Statement::BYTES]).unwrap();
    let header = Header {
        tag: Tag::control(FrameKind::Contribution),
        length: 32,
    };
    other.write_all(&header.encode()).unwrap();
    other.write_all(&[7; 32]).unwrap();
    other.read_exact(&mut [0; 48]).unwrap();
    let server = Serving::server(helper.address, options());
    let mut running = session(server.address, helper.address);
    drop(other);
    assert!(half.join().unwrap().is_err());
    helper.saw("had not come to the helper when the client left it");
    let mut party = exec::Client::new(client_plan(1));
    assert_eq!(running.infer(&mut party, &image(3)).unwrap().units, revealed(3));
    running.end().unwrap();
    helper.thread.join().unwrap().unwrap();
    server.stop().unwrap();
}

/// A helper with a defect.
fn defective(options: ServeOptions) -> Serving {
    Serving::start(move |listener, stop, log| {
        let post = post(Party::Helper, Identity::from(&helper_plan(1)), ());
        let serve = |_: Pair<TcpLink>, _: &Arc<Control>| -> Result<u32, SessionError> { panic!("a defect") };
        let service = Service {
            listener: &listener,
            options: &options,
            tls: post.credentials.answering(Arc::clone(&post.known))?,
            known: &*post.known,
            hosts: &post.plans,
            vitals: &post.vitals,
            metrics: &post.metrics,
            probes: Probes::default(),
            closing: Arc::default(),
            facts: &|| Facts::of(Party::Helper, vec![], 1),
            stop,
            journal: &Journal::new(log),
            serve,
        };
        service.run(Pairing::new(LONG, 8))
    })
}

#[test]
fn a_defect_that_ends_a_session_is_told_and_ends_nothing_else() {
    const TOLD: &str = "failed by a defect of this program";
    let helper = defective(options());
    let server = Serving::server(helper.address, options());
    for _ in 0..2 {
        assert!(classify(1, server.address, helper.address).is_err());
    }
    helper.saw(TOLD);
    helper.stop().unwrap();
    server.stop().unwrap();

    let once = ServeOptions {
        once: true,
        ..options()
    };
    let helper = defective(once);
    let server = Serving::server(helper.address, options());
    assert!(classify(1, server.address, helper.address).is_err());
    let error = super::super::listen::sentence(&helper.thread.join().unwrap().unwrap_err());
    assert!(error.contains(TOLD), "{error}");
    server.stop().unwrap();
}

/// A peer that sends for ever, and much at a time, is listened to for a moment all the same.
#[test]
fn last_words_are_not_sought_for_ever_in_a_frame_without_end() {
    let (mut link, mut peer) = bare(LONG);
    let length = u32::MAX;
    peer.write_all(&Header { tag: DEAL, length }.encode()).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let is_over = Arc::clone(&over);
    let sender = thread::spawn(move || {
        let start = Instant::now();
        while !is_over.load(Ordering::Relaxed) && start.elapsed() < LONG / 2 {
            if peer.write_all(&[0; 1 << 14]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
    });
    let start = Instant::now();
    assert!(link.last_words().is_none());
    assert!(start.elapsed() < LONG / 4, "{:?}", start.elapsed());
    over.store(true, Ordering::Relaxed);
    drop(link);
    sender.join().unwrap();
}
