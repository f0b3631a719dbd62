//! Bounds of values that hold whatever the image.

use trefoil_ir::geometry::all_pixels;
use trefoil_ir::nn::{Class, Gate, Graph, NodeId};

/// What is proved of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Bounds {
    /// It is never negative.
    pub(super) non_negative: bool,
    /// It never passes this positive number.
    pub(super) at_most: Option<f32>,
}

impl Bounds {
    /// What holds if both do, of one value or the other.
    fn either(self, other: Self) -> Self {
        Self {
            non_negative: self.non_negative && other.non_negative,
            at_most: self.at_most.zip(other.at_most).map(|(a, b)| a.max(b)),
        }
    }
}

/// The bounds of every node, by index.
pub(super) fn bounds(graph: &Graph) -> Vec<Bounds> {
    let mut table = vec![Bounds::default(); graph.id_bound()];
    for id in graph.order() {
        table[id.index()] = bounds_of(graph, id, &table);
    }
    table
}

fn bounds_of(graph: &Graph, id: NodeId, table: &[Bounds]) -> Bounds {
    let operands = graph.inputs(id).into_iter().map(|i| table[i.index()]);
    let Some(operands) = operands.reduce(Bounds::either) else {
        return Bounds::default();
    };
    let node = graph.node(id);
    match node.op.class() {
        Class::Gate(_) => Gate::of(node).map_or(operands, |g| gated(&g, operands)),
        // Maxima, means and choices of pixels; the zeros of a pad lie within both bounds.
        Class::Max(_) | Class::Mean(_) | Class::Move(_) | Class::Resize(_) | Class::Output(_) => operands,
        Class::Add => Bounds {
            at_most: None,
            ..operands
        },
        Class::Input | Class::Linear(_) | Class::PerChannel(_) => Bounds::default(),
    }
}

/// Bounds behind a gate. A lower sign of each pixel's own lets nothing negative through (b0 = 0 and
/// b1 = 1 give high - x > 0), and any gate keeps what is non-negative so. An upper sign of each
/// pixel's own lets nothing above `high` through, but shared ones promise nothing.
fn gated(gate: &Gate, operand: Bounds) -> Bounds {
    if gate.low != 0.0 {
        return Bounds {
            // x and both limits are positive, and shared signs choose among sums of them.
            non_negative: gate.low > 0.0 && all_pixels(&gate.lower),
            at_most: None,
        };
    }
    let at_most = match &gate.upper {
        None => operand.at_most,
        Some((high, patches)) if all_pixels(patches) => Some(*high),
        Some(_) => None,
    };
    Bounds {
        non_negative: operand.non_negative || all_pixels(&gate.lower),
        at_most,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use trefoil_ir::nn::eval;
    use trefoil_ir::{Patch, Shape};

    use super::*;
    use crate::pass::testing::{Net, Rng, config, random_graph};

    #[test]
    fn bounds_follow_the_values() {
        let mut net = Net::new(1);
        let x = net.input(Shape::new(2, 4, 4));
        let relu = net.relu(x);
        let block = net.block(x, vec![Patch::PIXEL, Patch::Block { h: 2, w: 2 }]);
        let clip = net.clip(x, 0.5);
        let joined = net.concat(&[relu, clip]);
        let both = net.add(relu, clip);
        let both = net.concat(&[both, joined, block]);
        let table = bounds(&net.finish(both));
        let of = |id: NodeId| (table[id.index()].non_negative, table[id.index()].at_most);
        assert_eq!(
            [x, relu, block, clip, joined, both].map(of),
            [
                (false, None),
                (true, None),
                (false, None),
                (true, Some(0.5)),
                (true, None),
                (false, None)
            ]
        );
    }

    proptest! {
        #![proptest_config(config(200))]

        #[test]
        fn no_value_breaks_its_bounds(seed in any::<u64>()) {
            let graph = random_graph(seed);
            let table = bounds(&graph);
            let image = Rng::new(seed).image(graph.node(graph.input().unwrap()).shape);
            eval::run_with(&graph, &image, |id, value| {
                for &v in value.values() {
                    let Bounds { non_negative, at_most } = table[id.index()];
                    assert!(!non_negative || v >= 0.0, "{id}: {v}");
                    assert!(at_most.is_none_or(|most| v <= most * (1.0 + 1e-6)), "{id}: {v}");
                }
            })
            .unwrap();
        }
    }
}
