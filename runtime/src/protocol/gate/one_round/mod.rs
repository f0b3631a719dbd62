//! Gates that take signs in one round: the same results as in [two](super::two_rounds), for about twice
//! the bytes and half the waiting.
//!
//! As there z = zs + rs (mod 2^k), and S opens pub = zs + sigma, so that z = pub - r for the helper's r =
//! sigma - rs. What takes a second round there are the comparison, since S must see the client's bits,
//! and the extension, since both must see top bits of the result. Here
//!
//! - the comparison is [garbled](crate::protocol::garbled): C gets the borrow under a mask that it does not
//!   know, and so the opened sign o = b ^ beta, without answering first
//! - the *value* is extended, instead of the result. Moved up by 2^14 if it may be negative, it lies in
//!   [0, 2^(k-1)), and is the sum of the public p = pub + 2^14 and of q = rs - sigma, both modulo 2^k. So they
//!   wrap exactly if the top bit of either is set. That of p is public, that of q the helper knows.
//!
//! With Q = q - 2^k \[q has its top bit or p has\], a number of 32 bits, z is p + Q - 2^14 as an integer, and
//!
//! ```text
//! b z = o z + (1 - 2 o) (beta (p - 2^14) + beta Q)
//! ```
//!
//! is linear in o, and in what the helper deals shares of: beta, beta q, beta times the top bit of q, that
//! top bit, and the wrap of rs - sigma, with which C's rs and S's - sigma are shares of q.
//!
//! 1. M1, S -> C: pub for the pixels and for patch sums; the keys of the garbled comparisons.
//! 2. M2, C -> S: each o; its share of the result, masked anew in Z_2^32.
//!
//! Views: what C receives is masked by sigma, by pads, labels and states of the comparison, and by the
//! server's shares of what is dealt. S receives o, which contains mu_C, and the result under a'.
//!
//! - [`helper`], [`server`], [`client`]: the parties
//! - here: what server and client do alike

pub mod client;
pub mod helper;
pub mod server;

use trefoil_ir::mpc::ACTIVATION_OFFSET;
use trefoil_ir::mpc::gate::{BLOCK, Form, Group};

use super::Levels;
use super::signs::{of_opening, wide_masks};
use crate::kernel::Isa;
use crate::prg::Purpose;
use crate::protocol::block::{self, Bits, Halves, Masks, Words, ZEROS, xor};
use crate::protocol::layout::Placed;
use crate::protocol::low;
use crate::protocol::spread::pixel_levels;
use crate::protocol::streams::StepStreams;
use crate::wipe::wipe_with;

/// What a party holds of a sign for each value of a block: the opened bit, and its share of beta.
#[derive(Clone, Copy)]
struct Signed {
    open: Bits,
    beta: Words,
}

impl Signed {
    const NOTHING: Self = Self {
        open: ZEROS,
        beta: [0; BLOCK],
    };
}

/// Whether the group's signs are a pair: what is opened of the first one is then taken together with the second,
/// so that a result is (b0 ^ b1) z + b1 h, with one product.
fn is_pair(group: &Group) -> bool {
    matches!(group.form, Form::Paired(_))
}

/// Takes the opened signs of a pair together.
#[inline(always)]
fn join(group: &Group, signs: &mut [&mut Signed]) {
    if is_pair(group)
        && let [both, upper] = signs
    {
        xor(&mut both.open, &upper.open);
    }
}

/// What a party holds of each sign of patches, block by block; empty for a sign of pixels.
struct OfPatches(Vec<Vec<Signed>>);

impl OfPatches {
    /// Room for the group's signs that are not pixels'.
    fn of(group: &Group) -> Self {
        let blocks = group.signs.iter().map(|sign| match sign.opening {
            0 => Vec::new(),
            at => vec![Signed::NOTHING; block::blocks(group.openings[at].count())],
        });
        Self(blocks.collect())
    }

    /// The values of the signs of an opening.
    fn of_opening(&mut self, group: &Group, at: usize) -> Vec<&mut [Signed]> {
        of_opening(group, at, &mut self.0)
    }

    /// What the pixels of a block have of a sign, which is their `own` or that of their patches: the opened
    /// bit, spread to all bits, and the share of beta.
    #[inline(always)]
    fn of_pixels(
        &self,
        (isa, placed): (Isa, &Placed),
        sign: usize,
        block: usize,
        own: Option<&Signed>,
        selector: &mut Selector,
    ) {
        match own {
            Some(own) => {
                selector.open = wide_masks(isa, &own.open);
                selector.beta = own.beta;
            }
            None => {
                let signs = &self.0[sign];
                let spread = &placed.spreads[placed.group.signs[sign].opening];
                let open = |at: usize| {
                    let word = signs[at / BLOCK].open[at % BLOCK / 64];
                    ((word >> (at % 64) & 1) as u32).wrapping_neg()
                };
                spread.block(block, open, &mut selector.open);
                let beta = |at: usize| signs[at / BLOCK].beta[at % BLOCK];
                spread.block(block, beta, &mut selector.beta);
            }
        }
    }
}

