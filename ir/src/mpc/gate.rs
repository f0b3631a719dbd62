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

use serde::{Deserialize, Serialize};

use super::message::{Message, Section, Stage};
use super::sums::{SumList, SumPlaces, is_large};
use crate::patch::{Patch, Patches};
use crate::shape::Shape;

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
pub fn product_terms() -> Vec<u8> {
    let mut terms: Vec<u8> = Vec::with_capacity(PRODUCTS);
    for term in borrow_terms() {
        let subsets = (1..=term).filter(|s| s & !term == 0 && s.count_ones() >= 2);
        for subset in subsets {
            if !terms.contains(&subset) {
                terms.push(subset);
            }
        }
    }
    terms
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

/// What a group computes; see the table in the module's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Form {
    /// The value itself, untouched.
    Pass,
    /// The value itself, out of its truncated form.
    Requant,
    /// b0 z.
    Lower(Patch),
    /// z - b1 (z - h).
    Upper(Patch),
    /// (b0 ^ b1) z + b1 h.
    Paired(Patch),
    /// b0 z - b1 (z - h), the patch of b0 first.
    Both(Patch, Patch),
}

impl Form {
    /// The form of a gate on truncated accumulators with these patches below and above.
    pub fn of(lower: Patch, upper: Patch) -> Self {
        match (lower, upper) {
            (Patch::Identity, Patch::Identity) => Form::Requant,
            (lower, Patch::Identity) => Form::Lower(lower),
            (Patch::Identity, upper) => Form::Upper(upper),
            (lower, upper) if lower == upper => Form::Paired(lower),
            (lower, upper) => Form::Both(lower, upper),
        }
    }

    /// Bits of the ring in which the value is opened and selected.
    pub fn ring(self) -> u32 {
        match self {
            Form::Lower(patch) if patch.is_pixel() => NARROW,
            _ => WIDE,
        }
    }

