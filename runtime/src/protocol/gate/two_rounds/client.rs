//! The client: M2 and M4.

use trefoil_ir::mpc::Stage;
use trefoil_ir::mpc::gate::{BLOCK, Field, Group, OPENED_BITS, PRODUCTS, table_planes};

use super::{OfPatches, Selector, negate_if, of_patches, pick_up_all, result_share, takes_top_bit};
use crate::kernel::Isa;
use crate::prg::Purpose;
use crate::protocol::block::{
    self, Bits, BlockReader, BlockWork, BlockWriter, Halves, Masks, Words, ZEROS, expand, xor,
};
use crate::protocol::compare::{Comparison, MOST_PLANES, look};
use crate::protocol::gate::Levels;
use crate::protocol::gate::signs::{blocks_of_signs, of_opening, planes_of, public_of, wide_masks};
use crate::protocol::layout::{Part, Placed};
use crate::protocol::operand::Half;
use crate::protocol::streams::StepStreams;
use crate::wipe::wipe;
use crate::wire::bits::BitsError;

/// What the client keeps of one group between M2 and M4: its masked share of each sign bit.
pub(in crate::protocol::gate) struct Client {
    /// For each sign, block by block.
    own: Vec<Vec<Bits>>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.own.iter_mut().for_each(|bits| wipe(bits));
    }
}

/// What M4 is made of.
pub(in crate::protocol::gate) struct Received<'a> {
    /// The client's half of the operand.
    pub rs: Half<'a>,
    /// The helper's message.
    pub deal: &'a [Part<'a>],
    /// The server's first.
    pub m1: &'a [Part<'a>],
    /// The server's second.
    pub m3: &'a [Part<'a>],
}

impl Client {
    /// The group's part of M2.
    ///
    /// # Errors
    /// If a message is malformed.
    pub(in crate::protocol::gate) fn m2(
        isa: Isa,
        placed: &Placed,
        [deal, m1]: [&[Part<'_>]; 2],
        levels: Levels<'_>,
        streams: &mut StepStreams<'_>,
        parts: &mut [&mut [u8]],
    ) -> Result<Self, BitsError> {
        let group = &placed.group;
        let mut own = blocks_of_signs(group, ZEROS);
        for at in group.order().filter(|&at| group.signs_of(at).next().is_some()) {
            let count = group.openings[at].count();
            let signs = group.signs_of(at);
            let m2 = M2 {
                isa,
                group,
                at,
                deal: &deal[at],
                m1: &m1[at],
                levels,
                masks: signs
                    .map(|(sign, _)| SignMasks::draw(group, sign, streams))
                    .collect(),
            };
            let full = group.segment(Stage::M2, at).bytes(BLOCK);
            let kept = of_opening(group, at, &mut own);
            block::write_and_keep(isa, &m2, count, (parts[at], full), kept)?;
        }
        Ok(Self { own })
    }

    /// The group's part of M4, the answer to M3.
    ///
    /// # Errors
    /// If a message is malformed.
    pub(in crate::protocol::gate) fn m4(
        self,
        isa: Isa,
        placed: &Placed,
        received: &Received<'_>,
        levels: Levels<'_>,
        streams: &mut StepStreams<'_>,
        parts: &mut [&mut [u8]],
    ) -> Result<(), BitsError> {
        let group = &placed.group;
        let mut of_patches = OfPatches::of(group);
        let signs = Signs {
            isa,
            group,
            own: &self.own,
            received,
        };
        for at in group.order().filter(|&at| at > 0) {
            let kept = of_patches.of_opening(group, at);
            let m3 = M3Patches { signs: &signs, at };
            block::keep(isa, &m3, kept)?;
        }
        let count = group.pixels();
        let m4 = M4 {
            signs: &signs,
            placed,
            levels,
            of_patches: &of_patches,
            u: streams.planes(group.draw(Purpose::WrapBitClient, 0), 1),
            fresh: streams.words(group.draw(Purpose::FreshMask, 0)),
        };
        let full = group.segment(Stage::M4, 0).bytes(BLOCK);
        block::write(isa, &m4, count, parts[0], full)
    }
}

/// Looks the opened values up in the dealt tables, and answers with masked bits.
struct M2<'a> {
    isa: Isa,
    group: &'a Group,
    at: usize,
    deal: &'a Part<'a>,
    m1: &'a Part<'a>,
    levels: Levels<'a>,
    /// One for each sign of the opening.
    masks: Vec<SignMasks>,
}

/// The client's masks of one sign.
struct SignMasks {
    /// Masks of the comparison's opened bits.
    compare: Masks,
    /// Mask of the sign bit.
    bit: Masks,
}

impl SignMasks {
    fn draw(group: &Group, sign: usize, streams: &mut StepStreams<'_>) -> Self {
        Self {
            compare: streams.planes(group.draw(Purpose::ComparisonMaskClient, sign), OPENED_BITS),
            bit: streams.planes(group.draw(Purpose::SignMaskClient, sign), 1),
        }
    }
}

impl BlockWork for M2<'_> {
    type Own<'a> = (BlockWriter<'a>, Vec<&'a mut Bits>);

