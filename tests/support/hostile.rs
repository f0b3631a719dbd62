//! Peers that mean harm: each speaks the wire protocol as far as it serves its purpose, until it is
//! told to stop.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use trefoil_ir::mpc::Party;
use trefoil_ir::plan::ClientPlan;
use trefoil_runtime::net::TcpLink;
use trefoil_runtime::session::{ClientSession, Identity};
use trefoil_runtime::wire::{FrameKind, Header, Link, LinkError, Peer, Tag};

/// Whom it is aimed at, and what the attackers have.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) server: SocketAddr,
    pub(crate) helper: SocketAddr,
    /// A client's plan, which a stranger would lack.
    pub(crate) plan: Arc<Vec<u8>>,
    pub(crate) stop: Arc<AtomicBool>,
}

/// An attacker at work.
pub(crate) type Attack = fn(&Target) -> Vec<JoinHandle<()>>;

/// How long an attacker waits for a listener at most.
const PATIENCE: Duration = Duration::from_secs(4);

impl Target {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// Sleeps, unless it is over before.
    fn pause(&self, time: Duration) {
        let until = Instant::now() + time;
        while self.goes_on() && Instant::now() < until {
            thread::sleep(Duration::from_millis(10).min(time));
        }
    }

    fn both(&self) -> [SocketAddr; 2] {
        [self.server, self.helper]
    }

    fn identity(&self) -> Identity {
        let plan = ClientPlan::decode(&self.plan).unwrap_or_else(|error| panic!("{error}"));
        Identity::from(&plan)
    }

    /// So many threads that do this again and again.
    fn repeat(&self, threads: usize, act: impl Fn(&Target) + Clone + Send + 'static) -> Vec<JoinHandle<()>> {
        let thread = |_| {
            let (target, act) = (self.clone(), act.clone());
            thread::spawn(move || {
                while target.goes_on() {
                    act(&target);
                }
            })
        };
        (0..threads).map(thread).collect()
    }
}

fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(Duration::from_millis(100)))?;
    Ok(stream)
}

/// Keeps a connection until the other end closes it, or it is over.
fn hold(target: &Target, mut stream: &TcpStream) {
    while target.goes_on() {
        match stream.read(&mut [0; 1024]) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if is_wait(&error) => {}
            Err(_) => return,
        }
    }
}

