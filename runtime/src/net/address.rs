//! Which addresses may be used.
//!
//! Key contributions travel in the clear, and so do the helper's messages, which together with the
//! server's would give the activations away. Until links are encrypted, nothing may leave this
//! machine.

use std::net::{SocketAddr, ToSocketAddrs};

use super::error::NetError;

/// The loopback address that `text` names.
///
/// # Errors
/// If it is no address, or one that others can reach.
pub fn loopback(text: &str) -> Result<SocketAddr, NetError> {
    let address = text.to_owned();
    let found = match text.to_socket_addrs() {
        Ok(found) => found,
        Err(source) => return Err(NetError::Address { address, source }),
    };
    let found: Vec<SocketAddr> = found.collect();
    // All of a name's addresses must do, not only the one that happens to come first.
    if let Some(&found) = found
        .iter()
        .find(|found| !found.ip().to_canonical().is_loopback())
    {
        return Err(NetError::NotLoopback { found });
    }
    // IPv4 first: of "localhost" both ends must take the same one.
    let chosen = found.iter().find(|found| found.is_ipv4()).or(found.first());
    chosen.copied().ok_or(NetError::NoAddress { address })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_addresses_are_taken() {
        for text in [
            "127.0.0.1:0",
            "127.8.9.1:80",
            "[::1]:7001",
            "[::ffff:127.0.0.1]:7001",
        ] {
            assert!(loopback(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn any_other_is_refused_with_the_reason() {
        for text in [
            "0.0.0.0:7001",
            "10.0.0.1:7001",
            "[::]:7001",
            "[fe80::1]:7001",
            "192.168.1.2:80",
        ] {
            let error = loopback(text).unwrap_err();
            assert!(matches!(error, NetError::NotLoopback { .. }), "{text}");
            assert!(error.to_string().contains("not encrypted yet"), "{error}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "7001", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", ":::"] {
            assert!(matches!(loopback(text), Err(NetError::Address { .. })), "{text}");
        }
    }
}
