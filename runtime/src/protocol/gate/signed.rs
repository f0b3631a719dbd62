//! Gates that take signs: ReLU, Block-ReLU, clip, and the ReLU inside a maximum.
//!
//! With k the bits of the group's ring, z = zs + rs (mod 2^k), and for each opening a mask sigma of
//! the server's and the helper's stream:
//!
//! 1. M1, S -> C: pub = zs + sigma for the pixels, and likewise for patch sums (of the pixels, or
//!    computed apart and truncated by themselves); the server's masked comparison bits. The helper knows r = sigma - rs, so z = pub - r.
//! 2. M2, C -> S: the client's masked comparison bits, its masked share of each sign bit.
//! 3. M3, S -> C: the server's masked share of each sign bit; the masked top bit of its share of
//!    the result.
//! 4. M4, C -> S: its share of the result, masked anew in Z_2^32; the masked top bit of its share.
//!
//! A sign is b = b_open ^ beta with beta known to the helper, who deals shares of beta and of
//! beta r: then b z = b_open z + (1 - 2 b_open)(pub beta - beta r) is linear in what is shared.
//! What each form makes of the signs is in [`trefoil_ir::mpc::gate`].
//!
//! The extension to Z_2^32 uses that the result, moved up by 2^14 if it may be negative, lies in
//! [0, 2^(k-1)): its two shares wrap exactly if the top bit of either is set.
//!
//! Views: every bit that the server sends is masked by streams that the client lacks (sigma, the
//! comparison masks, mu, v), every bit that the client sends by streams that the server lacks; each
//! mask hides one message. The signs opened, b_open, are masked by beta, which neither knows.

use trefoil_ir::mpc::ACTIVATION_OFFSET;
use trefoil_ir::mpc::gate::{Form, Group, Sign};
use trefoil_ir::patch::Patch;
use zeroize::Zeroize;

use super::{Exact, Levels};
use crate::prg::Purpose;
use crate::protocol::compare::{self, Comparison};
use crate::protocol::section::{Reader, Writer};
use crate::protocol::streams::StepStreams;
use crate::protocol::{layout, low, truncate};
use crate::wire::bits::{BitPlane, BitsError, bit_plane_u16, expand_u16};

const OFFSET: u16 = ACTIVATION_OFFSET as u16;

/// Whether the mask of this sign's opened bit contains the top bit of r. In a pair the first opened
/// bit is b0 ^ b1, in which the top bits cancel.
fn takes_top_bit(group: &Group, sign: usize) -> bool {
    !(matches!(group.form, Form::Paired(_)) && sign == 0)
}

fn patch_of(group: &Group, sign: &Sign) -> Patch {
    group.openings[sign.opening].patch
}

fn count_of(group: &Group, sign: &Sign) -> usize {
    group.openings[sign.opening].count
}

fn ring_of(group: &Group, sign: &Sign) -> u32 {
    group.openings[sign.opening].ring
}

fn expand(plane: &BitPlane) -> Vec<u16> {
    let mut values = vec![0; plane.len()];
    expand_u16(plane, &mut values);
    values
}

/// The wrap of the top bits: bits above the group's ring.
fn upper_bits(group: &Group) -> u32 {
    32 - group.ring
}

// ---------------------------------------------------------------------------------------- helper

pub(super) fn helper_deal(
    group: &Group,
    rs: &[u16],
    exact: Exact<'_>,
    client: &mut StepStreams<'_>,
    server: &mut StepStreams<'_>,
    deal: &mut Writer,
) {
    let openings = helper_openings(group, rs, exact, server);
    for (at, r) in openings.iter().enumerate() {
        if group.signs.iter().any(|s| s.opening == at) {
            deal.planes(&compare::deal_tables(r, group.openings[at].ring, server));
        }
    }
    for (at, sign) in group.signs.iter().enumerate() {
        let count = count_of(group, sign);
        deal.planes(&compare::deal_products(count, client, server));
        let mut beta = client.plane(Purpose::SignMaskClient, count);
        beta.xor_assign(&server.plane(Purpose::SignMaskServer, count));
        if takes_top_bit(group, at) {
            beta.xor_assign(&bit_plane_u16(&openings[sign.opening], ring_of(group, sign) - 1));
        }
        helper_deal_sign(group, at, &expand(&beta), &openings[0], server, deal);
    }
    helper_deal_wrap(group, client, server, deal);
}

