//! What a graph costs: DReLUs by layer, comparisons of max-pools, multiplications.
//!
//! DReLUs are the budget's currency, and so they are counted as the imported graph has them: by
//! its names and on its maps. Passes move a gate to a smaller map or split it in two; this file alone
//! knows how such nodes are counted:
//!
//! - a moved node keeps its imported map in [`Origin::counted_on`](trefoil_ir::nn::Origin), and
//!   [`counted_map`] reads it;
//! - the part of a split layer that stays where it was has [`BLOCKS_SUFFIX`] behind the layer's name.
//!
//! What the parties really compute is counted beside that, as [`signs`](ReluCount::signs).

use std::collections::HashMap;

use serde::Serialize;
use trefoil_ir::nn::op::class::Layer;
use trefoil_ir::nn::{Class, Gate, Graph, Node, NodeId};
use trefoil_ir::{Shape, Window};

/// Behind a ReLU's name, where the layer was split: the part with patches of several pixels.
pub const BLOCKS_SUFFIX: &str = "/blocks";

/// What a graph costs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Every ReLU of the imported graph.
    pub relus: Vec<ReluCount>,
    /// Every max-pool of the current graph.
    pub max_pools: Vec<MaxPoolCount>,
    /// Every convolution and linear layer of the current graph.
    pub layers: Vec<LayerCount>,
    /// DReLUs of the imported graph with a sign per pixel: what budgets are fractions of.
    pub drelus_at_1x1: usize,
    /// DReLUs now.
    pub drelus: usize,
    /// Signs that the parties compute for ReLUs.
    pub signs: usize,
    /// Comparisons of max-pools, which no DReLU count includes.
    pub comparisons: usize,
    /// Multiply-accumulate operations.
    pub macs: u64,
}

/// One ReLU or clip of the imported graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReluCount {
    /// Its ONNX name.
    pub name: String,
    /// Its map in the imported graph, `[h, w]`.
    pub map: [usize; 2],
    /// Channels.
    pub channels: usize,
    /// DReLUs with a sign per pixel; a clip such as ReLU6 counts two a pixel.
    pub drelus_at_1x1: usize,
    /// DReLUs with the patches that it has now; 0 if it has disappeared.
    pub drelus: usize,
    /// Signs that the parties compute: fewer than DReLUs where it moved behind a max-pool.
    pub signs: usize,
}

/// One max-pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MaxPoolCount {
    /// Its ONNX name.
    pub name: String,
    /// Its output map, `[h, w]`.
    pub map: [usize; 2],
    /// Channels.
    pub channels: usize,
    /// Comparisons: for each window one less than the pixels it holds.
    pub comparisons: usize,
}

/// One convolution or linear layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayerCount {
    /// Its ONNX name.
    pub name: String,
    /// The operator's name.
    pub op: &'static str,
    /// Output channels and map, `[c, h, w]`.
    pub output: [usize; 3],
    /// Weights, without biases.
    pub weights: usize,
    /// Multiply-accumulate operations; taps in the padding count, too.
    pub macs: u64,
}

/// Counts what `current` costs, which passes have made of `imported`. (Both may be one graph.)
pub fn count(imported: &Graph, current: &Graph) -> Counts {
    let gates: HashMap<&str, &Node> = current
        .ids()
        .into_iter()
        .map(|id| current.node(id))
        .filter(|node| Gate::of(node).is_some())
        .map(|node| (node.origin.name.as_str(), node))
        .collect();
    let mut counts = Counts::default();
    for id in imported.order() {
        counts.relus.extend(relu_count(imported.node(id), &gates));
    }
    for id in current.order() {
        counts.max_pools.extend(max_pool_count(current, id));
        counts.layers.extend(layer_count(current.node(id)));
    }
    counts.drelus_at_1x1 = counts.relus.iter().map(|r| r.drelus_at_1x1).sum();
    counts.drelus = counts.relus.iter().map(|r| r.drelus).sum();
    counts.signs = counts.relus.iter().map(|r| r.signs).sum();
    // A few large windows, or one large weight that many layers share, are beyond any number.
    let pools = counts.max_pools.iter();
    counts.comparisons = pools.fold(0, |sum, pool| sum.saturating_add(pool.comparisons));
    let layers = counts.layers.iter();
    counts.macs = layers.fold(0, |sum, layer| sum.saturating_add(layer.macs));
    counts
}

/// The map on which a gate's DReLUs are counted: that of the imported graph.
pub fn counted_map(node: &Node) -> Shape {
    node.origin.counted_on.unwrap_or(node.shape)
}

