//! The server: M1 and M3, and the result minus its mask.

use trefoil_ir::mpc::gate::{BLOCK, Group, OPENED_BITS, PRODUCTS, table_planes};
use trefoil_ir::mpc::{ACTIVATION_OFFSET, Stage};

use super::{OfPatches, Selector, negate_if, of_patches, pick_up_all, result_share, takes_top_bit};
use crate::kernel::Isa;
use crate::prg::Purpose;
use crate::protocol::block::{
    self, Bits, BlockReader, BlockWork, BlockWriter, Halves, Masks, Words, ZEROS, expand, not, xor,
};
use crate::protocol::compare::{Comparison, MOST_PLANES, look};
use crate::protocol::gate::signs::{
    OpenedHalf, blocks_of_signs, each_of_patches, of_opening, planes_of, public_of, wide_masks,
};
use crate::protocol::gate::{Exact, Levels, infallible};
use crate::protocol::layout::{Part, Placed};
use crate::protocol::low;
use crate::protocol::operand::Half;
use crate::protocol::streams::StepStreams;
use crate::wipe::{wipe, wipe_with};
use crate::wire::bits::BitsError;

const OFFSET: u16 = ACTIVATION_OFFSET as u16;

/// What the server keeps of a block of one sign's comparisons between M1 and M3.
#[derive(Clone, Copy, Default)]
struct Compared {
    comparison: Comparison,
    /// The top bit of the public value.
    top: Bits,
}

/// What the server keeps of a block of pixels between M3 and the result.
#[derive(Clone, Copy)]
struct Shared {
    /// Its share of the result.
    y: Halves,
    /// The mask of its top bit.
    v: Bits,
    /// Its top bit, masked.
    d: Bits,
}

impl Shared {
    const NOTHING: Self = Self {
        y: [0; BLOCK],
        v: ZEROS,
        d: ZEROS,
    };
}

/// The server's side of one group, from message to message.
pub(in crate::protocol::gate) struct Server {
    /// For each sign, block by block.
    compared: Vec<Vec<Compared>>,
    /// The mask of the pixels, with which they are opened once more for M3.
    sigma: Masks,
    shared: Vec<Shared>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.compared.iter_mut().for_each(|kept| wipe(kept));
        wipe_with(&mut self.shared, Shared::NOTHING);
    }
}

/// What M3 is made of.
pub(in crate::protocol::gate) struct Given<'a> {
    /// As in M1.
    pub zs: Half<'a>,
    /// The client's message.
    pub m2: &'a [Part<'a>],
    /// As in M1.
    pub levels: Levels<'a>,
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
        let mut compared = blocks_of_signs(group, Compared::default());
        let pixels = streams.halves(group.opening_mask(0));
        each_of_patches(
            group,
            exact,
            |sums| Half::D(sums),
            streams,
            |at, opened, streams| {
                let m1 = M1::new(isa, group, at, opened, levels, streams);
                m1.write(parts[at], &mut compared);
            },
        );
        let opened = OpenedHalf {
            half: zs,
            places: &placed.places,
            sigma: &pixels,
        };
        let m1 = M1::new(isa, group, 0, opened, levels, streams);
        m1.write(parts[0], &mut compared);
        Self {
            compared,
            sigma: pixels,
            shared: Vec::new(),
        }
    }

    /// The group's part of M3: its masked shares of the sign bits, then the masked top bits of its
    /// share of the result.
    ///
    /// # Errors
    /// If M2 is malformed.
    pub(in crate::protocol::gate) fn m3(
        &mut self,
        isa: Isa,
        placed: &Placed,
        given: &Given<'_>,
        streams: &mut StepStreams<'_>,
        parts: &mut [&mut [u8]],
    ) -> Result<(), BitsError> {
        let group = &placed.group;
        let mut of_patches = OfPatches::of(group);
        for at in group.order().filter(|&at| at > 0) {
            let signs = M3Signs::new(isa, group, at, given.m2, &self.compared, streams);
            let full = group.segment(Stage::M3, at).bytes(BLOCK);
            let count = group.openings[at].count();
            let kept = of_patches.of_opening(group, at);
            block::write_and_keep(isa, &signs, count, (parts[at], full), kept)?;
        }
        let pixels = M3Pixels {
            signs: M3Signs::new(isa, group, 0, given.m2, &self.compared, streams),
            placed,
            zs: given.zs,
            sigma: &self.sigma,
            levels: given.levels,
            of_patches: &of_patches,
            products: (0..group.pixel_products())
                .map(|product| streams.halves(group.draw(Purpose::BetaProductShare, product)))
                .collect(),
            v: streams.planes(group.draw(Purpose::WrapBitServer, 0), 1),
        };
        let count = group.pixels();
        let mut shared = vec![Shared::NOTHING; block::blocks(count)];
        let full = group.segment(Stage::M3, 0).bytes(BLOCK);
        block::write_and_keep(isa, &pixels, count, (parts[0], full), vec![&mut shared])?;
        self.shared = shared;
        Ok(())
    }

    /// With M4: the result minus its mask.
    ///
    /// # Errors
    /// If M4 is malformed.
    pub(in crate::protocol::gate) fn finish(
        self,
        isa: Isa,
        placed: &Placed,
        m4: &[Part<'_>],
        streams: &mut StepStreams<'_>,
        hat: &mut [u32],
    ) -> Result<(), BitsError> {
        let group = &placed.group;
        let offset = if group.form.is_signed() { OFFSET } else { 0 };
        let finish = Finish {
            isa,
            ring: group.ring,
            offset: u32::from(offset),
            shared: &self.shared,
            m4: &m4[0],
            uv: streams.words(group.draw(Purpose::WrapProductShare, 0)),
        };
        block::fill(isa, &finish, &placed.places, hat)
    }
}

