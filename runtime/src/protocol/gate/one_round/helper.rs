//! The helper: garbled comparisons, and shares of what the masks of the pixels and signs give.

use trefoil_ir::mpc::Stage;
use trefoil_ir::mpc::gate::{BLOCK, Group, KEY_PLANES, garbled_planes};

use super::{PixelShares, is_pair};
use crate::kernel::Isa;
use crate::prg::Purpose;
use crate::protocol::block::{self, Bits, BlockWork, BlockWriter, Halves, Masks, Words, ZEROS, expand, xor};
use crate::protocol::garbled::{Keys, MOST_ROWS, garble, last_mask};
use crate::protocol::gate::signs::{Betas, OpenedHalf, Planes, each_of_patches, of_opening, planes_of};
use crate::protocol::gate::{MaskSource, infallible};
use crate::protocol::layout::Placed;
use crate::protocol::low;
use crate::protocol::operand::Half;
use crate::protocol::streams::StepStreams;
use crate::wire::bits::BitsError;

/// The group's part of Deal.
pub(in crate::protocol::gate) fn deal(
    isa: Isa,
    placed: &Placed,
    source: &MaskSource<'_>,
    client: &mut StepStreams<'_>,
    server: &mut StepStreams<'_>,
    parts: &mut [&mut [u8]],
) {
    let group = &placed.group;
    let mut betas = Betas::of(group);
    each_of_patches(
        group,
        source.exact,
        |sums| Half::R(sums),
        server,
        |at, opened, server| {
            let opening = DealtOpening::new(isa, group, at, opened, client, server);
            let full = group.segment(Stage::Deal, at).bytes(BLOCK);
            let kept = of_opening(group, at, &mut betas.0);
            let count = group.openings[at].count();
            infallible(block::write_and_keep(
                isa,
                &opening,
                count,
                (parts[at], full),
                kept,
            ));
        },
    );
    let opened = OpenedHalf {
        half: source.rs,
        places: &placed.places,
        sigma: &server.halves(group.opening_mask(0)),
    };
    let pixels = Pixels {
        opening: DealtOpening::new(isa, group, 0, opened, client, server),
        placed,
        shares: PixelShares::draw(group, server),
        betas: &betas,
    };
    let full = group.segment(Stage::Deal, 0).bytes(BLOCK);
    infallible(block::write(isa, &pixels, group.pixels(), parts[0], full));
}

/// One opening of the group, with what the helper draws for it.
struct DealtOpening<'a> {
    isa: Isa,
    group: &'a Group,
    at: usize,
    opened: OpenedHalf<'a>,
    signs: Vec<SignMasks>,
}

/// The masks of one sign.
struct SignMasks {
    sign: usize,
    /// Pads of the garbled rows.
    pads: Masks,
    /// Masks of states, and labels.
    labels: Masks,
    /// The client's mask of the opened bit.
    bit: Masks,
    /// The server's share of beta.
    beta: Masks,
}

impl SignMasks {
    fn draw(group: &Group, sign: usize, client: &mut StepStreams<'_>, server: &mut StepStreams<'_>) -> Self {
        let rows = garbled_planes(group.openings[group.signs[sign].opening].ring);
        Self {
            sign,
            pads: server.planes(group.draw(Purpose::GarblePad, sign), rows),
            labels: server.planes(group.draw(Purpose::GarbleLabel, sign), KEY_PLANES),
            bit: client.planes(group.draw(Purpose::SignMaskClient, sign), 1),
            beta: server.words(group.draw(Purpose::BetaShare, sign)),
        }
    }
}

/// What the helper knows of a block of opened values.
struct Known {
    /// Its half of the values, modulo 2^k.
    rs: Halves,
    /// Their mask, likewise.
    sigma: Halves,
    /// The masks beta of the signs that are taken of them.
    betas: [Bits; 2],
}

impl<'a> DealtOpening<'a> {
    fn new(
        isa: Isa,
        group: &'a Group,
        at: usize,
        opened: OpenedHalf<'a>,
        client: &mut StepStreams<'_>,
        server: &mut StepStreams<'_>,
    ) -> Self {
        let signs = group.signs_of(at);
        Self {
            isa,
            group,
            at,
            opened,
            signs: signs
                .map(|(sign, _)| SignMasks::draw(group, sign, client, server))
                .collect(),
        }
    }

