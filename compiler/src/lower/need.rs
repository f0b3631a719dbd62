//! How much room a value needs: lower limits of its unit, channel by channel.

use trefoil_ir::nn::{Graph, NodeId};
use trefoil_ir::patch::patch_area;
use trefoil_ir::{Patch, Shape};

use super::LowerError;
use crate::calibrate::{Calibration, PatchSums};
use crate::pass::Gate;

/// Units that a value may reach: a few less than the protocol's bound, for what rounding adds.
const VALUE_LIMIT: f64 = ((1 << 14) - 16) as f64;

/// Units that a sum over a patch may reach, likewise.
const SUM_LIMIT: f64 = ((1 << 15) - 16) as f64;

/// No channel gets less room than this part of its layer's largest. A hundred images say much
/// about a layer and little about one channel of it: with 1/256, MobileNetV2's rarest channels left
/// their bounds on every other image; with 1/2 the noise is still a small part of what is allowed.
const FLOOR: f64 = 0.5;

/// Unit of a layer that the calibration never woke at all: room for values up to 1.
const UNIT_OF_DEAD_LAYER: f64 = 1.0 / 16384.0;

/// A calibration read with head-room.
pub(super) struct Needs<'a> {
    pub(super) graph: &'a Graph,
    pub(super) calibration: &'a Calibration,
    /// Factor on everything that the calibration has seen.
    pub(super) factor: f64,
    /// The value that the client learns.
    pub(super) revealed: NodeId,
}

impl Needs<'_> {
    /// The largest magnitudes that are foreseen, head-room included.
    pub(super) fn bound(&self, id: NodeId) -> Vec<f64> {
        let magnitudes = self.calibration.magnitudes(id);
        magnitudes
            .into_iter()
            .map(|m| f64::from(m) * self.factor)
            .collect()
    }

    /// Units that give a value and what its gates make of it their room.
    pub(super) fn of_values(&self, id: NodeId, gates: &[(NodeId, Gate)]) -> Vec<f64> {
        let mut bound = self.bound(id);
        if id == self.revealed {
            // Classes: the images of one may all be missing from the calibration.
            let largest = bound.iter().fold(0.0f64, |m, b| m.max(*b));
            bound.fill(largest);
        }
        for (gate, _) in gates {
            raise(&mut bound, &self.bound(*gate));
        }
        bound.iter_mut().for_each(|b| *b /= VALUE_LIMIT);
        with_floor(bound)
    }

    /// Units that give the patch sums of these gates on `id` their room; 0 where none is taken.
    pub(super) fn of_patches(&self, id: NodeId, gates: &[(NodeId, Gate)]) -> Result<Vec<f64>, LowerError> {
        let mut bound = vec![0.0; self.graph.node(id).shape.c];
        for (node, gate) in gates.iter().filter(|(_, gate)| gate.has_blocks()) {
            let name = &self.graph.node(*node).origin.name;
            let missing = || LowerError::Calibration(format!("it has no patch sums of \"{name}\""));
            let sums = self.calibration.patch_sums.get(node).ok_or_else(missing)?;
            if sums.lower.len() != bound.len() {
                return Err(missing());
            }
            raise(&mut bound, &self.sums(id, gate, sums));
        }
        bound.iter_mut().for_each(|b| *b /= SUM_LIMIT);
        Ok(bound)
    }

    fn sums(&self, id: NodeId, gate: &Gate, sums: &PatchSums) -> Vec<f64> {
        let shape = self.graph.node(id).shape;
        let lower = |c: usize| match is_block(gate.lower[c]) {
            true => f64::from(sums.lower[c]) * self.factor,
            false => 0.0,
        };
        let values = self.bound(id);
        let upper = |c: usize| {
            let (Some((high, patches)), Some(sums)) = (&gate.upper, &sums.upper) else {
                return 0.0;
            };
            if !is_block(patches[c]) {
                return 0.0;
            }
            // The sum of x is opened, and the sum of x - high is what decides: both need room.
            let area = largest_area(patches[c], shape);
            let (shifted, limit) = (f64::from(sums[c]) * self.factor, area * f64::from(*high));
            shifted.max((shifted + limit).min(area * values[c]))
        };
        (0..shape.c).map(|c| lower(c).max(upper(c))).collect()
    }
}

fn is_block(patch: Patch) -> bool {
    patch != Patch::Identity && !patch.is_pixel()
}

fn largest_area(patch: Patch, shape: Shape) -> f64 {
    patch_area(patch, 0, 0, shape.h, shape.w) as f64
}

/// Raises each entry to that of `to`.
pub(super) fn raise(units: &mut [f64], to: &[f64]) {
    for (unit, to) in units.iter_mut().zip(to) {
        *unit = unit.max(*to);
    }
}

/// Gives channels that are dead or tiny their part of the layer's largest.
pub(super) fn with_floor(mut units: Vec<f64>) -> Vec<f64> {
    let largest = units.iter().fold(0.0f64, |m, u| m.max(*u));
    let floor = if largest > 0.0 {
        largest * FLOOR
    } else {
        UNIT_OF_DEAD_LAYER
    };
    units.iter_mut().for_each(|u| *u = u.max(floor));
    units
}