/// r = sigma - rs for every opening.
fn helper_openings(
    group: &Group,
    rs: &[u16],
    exact: Exact<'_>,
    server: &mut StepStreams<'_>,
) -> Vec<Vec<u16>> {
    let opening = |(at, opening): (usize, &trefoil_ir::mpc::gate::Opening)| {
        if at == 0 {
            let sigma = server.u16s(Purpose::OpeningMask, opening.count, opening.ring);
            let mask = low(opening.ring);
            return sigma
                .iter()
                .zip(rs)
                .map(|(s, r)| s.wrapping_sub(*r) & mask)
                .collect();
        }
        let sums = truncate::top(&layout::opened_sums(group, opening, exact));
        let sigma = server.u16s(Purpose::PatchMask, opening.count, opening.ring);
        sigma.iter().zip(&sums).map(|(s, r)| s.wrapping_sub(*r)).collect()
    };
    group.openings.iter().enumerate().map(opening).collect()
}

/// The client's shares of beta and, if the sign multiplies a value per pixel, of beta r.
fn helper_deal_sign(
    group: &Group,
    at: usize,
    beta: &[u16],
    r: &[u16],
    server: &mut StepStreams<'_>,
    deal: &mut Writer,
) {
    let share = server.u16s(Purpose::BetaShare, beta.len(), group.ring);
    let dealt: Vec<u16> = beta.iter().zip(&share).map(|(b, s)| b.wrapping_sub(*s)).collect();
    deal.u16s(&dealt, group.ring);
    if at < group.pixel_products() {
        let beta = layout::spread(group, patch_of(group, &group.signs[at]), beta);
        let mut product = server.u16s(Purpose::BetaProductShare, r.len(), group.ring);
        for ((product, beta), r) in product.iter_mut().zip(beta.iter()).zip(r) {
            *product = beta.wrapping_mul(*r).wrapping_sub(*product);
        }
        deal.u16s(&product, group.ring);
    }
}

/// The client's share of u v.
fn helper_deal_wrap(
    group: &Group,
    client: &mut StepStreams<'_>,
    server: &mut StepStreams<'_>,
    deal: &mut Writer,
) {
    let pixels = group.pixels();
    let mut uv = client.plane(Purpose::WrapBitClient, pixels);
    uv.and_assign(&server.plane(Purpose::WrapBitServer, pixels));
    let share = server.u32s(Purpose::WrapProductShare, pixels);
    let dealt: Vec<u32> = expand(&uv)
        .iter()
        .zip(&share)
        .map(|(b, s)| u32::from(*b).wrapping_sub(*s))
        .collect();
    deal.u32s(&dealt, upper_bits(group));
}

/// The client and the helper: the mask of the result.
pub(super) fn result_mask(group: &Group, client: &mut StepStreams<'_>) -> Vec<u32> {
    client.u32s(Purpose::FreshMask, group.pixels())
}

// ------------------------------------------------------------------------- what both online parties do

/// The opened values minus the sign's threshold.
fn public_of<'a>(
    group: &Group,
    sign: &Sign,
    opened: &'a [Vec<u16>],
    levels: Levels<'_>,
) -> std::borrow::Cow<'a, [u16]> {
    let (opened, opening) = (&opened[sign.opening], &group.openings[sign.opening]);
    if !sign.upper {
        return opened.into();
    }
    let mask = low(opening.ring);
    let thresholds = layout::thresholds(group, opening, levels);
    opened
        .iter()
        .zip(&thresholds)
        .map(|(o, t)| o.wrapping_sub(*t) & mask)
        .collect()
}

