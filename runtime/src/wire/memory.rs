//! Links within one process: two queues of frames, bounded or not.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use trefoil_ir::mpc::Party;

use super::abort::AbortReason;
use super::error::LinkError;
use super::frame::{FrameKind, Header, Tag};
use super::link::{Link, frame_length};
use super::peer::Peer;

/// One end of a connection within a process. Payloads are handed over, not copied. Dropping an end
/// disconnects the other, after what was sent has been read.
pub struct MemoryLink {
    peer: Peer,
    outgoing: Outgoing,
    incoming: Receiver<Frame>,
    /// Payload of the header that was read last.
    pending: Vec<u8>,
    timeout: Option<Duration>,
}

type Frame = (Header, Vec<u8>);

/// Where a frame goes that is sent.
enum Outgoing {
    /// Waits while the queue is full.
    Bounded(SyncSender<Frame>),
    /// Never waits.
    Unbounded(Sender<Frame>),
}

impl Outgoing {
    /// Queues a frame; fails if the peer is gone.
    fn send(&self, frame: Frame) -> Result<(), ()> {
        match self {
            Outgoing::Bounded(queue) => queue.send(frame).map_err(drop),
            Outgoing::Unbounded(queue) => queue.send(frame).map_err(drop),
        }
    }
}

/// A connection between `left` and `right`: the ends that they hold, in this order. At most
/// `capacity` frames wait in each direction; a sender waits while there are that many.
pub fn pair(left: Party, right: Party, capacity: usize) -> (MemoryLink, MemoryLink) {
    ends(left, right, bounded(capacity), bounded(capacity))
}

/// A connection as [`pair`] makes it, but without a bound on the frames that wait: sending never waits.
pub(super) fn unbounded_pair(left: Party, right: Party) -> (MemoryLink, MemoryLink) {
    ends(left, right, unbounded(), unbounded())
}

/// A queue for one direction: its two ends.
type Queue = (Outgoing, Receiver<Frame>);

fn bounded(capacity: usize) -> Queue {
    let (outgoing, incoming) = sync_channel(capacity);
    (Outgoing::Bounded(outgoing), incoming)
}

fn unbounded() -> Queue {
    let (outgoing, incoming) = channel();
    (Outgoing::Unbounded(outgoing), incoming)
}

/// The ends of two queues, one to the right and one to the left.
fn ends(
    left: Party,
    right: Party,
    (to_right, from_left): Queue,
    (to_left, from_right): Queue,
) -> (MemoryLink, MemoryLink) {
    (
        MemoryLink::new(right, to_right, from_right),
        MemoryLink::new(left, to_left, from_left),
    )
}

impl MemoryLink {
    /// The end that is connected with `peer`.
    fn new(peer: Party, outgoing: Outgoing, incoming: Receiver<Frame>) -> Self {
        Self {
            peer: Peer::local(peer),
            outgoing,
            incoming,
            pending: Vec::new(),
            timeout: None,
        }
    }

    /// The link with a limit on how long a receive waits; without one it waits until the peer
    /// sends or is gone.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    fn disconnected(&self) -> LinkError {
        LinkError::PeerDisconnected {
            peer: self.peer.clone(),
        }
    }
}

impl Link for MemoryLink {
    fn peer(&self) -> &Peer {
        &self.peer
    }

    fn send(&mut self, tag: Tag, payload: Vec<u8>) -> Result<(), LinkError> {
        let length = frame_length(tag, &payload)?;
        let sent = self.outgoing.send((Header { tag, length }, payload));
        sent.map_err(|()| self.last_words().unwrap_or_else(|| self.disconnected()))
    }

    fn flush(&mut self) -> Result<(), LinkError> {
        Ok(())
    }

    fn header(&mut self) -> Result<Header, LinkError> {
        let received = match self.timeout {
            Some(timeout) => self.incoming.recv_timeout(timeout),
            None => self.incoming.recv().map_err(RecvTimeoutError::from),
        };
        let (header, payload) = received.map_err(|error| match (error, self.timeout) {
            (RecvTimeoutError::Timeout, Some(timeout)) => LinkError::Timeout {
                peer: self.peer.clone(),
                doing: "send",
                seconds: timeout.as_secs_f64(),
                remedy: "check that it still runs, or wait longer",
            },
            _ => self.disconnected(),
        })?;
        self.pending = payload;
        Ok(header)
    }

