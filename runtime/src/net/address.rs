//! What addresses are.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use super::error::NetError;

/// The address that `text` names. IPv4 comes first where a name has both: of "localhost" both ends must take
/// the same one.
///
/// # Errors
/// If it is no address, or a name that has none.
pub fn resolve(text: &str) -> Result<SocketAddr, NetError> {
    look_up(text).map_err(|source| NetError::Address {
        address: text.to_owned(),
        source,
    })
}

/// The same, with the error of the system: of a name it may be gone the next time.
pub(super) fn look_up(text: &str) -> io::Result<SocketAddr> {
    let found: Vec<SocketAddr> = text.to_socket_addrs()?.collect();
    let chosen = found.iter().find(|found| found.is_ipv4()).or(found.first());
    chosen
        .copied()
        .ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

/// Whether a text has the form of an address: a name or a number, and a port behind a colon.
pub fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    !host.is_empty() && port.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken() {
        for text in [
            "127.0.0.1:0",
            "0.0.0.0:7001",
            "[::1]:7001",
            "10.0.0.1:80",
            "localhost:7001",
        ] {
            assert!(resolve(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "7001", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", ":::"] {
            assert!(matches!(resolve(text), Err(NetError::Address { .. })), "{text}");
        }
    }
}
