//! Taking an affine map in where its operand comes from.

use trefoil_ir::nn::op::class::Move;
use trefoil_ir::nn::{Class, Graph, GraphError, NodeId};

use super::super::rewrite::only_user;
use super::per_channel::{self, PerChannel};

/// Whether the value of `id` can be computed with `map` already done, by changing constants alone.
/// Everything on the way may have one user only: others want the value without the map.
pub(super) fn can_take(graph: &Graph, id: NodeId, map: &PerChannel, reach: usize) -> bool {
    if reach == 0 || only_user(graph, id).is_none() {
        return false;
    }
    let lets_through = match graph.node(id).op.class() {
        Class::Linear(_) | Class::PerChannel(_) => return true,
        // Weights that add up to 1.
        Class::Resize(_) => true,
        Class::Mean(mean) => mean.keeps_constants() || map.has_no_summand(),
        Class::Max(_) => map.is_increasing(),
        Class::Add | Class::Move(Move::Concat) => true,
        Class::Move(Move::Flatten) => unflattened(graph, id, map).is_some(),
        Class::Move(Move::Slice(_) | Move::Pad(_) | Move::Shuffle(_))
        | Class::Input
        | Class::Gate(_)
        | Class::Output(_) => false,
    };
    let mut parts = parts(graph, id, map).into_iter();
    lets_through && parts.all(|(operand, part)| can_take(graph, operand, &part, reach - 1))
}

/// Does what [`can_take`] has promised.
pub(super) fn take(graph: &mut Graph, id: NodeId, map: &PerChannel) -> Result<(), GraphError> {
    graph.node_mut(id).range = None;
    if let Some(layer) = graph.node_mut(id).op.layer_mut() {
        per_channel::then(layer, map);
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
    let maps = match graph.node(id).op.class() {
        Class::Move(Move::Concat) => map.split(inputs.iter().map(|&i| graph.node(i).shape.c)),
        Class::Add => vec![map.clone(), map.without_summand()],
        Class::Move(Move::Flatten) => unflattened(graph, id, map).into_iter().collect(),
        Class::Mean(_) | Class::Max(_) | Class::Resize(_) => vec![map.clone()],
        // None of these lets a map through.
        Class::Move(Move::Slice(_) | Move::Pad(_) | Move::Shuffle(_))
        | Class::Input
        | Class::Linear(_)
        | Class::PerChannel(_)
        | Class::Gate(_)
        | Class::Output(_) => Vec::new(),
    };
    inputs.into_iter().zip(maps).collect()
}

fn unflattened(graph: &Graph, id: NodeId, map: &PerChannel) -> Option<PerChannel> {
    map.unflattened(graph.node(graph.inputs(id)[0]).shape.plane())
}
