//! Truncate, the first half of every gate on an accumulator z = s + c + h.
//!
//! | | client | server | helper |
//! | --- | --- | --- | --- |
//! | has | c, r1 | s, p | h, p, r1 |
//! | TruncationMask (offline) | learns R >> 16 | | sends it |
//! | MaskedShare (offline) | sends c - r1 | learns it | |
//! | holds | R >> 16 | D = s + p + c - r1 | R = h - p + r1 |
//!
//! Patch sums that are computed apart are truncated alike, but for TruncationMask: the client holds
//! nothing of them.
//!
//! Views: the server's message is masked by r1, which it lacks, in all 32 bits. The client's is
//! the top of a number that p, which the client lacks, makes uniform. The rounding coin
//! [low bits of R <= low bits of z] depends on the low bits of R, which are uniform given the
//! client's whole view: the output is the network with independent stochastic rounding.

use trefoil_ir::mpc::Section;
use trefoil_ir::mpc::gate::{BLOCK, NARROW, WIDE};
use trefoil_ir::mpc::op::Truncate;
use trefoil_ir::mpc::privacy::DrawId;

use super::block::{self, BlockReader, BlockWork, BlockWriter, Masks, Places, values_in};
use super::gate::infallible;
use super::operand::Half;
use super::streams::StepStreams;
use crate::kernel::Isa;
use crate::pool;
use crate::prg::Purpose;
use crate::wire::bits::{BitsError, field_bytes};

const P: DrawId = DrawId::only(Purpose::Rerandomise);
const R1: DrawId = DrawId::only(Purpose::TruncationMask);

/// The channels of one width in the message TruncationMask.
struct WidthClass {
    bits: u32,
    places: Places,
}

impl WidthClass {
    /// The widths that channels have, in the message's order; `len` is the number of values in all.
    fn of(op: &Truncate, len: usize) -> Vec<Self> {
        let plane = len / op.keep.len().max(1);
        let mut classes = Vec::new();
        for bits in [NARROW, WIDE] {
            let places = Places::new(&op.channels(bits), plane);
            if places.count() > 0 {
                classes.push(Self { bits, places });
            }
        }
        classes
    }

    /// Bytes of its part of the message.
    fn bytes(&self) -> usize {
        field_bytes(self.places.count(), self.bits)
    }

    /// Bytes of a whole block.
    fn full(&self) -> usize {
        field_bytes(BLOCK, self.bits)
    }
}

/// The helper: R, and the message TruncationMask.
pub fn helper(
    isa: Isa,
    op: &Truncate,
    h: Vec<u32>,
    client: &mut StepStreams<'_>,
    server: &mut StepStreams<'_>,
) -> (Vec<u32>, Vec<u8>) {
    let r = helper_sums(isa, h, client, server);
    let classes = WidthClass::of(op, r.len());
    let mut message = pool::zeroed(classes.iter().map(WidthClass::bytes).sum());
    let mut rest = &mut message[..];
    for class in &classes {
        let (part, behind) = rest.split_at_mut(class.bytes());
        rest = behind;
        let tops = Tops { r: &r, class };
        infallible(block::write(isa, &tops, class.places.count(), part, class.full()));
    }
    (r, message)
}

/// The helper's work on TruncationMask: the top bits of R.
struct Tops<'a> {
    r: &'a [u32],
    class: &'a WidthClass,
}

impl BlockWork for Tops<'_> {
    type Own<'a> = BlockWriter<'a>;

    #[inline(always)]
    fn block(&self, block: usize, mut message: BlockWriter<'_>) -> Result<(), BitsError> {
        let mut top = [0; BLOCK];
        Half::R(self.r).load(&self.class.places, block, &mut top);
        message.halves(&top, self.class.bits);
        Ok(())
    }
}

/// The helper: R of patch sums, of which the client learns nothing.
pub fn helper_sums(
    isa: Isa,
    mut h: Vec<u32>,
    client: &mut StepStreams<'_>,
    server: &mut StepStreams<'_>,
) -> Vec<u32> {
    let remask = Remask {
        p: server.words(P),
        r1: client.words(R1),
    };
    infallible(block::update(isa, &remask, &mut h));
    h
}

