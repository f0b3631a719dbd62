//! Gates: how the channels of a non-linear layer fall into groups, and what each group exchanges.
//!
//! A layer's channels may have different patches. Those that are treated alike form a
//! [`Group`]; all groups of a step travel in the same messages. With z the accumulator in units,
//! b0 the sign of z and b1 the sign of z - h (h the upper limit of a clip), a group computes
//!
//! | form | result | used for |
//! | --- | --- | --- |
//! | [`Form::Pass`] | z | identity channels of a gate on activations: no message |
//! | [`Form::Requant`] | z | identity channels: the wrap alone is resolved |
//! | [`Form::Lower`] | b0 z | ReLU, Block-ReLU |
//! | [`Form::Upper`] | z - b1 (z - h) | a clip with an identity below |
//! | [`Form::Paired`] | (b0 ^ b1) z + b1 h | a clip whose signs share patches: b1 implies b0 |
//! | [`Form::Both`] | b0 z - b1 (z - h) | a clip whose signs differ in patches |
//!
//! Signs are taken from *openings*: the pixels themselves, or sums over patches, either of the same
//! accumulator or (of large patches) from a vector of their own, see [`sums`](super::sums).

use std::collections::BTreeMap;

use serde::Serialize;

use super::message::{Message, Section, Stage};
use super::sums::{SumList, SumPlaces, is_large};
use crate::geometry::{Patch, Patches, Shape};

/// Bits of the activation ring: what is left of 32 when 16 are truncated.
pub const WIDE: u32 = 16;

/// Bits that carry a value of which only non-negative results survive.
pub const NARROW: u32 = 15;

/// Chunks of the comparison below the top bit, low chunk first, for an opening of `ring` bits.
pub const fn chunks(ring: u32) -> [u32; 4] {
    if ring == NARROW {
        [4, 4, 3, 3]
    } else {
        [4, 4, 4, 3]
    }
}

/// Bit planes of the thermometer tables for an opening of `ring` bits: 2^w - 1 a chunk.
pub const fn table_planes(ring: u32) -> usize {
    let [a, b, c, d] = chunks(ring);
    (1 << a) + (1 << b) + (1 << c) + (1 << d) - 4
}

/// Masked comparison bits of a sign that are opened: equality of all chunks but the lowest, order
/// of all but the highest.
pub const OPENED_BITS: usize = 6;

/// Dealt products of the masks of those bits, in the order of [`product_terms`].
pub const PRODUCTS: usize = 15;

/// The products of masks that joining four chunks takes: each is a set of the six opened bits
/// (bits 0..3: equality of chunks 1, 2, 3; bits 3..6: order of chunks 0, 1, 2).
///
/// The borrow is `l3 ^ e3 l2 ^ e3 e2 l1 ^ e3 e2 e1 l0`; every product of two or more masks that
/// occurs when the masked bits are multiplied out is dealt once.
pub const fn product_terms() -> [u8; PRODUCTS] {
    let mut terms = [0; PRODUCTS];
    let (mut found, mut term) = (0, 0);
    while term < 3 {
        let members = borrow_terms()[term];
        let mut subset = 1;
        while subset <= members {
            if subset & !members == 0 && subset.count_ones() >= 2 && !contains(&terms, subset) {
                terms[found] = subset;
                found += 1;
            }
            subset += 1;
        }
        term += 1;
    }
    terms
}

const fn contains(terms: &[u8], term: u8) -> bool {
    let mut at = 0;
    while at < terms.len() && terms[at] != term {
        at += 1;
    }
    at < terms.len()
}

/// The three products of opened bits in the borrow, as sets like those of [`product_terms`].
pub const fn borrow_terms() -> [u8; 3] {
    const E1: u8 = 1;
    const E2: u8 = 2;
    const E3: u8 = 4;
    const L0: u8 = 8;
    const L1: u8 = 16;
    const L2: u8 = 32;
    [E3 | L2, E3 | E2 | L1, E3 | E2 | E1 | L0]
}

/// Values that are worked on, and stand in messages and streams, at a time: see [`Segment`].
pub const BLOCK: usize = 512;

/// What the values are that a sign is taken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Grain {
    /// The pixels themselves.
    Pixel,
    /// Sums over patches, which may differ from channel to channel.
    Patch,
}

impl Grain {
    fn of(patch: Patch) -> Self {
        if patch.is_pixel() {
            Grain::Pixel
        } else {
            Grain::Patch
        }
    }
}

