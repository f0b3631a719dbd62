//! Removes nodes that change nothing, and merges those that do one thing in two steps.
//!
//! Gates: one on a value that is never negative needs no lower sign, and one on a value that never
//! passes the limit no upper sign (which undoes ReLU of ReLU, ReLU behind clip, and those with pools
//! between them); a clip takes in the ReLU or clip right before it.
//! Local operators: pools and slices that keep everything, pads of nothing, slices of slices,
//! concatenations of one, shuffles of single pixels. And nodes that compute the same from the same operands become one.
//!
//! `add %1 %1` stays: adding shares is free, a factor of two would be a secret weight.

use trefoil_ir::nn::op::class::{Mean, Move, PerChannel};
use trefoil_ir::nn::op::{Affine, AvgPool, GlobalAvgPool, Pad, Resize, Slice};
use trefoil_ir::nn::{Class, Gate, Graph, NodeId, Op};
use trefoil_ir::{Axis, Patch, Shape, Window};

use super::bounds::{Bounds, bounds};
use super::rewrite::{bypass, only_user, put, sweep};
use super::{Changed, PassError, PassOptions};

pub(super) fn run(graph: &mut Graph, _: &PassOptions) -> Result<Changed, PassError> {
    let mut changed = Changed::No;
    loop {
        let mut round = sweep(graph, local)?;
        round = round.or(sweep(graph, duplicate)?);
        round = round.or(gates(graph)?);
        if round == Changed::No {
            return Ok(changed);
        }
        changed = Changed::Yes;
    }
}

/// Operators that need only their operand to be judged.
fn local(graph: &mut Graph, id: NodeId) -> Result<bool, PassError> {
    let Some(&operand) = graph.inputs(id).first() else {
        return Ok(false);
    };
    let shape = graph.node(operand).shape;
    if keeps_everything(graph, id, shape) {
        bypass(graph, id);
        return Ok(true);
    }
    Ok(merge_slices(graph, id)?
        || merge_pads(graph, id)?
        || pool_to_slices(graph, id)?
        || pool_of_everything(graph, id)?)
}

/// Whether the node's value is its operand's, whose shape is given. Gates are judged by
/// [bounds](gates).
fn keeps_everything(graph: &Graph, id: NodeId, shape: Shape) -> bool {
    match graph.node(id).op.class() {
        Class::Move(Move::Concat) => graph.inputs(id).len() == 1,
        Class::Move(Move::Flatten) => shape.plane() == 1,
        Class::Move(Move::Pad(op)) => op.before == [0; 3] && op.after == [0; 3],
        Class::Move(Move::Slice(op)) => op.count == op.axis.size(shape),
        Class::Move(Move::Shuffle(op)) => op.block == 1,
        Class::Max(window) => *window == Window::dense([1, 1]),
        Class::Mean(mean) => mean.window(shape) == Window::dense([1, 1]),
        Class::Resize(op) => copies(op, shape),
        Class::PerChannel(PerChannel::Affine(op)) => is_identity(op),
        Class::PerChannel(PerChannel::BatchNorm(_))
        | Class::Input
        | Class::Linear(_)
        | Class::Gate(_)
        | Class::Add
        | Class::Output(_) => false,
    }
}

fn is_identity(op: &Affine) -> bool {
    op.scale.values().iter().all(|s| *s == 1.0) && op.bias.values().iter().all(|b| *b == 0.0)
}

/// Whether every output pixel of a resize is the input pixel at its place.
fn copies(op: &Resize, map: Shape) -> bool {
    copies_axis(op, 0, map.h) && copies_axis(op, 1, map.w)
}

fn copies_axis(op: &Resize, axis: usize, size: usize) -> bool {
    // Before anything is listed: the size is the file's.
    if op.size[axis] != size {
        return false;
    }
    let taps = op.taps(axis, size);
    let mut pixels = taps.iter().enumerate();
    pixels.all(|(at, taps)| matches!(taps[..], [tap] if tap.index == at && tap.weight == 1.0))
}

/// A slice of a slice of the same axis.
fn merge_slices(graph: &mut Graph, id: NodeId) -> Result<bool, PassError> {
    let before = graph.inputs(id)[0];
    let (Op::Slice(outer), Op::Slice(inner)) = (&graph.node(id).op, &graph.node(before).op) else {
        return Ok(false);
    };
    if outer.axis != inner.axis {
        return Ok(false);
    }
    let merged = Slice {
        axis: inner.axis,
        start: inner.start + outer.start * inner.step,
        step: inner.step * outer.step,
        count: outer.count,
    };
    replace_over(graph, id, before, merged)
}

