//! Taking an affine map in where its operand comes from.

use trefoil_ir::nn::{Graph, GraphError, NodeId, Op};

use super::super::rewrite::only_user;
use super::per_channel::{Layer, PerChannel};

/// Whether the value of `id` can be computed with `map` already done, by changing constants alone.
/// Everything on the way may have one user only: others want the value without the map.
pub(super) fn can_take(graph: &Graph, id: NodeId, map: &PerChannel, reach: usize) -> bool {
    if reach == 0 || only_user(graph, id).is_none() {
        return false;
    }
    let further = |map: &PerChannel| can_take(graph, graph.inputs(id)[0], map, reach - 1);
    match &graph.node(id).op {
        Op::Conv2d(_) | Op::Linear(_) | Op::BatchNorm(_) | Op::Affine(_) => true,
        // Means of one map: weights that add up to 1.
        Op::GlobalAvgPool(_) | Op::Resize(_) => further(map),
        Op::AvgPool(op) => {
            (!op.include_pad || op.window.pads == [0; 4] || map.has_no_summand()) && further(map)
        }
        Op::MaxPool(_) => map.is_increasing() && further(map),
        Op::Flatten(_) => unflattened(graph, id, map).is_some_and(|map| further(&map)),
        Op::Concat(_) | Op::Add(_) => {
            let parts = parts(graph, id, map);
            parts
                .iter()
                .all(|(operand, part)| can_take(graph, *operand, part, reach - 1))
        }
        Op::Input(_)
        | Op::Relu(_)
        | Op::BlockRelu(_)
        | Op::Clip(_)
        | Op::Clamp(_)
        | Op::Slice(_)
        | Op::Pad(_)
        | Op::Output(_) => false,
    }
}

/// Does what [`can_take`] has promised.
pub(super) fn take(graph: &mut Graph, id: NodeId, map: &PerChannel) -> Result<(), GraphError> {
    graph.node_mut(id).range = None;
    if let Some(layer) = Layer::of(&mut graph.node_mut(id).op) {
        layer.then(map);
        return Ok(());
    }
    if let Some(own) = PerChannel::of(&graph.node(id).op) {
        let inputs = graph.inputs(id);
        return graph.replace(id, own.then(map).to_affine(), &inputs);
    }
    for (operand, part) in parts(graph, id, map) {
        take(graph, operand, &part)?;
    }
    Ok(())
}

/// What is left to do at each operand of a node that lets a map through.
fn parts(graph: &Graph, id: NodeId, map: &PerChannel) -> Vec<(NodeId, PerChannel)> {
    let inputs = graph.inputs(id);
    let maps = match &graph.node(id).op {
        Op::Concat(_) => map.split(inputs.iter().map(|&i| graph.node(i).shape.c)),
        Op::Add(_) => vec![map.clone(), map.without_summand()],
        Op::Flatten(_) => unflattened(graph, id, map).into_iter().collect(),
        _ => vec![map.clone()],
    };
    inputs.into_iter().zip(maps).collect()
}

fn unflattened(graph: &Graph, id: NodeId, map: &PerChannel) -> Option<PerChannel> {
    map.unflattened(graph.node(graph.inputs(id)[0]).shape.plane())
}