/// The helper's work on R = h - p + r1.
struct Remask {
    p: Masks,
    r1: Masks,
}

impl BlockWork for Remask {
    type Own<'a> = &'a mut [u32];

    #[inline(always)]
    fn block(&self, block: usize, h: &mut [u32]) -> Result<(), BitsError> {
        let p = self.p.words(block);
        let r1 = self.r1.words(block);
        for ((h, p), r1) in h.iter_mut().zip(&p).zip(&r1) {
            *h = h.wrapping_sub(*p).wrapping_add(*r1);
        }
        Ok(())
    }
}

/// The client: the top bits of R out of the message TruncationMask.
///
/// # Errors
/// If the message is malformed.
pub fn client_receive(isa: Isa, op: &Truncate, message: &[u8], len: usize) -> Result<Vec<u16>, BitsError> {
    let classes = WidthClass::of(op, len);
    let expected = classes.iter().map(WidthClass::bytes).sum();
    let got = message.len();
    if expected != got {
        return Err(BitsError::Length { expected, got });
    }
    let mut rs = pool::zeroed(len);
    let mut rest = message;
    for class in &classes {
        let (part, behind) = rest.split_at(class.bytes());
        rest = behind;
        let count = class.places.count();
        block::run(class.places.jobs(&mut rs), |first, mut stretches| {
            let parts = part.chunks(class.full()).enumerate();
            let mut values = [0; BLOCK];
            for (block, bytes) in parts.skip(first).take(block::JOB) {
                let count = values_in(block, count);
                BlockReader::new(isa, bytes, count).halves(class.bits, &mut values)?;
                stretches.write(&values[..count]);
            }
            Ok(())
        })?;
    }
    Ok(rs)
}

/// The client: the message MaskedShare.
pub fn client_send(isa: Isa, c: &[u32], client: &mut StepStreams<'_>) -> Vec<u8> {
    let mut message = pool::zeroed(Section::fields(c.len(), 32).bytes());
    let r1 = client.words(R1);
    let share = MaskedShare { c, r1 };
    infallible(block::write(isa, &share, c.len(), &mut message, 4 * BLOCK));
    message
}

/// The client's work on MaskedShare: c - r1.
struct MaskedShare<'a> {
    c: &'a [u32],
    r1: Masks,
}

impl BlockWork for MaskedShare<'_> {
    type Own<'a> = BlockWriter<'a>;

    #[inline(always)]
    fn block(&self, block: usize, mut message: BlockWriter<'_>) -> Result<(), BitsError> {
        let mut masked = self.r1.words(block);
        for (masked, c) in masked.iter_mut().zip(&self.c[block * BLOCK..]) {
            *masked = c.wrapping_sub(*masked);
        }
        message.words(&masked, 32);
        Ok(())
    }
}

/// The server: D.
///
/// # Errors
/// If the message is malformed.
pub fn server(
    isa: Isa,
    mut s: Vec<u32>,
    message: &[u8],
    server: &mut StepStreams<'_>,
) -> Result<Vec<u32>, BitsError> {
    let expected = Section::fields(s.len(), 32).bytes();
    let got = message.len();
    if expected != got {
        return Err(BitsError::Length { expected, got });
    }
    let join = Join {
        isa,
        message,
        p: server.words(P),
    };
    block::update(isa, &join, &mut s)?;
    Ok(s)
}

/// The server's work on D = s + p + c - r1.
struct Join<'a> {
    isa: Isa,
    message: &'a [u8],
    p: Masks,
}

impl BlockWork for Join<'_> {
    type Own<'a> = &'a mut [u32];

    #[inline(always)]
    fn block(&self, block: usize, s: &mut [u32]) -> Result<(), BitsError> {
        let bytes = &self.message[4 * BLOCK * block..][..4 * s.len()];
        let p = self.p.words(block);
        let mut masked = [0; BLOCK];
        BlockReader::new(self.isa, bytes, s.len()).words(32, &mut masked)?;
        for ((s, p), masked) in s.iter_mut().zip(&p).zip(&masked) {
            *s = s.wrapping_add(*p).wrapping_add(*masked);
        }
        Ok(())
    }
}
