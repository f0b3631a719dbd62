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

use trefoil_ir::mpc::gate::{NARROW, WIDE};
use trefoil_ir::mpc::op::Truncate;
use trefoil_ir::mpc::{TRUNCATED_BITS, UNIT};

use super::section::{Reader, Writer};
use super::streams::StepStreams;
use crate::prg::Purpose;
use crate::wire::bits::BitsError;

/// The top 16 bits of each element.
pub fn top(values: &[u32]) -> Vec<u16> {
    values.iter().map(|v| (v >> TRUNCATED_BITS) as u16).collect()
}

/// The helper: R, and the message TruncationMask.
pub fn helper(
    op: &Truncate,
    h: Vec<u32>,
    client: &mut StepStreams<'_>,
    server: &mut StepStreams<'_>,
) -> (Vec<u32>, Vec<u8>) {
    let h = helper_sums(h, client, server);
    let plane = h.len() / op.keep.len();
    let mut message = Writer::new();
    for bits in [NARROW, WIDE] {
        let channels = op.channels(bits);
        if !channels.is_empty() {
            let kept: Vec<u16> = channels
                .iter()
                .flat_map(|&c| top(&h[c * plane..(c + 1) * plane]))
                .collect();
            message.u16s(&kept, bits);
        }
    }
    (h, message.finish())
}

/// The helper: R of patch sums, of which the client learns nothing.
pub fn helper_sums(mut h: Vec<u32>, client: &mut StepStreams<'_>, server: &mut StepStreams<'_>) -> Vec<u32> {
    let p = server.u32s(Purpose::Rerandomise, h.len());
    let r1 = client.u32s(Purpose::TruncationMask, h.len());
    for ((h, p), r1) in h.iter_mut().zip(&p).zip(&r1) {
        *h = h.wrapping_sub(*p).wrapping_add(*r1);
    }
    h
}

/// The client: the top bits of R out of the message TruncationMask.
///
/// # Errors
/// If the message is malformed.
pub fn client_receive(op: &Truncate, message: &[u8], len: usize) -> Result<Vec<u16>, BitsError> {
    let plane = len / op.keep.len();
    let mut reader = Reader::new(message);
    let mut rs = vec![0; len];
    for bits in [NARROW, WIDE] {
        let channels = op.channels(bits);
        if !channels.is_empty() {
            let kept = reader.u16s(channels.len() * plane, bits)?;
            for (&c, channel) in channels.iter().zip(kept.chunks(plane)) {
                rs[c * plane..(c + 1) * plane].copy_from_slice(channel);
            }
        }
    }
    reader.finish()?;
    Ok(rs)
}

/// The client: the message MaskedShare.
pub fn client_send(mut c: Vec<u32>, client: &mut StepStreams<'_>) -> Vec<u8> {
    let r1 = client.u32s(Purpose::TruncationMask, c.len());
    c.iter_mut().zip(&r1).for_each(|(c, r1)| *c = c.wrapping_sub(*r1));
    let mut message = Writer::new();
    message.u32s(&c, 32);
    message.finish()
}

/// The server: D, with the unit that centres the rounding.
///
/// # Errors
/// If the message is malformed.
pub fn server(mut s: Vec<u32>, message: &[u8], server: &mut StepStreams<'_>) -> Result<Vec<u32>, BitsError> {
    let mut reader = Reader::new(message);
    let masked = reader.u32s(s.len(), 32)?;
    reader.finish()?;
    let p = server.u32s(Purpose::Rerandomise, s.len());
    for ((s, p), masked) in s.iter_mut().zip(&p).zip(&masked) {
        *s = s.wrapping_add(*p).wrapping_add(*masked);
    }
    Ok(s)
}

/// The server's top bits: with the unit, top(D) + top(R) is the value rounded down or up.
pub fn server_top(d: &[u32]) -> Vec<u16> {
    d.iter()
        .map(|d| (d.wrapping_add(UNIT as u32) >> TRUNCATED_BITS) as u16)
        .collect()
}