/// What a group computes; see the table in the module's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Form {
    /// The value itself, untouched.
    Pass,
    /// The value itself, out of its truncated form.
    Requant,
    /// b0 z.
    Lower(Grain),
    /// z - b1 (z - h).
    Upper(Grain),
    /// (b0 ^ b1) z + b1 h.
    Paired(Grain),
    /// b0 z - b1 (z - h), the grain of b0 first.
    Both(Grain, Grain),
}

impl Form {
    /// The form of a gate on truncated accumulators with these patches below and above.
    pub fn of(lower: Patch, upper: Patch) -> Self {
        match (lower, upper) {
            (Patch::Identity, Patch::Identity) => Form::Requant,
            (lower, Patch::Identity) => Form::Lower(Grain::of(lower)),
            (Patch::Identity, upper) => Form::Upper(Grain::of(upper)),
            (lower, upper) if lower == upper => Form::Paired(Grain::of(lower)),
            (lower, upper) => Form::Both(Grain::of(lower), Grain::of(upper)),
        }
    }

    /// Bits of the ring in which the value is opened and selected.
    pub fn ring(self) -> u32 {
        match self {
            Form::Lower(Grain::Pixel) => NARROW,
            Form::Lower(Grain::Patch)
            | Form::Pass
            | Form::Requant
            | Form::Upper(_)
            | Form::Paired(_)
            | Form::Both(..) => WIDE,
        }
    }

    /// Whether the result may be negative, so that the extension needs an offset of 2^14.
    pub fn is_signed(self) -> bool {
        match self {
            Form::Lower(grain) | Form::Paired(grain) | Form::Both(grain, _) => grain == Grain::Patch,
            Form::Upper(_) | Form::Pass | Form::Requant => true,
        }
    }

    /// Whether the form takes signs, and so is more than a requantisation.
    pub fn has_signs(self) -> bool {
        !matches!(self, Form::Pass | Form::Requant)
    }

    /// The grains of its signs, the lower one first; each says which is the upper one.
    fn grains(self) -> Vec<(Grain, bool)> {
        match self {
            Form::Pass | Form::Requant => Vec::new(),
            Form::Lower(grain) => vec![(grain, false)],
            Form::Upper(grain) => vec![(grain, true)],
            Form::Paired(grain) => vec![(grain, false), (grain, true)],
            Form::Both(lower, upper) => vec![(lower, false), (upper, true)],
        }
    }
}

/// One sign of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sign {
    /// Which opening it is taken from.
    pub opening: usize,
    /// Whether it is the sign of z - h (else of z).
    pub upper: bool,
}

/// Values that are opened under a mask, so that signs can be taken of them: channel after channel,
/// patches of a channel row after row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The patch over which each of the group's channels is summed; a single pixel for the pixels
    /// themselves.
    pub patches: Vec<Patch>,
    /// Where each channel's values begin, and behind the last one the number of all.
    pub starts: Vec<usize>,
    /// Bits of a value.
    pub ring: u32,
    /// Where the sums of a channel begin in the gate's second operand; none if they are sums of the
    /// first.
    pub sums: Vec<Option<usize>>,
}

impl Opening {
    fn new(patches: Vec<Patch>, ring: u32, shape: Shape) -> Self {
        let mut starts = vec![0];
        starts.extend(patches.iter().scan(0, |at, patch| {
            *at += patch.signs(shape.h, shape.w);
            Some(*at)
        }));
        Self {
            sums: vec![None; patches.len()],
            patches,
            starts,
            ring,
        }
    }

    /// Number of values in the whole group.
    pub fn count(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }
}

/// Channels of a layer that are treated alike, though their patches may differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its place among the groups of its step.
    pub number: usize,
    /// The channels, ascending.
    pub channels: Vec<usize>,
    /// What is computed.
    pub form: Form,
    /// Pixels of one channel's map: height and width.
    pub map: [usize; 2],
    /// Bits of the ring in which the value is opened and selected.
    pub ring: u32,
    /// Openings; the first is that of the pixels.
    pub openings: Vec<Opening>,
    /// Signs, the lower one first.
    pub signs: Vec<Sign>,
}

