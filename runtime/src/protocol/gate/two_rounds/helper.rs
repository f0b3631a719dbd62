//! The helper: tables, products and shares that hang together with the masks that it knows.

use trefoil_ir::mpc::Stage;
use trefoil_ir::mpc::gate::{BLOCK, Group, OPENED_BITS, PRODUCTS, table_planes};

use super::takes_top_bit;
use crate::kernel::Isa;
use crate::prg::Purpose;
use crate::protocol::block::{self, Bits, BlockWork, BlockWriter, Halves, Masks, ZEROS, and, expand, xor};
use crate::protocol::compare::{MOST_PLANES, deal_products, deal_tables};
use crate::protocol::gate::signs::{
    Betas, OpenedHalf, Planes, each_of_patches, of_opening, planes_of, wide_masks,
};
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
        products: (0..group.pixel_products())
            .map(|product| server.halves(group.draw(Purpose::BetaProductShare, product)))
            .collect(),
        u: client.planes(group.draw(Purpose::WrapBitClient, 0), 1),
        v: server.planes(group.draw(Purpose::WrapBitServer, 0), 1),
        uv: server.words(group.draw(Purpose::WrapProductShare, 0)),
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
    /// The server's share of the tables, if there are signs.
    tables: Option<Masks>,
    signs: Vec<SignMasks>,
}

/// The masks of one sign; where there are two, the client's and the server's.
struct SignMasks {
    sign: usize,
    /// Masks of the comparison's opened bits.
    compare: [Masks; 2],
    /// The server's share of the products of those masks.
    products: Masks,
    /// Masks of the sign bit.
    bit: [Masks; 2],
    /// The server's share of beta.
    beta: Masks,
}

impl SignMasks {
    fn draw(group: &Group, sign: usize, client: &mut StepStreams<'_>, server: &mut StepStreams<'_>) -> Self {
        Self {
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
        }
    }
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
        let has_signs = group.signs_of(at).next().is_some();
        let planes = table_planes(group.openings[at].ring);
        let tables = has_signs.then(|| server.planes(group.draw(Purpose::TableShare, at), planes));
        let signs = group.signs_of(at);
        Self {
            isa,
            group,
            at,
            opened,
            tables,
            signs: signs
                .map(|(sign, _)| SignMasks::draw(group, sign, client, server))
                .collect(),
        }
    }

    /// Writes what is dealt for a block of the opening itself; returns r = sigma - rs and the masks
    /// beta of its signs.
    #[inline(always)]
    fn write(&self, block: usize, message: &mut BlockWriter<'_>) -> (Halves, [Bits; 2]) {
        let ring = self.group.openings[self.at].ring;
        let mut r = [0; BLOCK];
        self.opened.half.load(self.opened.places, block, &mut r);
        let sigma = self.opened.sigma.halves(block);
        let mask = low(ring);
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

    /// Writes the products of the comparison's masks, and the client's share of beta; returns beta.
    #[inline(always)]
    fn write_sign(&self, masks: &SignMasks, block: usize, r: &Planes, message: &mut BlockWriter<'_>) -> Bits {
        let mut both = [ZEROS; OPENED_BITS];
        masks.compare[0].planes(block, &mut both);
        let mut servers = [ZEROS; OPENED_BITS];
        masks.compare[1].planes(block, &mut servers);
        for (both, server) in both.iter_mut().zip(&servers) {
            xor(both, server);
        }
        let mut products = [ZEROS; PRODUCTS];
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

impl BlockWork for DealtOpening<'_> {
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
    opening: DealtOpening<'a>,
    placed: &'a Placed,
    betas: &'a Betas,
    products: Vec<Masks>,
    u: Masks,
    v: Masks,
    uv: Masks,
}

/// Beta of a sign, if it is one of the pixels' own.
#[inline(always)]
fn own_of<'a>(signs: &[SignMasks], sign: usize, betas: &'a [Bits; 2]) -> Option<&'a Bits> {
    let mut own = signs.iter().zip(betas);
    own.find(|(masks, _)| masks.sign == sign).map(|(_, beta)| beta)
}

impl BlockWork for Pixels<'_> {
    type Own<'a> = BlockWriter<'a>;

    #[inline(always)]
    fn block(&self, block: usize, mut message: BlockWriter<'_>) -> Result<(), BitsError> {
        let isa = self.opening.isa;
        let ring = self.opening.group.ring;
        let (r, own) = self.opening.write(block, &mut message);
        for (sign, share) in self.products.iter().enumerate() {
            let own = own_of(&self.opening.signs, sign, &own);
            let mut beta = [0; BLOCK];
            self.betas
                .of_pixels((isa, self.placed), sign, block, own, &mut beta);
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
