//! Requantise: zs + rs modulo 2^16, a value of 2^14 units at most, as an activation.
//!
//! Moved up by 2^14 the value lies in [0, 2^15), so that zs + rs wraps around 2^16 exactly if the
//! top bit of zs or that of rs is set. The server knows the one, client *and* helper the other: one
//! product of bits. With v, q_s of the server's and the helper's stream and a' of the client's and
//! the helper's:
//!
//! - Deal, H -> C, 16 bits: q_c = v m_c - q_s
//! - M1, S -> C, 1 bit: d = m_s ^ v
//! - M2, C -> S, 16 bits: d m_c + (1 - 2 d) q_c - a'
//!
//! Views: v hides m_s from the client, q_s hides v m_c; a' hides all of M2 from the server.

use trefoil_ir::mpc::ACTIVATION_OFFSET;
use trefoil_ir::mpc::gate::{BLOCK, WIDE};

use super::infallible;
use crate::kernel::Isa;
use crate::prg::Purpose;
use crate::protocol::block::{self, Bits, BlockWork, BlockWriter, Halves, Masks, Places, Words, expand, xor};
use crate::protocol::layout::{Part, Placed};
use crate::protocol::operand::Half;
use crate::protocol::streams::StepStreams;
use crate::wipe::wipe_with;
use crate::wire::bits::BitsError;

const OFFSET: u16 = ACTIVATION_OFFSET as u16;
const TOP: u32 = WIDE - 1;

/// Bytes of a whole block in M1: one bit a value.
const M1_BYTES: usize = BLOCK / 8;

/// Bytes of a whole block in Deal and in M2: 16 bits a value.
const HALVES_BYTES: usize = 2 * BLOCK;

/// `value` or, where `mask` is all ones instead of zero, its negative.
#[inline(always)]
fn flip(value: u16, mask: u16) -> u16 {
    (value ^ mask).wrapping_sub(mask)
}

/// The helper's work on Deal.
struct Deal<'a> {
    isa: Isa,
    rs: Half<'a>,
    places: &'a Places,
    v: Masks,
    q_s: Masks,
}

pub(super) fn helper_deal(
    isa: Isa,
    placed: &Placed,
    rs: Half<'_>,
    server: &mut StepStreams<'_>,
    parts: &mut [&mut [u8]],
) {
    let places = &placed.places;
    let deal = Deal {
        isa,
        rs,
        places,
        v: server.planes(placed.group.draw(Purpose::RequantBit, 0), 1),
        q_s: server.halves(placed.group.draw(Purpose::RequantShare, 0)),
    };
    infallible(block::write(isa, &deal, places.count(), parts[0], HALVES_BYTES));
}

impl BlockWork for Deal<'_> {
    type Own<'a> = BlockWriter<'a>;

    #[inline(always)]
    fn block(&self, block: usize, mut message: BlockWriter<'_>) -> Result<(), BitsError> {
        let mut rs = [0; BLOCK];
        self.rs.load(self.places, block, &mut rs);
        let mut v = [0; BLOCK];
        expand(self.isa, &self.v.plane(block), &mut v);
        let mut q_c = self.q_s.halves(block);
        for i in 0..BLOCK {
            q_c[i] = (v[i] & (rs[i] >> TOP)).wrapping_sub(q_c[i]);
        }
        message.halves(&q_c, WIDE);
        Ok(())
    }
}

/// The mask of the result, of 32 bits, from the operand's of 16: rs + 2^16 (a' - its top bit).
struct ResultMask<'a> {
    rs: Half<'a>,
    places: &'a Places,
    fresh: Masks,
}

pub(super) fn result_mask(
    isa: Isa,
    placed: &Placed,
    rs: Half<'_>,
    client: &mut StepStreams<'_>,
    masks: &mut [u32],
) {
    let places = &placed.places;
    let fresh = client.halves(placed.group.draw(Purpose::FreshMask, 0));
    infallible(block::fill(isa, &ResultMask { rs, places, fresh }, places, masks));
}

impl BlockWork for ResultMask<'_> {
    type Own<'a> = &'a mut Words;

    #[inline(always)]
    fn block(&self, block: usize, masks: &mut Words) -> Result<(), BitsError> {
        let mut rs = [0; BLOCK];
        self.rs.load(self.places, block, &mut rs);
        let fresh = self.fresh.halves(block);
        for i in 0..BLOCK {
            let upper = u32::from(fresh[i].wrapping_sub(rs[i] >> TOP)) << WIDE;
            masks[i] = u32::from(rs[i]).wrapping_add(upper);
        }
        Ok(())
    }
}

/// What the server keeps of the pixels of one block.
#[derive(Clone, Copy)]
struct Kept {
    /// The server's half, moved up by the offset.
    zs: Halves,
    d: Bits,
}

const NOTHING: Kept = Kept {
    zs: [0; BLOCK],
    d: block::ZEROS,
};

/// The server between M1 and M2.
pub(super) struct Server {
    kept: Vec<Kept>,
}