    /// Writes what is dealt for the signs of a block of the opening.
    #[inline(always)]
    fn write(&self, block: usize, message: &mut BlockWriter<'_>) -> Known {
        let ring = self.group.openings[self.at].ring;
        let mask = low(ring);
        let mut rs = [0; BLOCK];
        self.opened.half.load(self.opened.places, block, &mut rs);
        let mut sigma = self.opened.sigma.halves(block);
        let mut r = [0; BLOCK];
        for i in 0..BLOCK {
            rs[i] &= mask;
            sigma[i] &= mask;
            r[i] = sigma[i].wrapping_sub(rs[i]) & mask;
        }
        let mut betas = [ZEROS; 2];
        if !self.signs.is_empty() {
            let bits = planes_of(self.isa, ring, &r);
            let mut labels = [[ZEROS; KEY_PLANES]; 2];
            for ((masks, labels), beta) in self.signs.iter().zip(&mut labels).zip(&mut betas) {
                masks.labels.planes(block, labels);
                *beta = masks.bit.plane(block);
                xor(beta, last_mask(labels));
                xor(beta, &bits[ring as usize - 1]);
            }
            if is_pair(self.group) {
                let [both, upper] = &mut betas;
                xor(both, upper);
            }
            for ((masks, labels), beta) in self.signs.iter().zip(&labels).zip(&betas) {
                self.write_sign(masks, block, (&bits, labels, beta), message);
            }
        }
        Known { rs, sigma, betas }
    }

    /// Writes the garbled comparison of a sign, and the client's share of beta.
    #[inline(always)]
    fn write_sign(
        &self,
        masks: &SignMasks,
        block: usize,
        (r, labels, beta): (&Planes, &Keys, &Bits),
        message: &mut BlockWriter<'_>,
    ) {
        let ring = self.group.openings[self.at].ring;
        let mut rows = [ZEROS; MOST_ROWS];
        let rows = &mut rows[..garbled_planes(ring)];
        masks.pads.planes(block, rows);
        garble(r, ring, labels, rows);
        message.planes(rows);
        let mut bits = [0; BLOCK];
        expand(self.isa, beta, &mut bits);
        let mut dealt = masks.beta.words(block);
        for (dealt, bits) in dealt.iter_mut().zip(&bits) {
            *dealt = u32::from(bits & 1).wrapping_sub(*dealt);
        }
        message.words(&dealt, u32::BITS);
    }
}

impl BlockWork for DealtOpening<'_> {
    type Own<'a> = (BlockWriter<'a>, Vec<&'a mut Bits>);

    #[inline(always)]
    fn block(&self, block: usize, (mut message, kept): Self::Own<'_>) -> Result<(), BitsError> {
        let known = self.write(block, &mut message);
        for (kept, beta) in kept.into_iter().zip(known.betas) {
            *kept = beta;
        }
        Ok(())
    }
}

/// The opening of the pixels, with all that is dealt for each of them.
struct Pixels<'a> {
    opening: DealtOpening<'a>,
    placed: &'a Placed,
    betas: &'a Betas,
    shares: PixelShares,
}

impl BlockWork for Pixels<'_> {
    type Own<'a> = BlockWriter<'a>;

    #[inline(always)]
    fn block(&self, block: usize, mut message: BlockWriter<'_>) -> Result<(), BitsError> {
        let isa = self.opening.isa;
        let k = self.placed.group.ring;
        let Known { rs, sigma, betas } = self.opening.write(block, &mut message);
        let mut q: Halves = [0; BLOCK];
        for i in 0..BLOCK {
            q[i] = rs[i].wrapping_sub(sigma[i]) & low(k);
        }
        for sign in 0..self.placed.group.pixel_products() {
            let mut own = self.opening.signs.iter().zip(&betas);
            let own = own.find(|(masks, _)| masks.sign == sign).map(|(_, beta)| beta);
            let mut beta = [0; BLOCK];
            self.betas
                .of_pixels((isa, self.placed), sign, block, own, &mut beta);
            let mut product = self.shares.products[sign].words(block);
            let mut top = self.shares.tops[sign].words(block);
            for i in 0..BLOCK {
                let selected = u32::from(beta[i] & q[i]);
                product[i] = selected.wrapping_sub(product[i]);
                top[i] = (selected >> (k - 1)).wrapping_sub(top[i]);
            }
            message.words(&product, u32::BITS);
            message.words(&top, u32::BITS - k);
        }
        let mut wrap: Words = self.shares.wrap.words(block);
        let mut top: Words = self.shares.top.words(block);
        for i in 0..BLOCK {
            // rs - sigma is negative exactly if its top bit is set as of 32 bits.
            let difference = u32::from(rs[i]).wrapping_sub(u32::from(sigma[i]));
            wrap[i] = (difference >> 31).wrapping_sub(wrap[i]);
            top[i] = u32::from(q[i] >> (k - 1)).wrapping_sub(top[i]);
        }
        message.words(&wrap, u32::BITS - k);
        message.words(&top, u32::BITS - k);
        Ok(())
    }
}
