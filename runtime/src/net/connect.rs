//! Opening a connection.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use trefoil_ir::mpc::Party;

use rustls::ClientConfig;

use super::address::look_up;
use super::error::NetError;
use super::pace::set_intervals;
use super::tcp::TcpLink;
use super::tls::{Channel, TlsFault};

/// How long a party that does not listen yet is waited for: scripts start all three at once, and
/// a large plan takes a moment to load.
pub const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

const PAUSE: Duration = Duration::from_millis(100);

/// How a party is reached, and known.
#[derive(Clone)]
pub struct Door {
    /// Which party it is.
    pub party: Party,
    /// Where it listens: a name is looked up each time.
    pub address: String,
    /// The key that it must have, and this party's own
    /// ([`Credentials::opening`](super::tls::Credentials::opening)).
    pub tls: Arc<ClientConfig>,
}

/// Connects to a party, trying again for `patience`, or until `stop` says so.
///
/// # Errors
/// If nobody answers, or somebody else does.
pub fn connect(
    door: &Door,
    timeout: Duration,
    patience: Duration,
    stop: &dyn Fn() -> bool,
) -> Result<TcpLink, NetError> {
    let start = Instant::now();
    loop {
        let source = match attempt(door, timeout, patience.max(PAUSE), stop) {
            Ok(link) => return Ok(link),
            Err(source) => source,
        };
        let party = door.party;
        let address = door.address.clone();
        if let Some(fault) = TlsFault::of(&source) {
            let fault = fault.clone();
            return Err(NetError::Tls {
                party,
                address,
                fault,
            });
        }
        if start.elapsed() + PAUSE > patience || stop() {
            return Err(NetError::Connect {
                party,
                address,
                seconds: patience.as_secs_f64(),
                source,
            });
        }
        thread::sleep(PAUSE);
    }
}

/// Connects once. Who accepts a connection answers at once, or is so busy that it gives the time that any
/// message has.
fn attempt(
    door: &Door,
    timeout: Duration,
    patience: Duration,
    stop: &dyn Fn() -> bool,
) -> io::Result<TcpLink> {
    let address = look_up(&door.address)?;
    let stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_nodelay(true)?;
    set_intervals(&stream, timeout)?;
    let channel = Channel::opener(stream, &door.tls)?;
    channel.shake_hands(Instant::now() + timeout, stop)?;
    TcpLink::new(channel, Some(door.party), address, timeout)
}
