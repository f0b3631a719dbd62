//! What one image shows, and how the results of two images join.

use std::collections::BTreeMap;

use trefoil_ir::nn::eval::{self, FeatureMap, ImageShapeError, patch_sums};
use trefoil_ir::nn::{Gate, Graph, NodeId};
use trefoil_ir::{Patch, Shape};

use super::{Calibration, ChannelRange, Gains, PatchSums};
use crate::profile::distortion::logits;
/// Why an image cannot be used.
pub(super) enum Fault {
    /// It does not fit the network.
    Shape(ImageShapeError),
    /// This node's value is not finite.
    NotFinite(NodeId),
}

/// A graph and what is to be observed of it.
#[derive(Debug)]
pub(super) struct Observer<'a> {
    graph: &'a Graph,
    /// By the index of a value: the gates that take sums over patches of it.
    gates: Vec<Vec<(NodeId, Gate)>>,
    logits: NodeId,
}

impl<'a> Observer<'a> {
    pub(super) fn new(graph: &'a Graph) -> Self {
        let mut gates = vec![Vec::new(); graph.id_bound()];
        for id in graph.ids() {
            if let Some(gate) = Gate::of(graph.node(id)).filter(Gate::has_blocks) {
                gates[graph.inputs(id)[0].index()].push((id, gate));
            }
        }
        Self {
            graph,
            gates,
            logits: logits(graph),
        }
    }

    pub(super) fn graph(&self) -> &'a Graph {
        self.graph
    }

    /// Runs the network on one image.
    pub(super) fn observe(&self, image: &FeatureMap) -> Result<Calibration, Fault> {
        let mut seen = Calibration {
            images: 1,
            channels: vec![Vec::new(); self.graph.id_bound()],
            patch_sums: BTreeMap::new(),
            gains: Gains::none(),
        };
        let mut not_finite = None;
        eval::run_with(self.graph, image, |id, value| {
            if let Err(culprit) = self.inspect(id, value, &mut seen) {
                not_finite.get_or_insert(culprit);
            }
        })
        .map_err(Fault::Shape)?;
        match not_finite {
            None => Ok(seen),
            Some(id) => Err(Fault::NotFinite(id)),
        }
    }

    /// Records one value; an error is the node at fault. (A ReLU turns NaN into 0, so every value is
    /// looked at, not only the last.)
    fn inspect(&self, id: NodeId, value: &FeatureMap, seen: &mut Calibration) -> Result<(), NodeId> {
        if !value.values().iter().all(|v| v.is_finite()) {
            return Err(id);
        }
        seen.channels[id.index()] = value.channels().map(range).collect();
        if id == self.logits {
            seen.gains.see_output(value);
        }
        for (user, gate) in &self.gates[id.index()] {
            let sums = PatchSums {
                lower: largest_sums(value, gate.low, &gate.lower),
                upper: gate
                    .upper
                    .as_ref()
                    .map(|(high, patches)| largest_sums(value, *high, patches)),
            };
            let mut all = sums.lower.iter().chain(sums.upper.iter().flatten());
            if !all.all(|sum| sum.is_finite()) {
                return Err(*user);
            }
            seen.patch_sums.insert(*user, sums);
        }
        Ok(())
    }
}

fn range(channel: &[f32]) -> ChannelRange {
    let mut range = ChannelRange {
        min: f32::INFINITY,
        max: f32::NEG_INFINITY,
    };
    for &value in channel {
        // Adding 0 makes one of the two zeros, so that the order of images never shows.
        let value = value + 0.0;
        range.min = range.min.min(value);
        range.max = range.max.max(value);
    }
    range
}

/// By channel: the largest magnitude of a sum of `x - limit` over one of the channel's patches.
fn largest_sums(value: &FeatureMap, limit: f32, patches: &[Patch]) -> Vec<f32> {
    let mut largest = Vec::with_capacity(patches.len());
    for (channel, patch) in value.channels().zip(patches) {
        let shifted: Vec<f32> = channel.iter().map(|x| x - limit).collect();
        largest.push(largest_sum(&shifted, *patch, value.shape()));
    }
    largest
}

fn largest_sum(channel: &[f32], patch: Patch, shape: Shape) -> f32 {
    let sums = patch_sums(channel, patch, shape.h, shape.w);
    // Not f32::max, which forgets a NaN that overflowing sums leave.
    sums.into_iter()
        .fold(0.0, |most, sum| if sum.abs() <= most { most } else { sum.abs() })
}

/// Joins what another image has shown.
pub(super) fn merge(all: &mut Calibration, more: &Calibration) {
    all.images += more.images;
    all.gains.merge(&more.gains);
    let channels = all.channels.iter_mut().flatten();
    for (all, more) in channels.zip(more.channels.iter().flatten()) {
        all.min = all.min.min(more.min);
        all.max = all.max.max(more.max);
    }
    for (all, more) in all.patch_sums.values_mut().zip(more.patch_sums.values()) {
        raise(&mut all.lower, &more.lower);
        if let (Some(all), Some(more)) = (&mut all.upper, &more.upper) {
            raise(all, more);
        }
    }
}

fn raise(all: &mut [f32], more: &[f32]) {
    for (all, more) in all.iter_mut().zip(more) {
        *all = all.max(*more);
    }
}
