//! What a stream is for, which is the last part of its name, and who shares its key.

use std::fmt;

use serde::Serialize;

use crate::mpc::Party;

/// A key from which masks are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Key {
    /// k_ch, which client and helper share.
    ClientHelper,
    /// k_sh, which server and helper share.
    ServerHelper,
    /// The plan's seed of B. The helper's alone, after the compiler has used it.
    WeightSeed,
}

impl Key {
    /// Whether a party can draw from it.
    pub fn is_held_by(self, party: Party) -> bool {
        match (self, party) {
            (Key::ClientHelper, Party::Client | Party::Helper)
            | (Key::ServerHelper, Party::Server | Party::Helper)
            | (Key::WeightSeed, Party::Helper) => true,
            (Key::ClientHelper, Party::Server)
            | (Key::ServerHelper, Party::Client)
            | (Key::WeightSeed, Party::Client | Party::Server) => false,
        }
    }

    /// As the description of the protocol writes it.
    pub fn word(self) -> &'static str {
        match self {
            Key::ClientHelper => "k_ch",
            Key::ServerHelper => "k_sh",
            Key::WeightSeed => "weight seed",
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What a stream is for. One step of one inference draws at most one stream per purpose, so every
/// mask of the protocol has a name of its own here.
///
/// The discriminants are part of the protocol: parties agree on them byte for byte. New purposes
/// are added at the end, old ones are never renumbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[repr(u8)]
pub enum Purpose {
    /// The mask `a` of the input image, known to client and helper.
    InputMask = 0,
    /// `p`, which keeps server's and helper's shares of an accumulator apart.
    Rerandomise = 1,
    /// `r`, which the client adds to its share before it sends it for a truncation.
    TruncationMask = 2,
    /// `σ`, the mask of a value that is opened for its sign.
    OpeningMask = 3,
    /// `σ` of a patch sum, opened for the sign of the whole patch.
    PatchMask = 4,
    /// One share of the thermometer codes that a comparison looks its digits up in.
    TableShare = 5,
    /// The client's masks of its comparison bits.
    ComparisonMaskClient = 6,
    /// The server's masks of its comparison bits.
    ComparisonMaskServer = 7,
    /// One share of the products of the comparison masks, with which the chunks are joined.
    ProductShare = 8,
    /// The client's mask of its share of the sign.
    SignMaskClient = 9,
    /// The server's mask of its share of the sign.
    SignMaskServer = 10,
    /// One share of `β`, the mask of the opened sign bit.
    BetaShare = 11,
    /// One share of `β·r`, the masked sign times the mask of the value that it selects.
    BetaProductShare = 12,
    /// `u`, the client's mask of its top bit where a wrap is looked for.
    WrapBitClient = 13,
    /// `v`, the server's mask of its top bit where a wrap is looked for.
    WrapBitServer = 14,
    /// One share of `u·v`.
    WrapProductShare = 15,
    /// The mask bits of a requantization's wrap.
    RequantBit = 16,
    /// One share of what the helper deals for a requantization.
    RequantShare = 17,
    /// The mask `a` of an activation that is masked anew for the next layer.
    FreshMask = 18,
    /// `B`, the helper's share of the weights, drawn from the plan's long-lived seed.
    WeightShare = 19,
    /// The pads of the garbled rows of a comparison in one round.
    GarblePad = 20,
    /// The masks of the states of such a comparison, and the labels that open its rows.
    GarbleLabel = 21,
    /// One share of `β` times the top bit of `q`, the client's and helper's side of a value.
    BetaTopShare = 22,
    /// One share of the wrap in `q = rs - σ`.
    MaskWrapShare = 23,
    /// One share of the top bit of `q`.
    MaskTopShare = 24,
}

impl Purpose {
    /// Every purpose, in the order of the discriminants.
    pub const ALL: [Purpose; 25] = [
        Purpose::InputMask,
        Purpose::Rerandomise,
        Purpose::TruncationMask,
        Purpose::OpeningMask,
        Purpose::PatchMask,
        Purpose::TableShare,
        Purpose::ComparisonMaskClient,
        Purpose::ComparisonMaskServer,
        Purpose::ProductShare,
        Purpose::SignMaskClient,
        Purpose::SignMaskServer,
        Purpose::BetaShare,
        Purpose::BetaProductShare,
        Purpose::WrapBitClient,
        Purpose::WrapBitServer,
        Purpose::WrapProductShare,
        Purpose::RequantBit,
        Purpose::RequantShare,
        Purpose::FreshMask,
        Purpose::WeightShare,
        Purpose::GarblePad,
        Purpose::GarbleLabel,
        Purpose::BetaTopShare,
        Purpose::MaskWrapShare,
        Purpose::MaskTopShare,
    ];

    /// The key of its streams.
    pub fn key(self) -> Key {
        match self {
            Purpose::InputMask
            | Purpose::TruncationMask
            | Purpose::ComparisonMaskClient
            | Purpose::SignMaskClient
            | Purpose::WrapBitClient
            | Purpose::FreshMask => Key::ClientHelper,
            Purpose::Rerandomise
            | Purpose::OpeningMask
            | Purpose::PatchMask
            | Purpose::TableShare
            | Purpose::ComparisonMaskServer
            | Purpose::ProductShare
            | Purpose::SignMaskServer
            | Purpose::BetaShare
            | Purpose::BetaProductShare
            | Purpose::WrapBitServer
            | Purpose::WrapProductShare
            | Purpose::RequantBit
            | Purpose::RequantShare
            | Purpose::GarblePad
            | Purpose::GarbleLabel
            | Purpose::BetaTopShare
            | Purpose::MaskWrapShare
            | Purpose::MaskTopShare => Key::ServerHelper,
            Purpose::WeightShare => Key::WeightSeed,
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::Purpose;

    #[test]
    fn discriminants_are_the_order_of_all() {
        for (index, purpose) in Purpose::ALL.into_iter().enumerate() {
            assert_eq!(purpose as usize, index, "{purpose:?} has been renumbered");
        }
    }
}
