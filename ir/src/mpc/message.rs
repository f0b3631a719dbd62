//! Messages: who sends what to whom, when, and how many bits.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Bytes of the header that each message travels with, and that no figure of payload counts.
pub const HEADER_BYTES: usize = 16;

/// A party of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Party {
    /// Has the image and learns the prediction.
    Client,
    /// Has the weights.
    Server,
    /// Has nothing but randomness, and receives nothing that depends on an input.
    Helper,
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Party::Client => "client",
            Party::Server => "server",
            Party::Helper => "helper",
        })
    }
}

/// When a message travels: before the input is known, or after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Before the input is known.
    Offline,
    /// With the input.
    Online,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Offline => "offline",
            Phase::Online => "online",
        })
    }
}

/// Direction of a message. There is none to the helper, and none between server and helper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Link {
    /// Client to server.
    ClientToServer,
    /// Server to client.
    ServerToClient,
    /// Helper to client.
    HelperToClient,
}

impl Link {
    /// Every direction in which messages travel.
    pub const ALL: [Link; 3] = [Link::ClientToServer, Link::ServerToClient, Link::HelperToClient];

    /// The sender.
    pub fn from(self) -> Party {
        match self {
            Link::ClientToServer => Party::Client,
            Link::ServerToClient => Party::Server,
            Link::HelperToClient => Party::Helper,
        }
    }

    /// The receiver.
    pub fn to(self) -> Party {
        match self {
            Link::ClientToServer => Party::Server,
            Link::ServerToClient | Link::HelperToClient => Party::Client,
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}->{}", self.from(), self.to())
    }
}

/// Which message of a step this is (numbered as in the description of the protocol).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stage {
    /// Truncate: the client's share, masked in all its bits.
    MaskedShare,
    /// Truncate: the top bits of the helper's share of the accumulator.
    TruncationMask,
    /// Gate: the helper's correlated randomness.
    Deal,
    /// The masked image.
    Input,
    /// Gate: masked pixels and patch sums, masked comparison bits.
    M1,
    /// Gate: the client's masked comparison bits and its masked sign bits.
    M2,
    /// Gate: the server's masked sign bits, its masked top bits.
    M3,
    /// Gate: the re-masked result, the client's masked top bits.
    M4,
    /// The server's half of the output.
    Reveal,
}

impl Stage {
    /// Who sends the message to whom.
    pub fn link(self) -> Link {
        match self {
            Stage::MaskedShare | Stage::Input | Stage::M2 | Stage::M4 => Link::ClientToServer,
            Stage::TruncationMask | Stage::Deal => Link::HelperToClient,
            Stage::M1 | Stage::M3 | Stage::Reveal => Link::ServerToClient,
        }
    }

    /// When the message travels.
    pub fn phase(self) -> Phase {
        match self {
            Stage::MaskedShare | Stage::TruncationMask | Stage::Deal => Phase::Offline,
            Stage::Input | Stage::M1 | Stage::M2 | Stage::M3 | Stage::M4 | Stage::Reveal => Phase::Online,
        }
    }

    /// The word of reports and dumps.
    pub fn word(self) -> &'static str {
        match self {
            Stage::MaskedShare => "masked_share",
            Stage::TruncationMask => "truncation_mask",
            Stage::Deal => "deal",
            Stage::Input => "input",
            Stage::M1 => "m1",
            Stage::M2 => "m2",
            Stage::M3 => "m3",
            Stage::M4 => "m4",
            Stage::Reveal => "reveal",
        }
    }
}

/// A run of equal fields within a message, packed to the bit and filled up to a whole byte:
/// `planes` times `count` fields of `bits` bits, each plane byte-aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Section {
    /// Number of planes, which stand one behind the other.
    pub planes: usize,
    /// Number of fields in each plane.
    pub count: usize,
    /// Bits of a field.
    pub bits: u32,
}

impl Section {
    /// Fields of `bits` bits.
    pub const fn fields(count: usize, bits: u32) -> Self {
        Self {
            planes: 1,
            count,
            bits,
        }
    }

    /// Planes of single bits.
    pub const fn planes(planes: usize, count: usize) -> Self {
        Self {
            planes,
            count,
            bits: 1,
        }
    }

    /// Bits without those that fill the last byte of a plane up.
    pub const fn content_bits(&self) -> u64 {
        (self.planes * self.count) as u64 * self.bits as u64
    }

    /// Bytes on the wire.
    pub const fn bytes(&self) -> usize {
        self.planes * (self.count * self.bits as usize).div_ceil(8)
    }
}

/// A message of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Which message of its step it is.
    pub stage: Stage,
    /// What it holds, in order.
    pub sections: Vec<Section>,
}

impl Message {
    /// Bits of all sections without those that fill bytes up.
    pub fn content_bits(&self) -> u64 {
        self.sections.iter().map(Section::content_bits).sum()
    }

    /// Bytes of payload, without the header.
    pub fn bytes(&self) -> usize {
        self.sections.iter().map(Section::bytes).sum()
    }
}