/// What M1 draws for the signs of an opening.
struct M1Masks {
    /// The server's share of the tables.
    tables: Masks,
    /// For each sign the masks of its comparison's opened bits.
    compare: Vec<Masks>,
}

impl M1Masks {
    /// Draws them, if the opening has signs.
    fn draw(group: &Group, at: usize, streams: &mut StepStreams<'_>) -> Option<Self> {
        let planes = table_planes(group.openings[at].ring);
        let has_signs = group.signs_of(at).next().is_some();
        has_signs.then(|| Self {
            tables: streams.planes(group.draw(Purpose::TableShare, at), planes),
            compare: group
                .signs_of(at)
                .map(|(sign, _)| streams.planes(group.draw(Purpose::ComparisonMaskServer, sign), OPENED_BITS))
                .collect(),
        })
    }
}

/// Opens values under their mask, and compares them.
struct M1<'a> {
    isa: Isa,
    group: &'a Group,
    at: usize,
    opened: OpenedHalf<'a>,
    levels: Levels<'a>,
    signs: Option<M1Masks>,
}

impl<'a> M1<'a> {
    fn new(
        isa: Isa,
        group: &'a Group,
        at: usize,
        opened: OpenedHalf<'a>,
        levels: Levels<'a>,
        streams: &mut StepStreams<'_>,
    ) -> Self {
        Self {
            isa,
            group,
            at,
            opened,
            levels,
            signs: M1Masks::draw(group, at, streams),
        }
    }

    /// Writes the opening's part of M1, and keeps what the comparisons of its signs leave for M3.
    fn write(&self, part: &mut [u8], compared: &mut [Vec<Compared>]) {
        let count = self.group.openings[self.at].count();
        let full = self.group.segment(Stage::M1, self.at).bytes(BLOCK);
        let kept = of_opening(self.group, self.at, compared);
        infallible(block::write_and_keep(self.isa, self, count, (part, full), kept));
    }
}

/// A half of values, opened under its mask.
#[inline(always)]
fn open(half: &Halves, sigma: &Masks, ring: u32, block: usize) -> Halves {
    let mut opened = sigma.halves(block);
    let mask = low(ring);
    for i in 0..BLOCK {
        opened[i] = opened[i].wrapping_add(half[i]) & mask;
    }
    opened
}

