//! A site as it is seen on one image: what its sign is taken of, the present bits, the change that
//! other bits make.

use trefoil_ir::nn::eval::{FeatureMap, Tape, signs};
use trefoil_ir::nn::{Gate, Graph, NodeId};
use trefoil_ir::{Patch, Patches, Shape};

use super::{Sign, Site};
/// A site with what the graph says of it.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) node: NodeId,
    /// Shape of the gate's value.
    pub(super) shape: Shape,
    /// The patch that each channel has in the graph.
    pub(super) present: Patches,
    /// The patches that each channel may get.
    pub(super) patches: Vec<Patch>,
    input: NodeId,
    sign: Sign,
    threshold: f32,
}

impl Layer {
    /// Reads a site off the graph.
    ///
    /// # Panics
    /// If the node is no gate or has no such sign.
    pub(super) fn new(graph: &Graph, site: &Site) -> Self {
        let node = graph.node(site.node);
        let gate = Gate::of(node).expect("a site is a ReLU or a clip");
        let (present, threshold) = match site.sign {
            Sign::Lower => (gate.lower, gate.low),
            Sign::Upper => {
                let (high, patches) = gate.upper.expect("the site of an upper sign is a clip");
                (patches, high)
            }
        };
        Self {
            node: site.node,
            shape: node.shape,
            present,
            patches: site.patches.clone(),
            input: graph.inputs(site.node)[0],
            sign: site.sign,
            threshold,
        }
    }

    /// One channel of the gate on one image.
    pub(super) fn channel(&self, tape: &Tape<'_>, c: usize) -> Channel {
        let plane = self.shape.plane();
        let x = &tape.value(self.input).values()[c * plane..(c + 1) * plane];
        let bits = signs(x, self.present[c], self.threshold, self.open(), self.shape);
        Channel {
            value: x.iter().map(|x| x - self.threshold).collect(),
            bits,
        }
    }

    /// The gradients of one channel.
    pub(super) fn gradients<'g>(&self, gradients: &'g [FeatureMap], c: usize) -> Vec<&'g [f32]> {
        let plane = self.shape.plane();
        gradients
            .iter()
            .map(|gradient| &gradient.values()[c * plane..(c + 1) * plane])
            .collect()
    }

    /// The bit of every pixel of a channel without a sign.
    pub(super) fn open(&self) -> bool {
        self.sign == Sign::Lower
    }

    /// The change of the gate's value where a bit that was not set is: this times the channel's
    /// value.
    pub(super) fn factor(&self) -> f32 {
        match self.sign {
            Sign::Lower => 1.0,
            Sign::Upper => -1.0,
        }
    }
}

/// One channel of a site on one image.
pub(super) struct Channel {
    /// x - low, or x - high for an upper sign: what the sign is taken of.
    pub(super) value: Vec<f32>,
    /// The sign of each pixel, under the patches that the graph has.
    pub(super) bits: Vec<bool>,
}
