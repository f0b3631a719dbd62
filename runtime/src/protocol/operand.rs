//! What the parties hold of a gate's operand, and what they know of its limits.

use trefoil_ir::mpc::gate::BLOCK;
use trefoil_ir::mpc::{TRUNCATED_BITS, UNIT};

use super::block::{Halves, Places, blocks, values_in};
use crate::pool;
use crate::wipe::wipe;

/// A party's half of a value z, as it holds it: z is the sum of both halves modulo 2^16.
#[derive(Clone, Copy)]
pub enum Half<'a> {
    /// The server's D: its top bits, with the unit that centres the rounding.
    D(&'a [u32]),
    /// The helper's R: its top bits.
    R(&'a [u32]),
    /// The top bits themselves.
    Top(&'a [u16]),
    /// The low bits of an activation's x - a, or of a.
    Activation(&'a [u32]),
    /// The low bits of the difference of two activations' x - a, or of their a.
    Difference(&'a [u32], &'a [u32]),
}

impl Half<'_> {
    /// The values of one block of a group's; behind the last one there is anything.
    #[inline(always)]
    pub fn load(&self, places: &Places, block: usize, values: &mut Halves) {
        let start = block * BLOCK;
        for (layer, at) in places.stretches(start..start + values_in(block, places.count())) {
            let values = &mut values[at..at + layer.len()];
            match self {
                Half::D(d) => narrow(values, &d[layer], |d| {
                    d.wrapping_add(UNIT as u32) >> TRUNCATED_BITS
                }),
                Half::R(r) => narrow(values, &r[layer], |r| r >> TRUNCATED_BITS),
                Half::Top(top) => values.copy_from_slice(&top[layer]),
                Half::Activation(a) => narrow(values, &a[layer], |a| a),
                Half::Difference(x, y) => {
                    let pairs = x[layer.clone()].iter().zip(&y[layer]);
                    for (value, (x, y)) in values.iter_mut().zip(pairs) {
                        *value = x.wrapping_sub(*y) as u16;
                    }
                }
            }
        }
    }

    /// All values, in order.
    pub fn to_vec(self) -> Vec<u16> {
        let places = Places::in_order(self.len());
        let mut all = pool::with_capacity(self.len());
        let mut values = [0; BLOCK];
        for block in 0..blocks(self.len()) {
            self.load(&places, block, &mut values);
            all.extend_from_slice(&values[..values_in(block, self.len())]);
        }
        wipe(&mut values);
        all
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        match self {
            Half::D(values) | Half::R(values) | Half::Activation(values) | Half::Difference(values, _) => {
                values.len()
            }
            Half::Top(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[inline(always)]
fn narrow(values: &mut [u16], from: &[u32], part: impl Fn(u32) -> u32) {
    for (value, from) in values.iter_mut().zip(from) {
        *value = part(*from) as u16;
    }
}

/// What patch sums are taken of: D at the server, R at the helper; the client has neither, and needs
/// neither. Empty where the gate takes none.
#[derive(Clone, Copy, Default)]
pub struct Exact<'a> {
    /// The layer's pixels, in its order.
    pub pixels: &'a [u32],
    /// The sums that were computed apart.
    pub sums: &'a [u32],
}

/// The upper limits of a clip, one a channel of the layer; empty for any other gate.
#[derive(Clone, Copy, Default)]
pub struct Levels<'a> {
    /// Limits of the values themselves, in units.
    pub pixels: &'a [i32],
    /// In 2^-16 of the units of the sums that were computed apart.
    pub sums: &'a [i32],
}

/// The helper's and client's half of a gate's operand, in the layer's order.
#[derive(Clone, Copy)]
pub struct MaskSource<'a> {
    /// The half, modulo 2^16.
    pub rs: Half<'a>,
    /// R, at the helper; the client has none.
    pub exact: Exact<'a>,
    /// The operand's mask, for channels that pass unchanged; empty for a truncated operand.
    pub passed: &'a [u32],
}
