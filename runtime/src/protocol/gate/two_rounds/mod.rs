//! Gates that take signs: ReLU, Block-ReLU, clip, and the ReLU inside a maximum.
//!
//! With k the bits of the group's ring, z = zs + rs (mod 2^k), and for each opening a mask sigma of
//! the server's and the helper's stream:
//!
//! 1. M1, S -> C: pub = zs + sigma for the pixels, and likewise for patch sums (of the pixels, or
//!    computed apart and truncated by themselves); the server's masked comparison bits. The helper
//!    knows r = sigma - rs, so z = pub - r.
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
//!
//! - [`helper`], [`server`], [`client`]: the parties
//! - here: what server and client do alike
//!
//! Openings are gone through in the order of a message's segments (patches, then pixels), and the
//! signs of each in order: all parties draw from a stream of one purpose in that order.

pub mod client;
pub mod helper;
pub mod server;

use trefoil_ir::mpc::gate::{BLOCK, Form, Group};

use super::Levels;
use super::signs::of_opening;
use crate::pool;
use crate::protocol::block::{self, Halves, Words};
use crate::protocol::layout::Placed;
use crate::protocol::low;
use crate::protocol::spread::{Spread, pixel_levels};

/// Whether the mask of this sign's opened bit contains the top bit of r. In a pair the first opened
/// bit is b0 ^ b1, in which the top bits cancel.
fn takes_top_bit(group: &Group, sign: usize) -> bool {
    !(matches!(group.form, Form::Paired(_)) && sign == 0)
}

/// What a party holds of a sign for each pixel of a block: the opened bit, spread to all bits, and its
/// shares of beta and of beta r (if the sign multiplies pixels).
#[derive(Clone, Copy)]
struct Selector {
    open: Halves,
    beta: Halves,
    product: Halves,
}

impl Selector {
    const NOTHING: Self = Self {
        open: [0; BLOCK],
        beta: [0; BLOCK],
        product: [0; BLOCK],
    };
}

/// One party's share of the result, from the opened signs. `value` is its share of z, `public` the
/// opened pixels; `is_server` takes what is public.
#[inline(always)]
fn result_share(
    group: &Group,
    selectors: &[Selector],
    [value, public]: [&Halves; 2],
    levels: Levels<'_>,
    block: usize,
    is_server: bool,
) -> Halves {
    let mut y = match group.form {
        Form::Upper(_) => *value,
        Form::Lower(_) | Form::Paired(_) | Form::Both(..) | Form::Pass | Form::Requant => [0; BLOCK],
    };
    for (at, (sign, selector)) in group.signs.iter().zip(selectors).enumerate() {
        if at < group.pixel_products() {
            add_selected(&mut y, selector, value, public, sign.upper);
        }
        if sign.upper {
            let mut level = [0; BLOCK];
            pixel_levels(group, levels.pixels, block, &mut level);
            add_levels(&mut y, selector, &level, is_server);
        }
    }
    let mask = low(group.ring);
    y.iter_mut().for_each(|y| *y &= mask);
    y
}

/// Adds (or takes away) this party's share of b z = b_open z + (1 - 2 b_open)(pub beta - beta r).
#[inline(always)]
fn add_selected(y: &mut Halves, selector: &Selector, value: &Halves, public: &Halves, negative: bool) {
    let Selector { open, beta, product } = selector;
    let minus = u16::from(negative).wrapping_neg();
    for i in 0..BLOCK {
        let flip = public[i].wrapping_mul(beta[i]).wrapping_sub(product[i]);
        let selected = (value[i] & open[i]).wrapping_add((flip ^ open[i]).wrapping_sub(open[i]));
        y[i] = y[i].wrapping_add((selected ^ minus).wrapping_sub(minus));
    }
}

/// Adds this party's share of b times the level, b = b_open ^ beta.
#[inline(always)]
fn add_levels(y: &mut Halves, selector: &Selector, level: &Halves, is_server: bool) {
    let Selector { open, beta, .. } = selector;
    for i in 0..BLOCK {
        let share = (open[i] & u16::from(is_server)).wrapping_add((beta[i] ^ open[i]).wrapping_sub(open[i]));
        y[i] = y[i].wrapping_add(share.wrapping_mul(level[i]));
    }
}

/// What a party holds of a block of signs of patches, for the pixels to pick up: the opened bit in
/// all upper bits, its share of beta in the lower ones.
#[inline(always)]
fn of_patches(open: &Halves, beta: &Halves, to: &mut Words) {
    for i in 0..BLOCK {
        to[i] = u32::from(open[i]) << 16 | u32::from(beta[i]);
    }
}

/// What a block's pixels pick up of all signs that are not their own.
#[inline(always)]
fn pick_up_all(placed: &Placed, of_patches: &OfPatches, block: usize, selectors: &mut [Selector; 2]) {
    let signs = placed.group.signs.iter().zip(&of_patches.0);
    for ((sign, values), selector) in signs.zip(selectors) {
        if sign.opening > 0 {
            pick_up(&placed.spreads[sign.opening], values, block, selector);
        }
    }
}

/// What a block's pixels pick up of the signs of their patches.
#[inline(always)]
fn pick_up(spread: &Spread, signs: &[u32], block: usize, selector: &mut Selector) {
    let mut both = [0; BLOCK];
    spread.block(block, |at| signs[at], &mut both);
    let selectors = selector.open.iter_mut().zip(&mut selector.beta);
    for ((open, beta), both) in selectors.zip(&both) {
        *open = (both >> 16) as u16;
        *beta = *both as u16;
    }
}

/// What a party holds of each sign of patches (see [`of_patches`]), in whole blocks; empty for a sign
/// of pixels.
struct OfPatches(Vec<Vec<u32>>);

impl OfPatches {
    /// Room for the group's signs that are not pixels'.
    fn of(group: &Group) -> Self {
        let mut signs = Vec::with_capacity(group.signs.len());
        for sign in &group.signs {
            signs.push(match sign.opening {
                0 => Vec::new(),
                at => pool::zeroed(block::blocks(group.openings[at].count()) * BLOCK),
            });
        }
        Self(signs)
    }

    /// The values of the signs of an opening, block by block.
    fn of_opening(&mut self, group: &Group, at: usize) -> Vec<&mut [Words]> {
        let kept = of_opening(group, at, &mut self.0).into_iter();
        kept.map(|words| words.as_chunks_mut().0).collect()
    }
}

impl Drop for OfPatches {
    fn drop(&mut self) {
        std::mem::take(&mut self.0).into_iter().for_each(pool::recycle);
    }
}

/// `value`, or its negative where `mask` is all ones instead of zero.
#[inline(always)]
fn negate_if(value: u32, mask: u32) -> u32 {
    (value ^ mask).wrapping_sub(mask)
}