impl BlockWork for M1<'_> {
    type Own<'a> = (BlockWriter<'a>, Vec<&'a mut Compared>);

    #[inline(always)]
    fn block(&self, block: usize, (mut message, kept): Self::Own<'_>) -> Result<(), BitsError> {
        let opening = &self.group.openings[self.at];
        let mut half = [0; BLOCK];
        self.opened.half.load(self.opened.places, block, &mut half);
        let opened = open(&half, self.opened.sigma, opening.ring, block);
        message.halves(&opened, opening.ring);
        let Some(masks) = &self.signs else {
            return Ok(());
        };
        let mut tables = [ZEROS; MOST_PLANES];
        let tables = &mut tables[..table_planes(opening.ring)];
        masks.tables.planes(block, tables);
        let signs = self.group.signs_of(self.at).zip(&masks.compare);
        for (((_, sign), masks), kept) in signs.zip(kept) {
            let public = public_of(self.group, opening, sign, self.levels, block, &opened);
            let bits = planes_of(self.isa, opening.ring, &public);
            let looked = look(tables, &bits, opening.ring, true);
            kept.comparison.mask(&looked, |drawn| masks.planes(block, drawn));
            kept.top = bits[opening.ring as usize - 1];
            message.planes(&kept.comparison.masked);
        }
        Ok(())
    }
}

/// What M3 draws for one sign.
struct M3Masks {
    /// The server's share of the products of the comparison's masks.
    products: Masks,
    /// The mask of the sign bit.
    bit: Masks,
    /// The server's share of beta.
    beta: Masks,
}

impl M3Masks {
    fn draw(group: &Group, sign: usize, streams: &mut StepStreams<'_>) -> Self {
        Self {
            products: streams.planes(group.draw(Purpose::ProductShare, sign), PRODUCTS),
            bit: streams.planes(group.draw(Purpose::SignMaskServer, sign), 1),
            beta: streams.halves(group.draw(Purpose::BetaShare, sign)),
        }
    }
}

/// Joins the comparisons of an opening's signs, and opens their masked bits.
struct M3Signs<'a> {
    isa: Isa,
    group: &'a Group,
    at: usize,
    m2: &'a Part<'a>,
    compared: &'a [Vec<Compared>],
    /// One for each sign of the opening.
    masks: Vec<M3Masks>,
}

impl<'a> M3Signs<'a> {
    fn new(
        isa: Isa,
        group: &'a Group,
        at: usize,
        m2: &'a [Part<'a>],
        compared: &'a [Vec<Compared>],
        streams: &mut StepStreams<'_>,
    ) -> Self {
        let signs = group.signs_of(at);
        Self {
            isa,
            group,
            at,
            m2: &m2[at],
            compared,
            masks: signs
                .map(|(sign, _)| M3Masks::draw(group, sign, streams))
                .collect(),
        }
    }

    /// Writes the masked bits of the signs of an opening, and gives each opened bit, spread to all
    /// bits, with the share of beta.
    #[inline(always)]
    fn write(
        &self,
        block: usize,
        message: &mut BlockWriter<'_>,
        mut opened: impl FnMut(usize, &Halves, &Halves),
    ) -> Result<(), BitsError> {
        // The shares of z >= its threshold: not the top bit of pub, xor the borrow.
        let mut bits = [ZEROS; 2];
        let mut clients = [ZEROS; 2];
        let mut m2 = self.m2.block(block);
        for (i, ((sign, _), masks)) in self.group.signs_of(self.at).zip(&self.masks).enumerate() {
            let kept = &self.compared[sign][block];
            bits[i] = joined(kept, &masks.products, block, &mut m2)?;
            clients[i] = m2.plane()?;
        }
        for (i, ((sign, _), masks)) in self.group.signs_of(self.at).zip(&self.masks).enumerate() {
            let mut bit = bits[i];
            if takes_top_bit(self.group, sign) {
                not(&mut bit);
            } else {
                // In a pair the first bit that is opened is the xor of both.
                xor(&mut bit, &bits[i + 1]);
            }
            xor(&mut bit, &masks.bit.plane(block));
            message.planes(&[bit]);
            xor(&mut bit, &clients[i]);
            let mut open = [0; BLOCK];
            expand(self.isa, &bit, &mut open);
            opened(sign, &open, &masks.beta.halves(block));
        }
        Ok(())
    }
}

