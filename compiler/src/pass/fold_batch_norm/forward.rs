//! Taking an affine map in where its value goes.

use trefoil_ir::nn::{Graph, GraphError, NodeId, Op};

use super::per_channel::{Layer, PerChannel};

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
    match &graph.node(id).op {
        Op::Linear(_) | Op::BatchNorm(_) | Op::Affine(_) => true,
        // Taps in the padding read zero, not the summand.
        Op::Conv2d(op) => op.window.pads == [0; 4] || map.has_no_summand(),
        Op::GlobalAvgPool(_) | Op::Resize(_) => can_take(graph, id, map, reach),
        Op::AvgPool(op) => {
            (!op.include_pad || op.window.pads == [0; 4] || map.has_no_summand())
                && can_take(graph, id, map, reach)
        }
        Op::MaxPool(_) => map.is_increasing() && can_take(graph, id, map, reach),
        Op::Flatten(_) => can_take(graph, id, &flattened(graph, id, map), reach),
        Op::Input(_)
        | Op::Relu(_)
        | Op::BlockRelu(_)
        | Op::Clip(_)
        | Op::Clamp(_)
        | Op::Add(_)
        | Op::Concat(_)
        | Op::Slice(_)
        | Op::Pad(_)
        | Op::Output(_) => false,
    }
}

/// Does what [`can_take`] has promised.
pub(super) fn take(graph: &mut Graph, id: NodeId, map: &PerChannel) -> Result<(), GraphError> {
    for user in graph.users(id) {
        if let Some(layer) = Layer::of(&mut graph.node_mut(user).op) {
            layer.after(map);
        } else if let Some(own) = PerChannel::of(&graph.node(user).op) {
            let inputs = graph.inputs(user);
            graph.replace(user, map.then(&own).to_affine(), &inputs)?;
        } else {
            graph.node_mut(user).range = None;
            let map = match &graph.node(user).op {
                Op::Flatten(_) => flattened(graph, user, map),
                _ => map.clone(),
            };
            take(graph, user, &map)?;
        }
    }
    Ok(())
}

fn flattened(graph: &Graph, id: NodeId, map: &PerChannel) -> PerChannel {
    map.flattened(graph.node(graph.inputs(id)[0]).shape.plane())
}
