//! Frames: a header of 16 bytes that names the message, then the payload.
//!
//! ```text
//! byte 0      1      4               8          12           16
//!      kind   zero   inference u32   step u32   length u32   payload
//! ```
//!
//! All numbers little-endian. Control frames use the same header, so that one check covers all
//! that can arrive.

use std::fmt;

use trefoil_ir::mpc::{Phase, Stage, ValueId};

use super::abort::AbortReason;

pub use trefoil_ir::mpc::message::HEADER_BYTES;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameKind {
    /// A message of the protocol, the only kind that a program's cost counts.
    Message(Stage),
    /// The opener of a connection says who it is and which plan it holds.
    Hello,
    /// The other end says the same of itself: they agree.
    Welcome,
    /// The other end says the same of itself: they do not agree.
    Refuse,
    /// One end's half of a session key.
    Contribution,
    /// One end shows that it came to the same key.
    Proof,
    /// A listening party says that all places are taken, and how many wait for one before this client.
    Wait,
    /// The client announces inferences that are to be prepared, from the tag's on.
    Prepare,
    /// The client announces prepared inferences that are to be run together, from the tag's on.
    Run,
    /// Server and helper say that they have prepared what was announced from the tag's inference
    /// on; the helper also that it has heard of a run.
    Ready,
    /// The client has no further image.
    End,
    /// The opener of a probe sends bytes, and wants as many as the tag's `inference` says.
    Probe,
    /// What it wanted.
    Probed,
    /// One end gives up; the reason stands in the tag's `step`.
    Abort,
}

impl FrameKind {
    /// All of them.
    pub const ALL: [FrameKind; 22] = [
        FrameKind::Message(Stage::MaskedShare),
        FrameKind::Message(Stage::TruncationMask),
        FrameKind::Message(Stage::Deal),
        FrameKind::Message(Stage::Input),
        FrameKind::Message(Stage::M1),
        FrameKind::Message(Stage::M2),
        FrameKind::Message(Stage::M3),
        FrameKind::Message(Stage::M4),
        FrameKind::Message(Stage::Reveal),
        FrameKind::Hello,
        FrameKind::Welcome,
        FrameKind::Refuse,
        FrameKind::Contribution,
        FrameKind::Proof,
        FrameKind::Wait,
        FrameKind::Prepare,
        FrameKind::Run,
        FrameKind::Ready,
        FrameKind::End,
        FrameKind::Probe,
        FrameKind::Probed,
        FrameKind::Abort,
    ];

    /// The byte of the header. These numbers are part of the protocol; 0 is none of them, so that
    /// a zeroed header is no frame.
    fn byte(self) -> u8 {
        match self {
            FrameKind::Message(Stage::MaskedShare) => 1,
            FrameKind::Message(Stage::TruncationMask) => 2,
            FrameKind::Message(Stage::Deal) => 3,
            FrameKind::Message(Stage::Input) => 4,
            FrameKind::Message(Stage::M1) => 5,
            FrameKind::Message(Stage::M2) => 6,
            FrameKind::Message(Stage::M3) => 7,
            FrameKind::Message(Stage::M4) => 8,
            FrameKind::Message(Stage::Reveal) => 9,
            FrameKind::Hello => 0x81,
            FrameKind::Welcome => 0x82,
            FrameKind::Refuse => 0x83,
            FrameKind::Contribution => 0x84,
            FrameKind::Prepare => 0x85,
            FrameKind::Ready => 0x86,
            FrameKind::End => 0x87,
            FrameKind::Abort => 0x88,
            FrameKind::Proof => 0x89,
            FrameKind::Run => 0x8a,
            FrameKind::Wait => 0x8b,
            FrameKind::Probe => 0x8c,
            FrameKind::Probed => 0x8d,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.byte() == byte)
    }

    /// The word of errors.
    pub fn word(self) -> &'static str {
        match self {
            FrameKind::Message(stage) => stage.word(),
            FrameKind::Hello => "hello",
            FrameKind::Welcome => "welcome",
            FrameKind::Refuse => "refuse",
            FrameKind::Contribution => "contribution",
            FrameKind::Proof => "proof",
            FrameKind::Wait => "wait",
            FrameKind::Probe => "probe",
            FrameKind::Probed => "probed",
            FrameKind::Prepare => "prepare",
            FrameKind::Run => "run",
            FrameKind::Ready => "ready",
            FrameKind::End => "end",
            FrameKind::Abort => "abort",
        }
    }
}

