//! What the rewriting passes have in common.

use trefoil_ir::nn::{Gate, Graph, GraphError, NodeId};

use super::{Changed, PassError};

/// Offers every node to `visit`, in topological order, until a whole round changes nothing.
/// `visit` says whether it changed something; it may remove nodes.
pub(super) fn sweep(
    graph: &mut Graph,
    mut visit: impl FnMut(&mut Graph, NodeId) -> Result<bool, PassError>,
) -> Result<Changed, PassError> {
    let mut changed = Changed::No;
    loop {
        let mut again = false;
        for id in graph.order() {
            if graph.contains(id) {
                again |= visit(graph, id)?;
            }
        }
        if !again {
            return Ok(changed);
        }
        changed = Changed::Yes;
    }
}

/// Removes a node of one operand, whose users take the operand instead.
pub(super) fn bypass(graph: &mut Graph, id: NodeId) {
    let operand = graph.inputs(id)[0];
    graph.replace_uses(id, operand);
    graph.remove(id);
}

/// The node that alone uses this value, as one operand.
pub(super) fn only_user(graph: &Graph, id: NodeId) -> Option<NodeId> {
    let [user] = graph.users(id)[..] else {
        return None;
    };
    Some(user)
}

/// Makes node `id` this gate, or removes the node if nothing is gated.
pub(super) fn put(graph: &mut Graph, id: NodeId, gate: Gate) -> Result<(), GraphError> {
    match gate.into_op() {
        Some(op) => {
            let inputs = graph.inputs(id);
            graph.replace(id, op, &inputs)
        }
        None => {
            bypass(graph, id);
            Ok(())
        }
    }
}