/// One party's shares for a sign: beta, and beta r where it multiplies pixels.
struct SignShares {
    beta: Vec<u16>,
    product: Vec<u16>,
}

impl Drop for SignShares {
    fn drop(&mut self) {
        self.beta.zeroize();
        self.product.zeroize();
    }
}

/// One party's share of the result, from the opened sign bits. `value` is its share of z, `public`
/// the opened pixels; `is_server` takes what is public.
fn result_share(
    group: &Group,
    signs: &[SignShares],
    opened: &[BitPlane],
    value: &[u16],
    public: &[u16],
    levels: &[i32],
    is_server: bool,
) -> Vec<u16> {
    let mut y: Vec<u16> = match group.form {
        Form::Upper(_) => value.to_vec(),
        Form::Lower(_) | Form::Paired(_) | Form::Both(..) | Form::Pass | Form::Requant => {
            vec![0; value.len()]
        }
    };
    for (at, sign) in group.signs.iter().enumerate() {
        let open = expand(&opened[at]);
        let patch = patch_of(group, sign);
        if at < group.pixel_products() {
            let negative = sign.upper;
            let (open, beta) = (
                layout::spread(group, patch, &open),
                layout::spread(group, patch, &signs[at].beta),
            );
            add_selected(&mut y, &open, &beta, &signs[at].product, value, public, negative);
        }
        if sign.upper {
            let share: Vec<u16> = open
                .iter()
                .zip(&signs[at].beta)
                .map(|(o, b)| sign_share(*o, *b, is_server))
                .collect();
            let share = layout::spread(group, patch, &share);
            let levels = layout::pixel_levels(group, levels);
            for ((y, share), level) in y.iter_mut().zip(share.iter()).zip(&levels) {
                *y = y.wrapping_add(share.wrapping_mul(*level));
            }
        }
    }
    let mask = low(group.ring);
    y.iter_mut().for_each(|y| *y &= mask);
    y
}

/// Adds (or takes away) this party's share of b z = b_open z + (1 - 2 b_open)(pub beta - beta r).
fn add_selected(
    y: &mut [u16],
    open: &[u16],
    beta: &[u16],
    product: &[u16],
    value: &[u16],
    public: &[u16],
    negative: bool,
) {
    let sign = u16::from(negative);
    let (sign_mask, n) = (0u16.wrapping_sub(sign), y.len());
    let (open, beta, product) = (&open[..n], &beta[..n], &product[..n]);
    let (value, public) = (&value[..n], &public[..n]);
    for i in 0..n {
        let mask = 0u16.wrapping_sub(open[i]);
        let flip = public[i].wrapping_mul(beta[i]).wrapping_sub(product[i]);
        let selected = (value[i] & mask).wrapping_add((flip ^ mask).wrapping_sub(mask));
        y[i] = y[i].wrapping_add((selected ^ sign_mask).wrapping_add(sign));
    }
}

/// This party's additive share of b = b_open ^ beta.
fn sign_share(open: u16, beta: u16, is_server: bool) -> u16 {
    let mask = 0u16.wrapping_sub(open);
    (open & u16::from(is_server)).wrapping_add((beta ^ mask).wrapping_sub(mask))
}

// ---------------------------------------------------------------------------------------- server

pub(super) struct Server {
    zs: Vec<u16>,
    opened: Vec<Vec<u16>>,
    comparisons: Vec<Comparison>,
    borrows: Vec<BitPlane>,
    tops: Vec<BitPlane>,
    signs: Vec<SignShares>,
    client_signs: Vec<BitPlane>,
    levels: Vec<i32>,
    y: Vec<u16>,
    v: BitPlane,
    d: BitPlane,
    uv: Vec<u32>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.zs.zeroize();
        self.y.zeroize();
        self.uv.zeroize();
    }
}

