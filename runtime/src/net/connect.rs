//! Opening a connection.

use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use trefoil_ir::mpc::Party;

use super::error::NetError;
use super::tcp::TcpLink;

/// How long a party that does not listen yet is waited for: scripts start all three at once, and
/// a large plan takes a moment to load.
pub const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

const PAUSE: Duration = Duration::from_millis(100);

/// Connects to a party, trying again for `patience`.
///
/// # Errors
/// If nobody answers.
pub fn connect(
    party: Party,
    address: SocketAddr,
    timeout: Duration,
    patience: Duration,
) -> Result<TcpLink, NetError> {
    let start = Instant::now();
    loop {
        let stream = TcpStream::connect_timeout(&address, patience.max(PAUSE));
        let link = stream.and_then(|stream| TcpLink::new(stream, Some(party), address, timeout));
        let source = match link {
            Ok(link) => return Ok(link),
            Err(source) => source,
        };
        if start.elapsed() + PAUSE > patience {
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
