//! How much room a value needs: lower limits of its unit, channel by channel.

use trefoil_ir::geometry::patch_area;
use trefoil_ir::mpc::patch_sums::{SumList, is_large};
use trefoil_ir::nn::{Gate, Graph, NodeId};
use trefoil_ir::{Patch, Shape};

use super::LowerError;
use super::room::{self, FLOOR, SUM_LIMIT, UNIT_OF_DEAD_LAYER, VALUE_LIMIT, raise};
use crate::ranges::{Calibration, PatchSums};
/// A calibration read with head-room.
pub(super) struct Needs<'a> {
    pub(super) graph: &'a Graph,
    pub(super) calibration: &'a Calibration,
    /// Factor on everything that the calibration has seen.
    pub(super) factor: f64,
    /// The value that the client learns.
    pub(super) revealed: NodeId,
    /// By the index of a node: how small its channels are by nature.
    pub(super) parts: Vec<Vec<f64>>,
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

    /// The largest magnitudes of a value and of what these gates make of it.
    pub(super) fn reach(&self, id: NodeId, gates: &[(NodeId, Gate)]) -> Vec<f64> {
        let mut bound = self.bound(id);
        for (gate, _) in gates {
            raise(&mut bound, &self.bound(*gate));
        }
        bound
    }

    /// Units that give a value and what its gates make of it their room.
    pub(super) fn of_values(&self, id: NodeId, gates: &[(NodeId, Gate)]) -> Vec<f64> {
        let mut units = self.reach(id, gates);
        units.iter_mut().for_each(|u| *u /= VALUE_LIMIT);
        // Classes: the images of one may all be missing from the calibration.
        let floor = if id == self.revealed { 1.0 } else { FLOOR };
        room::with_floor(&mut units, &self.parts[id.index()], floor);
        units
    }

    /// Units that give the patch sums of these gates on `id` their room; 0 where none is taken. Large
    /// patches need none where they are summed up `apart`.
    pub(super) fn of_patches(
        &self,
        id: NodeId,
        gates: &[(NodeId, Gate)],
        apart: bool,
    ) -> Result<Vec<f64>, LowerError> {
        let mut bound = vec![0.0; self.graph.node(id).shape.c];
        for (node, gate) in gates.iter().filter(|(_, gate)| gate.has_blocks()) {
            let sums = self.calibrated(id, *node)?;
            raise(&mut bound, &self.sums(id, gate, sums, apart));
        }
        bound.iter_mut().for_each(|b| *b /= SUM_LIMIT);
        Ok(bound)
    }

    fn calibrated(&self, id: NodeId, gate: NodeId) -> Result<&PatchSums, LowerError> {
        let name = &self.graph.node(gate).origin.name;
        let channels = self.graph.node(id).shape.c;
        let sums = self.calibration.patch_sums.get(&gate);
        sums.filter(|sums| sums.lower.len() == channels)
            .ok_or_else(|| LowerError::Calibration(format!("it has no patch sums of \"{name}\"")))
    }

    /// The largest magnitudes of a gate's sums that are computed apart, entry by entry: of the sum,
    /// and of its distance from the limit.
    pub(super) fn of_sums(
        &self,
        id: NodeId,
        node: NodeId,
        gate: &Gate,
        list: &SumList,
    ) -> Result<Vec<f64>, LowerError> {
        let shape = self.graph.node(id).shape;
        let sums = self.calibrated(id, node)?;
        let limits = self.reachable_limits(id, gate);
        let values = self.of_values(id, &[]);
        let mut bounds = Vec::new();
        for (c, patch) in list.iter() {
            let area = largest_area(patch, shape);
            let mut bound = 0.0f64;
            if gate.lower[c] == patch {
                bound = self.seen(&sums.lower, c);
            }
            if let (Some((high, patches)), Some(sums)) = (&gate.upper, &sums.upper)
                && patches[c] == patch
            {
                let shifted = self.seen(sums, c);
                let limit = area * f64::from(*high);
                let sum = (shifted + limit).min(area * values[c] * VALUE_LIMIT);
                let threshold = area * limits[c];
                bound = bound.max(sum).max(threshold).max(shifted.min(sum + threshold));
            }
            bounds.push(bound);
        }
        room::with_floor_of_sums(list, &self.parts[id.index()], &mut bounds, |patch| {
            UNIT_OF_DEAD_LAYER * SUM_LIMIT * largest_area(patch, shape)
        });
        Ok(bounds)
    }

    /// Per channel the upper limit of a clip, or what its values never exceed if that is less: either
    /// leaves the same sums below it. The client learns which, hence a power of two.
    pub(super) fn reachable_limits(&self, id: NodeId, gate: &Gate) -> Vec<f64> {
        let high = gate
            .upper
            .as_ref()
            .map_or(f64::INFINITY, |(high, _)| f64::from(*high));
        let values = self.of_values(id, &[]);
        let reachable = values.into_iter().map(|u| (u * VALUE_LIMIT).log2().ceil().exp2());
        reachable.map(|reachable| high.min(reachable)).collect()
    }

    /// The upper limits of a clip's channels: [reachable](Self::reachable_limits) ones for patches that
    /// are summed up with the pixels.
    pub(super) fn limits(&self, id: NodeId, gate: &Gate, apart: bool) -> Option<Vec<f64>> {
        let (high, patches) = gate.upper.as_ref()?;
        let reachable = self.reachable_limits(id, gate);
        let mut limits = Vec::with_capacity(patches.len());
        for (patch, reachable) in patches.iter().zip(reachable) {
            limits.push(match is_summed_with_pixels(*patch, apart) {
                true => reachable,
                false => f64::from(*high),
            });
        }
        Some(limits)
    }

    /// The largest sum of a channel that the calibration saw, with head-room.
    fn seen(&self, sums: &[f32], c: usize) -> f64 {
        f64::from(sums[c]) * self.factor
    }

    /// Per channel the largest magnitude of the patch sums that are taken with the pixels.
    fn sums(&self, id: NodeId, gate: &Gate, sums: &PatchSums, apart: bool) -> Vec<f64> {
        let shape = self.graph.node(id).shape;
        let mut bounds = vec![0.0f64; shape.c];
        for (c, bound) in bounds.iter_mut().enumerate() {
            if is_summed_with_pixels(gate.lower[c], apart) {
                *bound = self.seen(&sums.lower, c);
            }
        }
        let (Some((high, patches)), Some(sums)) = (&gate.upper, &sums.upper) else {
            return bounds;
        };
        let high = f64::from(*high);
        let values = self.bound(id);
        let limits = self.reachable_limits(id, gate);
        for c in 0..shape.c {
            if !is_summed_with_pixels(patches[c], apart) {
                continue;
            }
            // The sum of x is opened, and the sum of x - high is what decides: both need room.
            let area = largest_area(patches[c], shape);
            let shifted = self.seen(sums, c);
            let opened = (shifted + area * high).min(area * values[c]);
            // Beside a limit that is out of reach, but not by much, sums are smaller.
            let decides = match limits[c] < high {
                true => shifted.min(area * (limits[c] + values[c])),
                false => shifted,
            };
            bounds[c] = bounds[c].max(decides).max(opened);
        }
        bounds
    }
}

/// Whether the pixels' own accumulator has to make room for the sums over a patch.
fn is_summed_with_pixels(patch: Patch, apart: bool) -> bool {
    is_block(patch) && !(apart && is_large(patch))
}

fn is_block(patch: Patch) -> bool {
    patch != Patch::Identity && !patch.is_pixel()
}

fn largest_area(patch: Patch, shape: Shape) -> f64 {
    patch_area(patch, 0, 0, shape.h, shape.w) as f64
}