impl Server {
    /// M1.
    pub(super) fn m1(
        group: &Group,
        zs: &[u16],
        exact: Exact<'_>,
        levels: Levels<'_>,
        streams: &mut StepStreams<'_>,
        m1: &mut Writer,
    ) -> Self {
        let opened = server_openings(group, zs, exact, streams, m1);
        let tables: Vec<Vec<BitPlane>> = group
            .openings
            .iter()
            .enumerate()
            .map(|(at, opening)| {
                let used = group.signs.iter().any(|s| s.opening == at);
                let planes = if used {
                    trefoil_ir::mpc::gate::table_planes(opening.ring)
                } else {
                    0
                };
                streams.planes(Purpose::TableShare, planes, opening.count)
            })
            .collect();
        let (mut comparisons, mut tops) = (Vec::new(), Vec::new());
        for sign in &group.signs {
            let public = public_of(group, sign, &opened, levels);
            let ring = ring_of(group, sign);
            let looked = compare::look(&tables[sign.opening], &public, ring, true);
            let comparison = Comparison::server(looked, streams);
            m1.planes(&comparison.masked());
            comparisons.push(comparison);
            tops.push(bit_plane_u16(&public, ring - 1));
        }
        let signs = (0..group.signs.len())
            .map(|at| server_sign_shares(group, at, streams))
            .collect();
        let none = BitPlane::zeros(0);
        Self {
            zs: zs.iter().map(|z| z & low(group.ring)).collect(),
            opened,
            comparisons,
            borrows: Vec::new(),
            tops,
            signs,
            client_signs: Vec::new(),
            levels: levels.pixels.to_vec(),
            y: Vec::new(),
            v: none.clone(),
            d: none,
            uv: Vec::new(),
        }
    }

    pub(super) fn take_m2(&mut self, group: &Group, m2: &mut Reader<'_>) -> Result<(), BitsError> {
        let comparisons = std::mem::take(&mut self.comparisons);
        for (sign, comparison) in group.signs.iter().zip(comparisons) {
            let count = count_of(group, sign);
            let others = m2.planes(trefoil_ir::mpc::gate::OPENED_BITS, count)?;
            self.borrows.push(comparison.join(&others));
            self.client_signs.push(m2.plane(count)?);
        }
        Ok(())
    }

    /// M3: its masked shares of the sign bits, then the masked top bits of its share of the result.
    pub(super) fn m3(&mut self, group: &Group, streams: &mut StepStreams<'_>, m3: &mut Writer) {
        let mut opened = Vec::with_capacity(group.signs.len());
        for (at, sign) in group.signs.iter().enumerate() {
            let mut bit = self.sign_bit(group, at);
            bit.xor_assign(&streams.plane(Purpose::SignMaskServer, count_of(group, sign)));
            m3.plane(&bit);
            bit.xor_assign(&self.client_signs[at]);
            opened.push(bit);
        }
        self.y = result_share(
            group,
            &self.signs,
            &opened,
            &self.zs,
            &self.opened[0],
            &self.levels,
            true,
        );
        if group.form.is_signed() {
            let mask = low(group.ring);
            self.y.iter_mut().for_each(|y| *y = y.wrapping_add(OFFSET) & mask);
        }
        self.v = streams.plane(Purpose::WrapBitServer, group.pixels());
        self.uv = streams.u32s(Purpose::WrapProductShare, group.pixels());
        self.d = bit_plane_u16(&self.y, group.ring - 1);
        self.d.xor_assign(&self.v);
        m3.plane(&self.d);
    }

    /// Its share of the sign bit: not the top bit of pub, xor the borrow; in a pair the first is the
    /// xor of both.
    fn sign_bit(&self, group: &Group, at: usize) -> BitPlane {
        let mut bit = self.borrows[at].clone();
        bit.xor_assign(&self.tops[at]);
        if takes_top_bit(group, at) {
            bit.not_assign();
        } else {
            bit.xor_assign(&self.borrows[at + 1]);
            bit.xor_assign(&self.tops[at + 1]);
        }
        bit
    }

