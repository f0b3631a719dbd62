//! What encryption costs: networks among three parties over loopback, with TLS as always and over bare
//! sockets, in turns; and how many bytes a second either takes. Bare links are this file's own: the
//! program has none.
//!
//! The environment variable `TREFOIL_BENCH_PLANS` names a folder whose subfolders each hold
//! `client.plan`, `server.plan` and `helper.plan`; without it only the links are measured.
//! `TREFOIL_BENCH_TURNS` is how often each is run (7).

use std::fs;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use trefoil_ir::mpc::{Party, Stage, ValueId};
use trefoil_ir::plan::{ClientPlan, HelperPlan, ServerPlan};
use trefoil_runtime::accounts::{Guest, Refusal};
use trefoil_runtime::exec;
use trefoil_runtime::keys::{PublicKey, SecretKey};
use trefoil_runtime::net::{Channel, Credentials, Known, NetError, Purpose, TcpLink};
use trefoil_runtime::session::{ClientSession, Greeted, HelperSession, Identity, ServerSession};
use trefoil_runtime::wire::{Header, Link, LinkError, Peer, Tag};

const PATIENCE: Duration = Duration::from_secs(60);

/// A connection that hides nothing.
struct Bare {
    peer: Peer,
    reader: BufReader<TcpStream>,
    writer: BufWriter<TcpStream>,
}

impl Bare {
    fn new(stream: TcpStream, party: Party) -> io::Result<Self> {
        const BUFFER: usize = 1 << 16;
        stream.set_nodelay(true)?;
        Ok(Self {
            peer: Peer::local(party),
            reader: BufReader::with_capacity(BUFFER, stream.try_clone()?),
            writer: BufWriter::with_capacity(BUFFER, stream),
        })
    }

    fn failed(&self, source: io::Error) -> LinkError {
        let peer = self.peer.clone();
        LinkError::Io { peer, source }
    }
}

impl Link for Bare {
    fn peer(&self) -> &Peer {
        &self.peer
    }

    fn send(&mut self, tag: Tag, payload: Vec<u8>) -> Result<(), LinkError> {
        let length = payload.len() as u32;
        let header = Header { tag, length }.encode();
        let written = self.writer.write_all(&header);
        let written = written.and_then(|()| self.writer.write_all(&payload));
        written.map_err(|error| self.failed(error))
    }

    fn flush(&mut self) -> Result<(), LinkError> {
        self.writer.flush().map_err(|error| self.failed(error))
    }

    fn header(&mut self) -> Result<Header, LinkError> {
        let mut bytes = [0; 16];
        let read = self.reader.read_exact(&mut bytes);
        read.map_err(|error| self.failed(error))?;
        Ok(Header::decode(&bytes).expect("the other end is this program"))
    }

    fn body(&mut self, length: usize) -> Result<Vec<u8>, LinkError> {
        let mut payload = vec![0; length];
        let read = self.reader.read_exact(&mut payload);
        read.map_err(|error| self.failed(error))?;
        Ok(payload)
    }
}

/// Takes everybody.
struct Everybody;

impl Known for Everybody {
    fn role_of(&self, _key: &PublicKey) -> Option<Party> {
        Some(Party::Client)
    }

    fn admit(&self, _key: &PublicKey) -> Result<Option<Guest>, Refusal> {
        Ok(None)
    }
}

/// Two ends of a connection over loopback.
trait Kind: Link + Sized + 'static {
    const NAME: &'static str;
    fn pair(left: Party, right: Party) -> (Self, Self);
}

fn sockets() -> (TcpStream, TcpStream, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback can be listened on");
    let address = listener.local_addr().expect("it is bound");
    let one = TcpStream::connect(address).expect("it listens");
    (one, listener.accept().expect("somebody came").0, address)
}

impl Kind for Bare {
    const NAME: &'static str = "bare";

    fn pair(left: Party, right: Party) -> (Self, Self) {
        let (one, other, _) = sockets();
        let end = |stream, party| Bare::new(stream, party).expect("a socket can be used");
        (end(one, right), end(other, left))
    }
}

impl Kind for TcpLink {
    const NAME: &'static str = "TLS";

    fn pair(left: Party, right: Party) -> (Self, Self) {
        let (one, other, address) = sockets();
        let key = || SecretKey::generate().expect("the system gives random bytes");
        let made = |key: &SecretKey| {
            Credentials::new(key)
                .map_err(NetError::from)
                .expect("a key is one")
        };
        let (opener, answerer) = (made(&key()), made(&key()));
        let open = opener
            .opening(answerer.public(), Purpose::Session)
            .expect("as always");
        let answer = answerer.answering(Arc::new(Everybody)).expect("as always");
        let link = |channel: io::Result<Channel>, party| {
            let channel = channel.expect("a socket can be used");
            channel
                .shake_hands(Instant::now() + PATIENCE, &|| false)
                .expect("both ends are right");
            TcpLink::new(channel, Some(party), address, PATIENCE).expect("a socket can be used")
        };
        thread::scope(|scope| {
            let answered = scope.spawn(|| link(Channel::answerer(other, &answer), left));
            let opened = link(Channel::opener(one, &open), right);
            (opened, answered.join().expect("no panic"))
        })
    }
}

