//! What the client runs in the clear of what it learns: the operators in front of its logits, and the
//! tail behind them.
//!
//! Behind the last secret value may stand operators without weights. The client runs them itself if
//! what goes into them follows from what comes out: a change of shape, a shuffle, and an
//! interpolation from which the smaller map could be computed back. A pool or a slice never: its operand
//! tells more. Behind these are the logits, and logits are what a client is promised, whatever the
//! network's own tail makes of them.

use trefoil_ir::Shape;
use trefoil_ir::geometry::Tap;
use trefoil_ir::nn::op::Resize;
use trefoil_ir::nn::op::class::Move;
use trefoil_ir::nn::{Class, Graph, NodeId, Op};
use trefoil_ir::tail::Tail;

/// The end of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    /// The node whose value the client learns.
    pub revealed: NodeId,
    /// What the client computes of it, in order, up to the logits.
    pub linear: Vec<Op>,
    /// What the network makes of its logits.
    pub tail: Tail,
}

/// Splits the longest possible end off a verified graph.
///
/// # Panics
/// If the graph has no output, which the verifier excludes.
pub fn split_off(graph: &Graph) -> End {
    let output = graph.output().expect("a verified graph has one output");
    let mut revealed = graph.inputs(output)[0];
    let mut linear = Vec::new();
    while belongs_to_end(graph, revealed) {
        linear.push(graph.node(revealed).op.clone());
        revealed = graph.inputs(revealed)[0];
    }
    linear.reverse();
    End {
        revealed,
        linear,
        tail: graph.tail().expect("a verified graph has one output").clone(),
    }
}

/// Every node behind this one is in the end already, so it has no user beside them.
fn belongs_to_end(graph: &Graph, id: NodeId) -> bool {
    match graph.node(id).op.class() {
        Class::Move(Move::Flatten | Move::Shuffle(_)) => true,
        Class::Resize(op) => can_be_undone(op, graph.node(graph.inputs(id)[0]).shape),
        Class::Move(Move::Concat | Move::Slice(_) | Move::Pad(_))
        | Class::Input
        | Class::Linear(_)
        | Class::PerChannel(_)
        | Class::Gate(_)
        | Class::Max(_)
        | Class::Mean(_)
        | Class::Add
        | Class::Output(_) => false,
    }
}

/// Whether the input follows from the interpolated map.
fn can_be_undone(resize: &Resize, input: Shape) -> bool {
    determines_all(&resize.taps(0, input.h), input.h) && determines_all(&resize.taps(1, input.w), input.w)
}

/// Whether the interpolated points of one axis determine all of its `size` values. Interpolation
/// is by hat functions, for which Schoenberg and Whitney say: it has full rank if and only if
/// ascending points can be picked, one for each value, each of which that value contributes to.
fn determines_all(points: &[Vec<Tap>], size: usize) -> bool {
    let mut distinct: Vec<&Vec<Tap>> = points.iter().collect();
    distinct.dedup();
    let mut next = 0;
    for taps in distinct {
        let contributes = taps.iter().any(|tap| tap.index == next && tap.weight > 0.0);
        next += usize::from(next < size && contributes);
    }
    next == size
}

#[cfg(test)]
mod tests {
    use super::*;
    use trefoil_ir::geometry::{Coordinates, ResizeMode};

    fn undone(from: [usize; 2], to: [usize; 2], mode: ResizeMode, coordinates: Coordinates) -> bool {
        let scales = [0, 1].map(|i| to[i] as f32 / from[i] as f32);
        let resize = Resize {
            size: to,
            scales,
            mode,
            coordinates,
        };
        can_be_undone(&resize, Shape::new(1, from[0], from[1]))
    }

    #[test]
    fn enlarging_keeps_everything_and_shrinking_does_not() {
        for coordinates in [
            Coordinates::HalfPixel,
            Coordinates::AlignCorners,
            Coordinates::Asymmetric,
        ] {
            for mode in [ResizeMode::Bilinear, ResizeMode::NearestFloor] {
                assert!(
                    undone([3, 5], [7, 10], mode, coordinates),
                    "{mode:?} {coordinates:?}"
                );
                assert!(
                    !undone([5, 5], [7, 4], mode, coordinates),
                    "{mode:?} {coordinates:?}"
                );
            }
        }
        assert!(undone(
            [4, 4],
            [4, 4],
            ResizeMode::Bilinear,
            Coordinates::HalfPixel
        ));
    }

    #[test]
    fn an_enlargement_that_crops_is_no_tail() {
        let mut resize = Resize {
            size: [8, 8],
            scales: [2.0, 2.0],
            mode: ResizeMode::Bilinear,
            coordinates: Coordinates::Asymmetric,
        };
        assert!(can_be_undone(&resize, Shape::new(1, 4, 4)));
        resize.scales = [4.0, 4.0];
        assert!(!can_be_undone(&resize, Shape::new(1, 4, 4)));
    }
}
