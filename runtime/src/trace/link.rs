//! A link that records what passes, and who waits for it.

use std::time::Duration;

use super::Recorder;
use crate::keys::PublicKey;
use crate::wire::{AbortReason, Header, Link, LinkError, Peer, Tag};

/// A link whose party is traced. Both ends of a connection have to be of this kind: they count
/// frames to find each other's.
pub struct Traced<L> {
    link: L,
    recorder: Recorder,
    sent: u64,
    received: u64,
    /// The frame whose header was read last: since when it was waited for, and when it came.
    pending: Option<(Header, Duration, Duration)>,
}

impl<L: Link> Traced<L> {
    /// Tells the recorder, which is the party's at this end.
    pub fn new(link: L, recorder: Recorder) -> Self {
        Self {
            link,
            recorder,
            sent: 0,
            received: 0,
            pending: None,
        }
    }
}

impl<L: Link> Link for Traced<L> {
    fn peer(&self) -> &Peer {
        self.link.peer()
    }

    fn send(&mut self, tag: Tag, payload: Vec<u8>) -> Result<(), LinkError> {
        let begin = self.recorder.now();
        let bytes = payload.len() as u64;
        self.link.send(tag, payload)?;
        if let Some(to) = self.link.peer().party {
            let frame = self.recorder.frame_to(to, self.sent, tag, bytes);
            self.recorder.sent(frame, begin);
        }
        self.sent += 1;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), LinkError> {
        self.link.flush()
    }

    fn header(&mut self) -> Result<Header, LinkError> {
        let begin = self.recorder.now();
        let header = self.link.header()?;
        self.pending = Some((header, begin, self.recorder.now()));
        Ok(header)
    }

    fn body(&mut self, length: usize) -> Result<Vec<u8>, LinkError> {
        let payload = self.link.body(length)?;
        if let Some((header, begin, come)) = self.pending.take()
            && let Some(from) = self.link.peer().party
        {
            let bytes = u64::from(header.length);
            let frame = self.recorder.frame_from(from, self.received, header.tag, bytes);
            self.recorder.received(frame, begin, come);
        }
        self.received += 1;
        Ok(payload)
    }

    fn abort(&mut self, reason: AbortReason) {
        self.link.abort(reason);
    }

    fn bind(&self, context: &[u8]) -> Result<[u8; 32], LinkError> {
        self.link.bind(context)
    }

    fn peer_key(&self) -> Option<PublicKey> {
        self.link.peer_key()
    }

    fn await_request(&mut self, request: bool) {
        self.link.await_request(request);
    }

    fn last_words(&mut self) -> Option<LinkError> {
        self.link.last_words()
    }
}