/// Megabytes a second in one direction, in messages of this size.
fn rate<K: Kind>(size: usize) -> f64 {
    const BYTES: usize = 256 << 20;
    let (mut from, mut to) = K::pair(Party::Client, Party::Server);
    let tag = Tag::message(0, ValueId(1), Stage::Deal);
    thread::scope(move |scope| {
        scope.spawn(move || {
            for _ in 0..BYTES / size {
                from.send(tag, vec![7; size]).expect("the other end reads");
            }
            from.flush().expect("the other end reads");
            // It is closed when all has been read.
            let _ = from.header();
        });
        let start = Instant::now();
        for _ in 0..BYTES / size {
            to.receive(tag, size).expect("the other end sends");
        }
        let seconds = start.elapsed().as_secs_f64();
        drop(to);
        BYTES as f64 / 1e6 / seconds
    })
}

/// A network's plans.
struct Network {
    name: String,
    client: Vec<u8>,
    server: Vec<u8>,
    helper: Vec<u8>,
}

fn networks() -> Vec<Network> {
    let Some(folder) = std::env::var_os("TREFOIL_BENCH_PLANS") else {
        return Vec::new();
    };
    let entries = fs::read_dir(folder).expect("TREFOIL_BENCH_PLANS is a folder");
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let read = |path: &Path| {
        let file = |name: &str| fs::read(path.join(name)).ok();
        Some(Network {
            name: path.file_name()?.to_string_lossy().into_owned(),
            client: file("client.plan")?,
            server: file("server.plan")?,
            helper: file("helper.plan")?,
        })
    };
    paths.iter().filter_map(|path| read(path)).collect()
}

/// Seconds of one inference, both phases, over links of this kind.
fn inference<K: Kind>(network: &Network) -> f64 {
    let (client_server, server_client) = K::pair(Party::Client, Party::Server);
    let (client_helper, helper_client) = K::pair(Party::Client, Party::Helper);
    let (server_helper, helper_server) = K::pair(Party::Server, Party::Helper);
    let pool = || {
        rayon::ThreadPoolBuilder::new()
            .build()
            .expect("threads can be had")
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            let plan = ServerPlan::decode(&network.server).unwrap_or_else(|error| panic!("{error}"));
            let own = Identity::from(&plan);
            let dial = || Ok::<_, std::convert::Infallible>(server_helper);
            let session = ServerSession::accept(&own, server_client, dial).expect("the plans fit");
            let mut party = exec::Server::new(plan);
            pool()
                .install(|| session.serve(&mut party, |_| ()))
                .expect("nobody fails");
        });
        scope.spawn(|| {
            let plan = HelperPlan::decode(&network.helper).unwrap_or_else(|error| panic!("{error}"));
            let own = Identity::from(&plan);
            let ends = (
                Greeted::new(helper_client, &own),
                Greeted::new(helper_server, &own),
            );
            let (client, server) = (ends.0.expect("the plans fit"), ends.1.expect("the plans fit"));
            let session = HelperSession::open(client, server).expect("both are there");
            let mut party = exec::Helper::new(plan);
            pool()
                .install(|| session.serve(&mut party, |_| ()))
                .expect("nobody fails");
        });
        let plan = ClientPlan::decode(&network.client).unwrap_or_else(|error| panic!("{error}"));
        let own = Identity::from(&plan);
        let program = plan.program().clone();
        let input = program.input().expect("a plan has an input");
        let image = vec![0; program.ty(input).shape.len()];
        let mut party = exec::Client::new(plan);
        let mut session = ClientSession::open(&own, client_server, client_helper).expect("the plans fit");
        pool().install(|| {
            // The first takes fresh memory of the system.
            session.infer(&mut party, &image).expect("nobody fails");
            let start = Instant::now();
            session.infer(&mut party, &image).expect("nobody fails");
            let seconds = start.elapsed().as_secs_f64();
            session.end().expect("nobody fails");
            seconds
        })
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let turns = std::env::var("TREFOIL_BENCH_TURNS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(7);
    println!("| messages | {} MB/s | {} MB/s |", Bare::NAME, TcpLink::NAME);
    println!("| --- | --- | --- |");
    for size in [1 << 12, 1 << 16, 1 << 20] {
        let mut rates = [vec![], vec![]];
        for _ in 0..turns {
            rates[0].push(rate::<Bare>(size));
            rates[1].push(rate::<TcpLink>(size));
        }
        let [bare, tls] = rates.map(median);
        println!("| {} kiB | {bare:.0} | {tls:.0} |", size >> 10);
    }
    println!("\n| network | {} s | {} s | ratio |", Bare::NAME, TcpLink::NAME);
    println!("| --- | --- | --- | --- |");
    for network in networks() {
        let mut seconds = [vec![], vec![]];
        for _ in 0..turns {
            seconds[0].push(inference::<Bare>(&network));
            seconds[1].push(inference::<TcpLink>(&network));
        }
        let [bare, tls] = seconds.map(median);
        println!("| {} | {bare:.3} | {tls:.3} | {:.3} |", network.name, tls / bare);
    }
}