    fn body(&mut self, length: usize) -> Result<Vec<u8>, LinkError> {
        debug_assert_eq!(length, self.pending.len(), "the header gave this length");
        Ok(std::mem::take(&mut self.pending))
    }

    fn last_words(&mut self) -> Option<LinkError> {
        let mut frames = self.incoming.try_iter();
        let (header, _) = frames.find(|(header, _)| header.tag.kind == FrameKind::Abort)?;
        Some(LinkError::PeerAborted {
            peer: self.peer.clone(),
            reason: AbortReason::from_code(header.tag.step),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use trefoil_ir::mpc::{Stage, ValueId};

    use super::*;

    const M1: Tag = Tag::message(0, ValueId(3), Stage::M1);
    const M2: Tag = Tag::message(0, ValueId(3), Stage::M2);

    fn ends() -> (MemoryLink, MemoryLink) {
        pair(Party::Client, Party::Server, 4)
    }

    #[test]
    fn frames_arrive_in_order() {
        let (mut client, mut server) = ends();
        client.send(M2, vec![1, 2]).unwrap();
        client.send(M1, vec![]).unwrap();
        assert_eq!(server.receive(M2, 2).unwrap(), [1, 2]);
        assert!(server.receive(M1, 0).unwrap().is_empty());
    }

    #[test]
    fn another_tag_or_length_is_the_peers_fault() {
        let others = [
            (M1, 2),
            (M2, 1),
            (M2, 3),
            (Tag { step: 4, ..M2 }, 2),
            (Tag { inference: 1, ..M2 }, 2),
        ];
        for (tag, length) in others {
            let (mut client, mut server) = ends();
            client.send(M2, vec![1, 2]).unwrap();
            let error = server.receive(tag, length).unwrap_err();
            assert!(
                matches!(&error, LinkError::PeerMisbehaved { peer, got, .. }
                    if peer.party == Some(Party::Client) && **got == *"`m2` of step %3, inference 0 with 2 bytes"),
                "{error}"
            );
        }
    }

    #[test]
    fn one_of_several_frames_may_come() {
        let (mut client, mut server) = ends();
        client.send(Tag::control(FrameKind::End), vec![]).unwrap();
        let prepare = (Tag::of_inference(2, FrameKind::Prepare), 0);
        let end = (Tag::control(FrameKind::End), 0);
        assert_eq!(server.receive_one_of(&[prepare, end]).unwrap().0, end.0);
    }

    #[test]
    fn an_abort_says_why() {
        let (mut client, mut server) = ends();
        client.abort(AbortReason::Stopping);
        let error = server.receive(M2, 2).unwrap_err();
        assert!(
            matches!(
                error,
                LinkError::PeerAborted {
                    reason: AbortReason::Stopping,
                    ..
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn a_dropped_end_disconnects_after_what_it_sent() {
        let (mut client, mut server) = ends();
        client.send(M2, vec![9]).unwrap();
        drop(client);
        assert_eq!(server.receive(M2, 1).unwrap(), [9]);
        let error = server.receive(M2, 1).unwrap_err();
        assert!(matches!(error, LinkError::PeerDisconnected { .. }), "{error}");
        let error = server.send(M1, vec![]).unwrap_err();
        assert!(matches!(error, LinkError::PeerDisconnected { .. }), "{error}");
    }

    #[test]
    fn a_sender_hears_why_the_peer_left() {
        let (mut client, mut server) = ends();
        client.send(M2, vec![1]).unwrap();
        client.abort(AbortReason::PlanMismatch);
        drop(client);
        let error = server.send(M1, vec![]).unwrap_err();
        let reason = AbortReason::PlanMismatch;
        assert!(
            matches!(error, LinkError::PeerAborted { reason: r, .. } if r == reason),
            "{error}"
        );
    }

    #[test]
    fn a_blocked_sender_notices_that_the_peer_is_gone() {
        let (mut client, server) = pair(Party::Client, Party::Server, 1);
        let sender = thread::spawn(move || (0..3).try_for_each(|_| client.send(M2, vec![0])));
        thread::sleep(Duration::from_millis(20));
        drop(server);
        assert!(sender.join().unwrap().is_err());
    }

    #[test]
    fn waiting_ends_at_the_timeout() {
        let (_client, server) = ends();
        let mut server = server.with_timeout(Duration::from_millis(10));
        let error = server.receive(M2, 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the client did not send within 0.01 seconds: check that it still runs, or wait longer"
        );
    }
}
