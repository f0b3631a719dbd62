//! A link that keeps what passes, for tests.

use super::{Header, Link, LinkError, MemoryLink, Peer, Tag};

/// A link, and everything that its end has sent and received.
pub(crate) struct Recording {
    link: MemoryLink,
    /// What was sent.
    pub(crate) sent: Vec<(Tag, Vec<u8>)>,
    /// Payloads that were received.
    pub(crate) received: Vec<Vec<u8>>,
}

impl Recording {
    pub(crate) fn new(link: MemoryLink) -> Self {
        Self {
            link,
            sent: Vec::new(),
            received: Vec::new(),
        }
    }
}

impl Link for Recording {
    fn peer(&self) -> &Peer {
        self.link.peer()
    }

    fn send(&mut self, tag: Tag, payload: Vec<u8>) -> Result<(), LinkError> {
        self.sent.push((tag, payload.clone()));
        self.link.send(tag, payload)
    }

    fn flush(&mut self) -> Result<(), LinkError> {
        self.link.flush()
    }

    fn header(&mut self) -> Result<Header, LinkError> {
        self.link.header()
    }

    fn body(&mut self, length: usize) -> Result<Vec<u8>, LinkError> {
        let payload = self.link.body(length)?;
        self.received.push(payload.clone());
        Ok(payload)
    }
}
