//! Gains: what a small error of a value does to the output.
//!
//! To first order, and for errors that are independent from pixel to pixel as those of rounding are:
//! an error of variance v at each pixel of a channel changes the output by a mean square of v times
//! the channel's gain. Gains come from a few backward passes of random probes; that is enough to say
//! what rounding costs to within a third or so.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use trefoil_ir::nn::eval::{FeatureMap, ImageShapeError, Tape};
use trefoil_ir::nn::{Graph, NodeId};

use super::CalibrationError;
use crate::profile::distortion::Sketch;

/// Gains of all channels, and how the output varies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gains {
    /// Images that the gains are of; 0 if none were taken.
    pub images: usize,
    /// Sums over these images of the gains of each node's channels, by the node's
    /// [index](NodeId::index); nothing of a node that the output does not depend on.
    sums: Vec<Vec<f64>>,
    /// How the values of the output vary over all images.
    output: Moments,
}

impl Gains {
    /// Gains that say that no error matters: of a calibration that was made up.
    pub fn none() -> Self {
        Self::default()
    }

    /// The gain of each channel of a node; nothing if the output does not depend on it.
    pub fn of(&self, id: NodeId) -> impl Iterator<Item = f64> + '_ {
        let sums = self.sums.get(id.index()).into_iter().flatten();
        sums.map(|sum| sum / self.images as f64)
    }

    /// Variance of the output's values.
    pub fn output_variance(&self) -> f64 {
        self.output.variance()
    }

    /// Takes in the output of one image.
    pub(super) fn see_output(&mut self, output: &FeatureMap) {
        output
            .values()
            .iter()
            .for_each(|v| self.output.add(f64::from(*v)));
    }

    /// Joins what other images have shown.
    pub fn merge(&mut self, more: &Self) {
        self.output.merge(&more.output);
        if more.images == 0 {
            return;
        }
        self.images += more.images;
        self.sums.resize(self.sums.len().max(more.sums.len()), Vec::new());
        for (all, more) in self.sums.iter_mut().zip(&more.sums) {
            all.resize(more.len().max(all.len()), 0.0);
            all.iter_mut().zip(more).for_each(|(all, more)| *all += more);
        }
    }
}

/// Moments of a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Moments {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.merge(&Self {
            count: 1.0,
            sum: value,
            squares: value * value,
        });
    }

    fn merge(&mut self, more: &Self) {
        self.count += more.count;
        self.sum += more.sum;
        self.squares += more.squares;
    }

    fn variance(&self) -> f64 {
        match self.count > 0.0 {
            true => (self.squares / self.count - (self.sum / self.count).powi(2)).max(0.0),
            false => 0.0,
        }
    }
}

/// Takes the gains of a graph, on images that it has been calibrated with. Each takes several runs, and
/// every value and the gradients of all probes at once: fewer fit beside each other than in a run.
#[derive(Debug)]
pub struct Probing<'a> {
    graph: &'a Graph,
    sketch: Sketch<'a>,
    gains: Gains,
}

impl<'a> Probing<'a> {
    /// Images whose gains are taken, the first of a calibration.
    pub const IMAGES: usize = 8;

    /// Probes an image.
    pub const PROBES: usize = 2;

    /// No image yet.
    pub fn new(graph: &'a Graph) -> Self {
        Self {
            graph,
            sketch: Sketch::new(graph, &[], Self::PROBES, 0),
            gains: Gains::none(),
        }
    }

    /// Takes in more images, all of them at a time. Those behind the first [`IMAGES`](Self::IMAGES)
    /// add nothing.
    ///
    /// # Errors
    /// That of the first image that does not fit.
    pub fn add(&mut self, images: &[FeatureMap]) -> Result<(), CalibrationError> {
        let first = self.gains.images;
        let counted = &images[..images.len().min(Self::IMAGES - first)];
        let numbered = counted.par_iter().zip(first..Self::IMAGES);
        let of_each: Vec<_> = numbered
            .map(|(image, at)| {
                self.of_image(image, at)
                    .map_err(|source| CalibrationError::Image { image: at, source })
            })
            .collect::<Result<_, _>>()?;
        of_each.iter().for_each(|gains| self.gains.merge(gains));
        Ok(())
    }

    /// The gains of the images so far.
    pub fn finish(self) -> Gains {
        self.gains
    }

    fn of_image(&self, image: &FeatureMap, number: usize) -> Result<Gains, ImageShapeError> {
        let tape = Tape::run(self.graph, image)?;
        let mut gains = Gains {
            images: 1,
            sums: vec![Vec::new(); self.graph.id_bound()],
            ..Gains::none()
        };
        let seeds = self.sketch.seeds(number as u64);
        let probes = seeds.len() as f64;
        tape.backward_all(self.sketch.logits(), seeds, |id, gradients| {
            let mut sums = vec![0.0; self.graph.node(id).shape.c];
            for channels in gradients.iter().map(FeatureMap::channels) {
                sums.iter_mut()
                    .zip(channels)
                    .for_each(|(s, c)| *s += squares(c) / probes);
            }
            gains.sums[id.index()] = sums;
        });
        Ok(gains)
    }
}

fn squares(values: &[f32]) -> f64 {
    values.iter().map(|v| f64::from(*v).powi(2)).sum()
}
