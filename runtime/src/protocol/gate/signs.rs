//! What gates with signs do alike, in one round and in two.

use trefoil_ir::mpc::gate::{BLOCK, Group, Opening, Sign};

use super::{Exact, Levels, infallible};
use crate::kernel::Isa;
use crate::pool;
use crate::prg::Purpose;
use crate::protocol::block::{self, Bits, BlockWork, Halves, Masks, Places, Words, ZEROS, expand};
use crate::protocol::layout::Placed;
use crate::protocol::low;
use crate::protocol::operand::Half;
use crate::protocol::patch_sums::opened_sums;
use crate::protocol::spread::thresholds;
use crate::protocol::streams::StepStreams;
use crate::wipe::wipe;
use crate::wire::bits::BitsError;

/// A party's half of the values of an opening, and the mask under which they are opened.
pub(super) struct OpenedHalf<'a> {
    pub(super) half: Half<'a>,
    pub(super) places: &'a Places,
    /// The mask, modulo 2^k.
    pub(super) sigma: &'a Masks,
}

/// Does `work` for each opening of patches, in order, with this party's sums over them (as it `holds` them) and
/// the mask under which they are opened, which is drawn first.
pub(super) fn each_of_patches(
    group: &Group,
    exact: Exact<'_>,
    holds: for<'h> fn(&'h [u32]) -> Half<'h>,
    server: &mut StepStreams<'_>,
    mut work: impl FnMut(usize, OpenedHalf<'_>, &mut StepStreams<'_>),
) {
    for at in group.order().filter(|&at| at > 0) {
        let sums = opened_sums(group, &group.openings[at], exact);
        let opened = OpenedHalf {
            half: holds(&sums),
            places: &Places::in_order(sums.len()),
            sigma: &server.halves(group.opening_mask(at)),
        };
        work(at, opened, server);
        pool::recycle(sums);
    }
}

/// The bits of the ring's values; those above are zero.
pub(super) type Planes = [Bits; 16];

/// The bits of a block of an opening's values.
#[inline(always)]
pub(super) fn planes_of(isa: Isa, ring: u32, values: &Halves) -> Planes {
    let mut planes = [ZEROS; 16];
    block::slice(isa, values, &mut planes[..ring as usize]);
    planes
}

/// The opened values minus the sign's threshold.
#[inline(always)]
pub(super) fn public_of(
    group: &Group,
    opening: &Opening,
    sign: &Sign,
    levels: Levels<'_>,
    block: usize,
    opened: &Halves,
) -> Halves {
    if !sign.upper {
        return *opened;
    }
    let mut public = [0; BLOCK];
    thresholds(group, opening, levels, block, &mut public);
    let mask = low(opening.ring);
    for i in 0..BLOCK {
        public[i] = opened[i].wrapping_sub(public[i]) & mask;
    }
    public
}

/// For each sign of a group a value for each block of its opening.
pub(super) fn blocks_of_signs<K: Clone>(group: &Group, nothing: K) -> Vec<Vec<K>> {
    let openings = group.signs.iter().map(|sign| &group.openings[sign.opening]);
    openings
        .map(|opening| vec![nothing.clone(); block::blocks(opening.count())])
        .collect()
}

/// The entries of `kept`, which has one for each sign of the group, that belong to signs of opening `at`.
pub(super) fn of_opening<'a, K>(group: &Group, at: usize, kept: &'a mut [Vec<K>]) -> Vec<&'a mut [K]> {
    let pairs = group.signs.iter().zip(kept);
    pairs
        .filter(|(sign, _)| sign.opening == at)
        .map(|(_, kept)| &mut kept[..])
        .collect()
}

/// Bits as masks of 32 bits: all ones, or zero.
#[inline(always)]
pub(super) fn wide_masks(isa: Isa, bits: &Bits) -> Words {
    let mut halves = [0; BLOCK];
    expand(isa, bits, &mut halves);
    let mut masks = [0; BLOCK];
    for (mask, half) in masks.iter_mut().zip(&halves) {
        *mask = i32::from(half.cast_signed()) as u32;
    }
    masks
}

/// The helper: for each sign of patches the masks beta, for the pixels to pick up; empty for a sign of pixels.
pub(super) struct Betas(pub(super) Vec<Vec<Bits>>);

impl Betas {
    /// Room for the group's signs that are not pixels'.
    pub(super) fn of(group: &Group) -> Self {
        let mut signs = Vec::with_capacity(group.signs.len());
        for sign in &group.signs {
            signs.push(match sign.opening {
                0 => Vec::new(),
                at => vec![ZEROS; block::blocks(group.openings[at].count())],
            });
        }
        Self(signs)
    }

    /// Beta of one sign for each pixel of a block, spread to all bits; `own` if it is a sign of pixels.
    #[inline(always)]
    pub(super) fn of_pixels(
        &self,
        (isa, placed): (Isa, &Placed),
        sign: usize,
        block: usize,
        own: Option<&Bits>,
        beta: &mut Halves,
    ) {
        match own {
            Some(own) => expand(isa, own, beta),
            None => {
                let words = self.0[sign].as_flattened();
                let spread = &placed.spreads[placed.group.signs[sign].opening];
                spread.block(block, |at| spread_bit(words, at), beta);
            }
        }
    }
}

impl Drop for Betas {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(|bits| wipe(bits));
    }
}

/// Bit `at` of these words: all bits set, or none.
#[inline(always)]
pub(super) fn spread_bit(words: &[u64], at: usize) -> u16 {
    ((words[at / 64] >> (at % 64) & 1) as u16).wrapping_neg()
}

/// The client and the helper: the mask of the result.
pub(super) fn result_mask(isa: Isa, placed: &Placed, client: &mut StepStreams<'_>, masks: &mut [u32]) {
    let fresh = client.words(placed.group.draw(Purpose::FreshMask, 0));
    infallible(block::fill(isa, &Fresh(fresh), &placed.places, masks));
}

/// Draws the mask of the result.
struct Fresh(Masks);

impl BlockWork for Fresh {
    type Own<'a> = &'a mut Words;

    #[inline(always)]
    fn block(&self, block: usize, masks: &mut Words) -> Result<(), BitsError> {
        *masks = self.0.words(block);
        Ok(())
    }
}
