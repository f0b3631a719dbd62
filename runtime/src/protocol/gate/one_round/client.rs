//! The client: M2.

use trefoil_ir::mpc::Stage;
use trefoil_ir::mpc::gate::{BLOCK, Group, KEY_PLANES, garbled_planes};

use super::{MaskShare, OfPatches, Selector, Signed, join, result_share};
use crate::kernel::Isa;
use crate::prg::Purpose;
use crate::protocol::block::{self, BlockReader, BlockWork, BlockWriter, Halves, Masks, ZEROS, not, xor};
use crate::protocol::garbled::{MOST_ROWS, evaluate};
use crate::protocol::gate::Levels;
use crate::protocol::gate::signs::{planes_of, public_of};
use crate::protocol::layout::{Part, Placed};
use crate::protocol::low;
use crate::protocol::operand::Half;
use crate::protocol::streams::StepStreams;
use crate::wire::bits::BitsError;

/// The group's part of M2. `rs` is the client's half of the operand, in front of Deal and M1.
///
/// # Errors
/// If a message is malformed.
pub(in crate::protocol::gate) fn m2(
    isa: Isa,
    placed: &Placed,
    (rs, [deal, m1]): (Half<'_>, [&[Part<'_>]; 2]),
    levels: Levels<'_>,
    streams: &mut StepStreams<'_>,
    parts: &mut [&mut [u8]],
) -> Result<(), BitsError> {
    let group = &placed.group;
    let mut of_patches = OfPatches::of(group);
    let mut opening = |at: usize| Opening {
        isa,
        group,
        at,
        deal: &deal[at],
        m1: &m1[at],
        levels,
        bits: group
            .signs_of(at)
            .map(|(sign, _)| streams.planes(group.draw(Purpose::SignMaskClient, sign), 1))
            .collect(),
    };
    for at in group.order().filter(|&at| at > 0) {
        let full = group.segment(Stage::M2, at).bytes(BLOCK);
        let count = group.openings[at].count();
        let kept = of_patches.of_opening(group, at);
        block::write_and_keep(isa, &opening(at), count, (parts[at], full), kept)?;
    }
    let pixels = Pixels {
        opening: opening(0),
        placed,
        rs,
        of_patches: &of_patches,
        fresh: streams.words(group.draw(Purpose::FreshMask, 0)),
    };
    let full = group.segment(Stage::M2, 0).bytes(BLOCK);
    block::write(isa, &pixels, group.pixels(), parts[0], full)
}

/// Evaluates the garbled comparisons of the values of an opening.
struct Opening<'a> {
    isa: Isa,
    group: &'a Group,
    at: usize,
    deal: &'a Part<'a>,
    m1: &'a Part<'a>,
    levels: Levels<'a>,
    /// For each sign of the opening the client's mask of the opened bit.
    bits: Vec<Masks>,
}

impl Opening<'_> {
    /// Reads the opening's part of Deal and M1 up to what there is of pixels, and writes the signs. Returns
    /// the opened values.
    #[inline(always)]
    fn write(
        &self,
        block: usize,
        deal: &mut BlockReader<'_>,
        message: &mut BlockWriter<'_>,
        kept: &mut [&mut Signed],
    ) -> Result<Halves, BitsError> {
        let group = self.group;
        let opening = &group.openings[self.at];
        let mut m1 = self.m1.block(block);
        let mut opened = [0; BLOCK];
        m1.halves(opening.ring, &mut opened)?;
        for (((_, sign), masks), kept) in group.signs_of(self.at).zip(&self.bits).zip(kept.iter_mut()) {
            let public = public_of(group, opening, sign, self.levels, block, &opened);
            let public = planes_of(self.isa, opening.ring, &public);
            let mut rows = [ZEROS; MOST_ROWS];
            let rows = &mut rows[..garbled_planes(opening.ring)];
            deal.planes(rows)?;
            deal.words(u32::BITS, &mut kept.beta)?;
            let mut keys = [ZEROS; KEY_PLANES];
            m1.planes(&mut keys)?;
            // z >= its threshold: not the top bit of pub - r, that is of pub, of r (in beta), and the borrow.
            kept.open = evaluate(&public, opening.ring, rows, &keys);
            xor(&mut kept.open, &public[opening.ring as usize - 1]);
            not(&mut kept.open);
            xor(&mut kept.open, &masks.plane(block));
            message.planes(&[kept.open]);
        }
        join(group, kept);
        Ok(opened)
    }
}

/// M2 of patches.
impl BlockWork for Opening<'_> {
    type Own<'a> = (BlockWriter<'a>, Vec<&'a mut Signed>);

    #[inline(always)]
    fn block(&self, block: usize, (mut message, mut kept): Self::Own<'_>) -> Result<(), BitsError> {
        let mut deal = self.deal.block(block);
        self.write(block, &mut deal, &mut message, &mut kept)?;
        Ok(())
    }
}

/// M2 of pixels: with their own signs and those of their patches, the share of the result.
struct Pixels<'a> {
    opening: Opening<'a>,
    placed: &'a Placed,
    rs: Half<'a>,
    of_patches: &'a OfPatches,
    fresh: Masks,
}

impl BlockWork for Pixels<'_> {
    type Own<'a> = BlockWriter<'a>;

    #[inline(always)]
    fn block(&self, block: usize, mut message: BlockWriter<'_>) -> Result<(), BitsError> {
        let Opening {
            isa, group, levels, ..
        } = self.opening;
        let k = group.ring;
        let mut deal = self.opening.deal.block(block);
        let mut own = [Signed::NOTHING; 2];
        let opened = self
            .opening
            .write(block, &mut deal, &mut message, &mut own.each_mut())?;
        let mut selectors = [Selector::NOTHING; 2];
        let mut own = own.iter();
        for (sign, selector) in selectors[..group.signs.len()].iter_mut().enumerate() {
            let own = (group.signs[sign].opening == 0).then(|| own.next()).flatten();
            self.of_patches
                .of_pixels((isa, self.placed), sign, block, own, selector);
        }
        for selector in &mut selectors[..group.pixel_products()] {
            deal.words(u32::BITS, &mut selector.product)?;
            deal.words(u32::BITS - k, &mut selector.top)?;
        }
        let mut mask = MaskShare {
            q: [0; BLOCK],
            top: [0; BLOCK],
        };
        deal.words(u32::BITS - k, &mut mask.q)?;
        deal.words(u32::BITS - k, &mut mask.top)?;
        let mut rs = [0; BLOCK];
        self.rs.load(&self.placed.places, block, &mut rs);
        for (q, rs) in mask.q.iter_mut().zip(&rs) {
            *q = (*q << k).wrapping_add(u32::from(rs & low(k)));
        }
        let mut answer = result_share(group, &selectors, &mask, &opened, levels, block, false);
        let fresh = self.fresh.words(block);
        for i in 0..BLOCK {
            answer[i] = answer[i].wrapping_sub(fresh[i]);
        }
        message.words(&answer, u32::BITS);
        Ok(())
    }
}