fn is_wait(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

/// Connections that say one byte, and come again as soon as they are closed.
pub(crate) fn one_byte(target: &Target) -> Vec<JoinHandle<()>> {
    let begin = |address| {
        move |target: &Target| match open(address) {
            Ok(mut stream) => {
                let _ = stream.write_all(&[0x81]);
                hold(target, &stream);
            }
            Err(_) => target.pause(Duration::from_millis(50)),
        }
    };
    let mut threads = target.repeat(8, begin(target.server));
    threads.extend(target.repeat(16, begin(target.helper)));
    threads
}

/// Two hundred connections to each that never say anything.
pub(crate) fn silent(target: &Target) -> Vec<JoinHandle<()>> {
    let crowd = |address| {
        move |target: &Target| {
            let crowd: Vec<_> = (0..200).filter_map(|_| open(address).ok()).collect();
            for stream in &crowd {
                hold(target, stream);
            }
        }
    };
    let threads = target.both().map(|address| target.repeat(1, crowd(address)));
    threads.into_iter().flatten().collect()
}

/// More than a thousand connections a second, bounded in number, each open for a while.
pub(crate) fn flood(target: &Target) -> Vec<JoinHandle<()>> {
    let pour = |address| {
        move |target: &Target| {
            let mut open_ones = std::collections::VecDeque::new();
            for _ in 0..2000 {
                if !target.goes_on() {
                    return;
                }
                open_ones.extend(open(address).ok());
                if open_ones.len() > 300 {
                    open_ones.pop_front();
                }
                thread::sleep(Duration::from_micros(500));
            }
        }
    };
    let threads = target.both().map(|address| target.repeat(2, pour(address)));
    threads.into_iter().flatten().collect()
}

/// Bytes that mean nothing.
pub(crate) fn noise(target: &Target) -> Vec<JoinHandle<()>> {
    let speak = |address| {
        move |target: &Target| {
            let bytes: Vec<u8> = (0..500u32)
                .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
                .collect();
            if let Ok(mut stream) = open(address) {
                let _ = stream.write_all(&bytes);
                hold(target, &stream);
            }
            target.pause(Duration::from_millis(20));
        }
    };
    let threads = target.both().map(|address| target.repeat(2, speak(address)));
    threads.into_iter().flatten().collect()
}

/// A hello a byte at a time.
pub(crate) fn slow_hello(target: &Target) -> Vec<JoinHandle<()>> {
    let drip = |address| {
        move |target: &Target| {
            let Ok(mut stream) = open(address) else {
                return target.pause(Duration::from_millis(50));
            };
            let tag = Tag::control(FrameKind::Hello);
            let length = 96;
            for byte in (Header { tag, length }).encode() {
                if !target.goes_on() || stream.write_all(&[byte]).is_err() {
                    return;
                }
                target.pause(Duration::from_millis(500));
            }
        }
    };
    let threads = target.both().map(|address| target.repeat(16, drip(address)));
    threads.into_iter().flatten().collect()
}

/// A link that is gone after a number of frames.
struct Cut {
    link: Option<TcpLink>,
    peer: Peer,
    left: usize,
}

impl Cut {
    fn after(left: usize, link: TcpLink) -> Self {
        let peer = link.peer().clone();
        let link = Some(link);
        Self { link, peer, left }
    }

    fn live(&mut self, costs: usize) -> Result<&mut TcpLink, LinkError> {
        if self.left < costs {
            self.link = None;
        }
        self.left = self.left.saturating_sub(costs);
        let peer = self.peer.clone();
        self.link.as_mut().ok_or(LinkError::PeerDisconnected { peer })
    }
}

impl Link for Cut {
    fn peer(&self) -> &Peer {
        &self.peer
    }

    fn send(&mut self, tag: Tag, payload: Vec<u8>) -> Result<(), LinkError> {
        self.live(1)?.send(tag, payload)
    }

    fn flush(&mut self) -> Result<(), LinkError> {
        self.live(0)?.flush()
    }

    fn header(&mut self) -> Result<Header, LinkError> {
        self.live(1)?.header()
    }

    fn body(&mut self, length: usize) -> Result<Vec<u8>, LinkError> {
        self.live(0)?.body(length)
    }
}

fn link(party: Party, address: SocketAddr) -> Option<TcpLink> {
    TcpLink::new(open(address).ok()?, Some(party), address, PATIENCE).ok()
}

/// Handshakes by the holder of a plan that end after each frame.
pub(crate) fn cut_off(target: &Target) -> Vec<JoinHandle<()>> {
    let own = target.identity();
    let cut = move |target: &Target| {
        for frames in 0..8 {
            for cuts_server in [false, true] {
                if !target.goes_on() {
                    return;
                }
                let left = |cut| if cut { frames } else { usize::MAX };
                let (Some(server), Some(helper)) = (
                    link(Party::Server, target.server),
                    link(Party::Helper, target.helper),
                ) else {
                    continue;
                };
                let server = Cut::after(left(cuts_server), server);
                let _ = ClientSession::open(&own, server, Cut::after(left(!cuts_server), helper));
            }
        }
    };
    target.repeat(4, cut)
}

/// A session that was opened as it should be, and its bare connections.
struct Opened {
    _session: ClientSession<TcpLink>,
    server: TcpStream,
    helper: TcpStream,
}

/// Opens a session, if there is a place.
fn session(target: &Target, own: &Identity) -> Option<Opened> {
    let (server, helper) = (open(target.server).ok()?, open(target.helper).ok()?);
    let link = |stream: &TcpStream, party, address| {
        TcpLink::new(stream.try_clone().ok()?, Some(party), address, PATIENCE).ok()
    };
    let links = (
        link(&server, Party::Server, target.server)?,
        link(&helper, Party::Helper, target.helper)?,
    );
    let session = ClientSession::open(own, links.0, links.1).ok()?;
    Some(Opened {
        _session: session,
        server,
        helper,
    })
}

/// So many clients that open sessions and then do this with them, again and again.
fn clients(
    target: &Target,
    count: usize,
    act: impl Fn(&Target, Opened) + Clone + Send + 'static,
) -> Vec<JoinHandle<()>> {
    let own = target.identity();
    target.repeat(count, move |target| match session(target, &own) {
        Some(opened) => act(target, opened),
        None => target.pause(Duration::from_millis(100)),
    })
}

/// All places taken by clients that ask for nothing.
pub(crate) fn idle_clients(target: &Target) -> Vec<JoinHandle<()>> {
    clients(target, 8, |target, opened| hold(target, &opened.server))
}

/// All places taken by clients that ask for something a byte at a time.
pub(crate) fn slow_requests(target: &Target) -> Vec<JoinHandle<()>> {
    clients(target, 8, |target, mut opened| {
        let tag = Tag::of_inference(0, FrameKind::Prepare);
        for byte in (Header { tag, length: 4 }).encode() {
            if !target.goes_on() || opened.server.write_all(&[byte]).is_err() {
                return;
            }
            target.pause(Duration::from_secs(2));
        }
    })
}

fn announce(stream: &mut TcpStream, kind: FrameKind, count: u32) -> io::Result<()> {
    let tag = Tag::of_inference(0, kind);
    stream.write_all(&Header { tag, length: 4 }.encode())?;
    stream.write_all(&count.to_le_bytes())
}

/// Clients that keep the helper in the belief that they are at work with the server, for as many
/// inferences as there can be, and leave the server.
pub(crate) fn patience(target: &Target) -> Vec<JoinHandle<()>> {
    clients(target, 8, |target, opened| {
        let Opened {
            _session: session,
            server,
            mut helper,
        } = opened;
        let count = 200;
        let prepared = announce(&mut helper, FrameKind::Prepare, count);
        let ran = prepared.and_then(|()| announce(&mut helper, FrameKind::Run, count));
        if ran.is_ok() {
            // The server sees the end of it.
            let _ = server.shutdown(std::net::Shutdown::Both);
            hold(target, &helper);
        }
        drop(session);
    })
}

/// Halves of sessions: clients that come to the helper and never to the server.
pub(crate) fn halves(target: &Target) -> Vec<JoinHandle<()>> {
    let own = target.identity();
    let mute = Arc::new(TcpListener::bind("127.0.0.1:0").expect("loopback can be listened on"));
    target.repeat(16, move |target| {
        let nowhere = mute.local_addr().expect("it is bound");
        if let (Some(server), Some(helper)) =
            (link(Party::Server, nowhere), link(Party::Helper, target.helper))
        {
            let _ = ClientSession::open(&own, server, helper);
        }
    })
}
