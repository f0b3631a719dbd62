//! Distortion: how much the network's output changes if one channel's sign is taken over another
//! patch.
//!
//! A gate computes `y = b0 x - b1 (x - high)`, b0 and b1 being bits a pixel that patches share. With
//! another patch for one of the two signs of one channel the value changes by
//!
//! ```text
//! lower sign:  Δ =   x          (b0' - b0)
//! upper sign:  Δ = -(x - high)  (b1' - b1)
//! ```
//!
//! The distortion is the mean squared change of the output that follows (Gorski et al.), the output
//! being the logits. Two ways to it:
//!
//! - [`Sketch`]: the change at the layer is exact, its effect on the output is taken to first order. For
//!   a random probe v, one backward pass gives the gradients g of v · logits at all gates, and
//!   g · Δ is an unbiased sample of the first-order change. One pass over an image yields every
//!   channel and patch of every layer.
//! - [`Exact`]: by the definition; runs what lies behind the gate again for each channel and patch.
//!
//! "Another patch" is relative to what the graph has: on a network with Block-ReLUs, b is theirs.

mod exact;
mod integral;
mod layer;
mod rerun;
mod sketch;

pub use exact::{Choice, Exact, SiteDistortion};
pub use sketch::{SiteVectors, Sketch};

use serde::{Deserialize, Serialize};
use trefoil_ir::Patch;
use trefoil_ir::nn::{Gate, Graph, NodeId};

/// One of the two signs of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sign {
    /// The sign of x: the only one of a ReLU.
    Lower,
    /// The sign of x - high, of a clip.
    Upper,
}

/// A sign of a ReLU or clip of the graph, and the patches that its channels may get (the same for
/// all channels).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The ReLU or clip.
    pub node: NodeId,
    /// The sign of x, or of x - high.
    pub sign: Sign,
    /// The patches that each of its channels may get.
    pub patches: Vec<Patch>,
}

/// All sites of a graph in topological order, lower signs before upper ones, with the options that
/// `patches` gives for a map's height and width.
pub fn sites(graph: &Graph, mut patches: impl FnMut(usize, usize) -> Vec<Patch>) -> Vec<Site> {
    let mut sites = Vec::new();
    for node in graph.order() {
        let Some(gate) = Gate::of(graph.node(node)) else {
            continue;
        };
        let map = graph.node(node).shape;
        let signs = [Some(Sign::Lower), gate.upper.map(|_| Sign::Upper)];
        sites.extend(signs.into_iter().flatten().map(|sign| Site {
            node,
            sign,
            patches: patches(map.h, map.w),
        }));
    }
    sites
}

/// The value that counts as the network's output: the logits, of which the client computes the rest.
///
/// # Panics
/// If the graph has no output; a verified one has.
pub fn logits(graph: &Graph) -> NodeId {
    let output = graph.output().expect("a verified graph has an output");
    graph.inputs(output)[0]
}

#[cfg(test)]
mod tests;