/// A pad of a pad.
fn merge_pads(graph: &mut Graph, id: NodeId) -> Result<bool, PassError> {
    let before = graph.inputs(id)[0];
    let (Op::Pad(outer), Op::Pad(inner)) = (&graph.node(id).op, &graph.node(before).op) else {
        return Ok(false);
    };
    let merged = Pad {
        before: [0, 1, 2].map(|i| outer.before[i] + inner.before[i]),
        after: [0, 1, 2].map(|i| outer.after[i] + inner.after[i]),
    };
    replace_over(graph, id, before, merged)
}

/// Makes `id` the operator `op` on the operand of its own operand `before`, which goes if nothing
/// else uses it.
fn replace_over(graph: &mut Graph, id: NodeId, before: NodeId, op: impl Into<Op>) -> Result<bool, PassError> {
    let source = graph.inputs(before);
    graph.replace(id, op, &source)?;
    if graph.users(before).is_empty() {
        graph.remove(before);
    }
    Ok(true)
}

/// A pool over windows of one pixel only picks rows and columns (the shortcuts of some ResNets).
fn pool_to_slices(graph: &mut Graph, id: NodeId) -> Result<bool, PassError> {
    let window = match graph.node(id).op.class() {
        Class::Max(window) => window,
        Class::Mean(Mean::Windows(op)) => &op.window,
        Class::Mean(Mean::Map)
        | Class::Input
        | Class::Linear(_)
        | Class::PerChannel(_)
        | Class::Gate(_)
        | Class::Add
        | Class::Move(_)
        | Class::Resize(_)
        | Class::Output(_) => return Ok(false),
    };
    if window.kernel != [1, 1] || window.pads != [0; 4] {
        return Ok(false);
    }
    let [down, across] = window.stride;
    let node = graph.node(id);
    let rows = every(down, Axis::H, node.shape);
    let columns = every(across, Axis::W, node.shape);
    let origin = node.origin.clone();
    let rows = graph.add(rows, &graph.inputs(id), origin)?;
    graph.replace(id, columns, &[rows])?;
    Ok(true)
}

/// Every `step`-th index of an axis, as many as a result of this shape has.
fn every(step: usize, axis: Axis, result: Shape) -> Slice {
    Slice {
        axis,
        start: 0,
        step,
        count: axis.size(result),
    }
}

/// An average over one window that is the whole map.
fn pool_of_everything(graph: &mut Graph, id: NodeId) -> Result<bool, PassError> {
    let Op::AvgPool(op) = &graph.node(id).op else {
        return Ok(false);
    };
    let operand = graph.inputs(id)[0];
    let map = graph.node(operand).shape;
    if graph.node(id).shape.plane() != 1 || !covers(op, map) {
        return Ok(false);
    }
    graph.replace(id, GlobalAvgPool, &[operand])?;
    Ok(true)
}

fn covers(op: &AvgPool, map: Shape) -> bool {
    reads_all(&op.window, 0, map.h)
        && reads_all(&op.window, 1, map.w)
        && op.divisors(map, [1, 1]) == [map.plane()]
}

/// Whether the first window reads a whole axis of this size.
fn reads_all(window: &Window, axis: usize, size: usize) -> bool {
    let taps = 0..window.kernel[axis];
    let read = taps.filter(|&tap| window.source(axis, 0, tap, size).is_some());
    read.count() == size
}

/// A node that computes what a node before it computes already.
fn duplicate(graph: &mut Graph, id: NodeId) -> Result<bool, PassError> {
    let inputs = graph.inputs(id);
    let Some(&operand) = inputs.first() else {
        return Ok(false);
    };
    // Twins stand close together; the limit keeps a value with very many users cheap.
    let twin = graph.users(operand).into_iter().take(64).find(|&other| {
        other < id && graph.node(other).op == graph.node(id).op && graph.inputs(other) == inputs
    });
    let Some(twin) = twin.filter(|_| !matches!(graph.node(id).op, Op::Output(_))) else {
        return Ok(false);
    };
    graph.replace_uses(id, twin);
    graph.remove(id);
    Ok(true)
}

