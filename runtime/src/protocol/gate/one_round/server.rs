//! The server: M1, and the result minus its mask.

use trefoil_ir::mpc::Stage;
use trefoil_ir::mpc::gate::{BLOCK, Group, KEY_PLANES, garbled_planes};

use super::{MaskShare, OfPatches, PixelShares, Selector, Signed, join, result_share};
use crate::kernel::Isa;
use crate::prg::Purpose;
use crate::protocol::block::{self, BlockReader, BlockWork, BlockWriter, Halves, Masks, Words, ZEROS};
use crate::protocol::garbled::{MOST_ROWS, keys};
use crate::protocol::gate::signs::{OpenedHalf, each_of_patches, planes_of, public_of};
use crate::protocol::gate::{Exact, Levels, infallible};
use crate::protocol::layout::{Part, Placed};
use crate::protocol::low;
use crate::protocol::operand::Half;
use crate::protocol::streams::StepStreams;
use crate::wipe::wipe_with;
use crate::wire::bits::BitsError;

/// The server's side of one group between M1 and M2.
pub(in crate::protocol::gate) struct Server {
    /// The opened pixels, block by block.
    opened: Vec<Halves>,
    /// Their mask.
    sigma: Masks,
}

impl Drop for Server {
    fn drop(&mut self) {
        wipe_with(&mut self.opened, [0; BLOCK]);
    }
}

impl Server {
    /// The group's part of M1.
    pub(in crate::protocol::gate) fn m1(
        isa: Isa,
        placed: &Placed,
        zs: Half<'_>,
        exact: Exact<'_>,
        levels: Levels<'_>,
        streams: &mut StepStreams<'_>,
        parts: &mut [&mut [u8]],
    ) -> Self {
        let group = &placed.group;
        let sigma = streams.halves(group.opening_mask(0));
        each_of_patches(
            group,
            exact,
            |sums| Half::D(sums),
            streams,
            |at, opened, streams| {
                let m1 = M1::new((isa, group, at), opened, levels, streams);
                m1.write_part(parts[at], Vec::new());
            },
        );
        let pixels = OpenedHalf {
            half: zs,
            places: &placed.places,
            sigma: &sigma,
        };
        let mut opened = vec![[0; BLOCK]; block::blocks(group.pixels())];
        let m1 = M1::new((isa, group, 0), pixels, levels, streams);
        m1.write_part(parts[0], vec![&mut opened]);
        Self { opened, sigma }
    }

    /// With M2: the result minus its mask.
    ///
    /// # Errors
    /// If M2 is malformed.
    pub(in crate::protocol::gate) fn finish(
        self,
        isa: Isa,
        placed: &Placed,
        m2: &[Part<'_>],
        levels: Levels<'_>,
        streams: &mut StepStreams<'_>,
        hat: &mut [u32],
    ) -> Result<(), BitsError> {
        let group = &placed.group;
        let mut of_patches = OfPatches::of(group);
        let mut signs = |at: usize| Signs {
            group,
            at,
            m2: &m2[at],
            betas: group
                .signs_of(at)
                .map(|(sign, _)| streams.words(group.draw(Purpose::BetaShare, sign)))
                .collect(),
        };
        for at in group.order().filter(|&at| at > 0) {
            let kept = of_patches.of_opening(group, at);
            block::keep(isa, &signs(at), kept)?;
        }
        let finish = Finish {
            isa,
            signs: signs(0),
            placed,
            levels,
            opened: &self.opened,
            sigma: &self.sigma,
            of_patches: &of_patches,
            shares: PixelShares::draw(group, streams),
        };
        block::fill(isa, &finish, &placed.places, hat)
    }
}

/// Opens values under their mask, with the keys of their comparisons.
struct M1<'a> {
    isa: Isa,
    group: &'a Group,
    at: usize,
    opened: OpenedHalf<'a>,
    levels: Levels<'a>,
    /// For each sign of the opening the pads, and the masks of states with the labels.
    signs: Vec<[Masks; 2]>,
}

impl<'a> M1<'a> {
    fn new(
        (isa, group, at): (Isa, &'a Group, usize),
        opened: OpenedHalf<'a>,
        levels: Levels<'a>,
        streams: &mut StepStreams<'_>,
    ) -> Self {
        let rows = garbled_planes(group.openings[at].ring);
        let signs = group.signs_of(at).map(|(sign, _)| {
            [
                streams.planes(group.draw(Purpose::GarblePad, sign), rows),
                streams.planes(group.draw(Purpose::GarbleLabel, sign), KEY_PLANES),
            ]
        });
        Self {
            isa,
            group,
            at,
            opened,
            levels,
            signs: signs.collect(),
        }
    }

    /// Writes the opening's part of M1, and keeps what was opened.
    fn write_part(&self, part: &mut [u8], kept: Vec<&mut [Halves]>) {
        let count = self.group.openings[self.at].count();
        let full = self.group.segment(Stage::M1, self.at).bytes(BLOCK);
        infallible(block::write_and_keep(self.isa, self, count, (part, full), kept));
    }
}

impl BlockWork for M1<'_> {
    type Own<'a> = (BlockWriter<'a>, Vec<&'a mut Halves>);

