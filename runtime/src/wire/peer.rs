//! Who is at the other end of a link.

use std::fmt;
use std::net::SocketAddr;

use trefoil_ir::mpc::Party;

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its role, once it is known.
    pub party: Option<Party>,
    /// Its address, if the link is a network's.
    pub address: Option<SocketAddr>,
}

impl Peer {
    /// A party in this process.
    pub const fn local(party: Party) -> Self {
        Self {
            party: Some(party),
            address: None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.party {
            Some(party) => write!(f, "the {party}")?,
            None => f.write_str("the peer")?,
        }
        match self.address {
            Some(address) => write!(f, " at {address}"),
            None => Ok(()),
        }
    }
}
