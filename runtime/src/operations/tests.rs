//! What scrapers and probes read, and all that can come to their address besides them.

mod counting;
mod exposition;
mod hostile;
mod serving;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use trefoil_ir::mpc::Party;

use super::door::Limits;
use super::http::House;
use super::{Heartbeat, Hindrance, Metrics, Operations, Readiness};

/// Longer than anything here takes, on the slowest machine.
const LONG: Duration = Duration::from_secs(60);

/// As many as in earnest, for as long as a test likes.
fn limits(time: Duration) -> Limits {
    Limits {
        connections: 32,
        time,
        bytes: 8 << 10,
    }
}

/// A party without a party.
#[derive(Default)]
struct Dummy {
    heartbeat: Heartbeat,
    hindrances: Mutex<Vec<Hindrance>>,
    defect: AtomicBool,
}

impl Readiness for Dummy {
    fn heartbeat(&self) -> &Heartbeat {
        &self.heartbeat
    }

    fn hindrances(&self) -> Vec<Hindrance> {
        assert!(!self.defect.load(Ordering::Relaxed), "a defect, as ordered");
        self.hindrances.lock().unwrap().clone()
    }
}

/// An operator's address that is served.
struct Serving {
    metrics: Arc<Metrics>,
    party: Arc<Dummy>,
    operations: Operations,
}

impl Serving {
    fn start(limits: Limits, adapt: impl FnOnce(&mut House)) -> Self {
        let (metrics, party) = (Metrics::new(Party::Server), Arc::new(Dummy::default()));
        let mut house = House::new(Arc::clone(&metrics), Arc::clone(&party) as Arc<dyn Readiness>);
        adapt(&mut house);
        let operations = Operations::start_within("127.0.0.1:0".parse().unwrap(), house, limits).unwrap();
        Self {
            metrics,
            party,
            operations,
        }
    }

    fn patient() -> Self {
        Self::start(limits(LONG), |_| {})
    }

    fn connect(&self) -> TcpStream {
        connect(self.operations.address())
    }

    fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n"))
    }

    fn ask(&self, request: &str) -> Answer {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        Answer::read(&mut stream).unwrap()
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.set_write_timeout(Some(LONG)).unwrap();
    stream
}

/// An answer, read to the end of its connection.
#[derive(Debug)]
struct Answer {
    status: u16,
    /// The header's lines, in small letters.
    header: String,
    body: String,
}

impl Answer {
    fn read(stream: &mut TcpStream) -> io::Result<Self> {
        let mut all = String::new();
        stream.read_to_string(&mut all)?;
        let (header, body) = all.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(Self {
            status: header.split(' ').nth(1).unwrap().parse().unwrap(),
            header: header.to_lowercase(),
            body: body.to_owned(),
        })
    }

    fn says(&self, line: &str) -> bool {
        self.header.lines().any(|one| one == line)
    }
}

/// Reads until the other end closes, whichever way it does. Panics if it does not.
fn cut_off(stream: &mut TcpStream) -> Vec<u8> {
    let (mut all, mut some) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut some) {
            Ok(0) => return all,
            Ok(bytes) => all.extend_from_slice(&some[..bytes]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                panic!("a connection is still open")
            }
            Err(_) => return all,
        }
    }
}