    /// With M4: the result minus its mask.
    pub(super) fn finish(self, group: &Group, m4: &mut Reader<'_>) -> Result<Vec<u32>, BitsError> {
        let k = group.ring;
        let mut hat = m4.u32s(group.pixels(), 32)?;
        let e = expand(&m4.plane(group.pixels())?);
        let (d, v) = (expand(&self.d), expand(&self.v));
        let offset = if group.form.is_signed() {
            u32::from(OFFSET)
        } else {
            0
        };
        for i in 0..hat.len() {
            let (d, e, v) = (u32::from(d[i]), u32::from(e[i]), u32::from(v[i]));
            let cross = (e & d)
                .wrapping_add(negate_if(e & v, d))
                .wrapping_add(negate_if(self.uv[i], d ^ e));
            let top = u32::from(self.y[i] >> (k - 1));
            let share = u32::from(self.y[i]).wrapping_sub(top.wrapping_sub(cross) << k);
            hat[i] = hat[i].wrapping_add(share).wrapping_sub(offset);
        }
        Ok(hat)
    }
}

/// `value`, or its negative where `bit` is one.
fn negate_if(value: u32, bit: u32) -> u32 {
    let mask = 0u32.wrapping_sub(bit);
    (value ^ mask).wrapping_add(bit)
}

/// Opens pixels and patch sums under their masks.
fn server_openings(
    group: &Group,
    zs: &[u16],
    exact: Exact<'_>,
    streams: &mut StepStreams<'_>,
    m1: &mut Writer,
) -> Vec<Vec<u16>> {
    let mut openings = Vec::with_capacity(group.openings.len());
    for (at, opening) in group.openings.iter().enumerate() {
        let mask = low(opening.ring);
        let purpose = if at == 0 {
            Purpose::OpeningMask
        } else {
            Purpose::PatchMask
        };
        let mut opened = streams.u16s(purpose, opening.count, opening.ring);
        let add = |opened: &mut [u16], values: &[u16]| {
            opened
                .iter_mut()
                .zip(values)
                .for_each(|(o, v)| *o = o.wrapping_add(*v) & mask);
        };
        if at == 0 {
            add(&mut opened, zs);
        } else {
            let sums = layout::opened_sums(group, opening, exact);
            add(&mut opened, &truncate::server_top(&sums));
        }
        m1.u16s(&opened, opening.ring);
        openings.push(opened);
    }
    openings
}

fn server_sign_shares(group: &Group, at: usize, streams: &mut StepStreams<'_>) -> SignShares {
    let beta = streams.u16s(Purpose::BetaShare, count_of(group, &group.signs[at]), group.ring);
    let product = if at < group.pixel_products() {
        streams.u16s(Purpose::BetaProductShare, group.pixels(), group.ring)
    } else {
        Vec::new()
    };
    SignShares { beta, product }
}

// ---------------------------------------------------------------------------------------- client

pub(super) struct Client {
    rs: Vec<u16>,
    tables: Vec<Vec<BitPlane>>,
    products: Vec<Vec<BitPlane>>,
    signs: Vec<SignShares>,
    uv: Vec<u32>,
    opened: Vec<Vec<u16>>,
    own_signs: Vec<BitPlane>,
    levels: Vec<i32>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.rs.zeroize();
        self.uv.zeroize();
    }
}

