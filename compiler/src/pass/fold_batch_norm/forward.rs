//! Taking an affine map in where its value goes.

use trefoil_ir::nn::op::class::Move;
use trefoil_ir::nn::{Class, Graph, GraphError, NodeId};

use super::per_channel::{self, PerChannel};

/// Whether all users of `id` can do `map` themselves, by changing constants alone, so that they can
/// take its operand instead. Users are asked one by one; only operators of one operand pass a map
/// on, so that no node is asked twice.
pub(super) fn can_take(graph: &Graph, id: NodeId, map: &PerChannel, reach: usize) -> bool {
    let users = graph.users(id);
    reach > 0
        && !users.is_empty()
        && users
            .iter()
            .all(|&user| user_can_take(graph, user, map, reach - 1))
}

fn user_can_take(graph: &Graph, id: NodeId, map: &PerChannel, reach: usize) -> bool {
    match graph.node(id).op.class() {
        Class::PerChannel(_) => true,
        // Taps in the padding read zero, not the summand.
        Class::Linear(layer) => layer.window.pads == [0; 4] || map.has_no_summand(),
        Class::Resize(_) => can_take(graph, id, map, reach),
        Class::Mean(mean) => {
            (mean.keeps_constants() || map.has_no_summand()) && can_take(graph, id, map, reach)
        }
        Class::Max(_) => map.is_increasing() && can_take(graph, id, map, reach),
        Class::Move(Move::Flatten) => can_take(graph, id, &flattened(graph, id, map), reach),
        Class::Move(Move::Concat | Move::Slice(_) | Move::Pad(_) | Move::Shuffle(_))
        | Class::Input
        | Class::Gate(_)
        | Class::Add
        | Class::Output(_) => false,
    }
}

/// Does what [`can_take`] has promised.
pub(super) fn take(graph: &mut Graph, id: NodeId, map: &PerChannel) -> Result<(), GraphError> {
    for user in graph.users(id) {
        if let Some(layer) = graph.node_mut(user).op.layer_mut() {
            per_channel::after(layer, map);
        } else if let Some(own) = PerChannel::of(&graph.node(user).op) {
            let inputs = graph.inputs(user);
            graph.replace(user, map.then(&own).to_affine(), &inputs)?;
        } else {
            graph.node_mut(user).range = None;
            let is_flattened = matches!(graph.node(user).op.class(), Class::Move(Move::Flatten));
            match is_flattened {
                true => take(graph, user, &flattened(graph, user, map))?,
                false => take(graph, user, map)?,
            }
        }
    }
    Ok(())
}

fn flattened(graph: &Graph, id: NodeId, map: &PerChannel) -> PerChannel {
    map.flattened(graph.node(graph.inputs(id)[0]).shape.plane())
}