/// One round over the gates. No rule adds a node or changes the value of one that stays, so the
/// bounds hold meanwhile.
fn gates(graph: &mut Graph) -> Result<Changed, PassError> {
    let bounds = bounds(graph);
    let mut changed = false;
    for id in graph.order() {
        changed |= gate(graph, id, &bounds)?;
    }
    Ok(Changed::when(changed))
}

fn gate(graph: &mut Graph, id: NodeId, bounds: &[Bounds]) -> Result<bool, PassError> {
    let Some(mut gate) = gate_from_zero(graph, id) else {
        return Ok(false);
    };
    let operand = graph.inputs(id)[0];
    let before = gate_from_zero(graph, operand);
    if only_user(graph, operand).is_some() && before.as_ref().is_some_and(|b| does_its_work(&gate, b)) {
        bypass(graph, operand);
        return Ok(true);
    }
    let bounds = bounds[operand.index()];
    if bounds.non_negative {
        // A patch's sum is positive unless all its pixels are zero, and those stay zero.
        gate.lower = vec![Patch::Identity; gate.lower.len()];
    }
    if let (Some(most), Some((high, _))) = (bounds.at_most, &gate.upper)
        && most <= *high
    {
        gate = gate.without_upper();
    }
    if gate.clone().into_op().as_ref() == Some(&graph.node(id).op) {
        return Ok(false);
    }
    put(graph, id, gate)?;
    Ok(true)
}

/// The gate that a node is. Those with another lower limit are there only while values are measured.
fn gate_from_zero(graph: &Graph, id: NodeId) -> Option<Gate> {
    Gate::of(graph.node(id)).filter(|gate| gate.low == 0.0)
}

/// Whether `clip` makes the pixelwise gate right before it superfluous.
fn does_its_work(clip: &Gate, before: &Gate) -> bool {
    let Some((high, _)) = &clip.upper else {
        return false;
    };
    let lets_more_through = before.upper.as_ref().is_none_or(|(limit, _)| limit > high);
    clip.is_pixelwise() && before.is_pixelwise() && lets_more_through
}

#[cfg(test)]
mod tests {
    use trefoil_ir::geometry::{Coordinates, ResizeMode, ShuffleMode};
    use trefoil_ir::nn::op::{Clip, Shuffle};

    use super::*;
    use crate::pass::testing::{Net, evaluate_equal, ops};

