//! What the messages of a gate hold, field by field.

use serde::Serialize;

use super::comparison::{OPENED_BITS, PRODUCTS, table_planes};
use super::garbled::{KEY_PLANES, garbled_planes};
use super::{Form, Group, Rounds, WIDE};
use crate::mpc::message::{Message, Section, Stage};

/// Values that are worked on, and stand in messages and streams, at a time: see [`Segment`].
pub const BLOCK: usize = 512;

/// A part of a message: `count` values, each of which has the same fields and bits.
///
/// The values travel in blocks of [`BLOCK`]: of each block first all its values' first field, then
/// the second and so on, each packed as a [`Section`] of its own. As blocks are whole numbers of
/// bytes, a segment is as long as if each field were one section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Number of values.
    pub count: usize,
    /// What each value has: numbers of so many bits, or so many single bits.
    pub fields: Vec<Field>,
}

/// What a segment has of each value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// A number of so many bits.
    Number(u32),
    /// So many bits, each in a plane of its own.
    Planes(usize),
}

/// What a field of a gate's message is. Numbers are those of openings, of signs, or of pixel products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Deal: the client's share of the thermometer codes of an opening's secret.
    Tables(usize),
    /// Deal: the client's share of the products of a sign's comparison masks.
    Products(usize),
    /// Deal: the client's share of beta, the mask of a sign's opened bit.
    Beta(usize),
    /// Deal: the client's share of beta r, r being the mask of the pixel's value; in one round of
    /// beta q, q being -r.
    BetaProduct(usize),
    /// Deal: the client's share of u v, the product of the masks of the top bits.
    WrapProduct,
    /// Deal of one round: the garbled comparison of a sign.
    Garbled(usize),
    /// Deal of one round: the client's share of beta times the top bit of q.
    BetaTop(usize),
    /// Deal of one round: the client's share of the wrap of rs - sigma, the shares of q.
    MaskWrap,
    /// Deal of one round: the client's share of the top bit of q.
    MaskTop,
    /// M1: an opening's values.
    Opened(usize),
    /// M1 of one round: the keys of a sign's garbled rows at the opened digits.
    Keys(usize),
    /// M1: the server's comparison bits of a sign.
    ServerCompared(usize),
    /// M2: the client's comparison bits of a sign.
    ClientCompared(usize),
    /// M2: the client's share of a sign; in one round the sign itself, opened under beta.
    ClientSign(usize),
    /// M3: the server's share of a sign.
    ServerSign(usize),
    /// M3: the top bit of the server's share of the result.
    ServerTop,
    /// M4, in one round M2: the client's share of the result.
    Result,
    /// M4: the top bit of the client's share of the result.
    ClientTop,
    /// Deal of a requantisation: the client's share of v m_C.
    RequantShare,
    /// M1 of a requantisation: the top bit of the server's half.
    RequantBit,
    /// M2 of a requantisation: the client's share of the wrap.
    RequantResult,
}

impl Field {
    /// The section that this field of `count` values is.
    pub fn section(self, count: usize) -> Section {
        match self {
            Field::Number(bits) => Section::fields(count, bits),
            Field::Planes(planes) => Section::planes(planes, count),
        }
    }
}

impl Segment {
    /// Bytes of the first `count` values.
    pub fn bytes(&self, count: usize) -> usize {
        count / BLOCK * self.block_bytes(BLOCK) + self.block_bytes(count % BLOCK)
    }

    /// Bytes of a block of so many values.
    fn block_bytes(&self, values: usize) -> usize {
        self.fields
            .iter()
            .map(|field| field.section(values).bytes())
            .sum()
    }

    fn sections(&self) -> impl Iterator<Item = Section> + '_ {
        self.fields.iter().map(|field| field.section(self.count))
    }
}

impl Group {
    /// Openings in the order of their segments in messages: those of patches, then the pixels.
    pub fn order(&self) -> impl Iterator<Item = usize> + use<> {
        (1..self.openings.len()).chain([0])
    }

    /// What the values of an opening have in the message of a stage; no fields if nothing.
    pub fn segment(&self, stage: Stage, opening: usize) -> Segment {
        let contents = self.contents(stage, opening);
        Segment {
            count: self.openings[opening].count(),
            fields: contents.into_iter().map(|content| self.field(content)).collect(),
        }
    }

    fn sections(&self, stage: Stage) -> Vec<Section> {
        let mut sections = Vec::new();
        for opening in self.order() {
            sections.extend(self.segment(stage, opening).sections());
        }
        sections
    }

    /// What the message of a stage holds of an opening, in order. Messages, their costs, and the masks
    /// that fields are declared with ([`privacy`](crate::mpc::privacy)) all follow from this list.
    pub fn contents(&self, stage: Stage, opening: usize) -> Vec<Content> {
        match self.form {
            Form::Pass => Vec::new(),
            Form::Requant => requant_contents(stage),
            Form::Lower(_) | Form::Upper(_) | Form::Paired(_) | Form::Both(..) => match self.rounds {
                Rounds::Two => self.two_rounds_contents(stage, opening),
                Rounds::One => self.one_round_contents(stage, opening),
            },
        }
    }

