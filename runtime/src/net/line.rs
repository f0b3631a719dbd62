//! A line of a party's log.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::session::SessionId;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Details, for whoever looks for a fault.
    Debug,
    /// All is as it should be.
    Info,
    /// Somebody was not served.
    Warn,
}

/// Whose affair a line is.
#[derive(Clone, Debug, Default)]
pub struct Whose {
    /// The session, if it is known.
    pub session: Option<SessionId>,
    /// The peer's address, as this party sees it.
    pub peer: Option<SocketAddr>,
    /// The client's name here, once it has shown its key.
    pub client: Option<Arc<str>>,
}

/// What a session came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Images that were run.
    pub images: u32,
    /// From its beginning to its end.
    pub seconds: f64,
    /// Bytes of payload to the client.
    pub sent: u64,
    /// Bytes of payload from the client.
    pub received: u64,
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
    /// Of a session that has ended, what it came to.
    pub figures: Option<Figures>,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Whose {
            session,
            peer,
            client,
        } = &self.whose;
        f.write_str(&self.text)?;
        session.map_or(Ok(()), |session| write!(f, " session={session}"))?;
        client
            .as_ref()
            .map_or(Ok(()), |client| write!(f, " client={client}"))?;
        peer.map_or(Ok(()), |peer| write!(f, " peer={peer}"))
    }
}
