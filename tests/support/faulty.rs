//! A party that fails at a chosen frame: its links count what it sends and receives, and at the
//! given number something goes wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use trefoil_runtime::wire::{AbortReason, FrameKind, Header, Link, LinkError, MemoryLink, Peer, Tag};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The party is gone, with all of its links, and says nothing more.
    Disconnect,
    /// It says nothing more, and its links stay open.
    Silence,
    /// A frame is a byte longer.
    Longer,
    /// A frame is a byte shorter, or as it is if it is empty.
    Shorter,
    /// A frame is of another step.
    OtherStep,
    /// A frame is of another image.
    OtherImage,
    /// A frame is of another kind.
    OtherKind,
}

impl Fault {
    /// Whether it changes what is sent, and nothing else.
    fn is_tampering(self) -> bool {
        !matches!(self, Fault::Disconnect | Fault::Silence)
    }
}

/// Where one party fails; shared by its links.
pub(crate) struct Failure {
    fault: Fault,
    at: usize,
    frames: AtomicUsize,
    /// The party has failed for good.
    gone: AtomicBool,
}

impl Failure {
    /// This fault at the frame of this number.
    pub(crate) fn new(fault: Fault, at: usize) -> Arc<Self> {
        Arc::new(Self {
            fault,
            at,
            frames: AtomicUsize::new(0),
            gone: AtomicBool::new(false),
        })
    }

    /// How many frames counted: those sent, and for a party that disconnects those received, too.
    pub(crate) fn frames(&self) -> usize {
        self.frames.load(Ordering::SeqCst)
    }

    /// Counts a frame; whether this is the one.
    fn strikes(&self) -> bool {
        let strikes = self.frames.fetch_add(1, Ordering::SeqCst) == self.at;
        if strikes && !self.fault.is_tampering() {
            self.gone.store(true, Ordering::SeqCst);
        }
        strikes
    }

    fn is_gone(&self) -> bool {
        self.gone.load(Ordering::SeqCst)
    }
}

/// One of the party's links; without a failure just a link.
pub(crate) struct FaultyLink {
    link: Option<MemoryLink>,
    peer: Peer,
    failure: Option<Arc<Failure>>,
}

impl FaultyLink {
    /// This link, with this failure.
    pub(crate) fn new(link: MemoryLink, failure: Option<Arc<Failure>>) -> Self {
        Self {
            peer: link.peer().clone(),
            link: Some(link),
            failure,
        }
    }

    fn disconnected(&self) -> LinkError {
        LinkError::PeerDisconnected {
            peer: self.peer.clone(),
        }
    }

    fn fault(&self) -> Option<Fault> {
        self.failure.as_ref().map(|failure| failure.fault)
    }

    /// The link, unless the party is gone.
    fn link(&mut self) -> Result<&mut MemoryLink, LinkError> {
        let disconnects = self.fault() == Some(Fault::Disconnect);
        if disconnects && self.failure.as_ref().is_some_and(|failure| failure.is_gone()) {
            self.link = None;
        }
        let error = self.disconnected();
        self.link.as_mut().ok_or(error)
    }
}

impl Link for FaultyLink {
    fn peer(&self) -> &Peer {
        &self.peer
    }

    fn send(&mut self, mut tag: Tag, mut payload: Vec<u8>) -> Result<(), LinkError> {
        let strikes = self.failure.as_ref().is_some_and(|failure| failure.strikes());
        match self.fault() {
            Some(Fault::Silence) if self.failure.as_ref().is_some_and(|failure| failure.is_gone()) => {
                return Ok(());
            }
            Some(fault) if strikes => tamper(fault, &mut tag, &mut payload),
            _ => {}
        }
        self.link()?.send(tag, payload)
    }

    fn flush(&mut self) -> Result<(), LinkError> {
        self.link()?.flush()
    }

    fn header(&mut self) -> Result<Header, LinkError> {
        if self.fault() == Some(Fault::Disconnect) {
            self.failure.as_ref().map(|failure| failure.strikes());
        }
        self.link()?.header()
    }

    fn body(&mut self, length: usize) -> Result<Vec<u8>, LinkError> {
        self.link()?.body(length)
    }

    fn abort(&mut self, reason: AbortReason) {
        let gone = self.failure.as_ref().is_some_and(|failure| failure.is_gone());
        // Who is gone tells nobody.
        if let Some(link) = self.link.as_mut().filter(|_| !gone) {
            link.abort(reason);
        }
    }
}

fn tamper(fault: Fault, tag: &mut Tag, payload: &mut Vec<u8>) {
    match fault {
        Fault::Longer => payload.push(0),
        Fault::Shorter => drop(payload.pop()),
        Fault::OtherStep => tag.step += 1,
        Fault::OtherImage => tag.inference += 1,
        Fault::OtherKind if tag.kind == FrameKind::Welcome => tag.kind = FrameKind::Ready,
        Fault::OtherKind => tag.kind = FrameKind::Welcome,
        Fault::Disconnect | Fault::Silence => {}
    }
}
