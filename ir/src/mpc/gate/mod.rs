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
//! accumulator or (of large patches) from a vector of their own, see [`sums`](super::patch_sums).

mod comparison;
mod contents;
mod garbled;

use std::collections::BTreeMap;

pub use comparison::{OPENED_BITS, PRODUCTS, borrow_terms, chunks, product_terms, table_planes};
pub use contents::{BLOCK, Content, Field, Segment, messages};
pub use garbled::{KEY_PLANES, LEVELS, digits, garbled_planes, labels_at, row_bits, states};

use serde::{Deserialize, Serialize};

use super::patch_sums::{SumList, SumPlaces, is_large};
use crate::geometry::{Patch, Patches, Shape};
use crate::text::{AttrError, Attrs};

/// Bits of the activation ring: what is left of 32 when 16 are truncated.
pub const WIDE: u32 = 16;

/// Bits that carry a value of which only non-negative results survive.
pub const NARROW: u32 = 15;

/// In how many rounds a gate takes its signs and masks its result anew. Both ways give the same result
/// within the ranges; the one is cheap, the other short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Rounds {
    /// Comparison bits to and fro, then the sign and the result: fewest bytes.
    #[default]
    Two,
    /// A garbled comparison, which the client evaluates by itself: about twice the bytes, half the wait.
    One,
}

impl Rounds {
    /// Adds the attribute by which the text form says that there is one round; two are not mentioned.
    pub(in crate::mpc) fn write(self, attrs: Attrs) -> Attrs {
        match self {
            Rounds::Two => attrs,
            Rounds::One => attrs.with("rounds", 1i64),
        }
    }