    #[inline(always)]
    fn block(&self, block: usize, (mut message, kept): Self::Own<'_>) -> Result<(), BitsError> {
        let group = self.group;
        let opening = &group.openings[self.at];
        let mut deal = self.deal.block(block);
        let mut m1 = self.m1.block(block);
        let mut opened = [0; BLOCK];
        m1.halves(opening.ring, &mut opened)?;
        let mut tables = [ZEROS; MOST_PLANES];
        let tables = &mut tables[..table_planes(opening.ring)];
        deal.planes(tables)?;
        let mut masked = [[ZEROS; OPENED_BITS]; 2];
        let mut borrows = [ZEROS; 2];
        for (i, ((_, sign), masks)) in group.signs_of(self.at).zip(&self.masks).enumerate() {
            let public = public_of(group, opening, sign, self.levels, block, &opened);
            let bits = planes_of(self.isa, opening.ring, &public);
            let looked = look(tables, &bits, opening.ring, false);
            let mut others = [ZEROS; OPENED_BITS];
            m1.planes(&mut others)?;
            let mut products = [ZEROS; PRODUCTS];
            deal.planes(&mut products)?;
            deal.skip(&[Field::Number(group.ring)]);
            let mut comparison = Comparison::default();
            comparison.mask(&looked, |drawn| masks.compare.planes(block, drawn));
            borrows[i] = comparison.join(&others, &products, false);
            masked[i] = comparison.masked;
        }
        let signs = group.signs_of(self.at).zip(&self.masks).zip(kept);
        for (i, (((sign, _), masks), kept)) in signs.enumerate() {
            let mut bit = borrows[i];
            if !takes_top_bit(group, sign) {
                // In a pair the first bit that is opened is the xor of both.
                xor(&mut bit, &borrows[i + 1]);
            }
            xor(&mut bit, &masks.bit.plane(block));
            message.planes(&masked[i]);
            message.planes(&[bit]);
            *kept = bit;
        }
        Ok(())
    }
}

/// Opens the signs: the client's masked shares of their bits with the server's, from M3.
struct Signs<'a> {
    isa: Isa,
    group: &'a Group,
    own: &'a [Vec<Bits>],
    received: &'a Received<'a>,
}