impl Drop for OfPatches {
    fn drop(&mut self) {
        self.0
            .iter_mut()
            .for_each(|signs| wipe_with(signs, Signed::NOTHING));
    }
}

/// What a party holds of a sign for each pixel of a block: the opened bit, spread to all bits, and its
/// shares of beta, of beta q, and of beta times the top bit of q.
#[derive(Clone, Copy)]
struct Selector {
    open: Words,
    beta: Words,
    product: Words,
    top: Words,
}

impl Selector {
    const NOTHING: Self = Self {
        open: [0; BLOCK],
        beta: [0; BLOCK],
        product: [0; BLOCK],
        top: [0; BLOCK],
    };
}

/// A party's share of q, and of the top bit of q, for each pixel of a block.
struct MaskShare {
    /// Modulo 2^32.
    q: Words,
    top: Words,
}

/// The server's draws for the pixels of a group: its shares of what is dealt for each of them.
struct PixelShares {
    products: Vec<Masks>,
    tops: Vec<Masks>,
    wrap: Masks,
    top: Masks,
}

impl PixelShares {
    fn draw(group: &Group, server: &mut StepStreams<'_>) -> Self {
        let mut of_products = |purpose| {
            let products = 0..group.pixel_products();
            let draws = products.map(|product| server.words(group.draw(purpose, product)));
            draws.collect()
        };
        Self {
            products: of_products(Purpose::BetaProductShare),
            tops: of_products(Purpose::BetaTopShare),
            wrap: server.words(group.draw(Purpose::MaskWrapShare, 0)),
            top: server.words(group.draw(Purpose::MaskTopShare, 0)),
        }
    }
}

/// One party's share of the result, from the opened signs; `is_server` takes what is public.
#[inline(always)]
fn result_share(
    group: &Group,
    selectors: &[Selector; 2],
    mask: &MaskShare,
    opened: &Halves,
    levels: Levels<'_>,
    block: usize,
    is_server: bool,
) -> Words {
    let k = group.ring;
    let offset = if group.form.takes_signed_values() {
        ACTIVATION_OFFSET as u16
    } else {
        0
    };
    let ring = low(k);
    // p - 2^14 - 2^k [p has its top bit], and all bits set where it has not: there q's top bit matters.
    let mut public = [0u32; BLOCK];
    let mut below = [0u32; BLOCK];
    let mut value = [0u32; BLOCK];
    for i in 0..BLOCK {
        let p = u32::from(opened[i].wrapping_add(offset) & ring);
        let top = p >> (k - 1);
        below[i] = top.wrapping_sub(1);
        public[i] = p.wrapping_sub(u32::from(offset)).wrapping_sub(top << k);
        value[i] = mask.q[i].wrapping_sub((mask.top[i] << k) & below[i]);
    }
    if is_server {
        for i in 0..BLOCK {
            value[i] = value[i].wrapping_add(public[i]);
        }
    }
    let mut y = match group.form {
        Form::Upper(_) => value,
        Form::Lower(_) | Form::Paired(_) | Form::Both(..) | Form::Pass | Form::Requant => [0; BLOCK],
    };
    for (at, (sign, selector)) in group.signs.iter().zip(selectors).enumerate() {
        let minus = u32::from(sign.upper).wrapping_neg();
        let Selector {
            open,
            beta,
            product,
            top,
        } = selector;
        if at < group.pixel_products() {
            for i in 0..BLOCK {
                let beta_q = product[i].wrapping_sub((top[i] << k) & below[i]);
                let flip = public[i].wrapping_mul(beta[i]).wrapping_add(beta_q);
                let selected = (value[i] & open[i]).wrapping_add((flip ^ open[i]).wrapping_sub(open[i]));
                y[i] = y[i].wrapping_add((selected ^ minus).wrapping_sub(minus));
            }
        }
        if sign.upper {
            let mut level = [0; BLOCK];
            pixel_levels(group, levels.pixels, block, &mut level);
            for i in 0..BLOCK {
                let share =
                    (open[i] & u32::from(is_server)).wrapping_add((beta[i] ^ open[i]).wrapping_sub(open[i]));
                y[i] = y[i].wrapping_add(share.wrapping_mul(u32::from(level[i])));
            }
        }
    }
    y
}