    #[inline(always)]
    fn block(&self, block: usize, (mut message, kept): Self::Own<'_>) -> Result<(), BitsError> {
        let opening = &self.group.openings[self.at];
        let mut half = [0; BLOCK];
        self.opened.half.load(self.opened.places, block, &mut half);
        let mut opened = self.opened.sigma.halves(block);
        for i in 0..BLOCK {
            opened[i] = opened[i].wrapping_add(half[i]) & low(opening.ring);
        }
        message.halves(&opened, opening.ring);
        for ((_, sign), [pads, labels]) in self.group.signs_of(self.at).zip(&self.signs) {
            let public = public_of(self.group, opening, sign, self.levels, block, &opened);
            let public = planes_of(self.isa, opening.ring, &public);
            let mut rows = [ZEROS; MOST_ROWS];
            let rows = &mut rows[..garbled_planes(opening.ring)];
            pads.planes(block, rows);
            let mut drawn = [ZEROS; KEY_PLANES];
            labels.planes(block, &mut drawn);
            message.planes(&keys(&public, opening.ring, rows, &drawn));
        }
        for kept in kept {
            *kept = opened;
        }
        Ok(())
    }
}

/// The opened signs of an opening, with the server's shares of their beta.
struct Signs<'a> {
    group: &'a Group,
    at: usize,
    m2: &'a Part<'a>,
    betas: Vec<Masks>,
}

impl Signs<'_> {
    #[inline(always)]
    fn read(
        &self,
        block: usize,
        m2: &mut BlockReader<'_>,
        kept: &mut [&mut Signed],
    ) -> Result<(), BitsError> {
        for (beta, kept) in self.betas.iter().zip(kept.iter_mut()) {
            kept.open = m2.plane()?;
            kept.beta = beta.words(block);
        }
        join(self.group, kept);
        Ok(())
    }
}

/// Those of patches, for the pixels to pick up.
impl BlockWork for Signs<'_> {
    type Own<'a> = Vec<&'a mut Signed>;

    #[inline(always)]
    fn block(&self, block: usize, mut kept: Self::Own<'_>) -> Result<(), BitsError> {
        debug_assert!(self.at > 0 && self.group.signs_of(self.at).count() == kept.len());
        self.read(block, &mut self.m2.block(block), &mut kept)
    }
}

/// The result minus its mask.
struct Finish<'a> {
    isa: Isa,
    signs: Signs<'a>,
    placed: &'a Placed,
    levels: Levels<'a>,
    opened: &'a [Halves],
    sigma: &'a Masks,
    of_patches: &'a OfPatches,
    shares: PixelShares,
}

impl BlockWork for Finish<'_> {
    type Own<'a> = &'a mut Words;

    #[inline(always)]
    fn block(&self, block: usize, hat: &mut Words) -> Result<(), BitsError> {
        let group = &self.placed.group;
        let k = group.ring;
        let mut m2 = self.signs.m2.block(block);
        let mut own = [Signed::NOTHING; 2];
        self.signs.read(block, &mut m2, &mut own.each_mut())?;
        m2.words(u32::BITS, hat)?;
        let mut selectors = [Selector::NOTHING; 2];
        let mut own = own.iter();
        for (sign, selector) in selectors[..group.signs.len()].iter_mut().enumerate() {
            let own = (group.signs[sign].opening == 0).then(|| own.next()).flatten();
            self.of_patches
                .of_pixels((self.isa, self.placed), sign, block, own, selector);
        }
        let shares = self.shares.products.iter().zip(&self.shares.tops);
        for (selector, (product, top)) in selectors.iter_mut().zip(shares) {
            selector.product = product.words(block);
            selector.top = top.words(block);
        }
        let mut mask = MaskShare {
            q: self.shares.wrap.words(block),
            top: self.shares.top.words(block),
        };
        let sigma = self.sigma.halves(block);
        for (q, sigma) in mask.q.iter_mut().zip(&sigma) {
            *q = (*q << k).wrapping_sub(u32::from(sigma & low(k)));
        }
        let opened = &self.opened[block];
        let share = result_share(group, &selectors, &mask, opened, self.levels, block, true);
        for i in 0..BLOCK {
            hat[i] = hat[i].wrapping_add(share[i]);
        }
        Ok(())
    }
}
