//! Affine maps that are left become depthwise 1x1 convolutions: their factors are the model
//! owner's secret like any weight, and lowering knows one way to multiply by secrets.

use trefoil_ir::nn::op::{Affine, Conv2d};
use trefoil_ir::nn::{Graph, Op};
use trefoil_ir::{Tensor, Window};

use super::rewrite::sweep;
use super::{Changed, PassError, PassOptions};

pub(super) fn run(graph: &mut Graph, _: &PassOptions) -> Result<Changed, PassError> {
    sweep(graph, |graph, id| {
        let Op::Affine(op) = &graph.node(id).op else {
            return Ok(false);
        };
        let conv = depthwise(op);
        let inputs = graph.inputs(id);
        graph.replace(id, conv, &inputs)?;
        Ok(true)
    })
}

fn depthwise(op: &Affine) -> Conv2d {
    let channels = op.scale.len();
    let weight = Tensor::new(vec![channels, 1, 1, 1], op.scale.values().to_vec());
    let has_bias = op.bias.values().iter().any(|b| *b != 0.0);
    Conv2d {
        weight: weight.expect("one factor per channel"),
        bias: has_bias.then(|| op.bias.clone()),
        window: Window::dense([1, 1]),
        groups: channels,
    }
}

#[cfg(test)]
mod tests {
    use trefoil_ir::Shape;

    use super::*;
    use crate::pass::testing::{Net, evaluate_equal, ops};

    #[test]
    fn maps_and_vectors_are_scaled_by_convolutions() {
        let mut net = Net::new(9);
        let x = net.input(Shape::new(3, 4, 2));
        let a = net.affine(x, true);
        let b = net.global_avg_pool(a);
        let c = net.affine(b, false);
        let before = net.finish(c);
        let mut after = before.clone();
        assert_eq!(run(&mut after, &PassOptions::default()).unwrap(), Changed::Yes);
        assert_eq!(
            ops(&after),
            ["input", "conv2d", "global_avg_pool", "conv2d", "output"]
        );
        evaluate_equal(&before, &after, 1).unwrap();
        assert!(after.verify().is_ok());
    }
}