    /// Reads that attribute.
    pub(in crate::mpc) fn read(attrs: &mut Attrs) -> Result<Self, AttrError> {
        match attrs.optional::<i64>("rounds")? {
            None => Ok(Rounds::Two),
            Some(1) => Ok(Rounds::One),
            Some(_) => Err(AttrError::Form {
                name: "rounds".into(),
                expected: "1, or left out",
            }),
        }
    }
}

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
    /// b0 z, with the grain of b0.
    Lower(Grain),
    /// z - b1 (z - h), with the grain of b1.
    Upper(Grain),
    /// (b0 ^ b1) z + b1 h, with the grain of both signs.
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

    /// Whether the value may be negative where a sign multiplies it, or goes into the result by itself, so that its
    /// extension in one round needs an offset of 2^14. That of a clip's upper sign of patches may, though the
    /// result then is not.
    pub fn takes_signed_values(self) -> bool {
        match self {
            Form::Lower(grain) | Form::Paired(grain) => grain == Grain::Patch,
            Form::Both(lower, upper) => lower == Grain::Patch || upper == Grain::Patch,
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
    /// Index of the opening that it is taken from.
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
    /// Bits in which a value is opened.
    pub ring: u32,
    /// Where the sums of a channel begin in the gate's second operand; none if they are sums of the
    /// first.
    pub sums: Vec<Option<usize>>,
}

impl Opening {
    fn new(patches: Vec<Patch>, ring: u32, shape: Shape) -> Self {
        let mut starts = vec![0];
        let mut count = 0;
        for patch in &patches {
            count += patch.signs(shape.h, shape.w);
            starts.push(count);
        }
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
    /// Index among the groups of its step.
    pub number: usize,
    /// Indices of the channels, ascending.
    pub channels: Vec<usize>,
    /// What the group computes of its values.
    pub form: Form,
    /// In how many rounds, if it takes signs.
    pub rounds: Rounds,
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
    /// The group of these channels, of which there is at least one and which share a form.
    fn new(number: usize, channels: Vec<usize>, treatments: &[Treatment], shape: Shape) -> Self {
        let Treatment { form, ring, .. } = treatments[channels[0]];
        let pixels = Opening::new(vec![Patch::PIXEL; channels.len()], ring, shape);
        let mut openings = vec![pixels];
        let mut signs = Vec::new();
        for (grain, upper) in form.grains() {
            let opening = match (grain, form) {
                (Grain::Pixel, _) => 0,
                (Grain::Patch, Form::Paired(_)) if upper => 1,
                (Grain::Patch, _) => {
                    let own = channels.iter().map(|&c| &treatments[c]);
                    let patches = own.map(|own| if upper { own.upper } else { own.lower });
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
            rounds: Rounds::Two,
            map: [shape.h, shape.w],
            ring,
            openings,
            signs,
        }
    }

    /// Takes the sums over large patches from where they begin in the second operand.
    fn take_sums(&mut self, places: &SumPlaces) {
        for opening in &mut self.openings {
            let patches = self.channels.iter().copied().zip(opening.patches.iter().copied());
            opening.sums = patches
                .map(|(channel, patch)| is_large(patch).then(|| places[&(channel, patch)]))
                .collect();
        }
    }

    /// Pixels of the whole group.
    pub fn pixels(&self) -> usize {
        self.openings[0].count()
    }

    /// Signs (DReLUs) that the group takes.
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
}

/// How a gate treats one channel.
#[derive(Clone, Copy)]
struct Treatment {
    form: Form,
    /// Bits of the ring in which the value is opened and selected.
    ring: u32,
    lower: Patch,
    upper: Patch,
}

impl Treatment {
    fn new(form: Form, lower: Patch, upper: Patch) -> Self {
        Self {
            form,
            ring: form.ring(),
            lower,
            upper,
        }
    }

    /// A gate on a truncated accumulator.
    fn of_truncated(lower: Patch, upper: Patch) -> Self {
        Self::new(Form::of(lower, upper), lower, upper)
    }

    /// A ReLU on activations: a pixel, or the identity.
    fn of_activation(patch: Patch) -> Self {
        let form = match patch {
            Patch::Identity => Form::Pass,
            Patch::Block { .. } => Form::Lower(Grain::of(patch)),
        };
        Self::new(form, patch, Patch::Identity)
    }

    /// The ReLU of a difference of two activations, which has `ring` bits.
    fn of_difference(ring: u32) -> Self {
        Self {
            ring,
            ..Self::of_activation(Patch::PIXEL)
        }
    }
}

/// Groups of a gate on a truncated accumulator of `shape`; `upper` is given for a clip, `sums` says
/// whether the sums over large patches are in a second operand.
pub fn groups(lower: &Patches, upper: Option<&Patches>, shape: Shape, sums: bool) -> Vec<Group> {
    let mut treatments = Vec::with_capacity(shape.c);
    for c in 0..shape.c {
        let above = upper.map_or(Patch::Identity, |upper| upper[c]);
        treatments.push(Treatment::of_truncated(lower[c], above));
    }
    let mut groups = grouped(&treatments, shape);
    if sums {
        let list = SumList::of_gate(lower, upper.map(Vec::as_slice));
        let places = list.places(shape.h, shape.w);
        groups.iter_mut().for_each(|group| group.take_sums(&places));
    }
    groups
}

/// Groups of a ReLU on activations: pixels or identity.
pub fn activation_groups(patches: &Patches, shape: Shape) -> Vec<Group> {
    let treatments: Vec<Treatment> = (0..shape.c)
        .map(|c| Treatment::of_activation(patches[c]))
        .collect();
    grouped(&treatments, shape)
}

/// The one group of a maximum of two activations, whose difference has `ring` bits.
pub fn difference_groups(ring: u32, shape: Shape) -> Vec<Group> {
    grouped(&vec![Treatment::of_difference(ring); shape.c], shape)
}

/// These groups, with their signs taken in so many rounds.
pub fn in_rounds(rounds: Rounds, mut groups: Vec<Group>) -> Vec<Group> {
    groups.iter_mut().for_each(|group| group.rounds = rounds);
    groups
}

/// One group for each form that occurs, in the order of forms.
fn grouped(treatments: &[Treatment], shape: Shape) -> Vec<Group> {
    let mut by_form: BTreeMap<Form, Vec<usize>> = BTreeMap::new();
    for (channel, treatment) in treatments.iter().enumerate() {
        by_form.entry(treatment.form).or_default().push(channel);
    }
    by_form
        .into_values()
        .enumerate()
        .map(|(number, channels)| Group::new(number, channels, treatments, shape))
        .collect()
}

#[cfg(test)]
mod tests;
