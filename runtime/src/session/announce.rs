//! What the client announces to server and helper: which inferences are to be prepared, which of
//! them are to be run together, and the end.

use crate::wire::{FrameKind, Header, Link, LinkError, Tag};

/// What the client announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Announcement {
    /// These inferences are to be prepared.
    Prepare(Span),
    /// These prepared inferences are to be run together.
    Run(Span),
    /// There is no further image.
    End,
}

/// Consecutive inferences, as announced: neither end of it is known to make sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// The first one's number.
    pub(super) first: u32,
    /// How many there are.
    pub(super) count: u32,
}

/// Bytes of a count.
const COUNT: usize = size_of::<u32>();

impl Announcement {
    /// Sends it at once.
    pub(super) fn send(self, link: &mut dyn Link) -> Result<(), LinkError> {
        let (kind, span) = match self {
            Announcement::Prepare(span) => (FrameKind::Prepare, span),
            Announcement::Run(span) => (FrameKind::Run, span),
            Announcement::End => {
                link.send(Tag::control(FrameKind::End), Vec::new())?;
                return link.flush();
            }
        };
        link.send(
            Tag::of_inference(span.first, kind),
            span.count.to_le_bytes().to_vec(),
        )?;
        link.flush()
    }

    /// Waits for the next one.
    pub(super) fn receive(link: &mut dyn Link) -> Result<Self, LinkError> {
        link.await_request(true);
        let received = link.receive_if(&is_announcement, &|| {
            "`prepare` or `run` with 4 bytes or `end` with 0 bytes".to_owned()
        });
        link.await_request(false);
        let (tag, payload) = received?;
        let count = <[u8; COUNT]>::try_from(payload.as_slice()).map_or(0, u32::from_le_bytes);
        let span = Span {
            first: tag.inference,
            count,
        };
        Ok(match tag.kind {
            FrameKind::Prepare => Announcement::Prepare(span),
            FrameKind::Run => Announcement::Run(span),
            _ => Announcement::End,
        })
    }
}

fn is_announcement(header: &Header) -> bool {
    let Tag {
        inference,
        step,
        kind,
    } = header.tag;
    let length = header.length as usize;
    match kind {
        FrameKind::Prepare | FrameKind::Run => step == 0 && length == COUNT,
        FrameKind::End => (inference, step, length) == (0, 0, 0),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use trefoil_ir::mpc::Party;

    use super::*;
    use crate::wire::pair;

    /// What the other end makes of a frame.
    fn pass(tag: Tag, payload: Vec<u8>) -> Result<Announcement, LinkError> {
        let (mut client, mut server) = pair(Party::Client, Party::Server, 1);
        client.send(tag, payload)?;
        Announcement::receive(&mut server)
    }

    proptest! {
        #[test]
        fn announcements_read_back(first: u32, count: u32, run: bool) {
            let span = Span { first, count };
            let announcement = if run { Announcement::Run(span) } else { Announcement::Prepare(span) };
            let (mut client, mut server) = pair(Party::Client, Party::Server, 2);
            announcement.send(&mut client).unwrap();
            Announcement::End.send(&mut client).unwrap();
            prop_assert_eq!(Announcement::receive(&mut server).unwrap(), announcement);
            prop_assert_eq!(Announcement::receive(&mut server).unwrap(), Announcement::End);
        }

        #[test]
        fn other_frames_are_refused(kind in 0..FrameKind::ALL.len(), inference: u32, step: u32, length in 0..9usize) {
            let tag = Tag { inference, step, kind: FrameKind::ALL[kind] };
            let known = match tag.kind {
                FrameKind::Prepare | FrameKind::Run => step == 0 && length == 4,
                FrameKind::End => (inference, step, length) == (0, 0, 0),
                _ => false,
            };
            prop_assert_eq!(pass(tag, vec![0; length]).is_ok(), known);
        }
    }

    #[test]
    fn an_error_says_what_should_have_come() {
        let error = pass(Tag::control(FrameKind::Ready), vec![]).unwrap_err();
        let words =
            "`prepare` or `run` with 4 bytes or `end` with 0 bytes was expected, and `ready` of inference 0";
        assert!(error.to_string().contains(words), "{error}");
    }
}
