//! All distortions of an image at once, to first order, from a few backward passes.

use rayon::prelude::*;
use trefoil_ir::nn::eval::{FeatureMap, ImageShapeError, Tape};
use trefoil_ir::nn::{Graph, NodeId};
use trefoil_ir::{Patch, Shape};

use super::integral::{Integrals, Sizes};
use super::layer::{Channel, Layer};
use super::{Site, logits};

/// Estimates distortions from random probes of the output.
///
/// A site's [vectors](SiteVectors) over images and probes are a sketch of the change that each option
/// makes: the mean of a vector's squares estimates the option's distortion, and that of the squares of
/// a sum of vectors the joint distortion of several channels.
///
/// Each image in flight holds the values of all nodes. Run images in parallel, but in batches of as
/// many as there are threads: the channels of a site are a parallel loop, too, and a thread that waits for
/// the others there may begin the next image of its batch.
#[derive(Debug)]
pub struct Sketch<'a> {
    graph: &'a Graph,
    layers: Vec<(Layer, Sizes)>,
    logits: NodeId,
    probes: usize,
    seed: u64,
}

/// One image's effects of all options of one site.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteVectors {
    /// For each probe, channel and option, flat in this order: the first-order change of the probed
    /// output, scaled so that the mean of its square over probes estimates the mean squared change
    /// of the output.
    pub signed: Vec<f32>,
    /// For each channel and option: the largest magnitude of a patch's sum; 0 for the identity.
    pub largest_sum: Vec<f32>,
    /// For each channel and option: the sum over the channel's pixels of the squared change at the
    /// layer itself.
    pub change: Vec<f32>,
}

impl<'a> Sketch<'a> {
    /// A sketch of these sites of a verified graph. If the network has no more outputs than
    /// `probes`, each output is probed by itself, once, and nothing is random.
    ///
    /// # Panics
    /// If a site is no gate of the graph, or there is no probe.
    pub fn new(graph: &'a Graph, sites: &[Site], probes: usize, seed: u64) -> Self {
        assert!(probes > 0, "a sketch needs a probe");
        let logits = logits(graph);
        let mut layers = Vec::with_capacity(sites.len());
        for site in sites {
            let layer = Layer::new(graph, site);
            let sizes = Sizes::new(&layer.patches, layer.shape);
            layers.push((layer, sizes));
        }
        Self {
            graph,
            layers,
            logits,
            probes: probes.min(graph.node(logits).shape.len()),
            seed,
        }
    }

    /// The number of probes an image: what was asked for, or fewer if there are fewer outputs.
    pub fn probes(&self) -> usize {
        self.probes
    }

    /// The vectors of every site on one image. Probes are drawn from the seed and the image's
    /// `number`, so that an image has the same ones whichever are run with it.
    ///
    /// # Errors
    /// If the image has another shape than the graph's input.
    pub fn image(&self, image: &FeatureMap, number: u64) -> Result<Vec<SiteVectors>, ImageShapeError> {
        let tape = Tape::run(self.graph, image)?;
        let mut vectors: Vec<SiteVectors> = self.layers.iter().map(|l| self.nothing(&l.0)).collect();
        tape.backward_all(self.logits, self.seeds(number), |id, gradients| {
            for ((layer, sizes), vectors) in self.layers.iter().zip(&mut vectors) {
                if layer.node == id {
                    *vectors = site(layer, sizes, &tape, gradients);
                }
            }
        });
        Ok(vectors)
    }

    /// A site that the output does not depend on.
    fn nothing(&self, layer: &Layer) -> SiteVectors {
        let count = layer.shape.c * layer.patches.len();
        SiteVectors {
            signed: vec![0.0; self.probes * count],
            largest_sum: vec![0.0; count],
            change: vec![0.0; count],
        }
    }

    /// The value that is probed.
    pub(crate) fn logits(&self) -> NodeId {
        self.logits
    }

    /// The probes of the image of this number.
    pub(crate) fn seeds(&self, number: u64) -> Vec<FeatureMap> {
        let shape = self.graph.node(self.logits).shape;
        let outputs = shape.len();
        if self.probes == outputs {
            return (0..outputs).map(|at| unit(shape, at)).collect();
        }
        let scale = 1.0 / (outputs as f32).sqrt();
        let signs = random_bits(self.seed, number, self.probes * outputs);
        let values: Vec<f32> = signs.map(|bit| if bit { scale } else { -scale }).collect();
        let probes = values.chunks(outputs);
        probes.map(|v| FeatureMap::new(shape, v.to_vec())).collect()
    }
}

