//! What addresses are.

use std::net::{SocketAddr, ToSocketAddrs};

use super::error::NetError;

/// The address that `text` names. IPv4 comes first where a name has both: of "localhost" both ends must take
/// the same one.
///
/// # Errors
/// If it is no address, or a name that has none.
pub fn resolve(text: &str) -> Result<SocketAddr, NetError> {
    let address = text.to_owned();
    let found = match text.to_socket_addrs() {
        Ok(found) => found,
        Err(source) => return Err(NetError::Address { address, source }),
    };
    let found: Vec<SocketAddr> = found.collect();
    let chosen = found.iter().find(|found| found.is_ipv4()).or(found.first());
    chosen.copied().ok_or(NetError::NoAddress { address })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken() {
        for text in ["127.0.0.1:0", "0.0.0.0:7001", "[::1]:7001", "10.0.0.1:80", "localhost:7001"] {
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
