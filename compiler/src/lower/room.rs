//! Limits of values and sums in units, and the least room that a channel gets.

use trefoil_ir::Patch;
use trefoil_ir::mpc::patch_sums::SumList;

/// Units that a value may reach: a few less than the protocol's bound, for what rounding adds.
pub(super) const VALUE_LIMIT: f64 = ((1 << 14) - 16) as f64;

/// Units that a sum over a patch may reach, likewise.
pub(super) const SUM_LIMIT: f64 = ((1 << 15) - 16) as f64;

/// No channel gets less room than this part of its layer's largest, times its own
/// [part](super::parts). A hundred images say much about a layer and little about one channel of it:
/// with 1/256, MobileNetV2's rarest channels left their bounds on every other image; with 1/2 the
/// noise is still a small part of what is allowed.
pub(super) const FLOOR: f64 = 0.5;

/// Room of a layer that the calibration never woke at all.
pub(super) const ROOM_OF_DEAD_LAYER: f64 = 1.0;

/// Its unit.
pub(super) const UNIT_OF_DEAD_LAYER: f64 = ROOM_OF_DEAD_LAYER / 16384.0;

/// Raises each entry to that of `to`.
pub(super) fn raise(units: &mut [f64], to: &[f64]) {
    for (unit, to) in units.iter_mut().zip(to) {
        *unit = unit.max(*to);
    }
}

/// Gives channels that are dead, or smaller than their nature, `floor` times their part of the
/// layer's largest.
pub(super) fn with_floor(units: &mut [f64], parts: &[f64], floor: f64) {
    let largest = units.iter().fold(0.0f64, |m, u| m.max(*u));
    for (unit, part) in units.iter_mut().zip(parts) {
        *unit = match largest > 0.0 {
            true => unit.max(largest * floor * part),
            false => UNIT_OF_DEAD_LAYER,
        };
    }
}

/// No sum gets less room than its channel's [part](super::parts) of the largest over the same patch,
/// as no channel does.
pub(super) fn with_floor_of_sums(
    list: &SumList,
    parts: &[f64],
    bound: &mut [f64],
    otherwise: impl Fn(Patch) -> f64,
) {
    let whole: Vec<f64> = list.iter().zip(&*bound).map(|((c, _), b)| b / parts[c]).collect();
    for (at, (channel, patch)) in list.iter().enumerate() {
        let alike = list.patches.iter().zip(&whole).filter(|(p, _)| **p == patch);
        let largest = alike.fold(0.0f64, |most, (_, b)| most.max(*b));
        if largest == 0.0 {
            bound[at] = otherwise(patch);
        } else {
            bound[at] = bound[at].max(largest * FLOOR * parts[channel]);
        }
    }
}

/// The next power of two.
pub(super) fn power_of_two_above(unit: f64) -> f64 {
    unit.log2().ceil().exp2()
}