/// A map that is 1 at one place and 0 elsewhere.
fn unit(shape: Shape, at: usize) -> FeatureMap {
    let mut values = vec![0.0; shape.len()];
    values[at] = 1.0;
    FeatureMap::new(shape, values)
}

fn random_bits(seed: u64, number: u64, count: usize) -> impl Iterator<Item = bool> {
    let mut hasher = blake3::Hasher::new_derive_key("Trefoil: probes of a distortion sketch");
    hasher.update(&seed.to_le_bytes());
    hasher.update(&number.to_le_bytes());
    let mut bytes = vec![0u8; count.div_ceil(8)];
    hasher.finalize_xof().fill(&mut bytes);
    let bits = bytes
        .into_iter()
        .flat_map(|byte| (0..8).map(move |i| byte >> i & 1 == 1));
    bits.take(count)
}

fn site(layer: &Layer, sizes: &Sizes, tape: &Tape<'_>, gradients: &[FeatureMap]) -> SiteVectors {
    let options = layer.patches.len();
    let channels: Vec<Vec<Effect>> = (0..layer.shape.c)
        .into_par_iter()
        .map(|c| channel(layer, sizes, tape, gradients, c))
        .collect();
    let effects: Vec<Effect> = channels.into_iter().flatten().collect();
    let mut signed = Vec::with_capacity(gradients.len() * layer.shape.c * options);
    for probe in 0..gradients.len() {
        signed.extend(effects.iter().map(|effect| effect.signed[probe]));
    }
    SiteVectors {
        signed,
        largest_sum: effects.iter().map(|effect| effect.largest_sum).collect(),
        change: effects.iter().map(|effect| effect.change).collect(),
    }
}

/// The effect of one option on one channel.
struct Effect {
    signed: Vec<f32>,
    largest_sum: f32,
    change: f32,
}

/// The effects of all options on one channel. With z what the sign is taken of, b the present bits
/// and b' an option's, the change is `Δ = ± z (b' - b)`; so `g · Δ = ± (Σ b' g z - Σ b g z)`, and
/// `|Δ|² = Σ b' (1 - 2b) z² + Σ b z²`: of every quantity two sums, over the option's bits and the
/// present ones.
fn channel(layer: &Layer, sizes: &Sizes, tape: &Tape<'_>, gradients: &[FeatureMap], c: usize) -> Vec<Effect> {
    let channel = layer.channel(tape, c);
    let quantities = quantities(&channel, &layer.gradients(gradients, c));
    let present = sums(&quantities, &channel.bits);
    let whole = sums(&quantities, &vec![true; channel.bits.len()]);
    let gated = sizes.gate(&Integrals::new(&quantities, layer.shape));
    let factor = f64::from(layer.factor());
    let mut effects = Vec::with_capacity(gated.len());
    let mut changes = Vec::with_capacity(quantities.len());
    for (option, gated) in layer.patches.iter().zip(gated) {
        let through = *option == Patch::Identity && layer.open();
        // The present patch changes nothing, whatever rounding says.
        let keep = if *option == layer.present[c] { 0.0 } else { 1.0 };
        changes.clear();
        for (quantity, present) in present.iter().enumerate() {
            let open = if through {
                whole[quantity]
            } else {
                gated.open(quantity)
            };
            changes.push(keep * (open - present));
        }
        effects.push(Effect {
            signed: changes[2..]
                .iter()
                .map(|change| (factor * change) as f32)
                .collect(),
            largest_sum: gated.largest as f32,
            change: changes[1].max(0.0) as f32,
        });
    }
    effects
}

/// What is summed over patches: z, `(1 - 2b) z²`, and g z for each probe.
fn quantities(channel: &Channel, gradients: &[&[f32]]) -> Vec<Vec<f64>> {
    let z: Vec<f64> = channel.value.iter().map(|z| f64::from(*z)).collect();
    let mut squares = Vec::with_capacity(z.len());
    for (z, bit) in z.iter().zip(&channel.bits) {
        squares.push(if *bit { -z * z } else { z * z });
    }
    let mut products = Vec::with_capacity(gradients.len());
    for gradient in gradients {
        let pairs = z.iter().zip(*gradient);
        products.push(pairs.map(|(z, g)| z * f64::from(*g)).collect());
    }
    [z, squares].into_iter().chain(products).collect()
}

/// The sum of each quantity over the pixels whose bit is set.
fn sums(quantities: &[Vec<f64>], bits: &[bool]) -> Vec<f64> {
    let mut sums = Vec::with_capacity(quantities.len());
    for quantity in quantities {
        let set = quantity.iter().zip(bits).filter(|(_, bit)| **bit);
        sums.push(set.map(|(value, _)| value).sum());
    }
    sums
}
