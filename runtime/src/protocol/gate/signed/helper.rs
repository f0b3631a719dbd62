//! The helper: tables, products and shares that hang together with the masks that it knows.

use trefoil_ir::mpc::Stage;
use trefoil_ir::mpc::gate::{BLOCK, Group, OPENED_BITS, PRODUCTS, Sign, table_planes};

use super::{Planes, of_opening, planes_of, takes_top_bit, wide_masks};
use crate::kernel::Isa;
use crate::pool;
use crate::prg::Purpose;
use crate::protocol::block::{self, Bits, BlockWriter, Halves, Masks, Places, Step, ZEROS, and, expand, xor};
use crate::protocol::compare::{MOST_PLANES, deal_products, deal_tables};
use crate::protocol::gate::{MaskSource, never};
use crate::protocol::layer::Placed;
use crate::protocol::low;
use crate::protocol::operand::Half;
use crate::protocol::patch_sums::opened_sums;
use crate::protocol::spread::Spread;
use crate::protocol::streams::StepStreams;
use crate::wipe::wipe;
use crate::wire::bits::BitsError;

/// The group's part of Deal.
pub(in crate::protocol::gate) fn deal(
    isa: Isa,
    placed: &Placed,
    source: &MaskSource<'_>,
    client: &mut StepStreams<'_>,
    server: &mut StepStreams<'_>,
    mut parts: Vec<&mut [u8]>,
) {
    let group = &placed.group;
    let mut betas = Betas::of(group);
    for at in group.order().filter(|&at| at > 0) {
        let sums = opened_sums(group, &group.openings[at], source.exact);
        let places = Places::in_order(sums.len());
        let values = Values {
            half: Half::R(&sums),
            places: &places,
            sigma: server.halves(group.opening_mask(at)),
        };
        let opening = Opening::new(isa, group, at, values, client, server);
        let full = group.segment(Stage::Deal, at).bytes(BLOCK);
        let kept = of_opening(group, at, &mut betas.0);
        never(block::write_and_keep(
            isa,
            &opening,
            sums.len(),
            (parts[at], full),
            kept,
        ));
        drop(opening);
        pool::recycle(sums);
    }
    let values = Values {
        half: source.rs,
        places: &placed.places,
        sigma: server.halves(group.opening_mask(0)),
    };
    let pixels = Pixels {
        opening: Opening::new(isa, group, 0, values, client, server),
        spreads: &placed.spreads,
        products: (0..group.pixel_products())
            .map(|product| server.halves(group.draw(Purpose::BetaProductShare, product)))
            .collect(),
        u: client.planes(group.draw(Purpose::WrapBitClient, 0), 1),
        v: server.planes(group.draw(Purpose::WrapBitServer, 0), 1),
        uv: server.words(group.draw(Purpose::WrapProductShare, 0)),
        betas: &betas,
    };
    let full = group.segment(Stage::Deal, 0).bytes(BLOCK);
    never(block::write(isa, &pixels, group.pixels(), parts[0], full));
}

/// The masks of the signs of patches, for the pixels to pick up.
struct Betas(Vec<Vec<Bits>>);

impl Betas {
    /// Room for the group's signs that are not pixels'.
    fn of(group: &Group) -> Self {
        let room = |sign: &Sign| match sign.opening {
            0 => Vec::new(),
            at => vec![ZEROS; block::blocks(group.openings[at].count())],
        };
        Self(group.signs.iter().map(room).collect())
    }
}

impl Drop for Betas {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(|bits| wipe(bits));
    }
}

/// What is opened, and under which mask.
struct Values<'a> {
    half: Half<'a>,
    places: &'a Places,
    sigma: Masks,
}

/// One opening of the group.
struct Opening<'a> {
    isa: Isa,
    group: &'a Group,
    at: usize,
    values: Values<'a>,
    /// The server's share of the tables.
    tables: Option<Masks>,
    signs: Vec<SignMasks>,
}

/// The masks of one sign.
struct SignMasks {
    sign: usize,
    compare: [Masks; 2],
    products: Masks,
    bit: [Masks; 2],
    beta: Masks,
}

impl<'a> Opening<'a> {
    fn new(
        isa: Isa,
        group: &'a Group,
        at: usize,
        values: Values<'a>,
        client: &mut StepStreams<'_>,
        server: &mut StepStreams<'_>,
    ) -> Self {
        let has_signs = group.signs_of(at).next().is_some();
        let planes = table_planes(group.openings[at].ring);
        let tables = has_signs.then(|| server.planes(group.draw(Purpose::TableShare, at), planes));
        let masks = |(sign, _)| SignMasks {
            sign,
            compare: [
                client.planes(group.draw(Purpose::ComparisonMaskClient, sign), OPENED_BITS),
                server.planes(group.draw(Purpose::ComparisonMaskServer, sign), OPENED_BITS),
            ],
            products: server.planes(group.draw(Purpose::ProductShare, sign), PRODUCTS),
            bit: [
                client.planes(group.draw(Purpose::SignMaskClient, sign), 1),
                server.planes(group.draw(Purpose::SignMaskServer, sign), 1),
            ],
            beta: server.halves(group.draw(Purpose::BetaShare, sign)),
        };
        let signs = group.signs_of(at).map(masks).collect();
        Self {
            isa,
            group,
            at,
            values,
            tables,
            signs,
        }
    }