impl Client {
    /// Takes the helper's message in.
    pub(super) fn new(group: &Group, rs: &[u16], deal: &mut Reader<'_>) -> Result<Self, BitsError> {
        let mut tables = Vec::new();
        for (at, opening) in group.openings.iter().enumerate() {
            let used = group.signs.iter().any(|s| s.opening == at);
            let planes = if used {
                trefoil_ir::mpc::gate::table_planes(opening.ring)
            } else {
                0
            };
            tables.push(deal.planes(planes, opening.count)?);
        }
        let (mut products, mut signs) = (Vec::new(), Vec::new());
        for (at, sign) in group.signs.iter().enumerate() {
            let count = count_of(group, sign);
            products.push(deal.planes(trefoil_ir::mpc::gate::PRODUCTS, count)?);
            let beta = deal.u16s(count, group.ring)?;
            let pixels = if at < group.pixel_products() {
                group.pixels()
            } else {
                0
            };
            signs.push(SignShares {
                beta,
                product: deal.u16s(pixels, group.ring)?,
            });
        }
        let uv = deal.u32s(group.pixels(), upper_bits(group))?;
        let rs = rs.iter().map(|r| r & low(group.ring)).collect();
        Ok(Self {
            rs,
            tables,
            products,
            signs,
            uv,
            opened: Vec::new(),
            own_signs: Vec::new(),
            levels: Vec::new(),
        })
    }

    /// M2, the answer to M1.
    pub(super) fn m2(
        &mut self,
        group: &Group,
        levels: Levels<'_>,
        m1: &mut Reader<'_>,
        streams: &mut StepStreams<'_>,
        m2: &mut Writer,
    ) -> Result<(), BitsError> {
        self.levels = levels.pixels.to_vec();
        for opening in &group.openings {
            self.opened.push(m1.u16s(opening.count, opening.ring)?);
        }
        let products = std::mem::take(&mut self.products);
        let (mut masked, mut borrows) = (Vec::new(), Vec::new());
        for (sign, products) in group.signs.iter().zip(products) {
            let public = public_of(group, sign, &self.opened, levels);
            let looked = compare::look(&self.tables[sign.opening], &public, ring_of(group, sign), false);
            let comparison = Comparison::client(looked, products, streams);
            let others = m1.planes(trefoil_ir::mpc::gate::OPENED_BITS, count_of(group, sign))?;
            masked.push(comparison.masked());
            borrows.push(comparison.join(&others));
        }
        for (at, sign) in group.signs.iter().enumerate() {
            let mut bit = borrows[at].clone();
            if !takes_top_bit(group, at) {
                bit.xor_assign(&borrows[at + 1]);
            }
            bit.xor_assign(&streams.plane(Purpose::SignMaskClient, count_of(group, sign)));
            m2.planes(&masked[at]);
            m2.plane(&bit);
            self.own_signs.push(bit);
        }
        self.tables.clear();
        Ok(())
    }

    /// M4, the answer to M3.
    pub(super) fn m4(
        mut self,
        group: &Group,
        m3: &mut Reader<'_>,
        streams: &mut StepStreams<'_>,
        m4: &mut Writer,
    ) -> Result<(), BitsError> {
        for (sign, bit) in group.signs.iter().zip(&mut self.own_signs) {
            bit.xor_assign(&m3.plane(count_of(group, sign))?);
        }
        let d = expand(&m3.plane(group.pixels())?);
        let y = result_share(
            group,
            &self.signs,
            &self.own_signs,
            &self.rs,
            &self.opened[0],
            &self.levels,
            false,
        );
        let k = group.ring;
        let u = streams.plane(Purpose::WrapBitClient, group.pixels());
        let mut e = bit_plane_u16(&y, k - 1);
        e.xor_assign(&u);
        let (u_bits, e_bits) = (expand(&u), expand(&e));
        let mut answer = streams.u32s(Purpose::FreshMask, group.pixels());
        for i in 0..answer.len() {
            let (d, e, u) = (u32::from(d[i]), u32::from(e_bits[i]), u32::from(u_bits[i]));
            let cross = negate_if(d & u, e).wrapping_add(negate_if(self.uv[i], d ^ e));
            let top = u32::from(y[i] >> (k - 1));
            let share = u32::from(y[i]).wrapping_sub(top.wrapping_sub(cross) << k);
            answer[i] = share.wrapping_sub(answer[i]);
        }
        m4.u32s(&answer, 32);
        m4.plane(&e);
        Ok(())
    }
}