impl Drop for Server {
    fn drop(&mut self) {
        wipe_with(&mut self.kept, NOTHING);
    }
}

/// The server's work on M1.
struct M1<'a> {
    isa: Isa,
    zs: Half<'a>,
    places: &'a Places,
    v: Masks,
}

impl Server {
    pub(super) fn m1(
        isa: Isa,
        placed: &Placed,
        zs: Half<'_>,
        streams: &mut StepStreams<'_>,
        parts: &mut [&mut [u8]],
    ) -> Self {
        let places = &placed.places;
        let count = places.count();
        let v = streams.planes(placed.group.draw(Purpose::RequantBit, 0), 1);
        let m1 = M1 { isa, zs, places, v };
        let mut kept = vec![NOTHING; block::blocks(count)];
        infallible(block::write_and_keep(
            isa,
            &m1,
            count,
            (parts[0], M1_BYTES),
            vec![&mut kept],
        ));
        Self { kept }
    }

    pub(super) fn finish(
        self,
        isa: Isa,
        placed: &Placed,
        m2: &[Part<'_>],
        streams: &mut StepStreams<'_>,
        hat: &mut [u32],
    ) -> Result<(), BitsError> {
        let places = &placed.places;
        let finish = Finish {
            isa,
            kept: &self.kept,
            m2: &m2[0],
            q_s: streams.halves(placed.group.draw(Purpose::RequantShare, 0)),
        };
        block::fill(isa, &finish, places, hat)
    }
}

impl BlockWork for M1<'_> {
    type Own<'a> = (BlockWriter<'a>, Vec<&'a mut Kept>);

    #[inline(always)]
    fn block(&self, block: usize, (mut message, mut kept): Self::Own<'_>) -> Result<(), BitsError> {
        let kept = &mut *kept[0];
        self.zs.load(self.places, block, &mut kept.zs);
        kept.zs.iter_mut().for_each(|z| *z = z.wrapping_add(OFFSET));
        kept.d = block::bit(self.isa, &kept.zs, TOP);
        xor(&mut kept.d, &self.v.plane(block));
        message.planes(&[kept.d]);
        Ok(())
    }
}

/// The server's work on the result: from zs, d and M2.
struct Finish<'a> {
    isa: Isa,
    kept: &'a [Kept],
    m2: &'a Part<'a>,
    q_s: Masks,
}

impl BlockWork for Finish<'_> {
    type Own<'a> = &'a mut Words;

    #[inline(always)]
    fn block(&self, block: usize, hat: &mut Words) -> Result<(), BitsError> {
        let Kept { zs, d } = &self.kept[block];
        let mut t = [0; BLOCK];
        self.m2.block(block).halves(WIDE, &mut t)?;
        let mut flips = [0; BLOCK];
        expand(self.isa, d, &mut flips);
        let q_s = self.q_s.halves(block);
        for i in 0..BLOCK {
            let cross = t[i].wrapping_add(flip(q_s[i], flips[i]));
            let wraps = u32::from(cross.wrapping_sub(zs[i] >> TOP)) << WIDE;
            hat[i] = u32::from(zs[i])
                .wrapping_add(wraps)
                .wrapping_sub(u32::from(OFFSET));
        }
        Ok(())
    }
}

/// The client's work on M2.
struct M2<'a> {
    isa: Isa,
    rs: Half<'a>,
    places: &'a Places,
    deal: &'a Part<'a>,
    m1: &'a Part<'a>,
    fresh: Masks,
}

pub(super) fn client_m2(
    isa: Isa,
    placed: &Placed,
    rs: Half<'_>,
    [deal, m1]: [&Part<'_>; 2],
    streams: &mut StepStreams<'_>,
    parts: &mut [&mut [u8]],
) -> Result<(), BitsError> {
    let places = &placed.places;
    let m2 = M2 {
        isa,
        rs,
        places,
        deal,
        m1,
        fresh: streams.halves(placed.group.draw(Purpose::FreshMask, 0)),
    };
    block::write(isa, &m2, places.count(), parts[0], HALVES_BYTES)
}

impl BlockWork for M2<'_> {
    type Own<'a> = BlockWriter<'a>;

    #[inline(always)]
    fn block(&self, block: usize, mut message: BlockWriter<'_>) -> Result<(), BitsError> {
        let mut rs = [0; BLOCK];
        self.rs.load(self.places, block, &mut rs);
        let mut q_c = [0; BLOCK];
        self.deal.block(block).halves(WIDE, &mut q_c)?;
        let mut d = [0; BLOCK];
        expand(self.isa, &self.m1.block(block).plane()?, &mut d);
        let mut t = self.fresh.halves(block);
        for i in 0..BLOCK {
            let product = (d[i] & (rs[i] >> TOP)).wrapping_add(flip(q_c[i], d[i]));
            t[i] = product.wrapping_sub(t[i]);
        }
        message.halves(&t, WIDE);
        Ok(())
    }
}
