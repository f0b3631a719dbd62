//! What a ReLU costs besides its channels' own messages, as lowered programs show it.
//!
//! A channel's price is that of its share of the layer's messages. But a layer without any sign takes a
//! round trip less, and a ReLU in front of a max-pool is moved behind it, channel by channel, if its
//! pixels share no sign (pass `move_relu`): it then takes its signs on a smaller map, and the pool
//! compares what may be negative. Such costs are measured on programs in which one layer differs.

use std::collections::BTreeMap;

use trefoil_ir::Patch;
use trefoil_ir::mpc::gate::Rounds;

use super::fixed_charge::State;
use super::price::{Currency, sums};

/// A channel takes signs. (Of a layer that is not moved.)
pub const SIGNED: u32 = 1;
/// A channel is gated in front of the max-pool, since pixels share a sign.
pub const BEFORE: u32 = 1;
/// A channel is gated behind the max-pool.
pub const BEHIND: u32 = 2;
/// A channel comes into the max-pool with both signs.
pub const OPEN: u32 = 4;

/// A channel takes signs in one round. (Of a layer that is not moved, where that is on offer.)
pub const QUICK: u32 = 8;

/// Whether the lower and the upper sign of a channel are taken for each pixel.
pub type Signs = [bool; 2];

/// What is known of a network's ReLUs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tariff {
    /// By name. Of those that are not there nothing but their channels costs anything.
    pub gates: BTreeMap<String, GateTariff>,
    /// ReLUs that are charged together: one, or several on branches that wait for each other.
    pub layers: Vec<LayerTariff>,
}

/// What ReLUs are charged together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerTariff {
    /// Their names.
    pub names: Vec<String>,
    /// What they may be.
    pub states: Vec<State>,
}

/// What is known of one ReLU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GateTariff {
    /// If it is moved behind a max-pool: what a channel costs there, by the signs that it takes.
    pub behind: Option<BTreeMap<Signs, u64>>,
    /// What a sum over a large patch takes of the parties' time, besides its messages: it is taken of the layer in
    /// front, all of whose weights of that channel it meets.
    pub sum: u64,
    /// By how many bits its flags are shifted, where it is charged together with others.
    pub shift: u32,
    /// Whether its signs may be taken in one round.
    pub quick: bool,
}

/// Bits of one ReLU's flags.
pub const FLAG_BITS: u32 = 4;

impl GateTariff {
    /// The flags of a channel with these patches.
    pub fn flags(&self, lower: Patch, upper: Option<Patch>) -> u32 {
        let patches = || [Some(lower), upper].into_iter().flatten();
        let signed = patches().any(|patch| patch != Patch::Identity);
        let flags = match self.behind {
            None => u32::from(signed) * SIGNED,
            Some(_) if is_shared(lower, upper) => BEFORE,
            Some(_) => OPEN | (u32::from(signed) * BEHIND),
        };
        flags << self.shift
    }

    /// What a channel with these patches costs, on a map of `h` x `w`, in its own messages and besides. One that
    /// is moved passes unchanged where it was.
    pub fn price(&self, currency: &Currency, lower: Patch, upper: Option<Patch>, map: [usize; 2]) -> u64 {
        match self.behind(lower, upper) {
            Some(behind) => behind + currency.price(Patch::Identity, None, map),
            None => currency.price(lower, upper, map) + self.sum * sums(lower, upper, map) as u64,
        }
    }

    /// The flags of a channel with these patches whose signs are taken in one round, and what it then costs;
    /// none if that is not on offer, or there are no signs.
    pub fn quick(
        &self,
        currency: &Currency,
        lower: Patch,
        upper: Option<Patch>,
        map: [usize; 2],
    ) -> Option<(u32, u64)> {
        let flags = self.flags(lower, upper);
        let is_offered = self.quick && flags == SIGNED << self.shift;
        is_offered.then(|| {
            let sums = self.sum * sums(lower, upper, map) as u64;
            (
                QUICK << self.shift,
                currency.price_in(Rounds::One, lower, upper, map) + sums,
            )
        })
    }

    /// What a channel with these patches costs behind the max-pool; none if it is not gated there.
    fn behind(&self, lower: Patch, upper: Option<Patch>) -> Option<u64> {
        let behind = self.behind.as_ref().filter(|_| !is_shared(lower, upper))?;
        let signs = [lower.is_pixel(), upper.is_some_and(|patch| patch.is_pixel())];
        Some(behind.get(&signs).copied().unwrap_or(0))
    }
}

/// Whether pixels share a sign.
fn is_shared(lower: Patch, upper: Option<Patch>) -> bool {
    let patches = [Some(lower), upper].into_iter().flatten();
    patches
        .into_iter()
        .any(|patch| !patch.is_pixel() && patch != Patch::Identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: Patch = Patch::Block { h: 2, w: 2 };

    #[test]
    fn channels_are_told_apart() {
        let plain = GateTariff::default();
        assert_eq!(plain.flags(Patch::Identity, Some(Patch::Identity)), 0);
        assert_eq!(plain.flags(Patch::Identity, Some(BLOCK)), SIGNED);
        assert_eq!(plain.behind(Patch::PIXEL, None), None);
        let moved = GateTariff {
            behind: Some(BTreeMap::from([([true, false], 7), ([true, true], 9)])),
            ..GateTariff::default()
        };
        assert_eq!(moved.flags(Patch::PIXEL, None), OPEN | BEHIND);
        assert_eq!(moved.flags(Patch::Identity, None), OPEN);
        assert_eq!(moved.flags(Patch::PIXEL, Some(BLOCK)), BEFORE);
        assert_eq!(moved.behind(Patch::PIXEL, None), Some(7));
        assert_eq!(moved.behind(Patch::PIXEL, Some(Patch::PIXEL)), Some(9));
        assert_eq!(moved.behind(Patch::Identity, None), Some(0));
        assert_eq!(moved.behind(BLOCK, None), None);
    }
}
