//! Takes clips for ReLUs: half the signs, for models that are fine-tuned to it.
//!
//! The first pass, so that an assignment sees ReLUs only. It changes what the network computes
//! wherever a value passes the upper limit, and runs only if asked.

use trefoil_ir::nn::{Gate, Graph};

use super::{Changed, PassError, PassOptions, rewrite};

pub(super) fn run(graph: &mut Graph, options: &PassOptions) -> Result<Changed, PassError> {
    if !options.relu6_as_relu {
        return Ok(Changed::No);
    }
    rewrite::sweep(graph, |graph, id| {
        let Some(gate) = Gate::of(graph.node(id)).filter(|g| g.upper.is_some()) else {
            return Ok(false);
        };
        rewrite::put(graph, id, gate.without_upper())?;
        Ok(true)
    })
}

#[cfg(test)]
mod tests {
    use trefoil_ir::Shape;
    use trefoil_ir::nn::Op;

    use super::*;
    use crate::pass::testing::{Net, find};

    #[test]
    fn clips_lose_their_upper_sign_only_if_asked() {
        let mut net = Net::new(1);
        let x = net.input(Shape::new(2, 3, 3));
        let y = net.clip(x, 0.5);
        let mut graph = net.finish(y);
        assert_eq!(run(&mut graph, &PassOptions::default()).unwrap(), Changed::No);
        let options = PassOptions {
            relu6_as_relu: true,
            ..PassOptions::default()
        };
        assert_eq!(run(&mut graph, &options).unwrap(), Changed::Yes);
        let relu = find(&graph, |op| matches!(op, Op::Relu(_)));
        assert_eq!(graph.node(relu).origin.name, "clip1");
    }
}