/// The server's share of the borrow, xor the top bit.
#[inline(always)]
fn joined(
    kept: &Compared,
    products: &Masks,
    block: usize,
    m2: &mut BlockReader<'_>,
) -> Result<Bits, BitsError> {
    let mut others = [ZEROS; OPENED_BITS];
    m2.planes(&mut others)?;
    let mut shares = [ZEROS; PRODUCTS];
    products.planes(block, &mut shares);
    let mut bit = kept.comparison.join(&others, &shares, true);
    xor(&mut bit, &kept.top);
    Ok(bit)
}

/// M3 of patches.
impl BlockWork for M3Signs<'_> {
    type Own<'a> = (BlockWriter<'a>, Vec<&'a mut Words>);

    #[inline(always)]
    fn block(&self, block: usize, (mut message, kept): Self::Own<'_>) -> Result<(), BitsError> {
        let mut kept = kept.into_iter();
        self.write(block, &mut message, |_, open, beta| {
            if let Some(kept) = kept.next() {
                of_patches(open, beta, kept);
            }
        })
    }
}

/// M3 of pixels: with their own signs and those of their patches, the share of the result.
struct M3Pixels<'a> {
    signs: M3Signs<'a>,
    placed: &'a Placed,
    zs: Half<'a>,
    sigma: &'a Masks,
    levels: Levels<'a>,
    of_patches: &'a OfPatches,
    products: Vec<Masks>,
    v: Masks,
}

impl BlockWork for M3Pixels<'_> {
    type Own<'a> = (BlockWriter<'a>, Vec<&'a mut Shared>);

    #[inline(always)]
    fn block(&self, block: usize, (mut message, mut kept): Self::Own<'_>) -> Result<(), BitsError> {
        let kept = &mut *kept[0];
        let group = &self.placed.group;
        let mut selectors = [Selector::NOTHING; 2];
        self.signs.write(block, &mut message, |sign, open, beta| {
            selectors[sign].open = *open;
            selectors[sign].beta = *beta;
        })?;
        pick_up_all(self.placed, self.of_patches, block, &mut selectors);
        for (selector, products) in selectors.iter_mut().zip(&self.products) {
            selector.product = products.halves(block);
        }
        let mut zs = [0; BLOCK];
        self.zs.load(&self.placed.places, block, &mut zs);
        let opened = open(&zs, self.sigma, group.ring, block);
        kept.y = result_share(group, &selectors, [&zs, &opened], self.levels, block, true);
        if group.form.is_signed() {
            let mask = low(group.ring);
            kept.y.iter_mut().for_each(|y| *y = y.wrapping_add(OFFSET) & mask);
        }
        kept.v = self.v.plane(block);
        kept.d = block::bit(self.signs.isa, &kept.y, group.ring - 1);
        xor(&mut kept.d, &kept.v);
        message.planes(&[kept.d]);
        Ok(())
    }
}

/// The result minus its mask.
struct Finish<'a> {
    isa: Isa,
    ring: u32,
    offset: u32,
    shared: &'a [Shared],
    m4: &'a Part<'a>,
    uv: Masks,
}

impl BlockWork for Finish<'_> {
    type Own<'a> = &'a mut Words;

    #[inline(always)]
    fn block(&self, block: usize, hat: &mut Words) -> Result<(), BitsError> {
        let k = self.ring;
        let Shared { y, v, d } = &self.shared[block];
        let mut m4 = self.m4.block(block);
        m4.words(32, hat)?;
        let e = wide_masks(self.isa, &m4.plane()?);
        let d = wide_masks(self.isa, d);
        let v = wide_masks(self.isa, v);
        let uv = self.uv.words(block);
        for i in 0..BLOCK {
            let cross = (e[i] & d[i] & 1)
                .wrapping_add(negate_if(e[i] & v[i] & 1, d[i]))
                .wrapping_add(negate_if(uv[i], d[i] ^ e[i]));
            let top = u32::from(y[i] >> (k - 1));
            let share = u32::from(y[i]).wrapping_sub(top.wrapping_sub(cross) << k);
            hat[i] = hat[i].wrapping_add(share).wrapping_sub(self.offset);
        }
        Ok(())
    }
}