fn relu_count(node: &Node, now: &HashMap<&str, &Node>) -> Option<ReluCount> {
    let gate = Gate::of(node)?;
    let map = counted_map(node);
    let signs_a_pixel = if gate.upper.is_some() { 2 } else { 1 };
    let (drelus, signs) = nodes_of_layer(&node.origin.name, now)
        .filter_map(|part| Gate::of(part).map(|gate| (gate.signs(counted_map(part)), gate.signs(part.shape))))
        .fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
    Some(ReluCount {
        name: node.origin.name.clone(),
        map: [map.h, map.w],
        channels: map.c,
        drelus_at_1x1: signs_a_pixel * map.len(),
        drelus,
        signs,
    })
}

/// The one or two nodes that do the work of the imported ReLU called `name`. (`move_relu` moves
/// nothing whose second name is taken, so that "/blocks" in a model misleads nobody.)
fn nodes_of_layer<'a>(name: &str, now: &HashMap<&str, &'a Node>) -> impl Iterator<Item = &'a Node> {
    let node = now.get(name).copied();
    let is_moved = node.is_some_and(|n| n.origin.counted_on.is_some());
    let blocks = now.get(format!("{name}{BLOCKS_SUFFIX}").as_str()).copied();
    node.into_iter().chain(blocks.filter(|_| is_moved))
}

fn max_pool_count(graph: &Graph, id: NodeId) -> Option<MaxPoolCount> {
    let node = graph.node(id);
    let Class::Max(window) = node.op.class() else {
        return None;
    };
    let input = graph.node(graph.inputs(id)[0]).shape;
    Some(MaxPoolCount {
        name: node.origin.name.clone(),
        map: [node.shape.h, node.shape.w],
        channels: node.shape.c,
        comparisons: node
            .shape
            .c
            .saturating_mul(comparisons(window, input, node.shape)),
    })
}

/// For each window one less than its taps: a window's taps are those of its rows times those of its
/// columns, and so are those of all windows together.
fn comparisons(window: &Window, input: Shape, output: Shape) -> usize {
    let rows = window.taps_of_all(0, input.h, output.h);
    let columns = window.taps_of_all(1, input.w, output.w);
    let taps = rows.saturating_mul(columns);
    usize::try_from(taps).map_or(usize::MAX, |taps| taps.saturating_sub(output.plane()))
}

fn layer_count(node: &Node) -> Option<LayerCount> {
    let Class::Linear(Layer { weight, .. }) = node.op.class() else {
        return None;
    };
    let Shape { c, h, w } = node.shape;
    Some(LayerCount {
        name: node.origin.name.clone(),
        op: node.op.name(),
        output: [c, h, w],
        weights: weight.len(),
        macs: (weight.len() as u64).saturating_mul(node.shape.plane() as u64),
    })
}

#[cfg(test)]
mod tests {
    use trefoil_ir::nn::op::Clip;
    use trefoil_ir::{Patch, Window};

    use super::*;
    use crate::pass::testing::Net;

    #[test]
    fn everything_is_counted_by_hand() {
        let mut net = Net::new(1);
        let x = net.input(Shape::new(2, 5, 4));
        let conv = net.conv_of(x, 4, Window::dense([2, 2]), 2); // 4x4x3, 4*1*2*2 weights
        let relu = net.block(
            conv,
            vec![
                Patch::PIXEL,
                Patch::Identity,
                Patch::Block { h: 3, w: 2 },
                Patch::PIXEL,
            ],
        );
        let pool = Window {
            kernel: [2, 2],
            stride: [2, 2],
            dilation: [1, 1],
            pads: [0, 0, 0, 1],
        };
        let pooled = net.max_pool(relu, pool); // 2x2 windows of 4 and 2 pixels
        let clip = net.op(
            Clip {
                high: 1.0,
                lower: vec![Patch::PIXEL; 4],
                upper: vec![Patch::Block { h: 2, w: 2 }; 4],
            },
            &[pooled],
        );
        let flat = net.flatten(clip);
        let y = net.linear(flat, 3);
        let graph = net.finish(y);
        let counts = count(&graph, &graph);
        let drelus: Vec<_> = counts.relus.iter().map(|r| (r.drelus_at_1x1, r.drelus)).collect();
        assert_eq!(drelus, [(48, 12 + 4 + 12), (32, 16 + 4)]);
        assert_eq!((counts.drelus_at_1x1, counts.drelus, counts.signs), (80, 48, 48));
        assert_eq!(counts.comparisons, 4 * (3 + 1 + 3 + 1));
        assert_eq!(counts.macs, 16 * 12 + 48);
    }

    #[test]
    fn a_relu_that_disappeared_is_listed_with_nothing() {
        let mut net = Net::new(1);
        let x = net.input(Shape::new(1, 2, 2));
        let a = net.relu(x);
        let imported = net.finish(a);
        let mut current = imported.clone();
        current.replace_uses(a, x);
        current.remove(a);
        let counts = count(&imported, &current);
        assert_eq!((counts.relus[0].drelus_at_1x1, counts.relus[0].drelus), (4, 0));
    }
}
