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
use trefoil_ir::mpc::gate::WIDE;
use zeroize::Zeroize;

use crate::prg::Purpose;
use crate::protocol::section::{Reader, Writer};
use crate::protocol::streams::StepStreams;
use crate::wire::bits::{BitPlane, BitsError, bit_plane_u16, expand_u16};

const OFFSET: u16 = ACTIVATION_OFFSET as u16;
const TOP: u32 = WIDE - 1;

fn expand(plane: &BitPlane) -> Vec<u16> {
    let mut values = vec![0; plane.len()];
    expand_u16(plane, &mut values);
    values
}

/// `value` or, where `bit` is one, its negative.
fn flip(value: u16, bit: u16) -> u16 {
    let mask = 0u16.wrapping_sub(bit);
    (value ^ mask).wrapping_add(bit)
}

pub(super) fn helper_deal(rs: &[u16], server: &mut StepStreams<'_>, deal: &mut Writer) {
    let v = expand(&server.plane(Purpose::RequantBit, rs.len()));
    let q_s = server.u16s(Purpose::RequantShare, rs.len(), WIDE);
    let q_c: Vec<u16> = (0..rs.len())
        .map(|i| (v[i] & (rs[i] >> TOP)).wrapping_sub(q_s[i]))
        .collect();
    deal.u16s(&q_c, WIDE);
}

pub(super) fn result_mask(rs: &[u16], client: &mut StepStreams<'_>) -> Vec<u32> {
    let fresh = client.u16s(Purpose::FreshMask, rs.len(), WIDE);
    let mask = |(&rs, &fresh): (&u16, &u16)| {
        u32::from(rs).wrapping_add(u32::from(fresh.wrapping_sub(rs >> TOP)) << WIDE)
    };
    rs.iter().zip(&fresh).map(mask).collect()
}

pub(super) struct Server {
    zs: Vec<u16>,
    d: Vec<u16>,
    cross: Vec<u16>,
    q_s: Vec<u16>,
}

impl Drop for Server {
    fn drop(&mut self) {
        for values in [&mut self.zs, &mut self.d, &mut self.cross, &mut self.q_s] {
            values.zeroize();
        }
    }
}

impl Server {
    pub(super) fn m1(zs: &[u16], streams: &mut StepStreams<'_>, m1: &mut Writer) -> Self {
        let zs: Vec<u16> = zs.iter().map(|z| z.wrapping_add(OFFSET)).collect();
        let mut d = bit_plane_u16(&zs, TOP);
        d.xor_assign(&streams.plane(Purpose::RequantBit, zs.len()));
        let q_s = streams.u16s(Purpose::RequantShare, zs.len(), WIDE);
        m1.plane(&d);
        Self {
            zs,
            d: expand(&d),
            cross: Vec::new(),
            q_s,
        }
    }

    pub(super) fn take_m2(&mut self, m2: &mut Reader<'_>) -> Result<(), BitsError> {
        let t = m2.u16s(self.zs.len(), WIDE)?;
        self.cross = (0..t.len())
            .map(|i| t[i].wrapping_add(flip(self.q_s[i], self.d[i])))
            .collect();
        Ok(())
    }

    pub(super) fn finish(self) -> Vec<u32> {
        let hat = |(&zs, &cross): (&u16, &u16)| {
            let wraps = u32::from(cross.wrapping_sub(zs >> TOP)) << WIDE;
            u32::from(zs).wrapping_add(wraps).wrapping_sub(u32::from(OFFSET))
        };
        self.zs.iter().zip(&self.cross).map(hat).collect()
    }
}

pub(super) fn client_m2(
    rs: &[u16],
    deal: &mut Reader<'_>,
    m1: &mut Reader<'_>,
    streams: &mut StepStreams<'_>,
    m2: &mut Writer,
) -> Result<(), BitsError> {
    let q_c = deal.u16s(rs.len(), WIDE)?;
    let d = expand(&m1.plane(rs.len())?);
    let fresh = streams.u16s(Purpose::FreshMask, rs.len(), WIDE);
    let answer = |i: usize| {
        (d[i] & (rs[i] >> TOP))
            .wrapping_add(flip(q_c[i], d[i]))
            .wrapping_sub(fresh[i])
    };
    let t: Vec<u16> = (0..rs.len()).map(answer).collect();
    m2.u16s(&t, WIDE);
    Ok(())
}
