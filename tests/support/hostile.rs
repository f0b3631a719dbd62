//! Peers that mean harm: each speaks the wire protocol as far as it serves its purpose, until it is
//! told to stop.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use trefoil_ir::mpc::Party;
use trefoil_ir::plan::ClientPlan;
use trefoil_runtime::keys::{PublicKey, SecretKey};
use trefoil_runtime::net::{Channel, Credentials, Purpose, TcpLink};
use trefoil_runtime::session::{ClientSession, Identity};
use trefoil_runtime::wire::{FrameKind, Header, Link, LinkError, Peer, Tag};

/// Whom it is aimed at, and what the attackers have.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) server: SocketAddr,
    pub(crate) helper: SocketAddr,
    /// A client's plan, which a stranger would lack.
    pub(crate) plan: Arc<Vec<u8>>,
    /// Its key, which a stranger would lack, too.
    pub(crate) key: SecretKey,
    /// The keys of server and helper, which everybody may know.
    pub(crate) server_key: PublicKey,
    pub(crate) helper_key: PublicKey,
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

impl Target {
    /// The key of whoever listens there.
    fn key_at(&self, address: SocketAddr) -> PublicKey {
        if address == self.server {
            self.server_key
        } else {
            self.helper_key
        }
    }

    /// An encrypted connection of whoever has this key. The server's key is expected at any other address.
    fn channel(&self, key: &SecretKey, address: SocketAddr) -> Option<Channel> {
        let credentials = Credentials::new(key).ok()?;
        let config = credentials.opening(self.key_at(address), Purpose::Session).ok()?;
        let channel = Channel::opener(open(address).ok()?, &config).ok()?;
        channel
            .shake_hands(Instant::now() + PATIENCE, &|| !self.goes_on())
            .ok()?;
        Some(channel)
    }

    fn link(&self, party: Party, address: SocketAddr) -> Option<TcpLink> {
        TcpLink::new(self.channel(&self.key, address)?, Some(party), address, PATIENCE).ok()
    }
}

fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(Duration::from_millis(100)))?;
    Ok(stream)
}

/// Keeps a connection until the other end closes it, or it is over.
fn hold(target: &Target, mut stream: impl Read) {
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
                let _ = stream.write_all(&[0x16]);
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

/// Handshakes that are begun and not gone on with: the listener has done its part of them.
pub(crate) fn half_handshakes(target: &Target) -> Vec<JoinHandle<()>> {
    let begin = |address| {
        move |target: &Target| {
            let key = SecretKey::generate().expect("the system gives random bytes");
            let config =
                Credentials::new(&key).and_then(|own| own.opening(target.key_at(address), Purpose::Session));
            let (Ok(config), Ok(stream)) = (config, open(address)) else {
                return target.pause(Duration::from_millis(50));
            };
            let Ok(channel) = Channel::opener(stream, &config) else {
                return;
            };
            // The first message goes out, and nothing is read of the answer.
            let _ = channel.shake_hands(Instant::now(), &|| true);
            hold(target, channel.socket());
        }
    };
    let threads = target.both().map(|address| target.repeat(16, begin(address)));
    threads.into_iter().flatten().collect()
}

/// Handshakes with keys that nobody knows, one after the other.
pub(crate) fn unknown_keys(target: &Target) -> Vec<JoinHandle<()>> {
    let knock = |address| {
        move |target: &Target| {
            let key = SecretKey::generate().expect("the system gives random bytes");
            match target.channel(&key, address) {
                Some(channel) => hold(target, &channel),
                None => target.pause(Duration::from_millis(20)),
            }
        }
    };
    let threads = target.both().map(|address| target.repeat(4, knock(address)));
    threads.into_iter().flatten().collect()
}

/// A hello a byte at a time, by a client.
pub(crate) fn slow_hello(target: &Target) -> Vec<JoinHandle<()>> {
    let drip = |address| {
        move |target: &Target| {
            let Some(channel) = target.channel(&target.key, address) else {
                return target.pause(Duration::from_millis(50));
            };
            let mut stream = &channel;
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
                    target.link(Party::Server, target.server),
                    target.link(Party::Helper, target.helper),
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
    session: ClientSession<TcpLink>,
}

impl Opened {
    /// Says this to the server, or the helper, as it stands.
    fn say(&mut self, at_server: bool, bytes: &[u8]) -> io::Result<()> {
        let [server, helper] = self.session.links_mut();
        let channel = if at_server { server } else { helper }.channel().clone();
        (&*channel).write_all(bytes)?;
        (&*channel).flush()
    }

    /// What comes from the server, or the helper.
    fn channel(&mut self, at_server: bool) -> Arc<Channel> {
        let [server, helper] = self.session.links_mut();
        if at_server { server } else { helper }.channel().clone()
    }
}

/// Opens a session, if there is a place.
fn session(target: &Target, own: &Identity) -> Option<Opened> {
    let server = target.link(Party::Server, target.server)?;
    let helper = target.link(Party::Helper, target.helper)?;
    let session = ClientSession::open(own, server, helper).ok()?;
    Some(Opened { session })
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
    clients(target, 8, |target, mut opened| {
        hold(target, &*opened.channel(true))
    })
}

/// All places taken by clients that ask for something a byte at a time.
pub(crate) fn slow_requests(target: &Target) -> Vec<JoinHandle<()>> {
    clients(target, 8, |target, mut opened| {
        let tag = Tag::of_inference(0, FrameKind::Prepare);
        for byte in (Header { tag, length: 4 }).encode() {
            if !target.goes_on() || opened.say(true, &[byte]).is_err() {
                return;
            }
            target.pause(Duration::from_secs(2));
        }
    })
}

fn announcement(kind: FrameKind, count: u32) -> Vec<u8> {
    let tag = Tag::of_inference(0, kind);
    let mut bytes = Header { tag, length: 4 }.encode().to_vec();
    bytes.extend(count.to_le_bytes());
    bytes
}

/// Clients that keep the helper in the belief that they are at work with the server, for as many
/// inferences as there can be, and leave the server.
pub(crate) fn patience(target: &Target) -> Vec<JoinHandle<()>> {
    clients(target, 8, |target, mut opened| {
        let count = 200;
        let prepared = opened.say(false, &announcement(FrameKind::Prepare, count));
        let ran = prepared.and_then(|()| opened.say(false, &announcement(FrameKind::Run, count)));
        if ran.is_ok() {
            // The server sees the end of it.
            let _ = opened.channel(true).socket().shutdown(std::net::Shutdown::Both);
            hold(target, &*opened.channel(false));
        }
    })
}

/// Halves of sessions: clients that come to the helper and never to the server.
pub(crate) fn halves(target: &Target) -> Vec<JoinHandle<()>> {
    let own = target.identity();
    target.repeat(16, move |target| {
        if let (Some(server), Some(helper)) = (
            target.link(Party::Server, target.server),
            target.link(Party::Helper, target.helper),
        ) {
            // The server never hears of it.
            let _ = ClientSession::open(&own, Cut::after(0, server), Cut::after(usize::MAX, helper));
        }
    })
}
