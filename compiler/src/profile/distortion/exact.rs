//! Distortions by their definition: the network behind the change runs again.

use std::collections::{BTreeMap, HashMap};

use rayon::prelude::*;
use trefoil_ir::Patch;
use trefoil_ir::nn::Graph;
use trefoil_ir::nn::eval::{FeatureMap, ImageShapeError, Tape, signs};

use super::layer::Layer;
use super::rerun::{Behind, Differences};
use super::{Site, logits};

/// Measures distortions one by one.
///
/// For each channel and patch the nodes behind the gate run again on the difference that the patch
/// makes; patches whose bits differ at the same pixels share one run, and a patch that changes
/// nothing takes none. Channels run in parallel.
#[derive(Debug)]
pub struct Exact<'a> {
    graph: &'a Graph,
    layers: Vec<(Layer, Behind)>,
    differences: Differences<'a>,
}

/// The distortions of one site on one image.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteDistortion {
    /// For each channel and option, flat in this order: the mean squared change of the output.
    pub mean_square: Vec<f64>,
}

/// An option of a channel of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Choice {
    /// Position in the list of sites.
    pub site: usize,
    /// Number of the channel, from 0.
    pub channel: usize,
    /// Position in the site's list of patches.
    pub option: usize,
}

impl<'a> Exact<'a> {
    /// The distortions of these sites of a verified graph.
    ///
    /// # Panics
    /// If a site is no gate of the graph.
    pub fn new(graph: &'a Graph, sites: &[Site]) -> Self {
        let differences = Differences::new(graph, logits(graph));
        let layers = sites
            .iter()
            .map(|site| (Layer::new(graph, site), differences.behind(site.node)))
            .collect();
        Self {
            graph,
            layers,
            differences,
        }
    }

    /// The distortion of everything on one image.
    ///
    /// # Errors
    /// If the image has another shape than the graph's input.
    pub fn image(&self, image: &FeatureMap) -> Result<Vec<SiteDistortion>, ImageShapeError> {
        let tape = Tape::run(self.graph, image)?;
        let mut distortions = Vec::with_capacity(self.layers.len());
        for (layer, behind) in &self.layers {
            let options: Vec<usize> = (0..layer.patches.len()).collect();
            let channels = (0..layer.shape.c).into_par_iter();
            let of_channels: Vec<Vec<f64>> = channels
                .map(|c| self.channel(&tape, layer, behind, c, &options))
                .collect();
            distortions.push(SiteDistortion {
                mean_square: of_channels.concat(),
            });
        }
        Ok(distortions)
    }

    /// The distortions of some choices on one image, in their order: a sample, where all would
    /// take too long.
    ///
    /// # Errors
    /// If the image has another shape than the graph's input.
    ///
    /// # Panics
    /// If there is no such site, channel or option.
    pub fn sample(&self, image: &FeatureMap, choices: &[Choice]) -> Result<Vec<f64>, ImageShapeError> {
        let tape = Tape::run(self.graph, image)?;
        let mut channels: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
        for (at, choice) in choices.iter().enumerate() {
            channels
                .entry((choice.site, choice.channel))
                .or_default()
                .push(at);
        }
        let channels: Vec<_> = channels.into_iter().collect();
        let measured = channels.par_iter().map(|((site, c), places)| {
            let (layer, behind) = &self.layers[*site];
            let options: Vec<usize> = places.iter().map(|&at| choices[at].option).collect();
            self.channel(&tape, layer, behind, *c, &options)
        });
        let measured: Vec<Vec<f64>> = measured.collect();
        let mut result = vec![0.0; choices.len()];
        for ((_, places), values) in channels.iter().zip(measured) {
            places
                .iter()
                .zip(values)
                .for_each(|(&at, value)| result[at] = value);
        }
        Ok(result)
    }

    /// The distortion of each of these options for one channel.
    fn channel(
        &self,
        tape: &Tape<'_>,
        layer: &Layer,
        behind: &Behind,
        c: usize,
        options: &[usize],
    ) -> Vec<f64> {
        let behind = self.differences.channel(behind, c);
        let mut known: HashMap<Vec<u32>, f64> = HashMap::new();
        let mut distortions = Vec::with_capacity(options.len());
        for &option in options {
            let (flips, difference) = flips(layer, tape, c, layer.patches[option]);
            if flips.is_empty() {
                distortions.push(0.0);
                continue;
            }
            let distortion = known
                .entry(flips)
                .or_insert_with(|| self.differences.mean_square(tape, &behind, difference));
            distortions.push(*distortion);
        }
        distortions
    }
}

/// The pixels whose value changes if a channel gets another patch, and the change of every pixel.
fn flips(layer: &Layer, tape: &Tape<'_>, c: usize, patch: Patch) -> (Vec<u32>, Vec<f32>) {
    let channel = layer.channel(tape, c);
    let bits = signs(&channel.value, patch, 0.0, layer.open(), layer.shape);
    let mut flips = Vec::new();
    let mut difference = vec![0.0; bits.len()];
    for (pixel, (new, old)) in bits.iter().zip(&channel.bits).enumerate() {
        let value = channel.value[pixel];
        if new != old && value != 0.0 {
            flips.push(pixel as u32);
            difference[pixel] = layer.factor() * if *new { value } else { -value };
        }
    }
    (flips, difference)
}