impl Signs<'_> {
    /// Reads an opening's part of M3 and of Deal up to the shares of beta; gives each opened bit,
    /// spread to all bits, with the share of beta.
    #[inline(always)]
    fn read(
        &self,
        at: usize,
        block: usize,
        [m3, deal]: [&mut BlockReader<'_>; 2],
        mut opened: impl FnMut(usize, &Halves, &Halves),
    ) -> Result<(), BitsError> {
        let planes = table_planes(self.group.openings[at].ring);
        for (i, (sign, _)) in self.group.signs_of(at).enumerate() {
            let mut bit = self.own[sign][block];
            xor(&mut bit, &m3.plane()?);
            let mut open = [0; BLOCK];
            expand(self.isa, &bit, &mut open);
            if i == 0 {
                deal.skip(&[Field::Planes(planes)]);
            }
            deal.skip(&[Field::Planes(PRODUCTS)]);
            let mut beta = [0; BLOCK];
            deal.halves(self.group.ring, &mut beta)?;
            opened(sign, &open, &beta);
        }
        Ok(())
    }
}

/// Opens the signs of one opening of patches, for the pixels to pick up.
struct M3Patches<'a> {
    signs: &'a Signs<'a>,
    at: usize,
}

impl BlockWork for M3Patches<'_> {
    type Own<'a> = Vec<&'a mut Words>;

    #[inline(always)]
    fn block(&self, block: usize, kept: Self::Own<'_>) -> Result<(), BitsError> {
        let Received { m3, deal, .. } = self.signs.received;
        let mut m3 = m3[self.at].block(block);
        let mut deal = deal[self.at].block(block);
        let mut kept = kept.into_iter();
        self.signs
            .read(self.at, block, [&mut m3, &mut deal], |_, open, beta| {
                if let Some(kept) = kept.next() {
                    of_patches(open, beta, kept);
                }
            })
    }
}

/// The share of the result, masked anew.
struct M4<'a> {
    signs: &'a Signs<'a>,
    placed: &'a Placed,
    levels: Levels<'a>,
    of_patches: &'a OfPatches,
    u: Masks,
    fresh: Masks,
}

impl BlockWork for M4<'_> {
    type Own<'a> = BlockWriter<'a>;

    #[inline(always)]
    fn block(&self, block: usize, mut message: BlockWriter<'_>) -> Result<(), BitsError> {
        let isa = self.signs.isa;
        let group = &self.placed.group;
        let received = self.signs.received;
        let mut m3 = received.m3[0].block(block);
        let mut deal = received.deal[0].block(block);
        let mut selectors = [Selector::NOTHING; 2];
        self.signs
            .read(0, block, [&mut m3, &mut deal], |sign, open, beta| {
                selectors[sign].open = *open;
                selectors[sign].beta = *beta;
            })?;
        pick_up_all(self.placed, self.of_patches, block, &mut selectors);
        for selector in &mut selectors[..group.pixel_products()] {
            deal.halves(group.ring, &mut selector.product)?;
        }
        let mut uv = [0; BLOCK];
        deal.words(32 - group.ring, &mut uv)?;
        let mut value = [0; BLOCK];
        received.rs.load(&self.placed.places, block, &mut value);
        let mut opened = [0; BLOCK];
        received.m1[0].block(block).halves(group.ring, &mut opened)?;
        let y = result_share(group, &selectors, [&value, &opened], self.levels, block, false);
        let k = group.ring;
        let u = self.u.plane(block);
        let mut masked = block::bit(isa, &y, k - 1);
        xor(&mut masked, &u);
        let u = wide_masks(isa, &u);
        let e = wide_masks(isa, &masked);
        let d = wide_masks(isa, &m3.plane()?);
        let mut answer = self.fresh.words(block);
        for i in 0..BLOCK {
            let cross = negate_if(d[i] & u[i] & 1, e[i]).wrapping_add(negate_if(uv[i], d[i] ^ e[i]));
            let top = u32::from(y[i] >> (k - 1));
            let share = u32::from(y[i]).wrapping_sub(top.wrapping_sub(cross) << k);
            answer[i] = share.wrapping_sub(answer[i]);
        }
        message.words(&answer, 32);
        message.planes(&[masked]);
        Ok(())
    }
}
