//! A round of several images: their messages in order, their work side by side.
//!
//! All messages of a bundle are received before any is answered, as [`Link`] demands. Meanwhile the
//! images that have theirs are worked on, on the threads of rayon's current pool. Each puts what it
//! sends on a [`Tray`], and the trays are sent in the order of the images: what passes on the link
//! does not depend on the threads.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;

use trefoil_ir::mpc::ValueId;
use trefoil_ir::mpc::schedule::Slot;

use super::ExecError;
use super::at::At;
use super::prepared::Prepared;
use crate::wire::{Header, Link, LinkError, Peer, Tag};

/// One image of a batch, online.
pub(super) trait Image<'a>: Send {
    /// The image at this step.
    fn at(&self, step: ValueId) -> At<'a>;
}

/// Receives the messages of these slots for every image, and lets `work` take them in and answer,
/// on a link from which they come in this order. A single image works on the link itself.
pub(super) fn round<'a, I: Image<'a>>(
    prepared: &Prepared,
    images: &mut [I],
    slots: &[Slot],
    link: &mut dyn Link,
    work: impl Fn(&mut I, &mut dyn Link) -> Result<(), ExecError> + Sync,
) -> Result<(), ExecError> {
    if let [image] = images {
        return work(image, link);
    }
    let work = &work;
    // This thread alone waits for the peer. None of the pool's may: the peer may need it.
    rayon::in_place_scope(|scope| {
        let mut results = Vec::with_capacity(images.len());
        for image in images {
            let mut tray = Tray::receive(image, slots, link)?;
            let (tell, told) = channel();
            scope.spawn(move |_| {
                // Nobody listens any more where another image has failed.
                let _ = tell.send(work(image, &mut tray).map(|()| tray));
            });
            results.push(told);
        }
        for told in results {
            // Only a panic leaves nothing behind; it goes on at the end of the scope.
            let Some(done) = wait(&told) else { break };
            done?.send(prepared, link)?;
        }
        Ok(())
    })
}

/// Waits for a result; nothing if the work panicked.
fn wait<T>(told: &Receiver<T>) -> Option<T> {
    // A caller that is one of the pool's threads itself does what is to be done meanwhile: it may
    // be the very work that it waits for.
    while rayon::current_thread_index().is_some() {
        match told.try_recv() {
            Ok(done) => return Some(done),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) => {
                if rayon::yield_now() != Some(rayon::Yield::Executed) {
                    thread::yield_now();
                }
            }
        }
    }
    told.recv().ok()
}

/// A link to one's own table: what came for an image, and what is to be sent for it.
struct Tray {
    peer: Peer,
    incoming: VecDeque<(Tag, Vec<u8>)>,
    /// Payload of the header that was read last.
    pending: Vec<u8>,
    outgoing: Vec<(Tag, Vec<u8>)>,
}

impl Tray {
    /// Waits for the messages of one image.
    fn receive<'a>(image: &impl Image<'a>, slots: &[Slot], link: &mut dyn Link) -> Result<Self, ExecError> {
        let mut incoming = VecDeque::with_capacity(slots.len());
        for slot in slots {
            let at = image.at(slot.step);
            let payload = at.receive(link, slot.stage)?;
            incoming.push_back((at.tag(slot.stage), payload));
        }
        Ok(Self {
            peer: link.peer().clone(),
            incoming,
            pending: Vec::new(),
            outgoing: Vec::new(),
        })
    }

    /// Sends what the image has laid down.
    fn send(self, prepared: &Prepared, link: &mut dyn Link) -> Result<(), ExecError> {
        for (tag, payload) in self.outgoing {
            link.send(tag, payload)
                .map_err(|source| prepared.step(ValueId(tag.step)).link_error(source))?;
        }
        Ok(())
    }
}

impl Link for Tray {
    fn peer(&self) -> &Peer {
        &self.peer
    }

    fn send(&mut self, tag: Tag, payload: Vec<u8>) -> Result<(), LinkError> {
        self.outgoing.push((tag, payload));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), LinkError> {
        Ok(())
    }

    fn header(&mut self) -> Result<Header, LinkError> {
        let next = self.incoming.pop_front();
        let (tag, payload) = next.expect("an image takes in what was received for it and no more");
        let length = u32::try_from(payload.len()).expect("it came in a frame");
        self.pending = payload;
        Ok(Header { tag, length })
    }

    fn body(&mut self, _length: usize) -> Result<Vec<u8>, LinkError> {
        Ok(std::mem::take(&mut self.pending))
    }
}