    /// Runs the pass on the net with output `x` and returns the operators between input and output.
    fn left(net: Net, x: NodeId) -> Vec<&'static str> {
        let before = net.finish(x);
        let mut after = before.clone();
        run(&mut after, &PassOptions::default()).unwrap();
        evaluate_equal(&before, &after, 7).unwrap();
        assert!(after.clone().compacted().verify().is_ok());
        let names = ops(&after);
        names[1..names.len() - 1].to_vec()
    }

    fn start(c: usize, h: usize, w: usize) -> (Net, NodeId) {
        let mut net = Net::new(5);
        let x = net.input(Shape::new(c, h, w));
        (net, x)
    }

    #[test]
    fn relu_behind_what_is_never_negative_goes() {
        let (mut net, x) = start(2, 4, 4);
        let a = net.relu(x);
        let b = net.max_pool(a, Window::dense([2, 2]));
        let c = net.relu(b);
        let d = net.block(c, vec![Patch::Block { h: 2, w: 2 }; 2]);
        assert_eq!(left(net, d), ["relu", "max_pool"]);
    }

    #[test]
    fn relu_behind_a_block_relu_stays() {
        let (mut net, x) = start(2, 4, 4);
        let a = net.block(x, vec![Patch::Block { h: 2, w: 2 }; 2]);
        let b = net.relu(a);
        assert_eq!(left(net, b), ["block_relu", "relu"]);
    }

    #[test]
    fn a_clip_takes_in_the_gate_before_it() {
        let (mut net, x) = start(2, 4, 4);
        let a = net.relu(x);
        let b = net.clip(a, 0.5);
        assert_eq!(left(net, b), ["clip"]);
        for (first, second) in [(0.4, 0.7), (0.7, 0.4)] {
            let (mut net, x) = start(2, 4, 4);
            let a = net.clip(x, first);
            let b = net.clip(a, second);
            assert_eq!(left(net, b), ["clip"], "{first} {second}");
        }
    }

    #[test]
    fn a_clip_leaves_a_block_relu_before_it_alone() {
        let (mut net, x) = start(2, 4, 4);
        let a = net.block(x, vec![Patch::Block { h: 2, w: 4 }; 2]);
        let b = net.clip(a, 0.5);
        assert_eq!(left(net, b), ["block_relu", "clip"]);
    }

    #[test]
    fn a_clip_of_a_relu_with_other_users_needs_one_sign() {
        let (mut net, x) = start(2, 4, 4);
        let a = net.relu(x);
        let b = net.clip(a, 0.5);
        let c = net.add(a, b);
        let mut graph = net.finish(c);
        run(&mut graph, &PassOptions::default()).unwrap();
        let clip = crate::pass::testing::find(&graph, |op| matches!(op, Op::Clip(_)));
        let Op::Clip(Clip { lower, upper, .. }) = &graph.node(clip).op else {
            unreachable!()
        };
        assert_eq!((lower[0], upper[0]), (Patch::Identity, Patch::PIXEL));
    }

    #[test]
    fn what_keeps_everything_goes() {
        let (mut net, x) = start(2, 3, 4);
        let a = net.max_pool(x, Window::dense([1, 1]));
        let b = net.concat(&[a]);
        let c = net.pad(b, [0; 3], [0; 3]);
        let d = net.slice(
            c,
            Slice {
                axis: Axis::W,
                start: 0,
                step: 1,
                count: 4,
            },
        );
        let resize = Resize {
            size: [3, 4],
            scales: [1.0, 1.0],
            mode: ResizeMode::Bilinear,
            coordinates: Coordinates::HalfPixel,
        };
        let e = net.op(resize, &[d]);
        let mode = ShuffleMode::ToDepth;
        let f = net.op(Shuffle { block: 1, mode }, &[e]);
        let g = net.block(f, vec![Patch::Identity; 2]);
        let h = net.relu(g);
        let i = net.global_avg_pool(h);
        let j = net.flatten(i);
        assert_eq!(left(net, j), ["relu", "global_avg_pool"]);
    }

    #[test]
    fn steps_of_one_kind_merge() {
        let (mut net, x) = start(1, 7, 9);
        let rows = |start, step, count| Slice {
            axis: Axis::H,
            start,
            step,
            count,
        };
        let a = net.slice(x, rows(1, 2, 3));
        let b = net.slice(a, rows(1, 1, 2));
        let c = net.pad(b, [0, 1, 2], [1, 0, 0]);
        let d = net.pad(c, [1, 1, 0], [0, 0, 3]);
        assert_eq!(left(net, d), ["slice", "pad"]);
    }

    #[test]
    fn pools_take_their_simplest_form() {
        let (mut net, x) = start(2, 5, 4);
        let strided = Window {
            stride: [2, 3],
            ..Window::dense([1, 1])
        };
        let a = net.max_pool(x, strided);
        let b = net.avg_pool(a, Window::dense([3, 2]), false);
        assert_eq!(left(net, b), ["slice", "slice", "global_avg_pool"]);

        let (mut net, x) = start(2, 5, 4);
        let mut padded = Window::dense([6, 4]);
        padded.pads = [1, 0, 0, 0];
        let counted = net.avg_pool(x, padded.clone(), true);
        let not = net.avg_pool(x, padded, false);
        let both = net.add(counted, not);
        assert_eq!(left(net, both), ["avg_pool", "global_avg_pool", "add"]);
    }

    #[test]
    fn long_chains_take_neither_the_stack_nor_the_day() {
        let (mut net, mut x) = start(1, 2, 2);
        for _ in 0..700 {
            x = net.relu(x);
            x = net.add(x, x);
        }
        let mut graph = net.finish(x);
        run(&mut graph, &PassOptions::default()).unwrap();
        assert_eq!(ops(&graph).iter().filter(|op| **op == "relu").count(), 1);
    }

    #[test]
    fn twins_become_one_and_strangers_do_not() {
        let (mut net, x) = start(2, 4, 4);
        let (a, b) = (net.relu(x), net.relu(x));
        let (c, d) = (net.conv(a, 2, 3), net.conv(b, 2, 3));
        let e = net.add(c, d);
        assert_eq!(left(net, e), ["relu", "conv2d", "conv2d", "add"]);
    }
}