/// A part of a message: `count` values, each of which has the same fields and bits.
///
/// The values travel in blocks of [`BLOCK`]: of each block first all its values' first field, then
/// the second and so on, each packed as a [`Section`] of its own. As blocks are whole numbers of
/// bytes, a segment is as long as if each field were one section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Values.
    pub count: usize,
    /// Of one value: a field of so many bits, or so many single bits.
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
    /// Deal: its share of the products of a sign's comparison masks.
    Products(usize),
    /// Deal: its share of a sign's beta.
    Beta(usize),
    /// Deal: its share of beta r.
    BetaProduct(usize),
    /// Deal: its share of u v.
    WrapProduct,
    /// M1: an opening's values.
    Opened(usize),
    /// M1: the server's comparison bits of a sign.
    ServerCompared(usize),
    /// M2: the client's comparison bits of a sign.
    ClientCompared(usize),
    /// M2: the client's share of a sign.
    ClientSign(usize),
    /// M3: the server's share of a sign.
    ServerSign(usize),
    /// M3: the top bit of the server's share of the result.
    ServerTop,
    /// M4: the client's share of the result.
    Result,
    /// M4: its top bit.
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
        let section = |n: usize| self.fields.iter().map(|f| f.section(n).bytes()).sum::<usize>();
        count / BLOCK * section(BLOCK) + section(count % BLOCK)
    }

    fn sections(&self) -> impl Iterator<Item = Section> + '_ {
        self.fields.iter().map(|field| field.section(self.count))
    }
}

impl Group {
    /// `patches` are those below and above of each channel.
    fn new(
        number: usize,
        channels: Vec<usize>,
        form: Form,
        ring: u32,
        shape: Shape,
        patches: &dyn Fn(usize) -> [Patch; 2],
    ) -> Self {
        let pixels = Opening::new(vec![Patch::PIXEL; channels.len()], ring, shape);
        let mut openings = vec![pixels];
        let mut signs = Vec::new();
        for (grain, upper) in form.grains() {
            let opening = match (grain, form) {
                (Grain::Pixel, _) => 0,
                (Grain::Patch, Form::Paired(_)) if upper => 1,
                (Grain::Patch, _) => {
                    let patches = channels.iter().map(|&c| patches(c)[usize::from(upper)]);
                    openings.push(Opening::new(patches.collect(), WIDE, shape));
                    openings.len() - 1
                }
            };
            signs.push(Sign { opening, upper });
        }
        Self {
            number,
            channels,
            form,
            map: [shape.h, shape.w],
            ring,
            openings,
            signs,
        }
    }

    /// Takes the sums over large patches from where they begin in the second operand.
    fn take_sums(&mut self, places: &SumPlaces) {
        for opening in &mut self.openings {
            let patches = self.channels.iter().zip(&opening.patches);
            let place = |(&c, &patch): (&usize, &Patch)| is_large(patch).then(|| places[&(c, patch)]);
            opening.sums = patches.map(place).collect();
        }
    }

    /// Pixels of the whole group.
    pub fn pixels(&self) -> usize {
        self.openings[0].count()
    }

    /// DReLUs of the group.
    pub fn drelus(&self) -> usize {
        self.signs.iter().map(|s| self.openings[s.opening].count()).sum()
    }

    /// Products of a sign with a value per pixel that are dealt: one a sign, but for a pair,
    /// whose second sign multiplies a constant.
    pub fn pixel_products(&self) -> usize {
        match self.form {
            Form::Paired(_) => 1,
            Form::Pass | Form::Requant | Form::Lower(_) | Form::Upper(_) | Form::Both(..) => self.signs.len(),
        }
    }

    /// The signs that are taken from an opening, with their numbers.
    pub fn signs_of(&self, opening: usize) -> impl Iterator<Item = (usize, &Sign)> {
        self.signs
            .iter()
            .enumerate()
            .filter(move |(_, s)| s.opening == opening)
    }

    /// Openings in the order of their segments in messages: those of patches, then the pixels.
    pub fn order(&self) -> impl Iterator<Item = usize> + use<> {
        (1..self.openings.len()).chain([0])
    }

    /// What the values of an opening have in the message of a stage; no fields if nothing.
    pub fn segment(&self, stage: Stage, opening: usize) -> Segment {
        let contents = self.contents(stage, opening).into_iter();
        Segment {
            count: self.openings[opening].count(),
            fields: contents.map(|content| self.field(content)).collect(),
        }
    }

    fn sections(&self, stage: Stage) -> Vec<Section> {
        let segments = self.order().map(|opening| self.segment(stage, opening));
        segments.flat_map(|s| s.sections().collect::<Vec<_>>()).collect()
    }