    fn one_round_contents(&self, stage: Stage, at: usize) -> Vec<Content> {
        let of_pixels = at == 0;
        let signs = self.signs_of(at).map(|(sign, _)| sign);
        let mut contents = Vec::new();
        match stage {
            Stage::Deal => {
                contents.extend(signs.flat_map(|sign| [Content::Garbled(sign), Content::Beta(sign)]));
                if of_pixels {
                    let products = 0..self.pixel_products();
                    contents.extend(
                        products.flat_map(|sign| [Content::BetaProduct(sign), Content::BetaTop(sign)]),
                    );
                    contents.extend([Content::MaskWrap, Content::MaskTop]);
                }
            }
            Stage::M1 => {
                contents.push(Content::Opened(at));
                contents.extend(signs.map(Content::Keys));
            }
            Stage::M2 => {
                contents.extend(signs.map(Content::ClientSign));
                if of_pixels {
                    contents.push(Content::Result);
                }
            }
            Stage::M3
            | Stage::M4
            | Stage::MaskedShare
            | Stage::TruncationMask
            | Stage::Input
            | Stage::Reveal => {}
        }
        contents
    }

    fn two_rounds_contents(&self, stage: Stage, at: usize) -> Vec<Content> {
        let of_pixels = at == 0;
        let signs = self.signs_of(at).map(|(sign, _)| sign);
        let mut contents = Vec::new();
        match stage {
            Stage::Deal => {
                if self.signs_of(at).next().is_some() {
                    contents.push(Content::Tables(at));
                }
                contents.extend(signs.flat_map(|sign| [Content::Products(sign), Content::Beta(sign)]));
                if of_pixels {
                    contents.extend((0..self.pixel_products()).map(Content::BetaProduct));
                    contents.push(Content::WrapProduct);
                }
            }
            Stage::M1 => {
                contents.push(Content::Opened(at));
                contents.extend(signs.map(Content::ServerCompared));
            }
            Stage::M2 => {
                contents.extend(
                    signs.flat_map(|sign| [Content::ClientCompared(sign), Content::ClientSign(sign)]),
                );
            }
            Stage::M3 => {
                contents.extend(signs.map(Content::ServerSign));
                if of_pixels {
                    contents.push(Content::ServerTop);
                }
            }
            Stage::M4 => {
                if of_pixels {
                    contents.extend([Content::Result, Content::ClientTop]);
                }
            }
            Stage::MaskedShare | Stage::TruncationMask | Stage::Input | Stage::Reveal => {}
        }
        contents
    }

    /// Bits, or planes of single bits, that each value has of a content.
    pub(in crate::mpc) fn field(&self, content: Content) -> Field {
        match content {
            Content::Tables(at) => Field::Planes(table_planes(self.openings[at].ring)),
            Content::Products(_) => Field::Planes(PRODUCTS),
            Content::Beta(_) | Content::BetaProduct(_) => Field::Number(match self.rounds {
                Rounds::Two => self.ring,
                Rounds::One => u32::BITS,
            }),
            Content::Garbled(sign) => {
                Field::Planes(garbled_planes(self.openings[self.signs[sign].opening].ring))
            }
            Content::Keys(_) => Field::Planes(KEY_PLANES),
            Content::WrapProduct | Content::BetaTop(_) | Content::MaskWrap | Content::MaskTop => {
                Field::Number(u32::BITS - self.ring)
            }
            Content::Opened(at) => Field::Number(self.openings[at].ring),
            Content::ServerCompared(_) | Content::ClientCompared(_) => Field::Planes(OPENED_BITS),
            Content::ServerSign(_)
            | Content::ClientSign(_)
            | Content::ServerTop
            | Content::ClientTop
            | Content::RequantBit => Field::Planes(1),
            Content::Result => Field::Number(32),
            Content::RequantShare | Content::RequantResult => Field::Number(WIDE),
        }
    }
}

fn requant_contents(stage: Stage) -> Vec<Content> {
    match stage {
        Stage::Deal => vec![Content::RequantShare],
        Stage::M1 => vec![Content::RequantBit],
        Stage::M2 => vec![Content::RequantResult],
        Stage::M3 | Stage::M4 | Stage::MaskedShare | Stage::TruncationMask | Stage::Input | Stage::Reveal => {
            Vec::new()
        }
    }
}

/// Messages of a gate with these groups, in order; those without content are left out.
pub fn messages(groups: &[Group]) -> Vec<Message> {
    [Stage::Deal, Stage::M1, Stage::M2, Stage::M3, Stage::M4]
        .into_iter()
        .map(|stage| Message {
            stage,
            sections: groups.iter().flat_map(|g| g.sections(stage)).collect(),
        })
        .filter(|message| !message.sections.is_empty())
        .collect()
}
