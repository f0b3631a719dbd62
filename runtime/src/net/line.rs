//! A line of a party's log.

use std::fmt;
use std::net::SocketAddr;

use crate::session::SessionId;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// All is as it should be.
    Info,
    /// Somebody was not served.
    Warn,
}

/// Whose affair a line is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Whose {
    /// The session, if it is known.
    pub session: Option<SessionId>,
    /// The peer's address, as this party sees it.
    pub peer: Option<SocketAddr>,
}

/// What happened, to whom.
#[derive(Clone, Debug)]
pub struct Line {
    /// How much it matters.
    pub level: Level,
    /// What happened. Of images and keys nothing is ever said.
    pub text: String,
    /// The session and the peer to which it happened.
    pub whose: Whose,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Whose { session, peer } = self.whose;
        f.write_str(&self.text)?;
        session.map_or(Ok(()), |session| write!(f, " session={session}"))?;
        peer.map_or(Ok(()), |peer| write!(f, " peer={peer}"))
    }
}