    /// What the message of a stage holds of an opening, in order. Messages, their costs, and the masks
    /// that fields are declared with ([`privacy`](super::privacy)) all follow from this list.
    pub fn contents(&self, stage: Stage, opening: usize) -> Vec<Content> {
        match self.form {
            Form::Pass => Vec::new(),
            Form::Requant => requant_contents(stage),
            Form::Lower(_) | Form::Upper(_) | Form::Paired(_) | Form::Both(..) => {
                self.signed_contents(stage, opening)
            }
        }
    }

    fn signed_contents(&self, stage: Stage, at: usize) -> Vec<Content> {
        let of_signs = |contents: fn(usize) -> Vec<Content>| -> Vec<Content> {
            self.signs_of(at).flat_map(|(sign, _)| contents(sign)).collect()
        };
        let of_pixels = |contents: Vec<Content>| if at == 0 { contents } else { Vec::new() };
        match stage {
            Stage::Deal => {
                let signs = of_signs(|sign| vec![Content::Products(sign), Content::Beta(sign)]);
                let tables = (!signs.is_empty()).then_some(Content::Tables(at));
                let products = (0..self.pixel_products()).map(Content::BetaProduct);
                let pixels = of_pixels(products.chain([Content::WrapProduct]).collect());
                tables.into_iter().chain(signs).chain(pixels).collect()
            }
            Stage::M1 => {
                let signs = of_signs(|sign| vec![Content::ServerCompared(sign)]);
                std::iter::once(Content::Opened(at)).chain(signs).collect()
            }
            Stage::M2 => of_signs(|sign| vec![Content::ClientCompared(sign), Content::ClientSign(sign)]),
            Stage::M3 => {
                let mut contents = of_signs(|sign| vec![Content::ServerSign(sign)]);
                contents.extend(of_pixels(vec![Content::ServerTop]));
                contents
            }
            Stage::M4 => of_pixels(vec![Content::Result, Content::ClientTop]),
            Stage::MaskedShare | Stage::TruncationMask | Stage::Input | Stage::Reveal => Vec::new(),
        }
    }

    /// How much of each value that is.
    pub(super) fn field(&self, content: Content) -> Field {
        match content {
            Content::Tables(at) => Field::Planes(table_planes(self.openings[at].ring)),
            Content::Products(_) => Field::Planes(PRODUCTS),
            Content::Beta(_) | Content::BetaProduct(_) => Field::Number(self.ring),
            Content::WrapProduct => Field::Number(32 - self.ring),
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

/// Groups of a gate on a truncated accumulator of `shape`; `upper` is given for a clip, `sums` says
/// whether the sums over large patches are in a second operand.
pub fn groups(lower: &Patches, upper: Option<&Patches>, shape: Shape, sums: bool) -> Vec<Group> {
    let patches = |c: usize| [lower[c], upper.map_or(Patch::Identity, |u| u[c])];
    let form = |c: usize| {
        let [lower, upper] = patches(c);
        Form::of(lower, upper)
    };
    let mut groups = grouped(shape, form, Form::ring, &patches);
    if sums {
        let list = SumList::of_gate(lower, upper.map(Vec::as_slice));
        let places = list.places(shape.h, shape.w);
        groups.iter_mut().for_each(|group| group.take_sums(&places));
    }
    groups
}

/// Groups of a ReLU on activations: pixels or identity.
pub fn activation_groups(patches: &Patches, shape: Shape) -> Vec<Group> {
    let form = |c: usize| match patches[c] {
        Patch::Identity => Form::Pass,
        patch => Form::Lower(Grain::of(patch)),
    };
    grouped(shape, form, Form::ring, &|c| [patches[c], Patch::Identity])
}

/// The one group of a maximum of two activations, whose difference has `ring` bits.
pub fn difference_groups(ring: u32, shape: Shape) -> Vec<Group> {
    let form = |_| Form::Lower(Grain::Pixel);
    grouped(shape, form, |_| ring, &|_| [Patch::PIXEL, Patch::Identity])
}

fn grouped(
    shape: Shape,
    form: impl Fn(usize) -> Form,
    ring: impl Fn(Form) -> u32,
    patches: &dyn Fn(usize) -> [Patch; 2],
) -> Vec<Group> {
    let mut by_form: BTreeMap<Form, Vec<usize>> = BTreeMap::new();
    for c in 0..shape.c {
        by_form.entry(form(c)).or_default().push(c);
    }
    by_form
        .into_iter()
        .enumerate()
        .map(|(number, (form, channels))| Group::new(number, channels, form, ring(form), shape, patches))
        .collect()
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

#[cfg(test)]
mod tests;