    /// Writes what is dealt for a block of the opening itself; returns r = sigma - rs and the masks
    /// beta of its signs.
    #[inline(always)]
    fn write(&self, block: usize, message: &mut BlockWriter<'_>) -> (Halves, [Bits; 2]) {
        let ring = self.group.openings[self.at].ring;
        let mut r = [0; BLOCK];
        self.values.half.load(self.values.places, block, &mut r);
        let (sigma, mask) = (self.values.sigma.halves(block), low(ring));
        for i in 0..BLOCK {
            r[i] = sigma[i].wrapping_sub(r[i]) & mask;
        }
        let mut betas = [ZEROS; 2];
        if let Some(shares) = &self.tables {
            let bits = planes_of(self.isa, ring, &r);
            let mut tables = [ZEROS; MOST_PLANES];
            let tables = &mut tables[..table_planes(ring)];
            shares.planes(block, tables);
            deal_tables(&bits, ring, tables);
            message.planes(tables);
            for (masks, beta) in self.signs.iter().zip(&mut betas) {
                *beta = self.write_sign(masks, block, &bits, message);
            }
        }
        (r, betas)
    }

    /// Products of the comparison's masks, and the share of beta; returns beta.
    #[inline(always)]
    fn write_sign(&self, masks: &SignMasks, block: usize, r: &Planes, message: &mut BlockWriter<'_>) -> Bits {
        let ([mut both, mut servers], mut products) = ([[ZEROS; OPENED_BITS]; 2], [ZEROS; PRODUCTS]);
        masks.compare[0].planes(block, &mut both);
        masks.compare[1].planes(block, &mut servers);
        for (both, server) in both.iter_mut().zip(&servers) {
            xor(both, server);
        }
        masks.products.planes(block, &mut products);
        deal_products(&both, &mut products);
        message.planes(&products);
        let mut beta = masks.bit[0].plane(block);
        xor(&mut beta, &masks.bit[1].plane(block));
        if takes_top_bit(self.group, masks.sign) {
            let ring = self.group.openings[self.at].ring;
            xor(&mut beta, &r[ring as usize - 1]);
        }
        let mut dealt = [0; BLOCK];
        expand(self.isa, &beta, &mut dealt);
        let share = masks.beta.halves(block);
        for i in 0..BLOCK {
            dealt[i] = (dealt[i] & 1).wrapping_sub(share[i]);
        }
        message.halves(&dealt, self.group.ring);
        beta
    }
}

impl Step for Opening<'_> {
    type Own<'a> = (BlockWriter<'a>, Vec<&'a mut Bits>);

    #[inline(always)]
    fn block(&self, block: usize, (mut message, kept): Self::Own<'_>) -> Result<(), BitsError> {
        let (_, betas) = self.write(block, &mut message);
        for (kept, beta) in kept.into_iter().zip(betas) {
            *kept = beta;
        }
        Ok(())
    }
}

/// The opening of the pixels, with all that is dealt for each of them.
struct Pixels<'a> {
    opening: Opening<'a>,
    spreads: &'a [Spread],
    betas: &'a Betas,
    products: Vec<Masks>,
    u: Masks,
    v: Masks,
    uv: Masks,
}

impl Pixels<'_> {
    /// All bits set, or none, as beta is for each pixel; `own` are the masks of the pixels' signs.
    #[inline(always)]
    fn beta(&self, sign: usize, block: usize, own: &[Bits; 2]) -> Halves {
        let (isa, group) = (self.opening.isa, self.opening.group);
        let mut beta = [0; BLOCK];
        let mut of_pixels = self.opening.signs.iter().zip(own);
        match of_pixels.find(|(masks, _)| masks.sign == sign) {
            Some((_, own)) => expand(isa, own, &mut beta),
            None => {
                let words = self.betas.0[sign].as_flattened();
                let bit = |at: usize| ((words[at / 64] >> (at % 64) & 1) as u16).wrapping_neg();
                self.spreads[group.signs[sign].opening].block(block, bit, &mut beta);
            }
        }
        beta
    }
}

impl Step for Pixels<'_> {
    type Own<'a> = BlockWriter<'a>;

    #[inline(always)]
    fn block(&self, block: usize, mut message: BlockWriter<'_>) -> Result<(), BitsError> {
        let (isa, ring) = (self.opening.isa, self.opening.group.ring);
        let (r, own) = self.opening.write(block, &mut message);
        for (sign, share) in self.products.iter().enumerate() {
            let beta = self.beta(sign, block, &own);
            let mut product = share.halves(block);
            for i in 0..BLOCK {
                product[i] = (beta[i] & r[i]).wrapping_sub(product[i]);
            }
            message.halves(&product, ring);
        }
        let uv = wide_masks(isa, &and(&self.u.plane(block), &self.v.plane(block)));
        let mut dealt = self.uv.words(block);
        for i in 0..BLOCK {
            dealt[i] = (uv[i] & 1).wrapping_sub(dealt[i]);
        }
        message.words(&dealt, 32 - ring);
        Ok(())
    }
}
