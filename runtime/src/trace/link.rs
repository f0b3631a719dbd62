//! A link that records what passes, and who waits for it.

use std::time::Duration;

use trefoil_ir::mpc::Party;

use super::Recorder;
use crate::keys::PublicKey;
use crate::wire::{AbortReason, Header, Link, LinkError, Peer, Tag};

/// One end of a connection, as its party's trace sees it. Both ends have to have one from the same frame on: they
/// count frames to find each other's.
pub struct Tap {
    recorder: Recorder,
    sent: u64,
    received: u64,
    /// The frame whose header was read last: since when it was waited for, and when it came.
    pending: Option<(Header, Duration, Duration)>,
}

impl Tap {
    /// Tells the recorder, which is the party's at this end.
    pub fn new(recorder: Recorder) -> Self {
        Self {
            recorder,
            sent: 0,
            received: 0,
            pending: None,
        }
    }

    /// The time at which something begins.
    pub(crate) fn now(&self) -> Duration {
        self.recorder.now()
    }

    /// A frame was handed to the link, from `begin` until now.
    pub(crate) fn sent(&mut self, to: Option<Party>, tag: Tag, bytes: u64, begin: Duration) {
        if let Some(to) = to {
            let frame = self.recorder.frame_to(to, self.sent, tag, bytes);
            self.recorder.sent(frame, begin);
        }
        self.sent += 1;
    }

    /// A header came, for which was waited since `begin`.
    pub(crate) fn came(&mut self, header: Header, begin: Duration) {
        self.pending = Some((header, begin, self.recorder.now()));
    }

    /// The payload behind it was read.
    pub(crate) fn read(&mut self, from: Option<Party>) {
        if let Some((header, begin, come)) = self.pending.take()
            && let Some(from) = from
        {
            let bytes = u64::from(header.length);
            let frame = self.recorder.frame_from(from, self.received, header.tag, bytes);
            self.recorder.received(frame, begin, come);
        }
        self.received += 1;
    }
}

/// A link whose party is traced, from its first frame on.
pub struct Traced<L> {
    link: L,
    tap: Tap,
}

impl<L: Link> Traced<L> {
    /// Tells the recorder, which is the party's at this end.
    pub fn new(link: L, recorder: Recorder) -> Self {
        Self {
            link,
            tap: Tap::new(recorder),
        }
    }
}

impl<L: Link> Link for Traced<L> {
    fn peer(&self) -> &Peer {
        self.link.peer()
    }

    fn send(&mut self, tag: Tag, payload: Vec<u8>) -> Result<(), LinkError> {
        let begin = self.tap.now();
        let bytes = payload.len() as u64;
        self.link.send(tag, payload)?;
        self.tap.sent(self.link.peer().party, tag, bytes, begin);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), LinkError> {
        self.link.flush()
    }

    fn header(&mut self) -> Result<Header, LinkError> {
        let begin = self.tap.now();
        let header = self.link.header()?;
        self.tap.came(header, begin);
        Ok(header)
    }

    fn body(&mut self, length: usize) -> Result<Vec<u8>, LinkError> {
        let payload = self.link.body(length)?;
        self.tap.read(self.link.peer().party);
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
