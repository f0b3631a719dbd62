//! Links: one end of a connection between two parties.

use super::abort::AbortReason;
use super::error::LinkError;
use super::frame::{FrameKind, Header, Tag};
use super::peer::Peer;
use crate::keys::PublicKey;

/// One end of a connection. Frames arrive in the order in which they were sent.
///
/// [`send`](Link::send) may wait until the peer reads: two ends must never both send without
/// reading more than the connection buffers. The protocol's rounds see to that (each end receives
/// a whole bundle before it answers).
pub trait Link: Send {
    /// Who is at the other end.
    fn peer(&self) -> &Peer;

    /// Sends a frame; it may stay in a buffer until [`flush`](Link::flush) or the next receive.
    ///
    /// # Errors
    /// If the peer is gone, does not read in time, or the payload is beyond 4 GiB.
    fn send(&mut self, tag: Tag, payload: Vec<u8>) -> Result<(), LinkError>;

    /// Sends what is buffered.
    ///
    /// # Errors
    /// If the peer is gone or does not read in time.
    fn flush(&mut self) -> Result<(), LinkError>;

    /// Waits for the next frame's header. [`receive`](Link::receive) is what parties call.
    ///
    /// # Errors
    /// If the peer is gone, sends nothing in time, or no header.
    fn header(&mut self) -> Result<Header, LinkError>;

    /// Reads the payload of the header that was read last, once its length was found right.
    ///
    /// # Errors
    /// If the peer is gone or does not go on in time.
    fn body(&mut self, length: usize) -> Result<Vec<u8>, LinkError>;

    /// Receives the frame that must come next, after sending what is buffered. `length` comes
    /// from the plan.
    ///
    /// # Errors
    /// If another frame comes, another length (before anything is allocated for it), or none.
    fn receive(&mut self, tag: Tag, length: usize) -> Result<Vec<u8>, LinkError> {
        self.receive_one_of(&[(tag, length)]).map(|(_, payload)| payload)
    }

    /// Receives one of the frames that may come next.
    ///
    /// # Errors
    /// As [`receive`](Link::receive).
    fn receive_one_of(&mut self, expected: &[(Tag, usize)]) -> Result<(Tag, Vec<u8>), LinkError> {
        self.receive_if(&|header| is_one_of(header, expected), &|| words(expected))
    }

    /// Receives the next frame if `accepts` takes its header, before anything is allocated for it;
    /// `expected` says which frames those are.
    ///
    /// # Errors
    /// As [`receive`](Link::receive).
    fn receive_if(
        &mut self,
        accepts: &dyn Fn(&Header) -> bool,
        expected: &dyn Fn() -> String,
    ) -> Result<(Tag, Vec<u8>), LinkError> {
        self.flush()?;
        let header = self.header()?;
        refuse_abort(self.peer(), &header)?;
        if !accepts(&header) {
            return Err(unexpected(self.peer(), &header, expected()));
        }
        let payload = self.body(header.length as usize)?;
        Ok((header.tag, payload))
    }

    /// Tells the peer why this end gives up, as far as that is still possible.
    fn abort(&mut self, reason: AbortReason) {
        // Whoever gives up has an error of its own to report; a second one would hide it.
        let _ = self
            .send(Tag::abort(reason), Vec::new())
            .and_then(|()| self.flush());
    }

    /// What both ends derive from this connection and from `context`, and nobody else: keys that depend
    /// on it belong to this connection alone. Zeros within one process, where nobody is in between.
    ///
    /// # Errors
    /// If the connection is not encrypted yet.
    fn bind(&self, _context: &[u8]) -> Result<[u8; 32], LinkError> {
        Ok([0; 32])
    }

    /// The key that the peer has shown to have; none within one process.
    fn peer_key(&self) -> Option<PublicKey> {
        None
    }

    /// Whether the next frame is a request, for which the peer takes its own time: a link that limits
    /// its waits limits that one otherwise.
    fn await_request(&mut self, _request: bool) {}

    /// Why the peer gave up, if it has said so and nobody has read it yet. The link is of no use
    /// afterwards.
    fn last_words(&mut self) -> Option<LinkError> {
        None
    }
}

impl<L: Link + ?Sized> Link for Box<L> {
    fn peer(&self) -> &Peer {
        (**self).peer()
    }

    fn send(&mut self, tag: Tag, payload: Vec<u8>) -> Result<(), LinkError> {
        (**self).send(tag, payload)
    }

    fn flush(&mut self) -> Result<(), LinkError> {
        (**self).flush()
    }

    fn header(&mut self) -> Result<Header, LinkError> {
        (**self).header()
    }

    fn body(&mut self, length: usize) -> Result<Vec<u8>, LinkError> {
        (**self).body(length)
    }

    fn abort(&mut self, reason: AbortReason) {
        (**self).abort(reason);
    }

    fn bind(&self, context: &[u8]) -> Result<[u8; 32], LinkError> {
        (**self).bind(context)
    }

    fn peer_key(&self) -> Option<PublicKey> {
        (**self).peer_key()
    }

    fn await_request(&mut self, request: bool) {
        (**self).await_request(request);
    }

    fn last_words(&mut self) -> Option<LinkError> {
        (**self).last_words()
    }
}

/// An error if the frame is the one with which a peer gives up.
pub(crate) fn refuse_abort(peer: &Peer, header: &Header) -> Result<(), LinkError> {
    match header.tag.kind {
        FrameKind::Abort => Err(LinkError::PeerAborted {
            peer: peer.clone(),
            reason: AbortReason::from_code(header.tag.step),
        }),
        _ => Ok(()),
    }
}

/// The error of a frame that must not come now.
pub(crate) fn unexpected(peer: &Peer, header: &Header, expected: String) -> LinkError {
    LinkError::PeerMisbehaved {
        peer: peer.clone(),
        expected: expected.into(),
        got: describe(header.tag, u64::from(header.length)).into(),
    }
}

/// The error of bytes that are no header.
pub(crate) fn no_header(peer: &Peer) -> LinkError {
    LinkError::PeerMisbehaved {
        peer: peer.clone(),
        expected: "a message of this program".into(),
        got: "something else".into(),
    }
}

/// The length that a header gives to this payload.
pub(crate) fn frame_length(tag: Tag, payload: &[u8]) -> Result<u32, LinkError> {
    u32::try_from(payload.len()).map_err(|_| LinkError::TooLong {
        tag,
        bytes: payload.len(),
    })
}

pub(crate) fn describe(tag: Tag, length: u64) -> String {
    format!("{tag} with {length} bytes")
}

/// Whether a header is that of one of these frames.
fn is_one_of(header: &Header, frames: &[(Tag, usize)]) -> bool {
    frames
        .iter()
        .any(|&(tag, length)| tag == header.tag && length as u64 == u64::from(header.length))
}

fn words(expected: &[(Tag, usize)]) -> String {
    let each: Vec<String> = expected.iter().map(|&(tag, n)| describe(tag, n as u64)).collect();
    each.join(" or ")
}