/// The name of a frame: both ends know it before the frame travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag {
    /// Which image of the session, counted from 0; 0 where there is none.
    pub inference: u32,
    /// Which step of the program; 0 where there is none.
    pub step: u32,
    /// What the frame is: a message of the protocol, or a word between the parties.
    pub kind: FrameKind,
}

impl Tag {
    /// A message of the protocol.
    pub const fn message(inference: u32, step: ValueId, stage: Stage) -> Self {
        Self {
            inference,
            step: step.0,
            kind: FrameKind::Message(stage),
        }
    }

    /// A control frame of no image in particular.
    pub const fn control(kind: FrameKind) -> Self {
        Self::of_inference(0, kind)
    }

    /// A control frame of one image.
    pub const fn of_inference(inference: u32, kind: FrameKind) -> Self {
        Self {
            inference,
            step: 0,
            kind,
        }
    }

    /// The frame with which an end gives up.
    pub const fn abort(reason: AbortReason) -> Self {
        Self {
            inference: 0,
            step: reason.code(),
            kind: FrameKind::Abort,
        }
    }

    /// The message's stage, unless this is a control frame.
    pub const fn stage(&self) -> Option<Stage> {
        match self.kind {
            FrameKind::Message(stage) => Some(stage),
            _ => None,
        }
    }

    /// The message's phase, unless this is a control frame.
    pub fn phase(&self) -> Option<Phase> {
        self.stage().map(Stage::phase)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.kind.word();
        match self.kind {
            FrameKind::Message(_) => {
                write!(f, "`{word}` of step %{}, inference {}", self.step, self.inference)
            }
            FrameKind::Prepare | FrameKind::Run | FrameKind::Ready => {
                write!(f, "`{word}` of inference {}", self.inference)
            }
            _ => write!(f, "`{word}`"),
        }
    }
}

/// A decoded header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The frame's name.
    pub tag: Tag,
    /// Bytes of payload that follow.
    pub length: u32,
}

impl Header {
    /// The bytes on the wire.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0] = self.tag.kind.byte();
        bytes[4..8].copy_from_slice(&self.tag.inference.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.tag.step.to_le_bytes());
        bytes[12..].copy_from_slice(&self.length.to_le_bytes());
        bytes
    }

    /// Reads a header; `None` if these bytes are none.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let [kind, 0, 0, 0, i0, i1, i2, i3, s0, s1, s2, s3, l0, l1, l2, l3] = *bytes else {
            return None;
        };
        Some(Self {
            tag: Tag {
                inference: u32::from_le_bytes([i0, i1, i2, i3]),
                step: u32::from_le_bytes([s0, s1, s2, s3]),
                kind: FrameKind::from_byte(kind)?,
            },
            length: u32::from_le_bytes([l0, l1, l2, l3]),
        })
    }
}

/// The bytes of a control frame, for where no link sends it. Its payload is short.
pub(crate) fn frame(tag: Tag, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u32;
    let mut frame = Header { tag, length }.encode().to_vec();
    frame.extend(payload);
    frame
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn headers_read_back(kind in 0..FrameKind::ALL.len(), inference: u32, step: u32, length: u32) {
            let tag = Tag { inference, step, kind: FrameKind::ALL[kind] };
            let header = Header { tag, length };
            prop_assert_eq!(Header::decode(&header.encode()), Some(header));
        }

        #[test]
        fn what_decodes_is_what_would_be_sent(bytes: [u8; HEADER_BYTES]) {
            if let Some(header) = Header::decode(&bytes) {
                prop_assert_eq!(header.encode(), bytes);
            }
        }
    }

    #[test]
    fn the_layout_is_the_documented_one() {
        let header = Header {
            tag: Tag::message(0x0403_0201, ValueId(0x0807_0605), Stage::M1),
            length: 0x0c0b_0a09,
        };
        assert_eq!(
            header.encode(),
            [5, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
        );
    }

    #[test]
    fn kinds_differ_and_zero_is_none() {
        let mut bytes: Vec<u8> = FrameKind::ALL.iter().map(|kind| kind.byte()).collect();
        bytes.sort_unstable();
        bytes.dedup();
        assert_eq!(bytes.len(), FrameKind::ALL.len());
        assert_eq!(Header::decode(&[0; HEADER_BYTES]), None);
        assert_eq!(Header::decode(b"GET / HTTP/1.1\r\n"), None);
    }
}
