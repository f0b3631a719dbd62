//! The last pass: what lowering may rely on, and the refusal of what it cannot take.
//!
//! Behind it holds, besides what the verifier checks:
//!
//! - no batch norm, affine map or clamp is left;
//! - every gate has its simplest operator: a ReLU where every pixel has its own sign, a Block-ReLU
//!   where there is no upper sign, and none gates nothing at all;
//! - every convolution and linear layer has a bias.

use trefoil_ir::Tensor;
use trefoil_ir::nn::{Class, Gate, Graph, NodeId};

use super::rewrite::{put, sweep};
use super::{Changed, PassError, PassOptions};

pub(super) fn run(graph: &mut Graph, _: &PassOptions) -> Result<Changed, PassError> {
    for id in graph.order() {
        check(graph, id)?;
    }
    sweep(graph, |graph, id| {
        Ok(simplify_gate(graph, id)? || add_bias(graph, id))
    })
}

fn check(graph: &Graph, id: NodeId) -> Result<(), PassError> {
    let is_left_over = match graph.node(id).op.class() {
        Class::PerChannel(_) => true,
        Class::Gate(gate) => gate.low != 0.0,
        Class::Input
        | Class::Linear(_)
        | Class::Max(_)
        | Class::Mean(_)
        | Class::Add
        | Class::Move(_)
        | Class::Resize(_)
        | Class::Output(_) => false,
    };
    match is_left_over {
        true => Err(PassError::unsupported(
            graph,
            id,
            "an affine map or clamp is left that an earlier pass should have replaced; please report this network",
        )),
        false => Ok(()),
    }
}

fn simplify_gate(graph: &mut Graph, id: NodeId) -> Result<bool, PassError> {
    let node = graph.node(id);
    let Some(gate) = Gate::of(node).filter(|g| g.clone().into_op().as_ref() != Some(&node.op)) else {
        return Ok(false);
    };
    put(graph, id, gate)?;
    Ok(true)
}

fn add_bias(graph: &mut Graph, id: NodeId) -> bool {
    let channels = graph.node(id).shape.c;
    let Some(layer) = graph.node_mut(id).op.layer_mut() else {
        return false;
    };
    let missing = layer.bias.is_none();
    layer
        .bias
        .get_or_insert_with(|| Tensor::vector(vec![0.0; channels]));
    missing
}

#[cfg(test)]
mod tests {
    use trefoil_ir::nn::Op;
    use trefoil_ir::nn::op::Clip;
    use trefoil_ir::{Patch, Shape};

    use super::*;
    use crate::pass::testing::{Net, evaluate_equal, ops};

    #[test]
    fn gates_are_simple_and_layers_have_biases() {
        let mut net = Net::new(3);
        let x = net.input(Shape::new(2, 3, 3));
        let a = net.block(x, vec![Patch::PIXEL; 2]);
        let b = net.op(
            Clip {
                high: 0.5,
                lower: vec![Patch::Block { h: 2, w: 1 }; 2],
                upper: vec![Patch::Identity; 2],
            },
            &[a],
        );
        let c = net.block(b, vec![Patch::Identity; 2]);
        let d = net.flatten(c);
        let e = net.linear(d, 2);
        let before = net.finish(e);
        let mut after = before.clone();
        run(&mut after, &PassOptions::default()).unwrap();
        assert_eq!(
            ops(&after),
            ["input", "relu", "block_relu", "flatten", "linear", "output"]
        );
        assert!(matches!(&after.node(e).op, Op::Linear(op) if op.bias.is_some()));
        evaluate_equal(&before, &after, 1).unwrap();
    }
}