    /// Whether the result may be negative, so that the extension needs an offset of 2^14.
    pub fn is_signed(self) -> bool {
        match self {
            Form::Lower(patch) | Form::Paired(patch) | Form::Both(patch, _) => !patch.is_pixel(),
            Form::Upper(_) | Form::Pass | Form::Requant => true,
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

/// Values that are opened under a mask, so that signs can be taken of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The patch of which each value is the sum; a single pixel for the pixels themselves.
    pub patch: Patch,
    /// Number of values in the whole group.
    pub count: usize,
    /// Bits of a value.
    pub ring: u32,
    /// Where the sums of each of the group's channels begin in the gate's second operand; none if
    /// they are sums of the first.
    pub starts: Option<Vec<usize>>,
}

/// Channels of a layer that are treated alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
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

impl Group {
    fn new(channels: Vec<usize>, form: Form, ring: u32, shape: Shape) -> Self {
        let map = [shape.h, shape.w];
        let pixels = Opening {
            patch: Patch::PIXEL,
            count: channels.len() * shape.plane(),
            ring,
            starts: None,
        };
        let mut group = Self {
            channels,
            form,
            map,
            ring,
            openings: vec![pixels],
            signs: Vec::new(),
        };
        match form {
            Form::Pass | Form::Requant => {}
            Form::Lower(patch) => group.add_sign(patch, false),
            Form::Upper(patch) => group.add_sign(patch, true),
            Form::Paired(patch) => {
                group.add_sign(patch, false);
                group.add_sign(patch, true);
            }
            Form::Both(lower, upper) => {
                group.add_sign(lower, false);
                group.add_sign(upper, true);
            }
        }
        group
    }

    fn add_sign(&mut self, patch: Patch, upper: bool) {
        let opening = match self.openings.iter().position(|o| o.patch == patch) {
            Some(opening) => opening,
            None => {
                let count = self.channels.len() * patch.signs(self.map[0], self.map[1]);
                self.openings.push(Opening {
                    patch,
                    count,
                    ring: WIDE,
                    starts: None,
                });
                self.openings.len() - 1
            }
        };
        self.signs.push(Sign { opening, upper });
    }

    /// Takes the sums over large patches from where they begin in the second operand.
    fn take_sums(&mut self, places: &SumPlaces) {
        let large = |opening: &&mut Opening| is_large(opening.patch);
        for opening in self.openings.iter_mut().filter(large) {
            let channels = self.channels.iter();
            opening.starts = Some(channels.map(|&c| places[&(c, opening.patch)]).collect());
        }
    }

    /// Pixels of the whole group.
    pub fn pixels(&self) -> usize {
        self.openings[0].count
    }

    /// DReLUs of the group.
    pub fn drelus(&self) -> usize {
        self.signs.iter().map(|s| self.openings[s.opening].count).sum()
    }

    /// Products of a sign with a value per pixel that are dealt: one a sign, but for a pair,
    /// whose second sign multiplies a constant.
    pub fn pixel_products(&self) -> usize {
        match self.form {
            Form::Paired(_) => 1,
            Form::Pass | Form::Requant | Form::Lower(_) | Form::Upper(_) | Form::Both(..) => self.signs.len(),
        }
    }

    fn uses_opening(&self, opening: usize) -> bool {
        self.signs.iter().any(|s| s.opening == opening)
    }

    fn sections(&self, stage: Stage) -> Vec<Section> {
        let pixels = self.pixels();
        match (self.form, stage) {
            (Form::Pass, _) => Vec::new(),
            (Form::Requant, Stage::Deal | Stage::M2) => vec![Section::fields(pixels, WIDE)],
            (Form::Requant, Stage::M1) => vec![Section::planes(1, pixels)],
            (Form::Requant, _) => Vec::new(),
            (_, Stage::Deal) => self.deal_sections(),
            (_, Stage::M1) => self.m1_sections(),
            (_, Stage::M2) => self.per_sign(|count| Section::planes(OPENED_BITS + 1, count)),
            (_, Stage::M3) => {
                let mut sections = self.per_sign(|count| Section::planes(1, count));
                sections.push(Section::planes(1, pixels));
                sections
            }
            (_, Stage::M4) => vec![Section::fields(pixels, 32), Section::planes(1, pixels)],
            (_, Stage::MaskedShare | Stage::TruncationMask | Stage::Input | Stage::Reveal) => Vec::new(),
        }
    }

    fn per_sign(&self, section: impl Fn(usize) -> Section) -> Vec<Section> {
        self.signs
            .iter()
            .map(|s| section(self.openings[s.opening].count))
            .collect()
    }

    /// Tables of each opening; per sign the products of masks and the sign's mask beta in the
    /// ring; per pixel product beta times the mask; the products of the wrap bits.
    fn deal_sections(&self) -> Vec<Section> {
        let mut sections = Vec::new();
        for (at, opening) in self.openings.iter().enumerate() {
            if self.uses_opening(at) {
                sections.push(Section::planes(table_planes(opening.ring), opening.count));
            }
        }
        for (at, sign) in self.signs.iter().enumerate() {
            let count = self.openings[sign.opening].count;
            sections.push(Section::planes(PRODUCTS, count));
            sections.push(Section::fields(count, self.ring));
            if at < self.pixel_products() {
                sections.push(Section::fields(self.pixels(), self.ring));
            }
        }
        sections.push(Section::fields(self.pixels(), 32 - self.ring));
        sections
    }

    fn m1_sections(&self) -> Vec<Section> {
        let mut sections: Vec<Section> = self
            .openings
            .iter()
            .map(|o| Section::fields(o.count, o.ring))
            .collect();
        sections.extend(self.per_sign(|count| Section::planes(OPENED_BITS, count)));
        sections
    }
}

/// Groups of a gate on a truncated accumulator of `shape`; `upper` is given for a clip, `sums` says
/// whether the sums over large patches are in a second operand.
pub fn groups(lower: &Patches, upper: Option<&Patches>, shape: Shape, sums: bool) -> Vec<Group> {
    let form = |c: usize| Form::of(lower[c], upper.map_or(Patch::Identity, |u| u[c]));
    let mut groups = grouped(shape, form, Form::ring);
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
        patch => Form::Lower(patch),
    };
    grouped(shape, form, Form::ring)
}

/// The one group of a maximum of two activations, whose difference has `ring` bits.
pub fn difference_groups(ring: u32, shape: Shape) -> Vec<Group> {
    grouped(shape, |_| Form::Lower(Patch::PIXEL), |_| ring)
}

fn grouped(shape: Shape, form: impl Fn(usize) -> Form, ring: impl Fn(Form) -> u32) -> Vec<Group> {
    let mut by_form: BTreeMap<Form, Vec<usize>> = BTreeMap::new();
    for c in 0..shape.c {
        by_form.entry(form(c)).or_default().push(c);
    }
    by_form
        .into_iter()
        .map(|(form, channels)| Group::new(channels, form, ring(form), shape))
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
mod tests {
    use super::*;

    fn bits(groups: &[Group]) -> Vec<u64> {
        messages(groups).iter().map(Message::content_bits).collect()
    }

    #[test]
    fn the_terms_are_fifteen_distinct_products() {
        let terms = product_terms();
        assert_eq!(terms.len(), PRODUCTS);
        assert!(terms.iter().all(|t| t.count_ones() >= 2));
    }

    #[test]
    fn a_relu_costs_what_the_protocol_says() {
        let shape = Shape::new(1, 8, 8);
        let relu = groups(&vec![Patch::PIXEL], None, shape, false);
        // deal 44 + 15 + 15 + 15 + 17, M1 15 + 6, M2 6 + 1, M3 1 + 1, M4 32 + 1; with the
        // truncation's 32 + 15 that is 216 bits a ReLU, 63 of them online.
        assert_eq!(bits(&relu), [106, 21, 7, 2, 33].map(|b| b * 64));
    }

    #[test]
    fn a_block_relu_costs_130_bits_a_pixel_and_113_a_patch() {
        let shape = Shape::new(1, 8, 8);
        let block = groups(&vec![Patch::Block { h: 4, w: 4 }], None, shape, false);
        let gate: u64 = bits(&block).iter().sum();
        assert_eq!(gate, (130 - 48) * 64 + 113 * 4);
    }

    #[test]
    fn a_clip_on_one_opening_costs_272_bits() {
        let shape = Shape::new(1, 8, 8);
        let patches = vec![Patch::PIXEL];
        let clip = groups(&patches, Some(&patches), shape, false);
        assert_eq!(bits(&clip).iter().sum::<u64>(), (272 - 48) * 64);
    }

    #[test]
    fn a_maximum_costs_179_bits_and_a_requantisation_33() {
        let shape = Shape::new(1, 8, 8);
        assert_eq!(
            bits(&difference_groups(WIDE, shape)).iter().sum::<u64>(),
            179 * 64
        );
        let requant = groups(&vec![Patch::Identity], None, shape, false);
        assert_eq!(bits(&requant).iter().sum::<u64>(), 33 * 64);
    }

    #[test]
    fn channels_of_one_kind_are_one_group() {
        let block = Patch::Block { h: 2, w: 2 };
        let patches = vec![Patch::PIXEL, Patch::Identity, block, Patch::PIXEL, block];
        let groups = groups(&patches, None, Shape::new(5, 4, 4), false);
        let channels: Vec<_> = groups.iter().map(|g| g.channels.clone()).collect();
        assert_eq!(channels, [vec![1], vec![0, 3], vec![2, 4]]);
    }
}
