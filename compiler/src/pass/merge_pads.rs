//! Pads of rows and columns join the window behind them.
//!
//! A convolution takes any: padding with zeros is what its own padding means. An average takes one
//! where every window keeps its divisor. A max-pool's padding is never the maximum, so that it takes
//! zeros only on a value that is never negative, behind a ReLU: there each window holds a pixel that
//! is at least zero. Pads of channels stay.

use trefoil_ir::nn::op::class::{Layer, Mean};
use trefoil_ir::nn::op::{AvgPool, Conv2d, MaxPool, Pad};
use trefoil_ir::nn::{Class, Graph, NodeId, Op};
use trefoil_ir::{Shape, Window};

use super::bounds::{Bounds, bounds};
use super::{Changed, PassError, PassOptions};

pub(super) fn run(graph: &mut Graph, _: &PassOptions) -> Result<Changed, PassError> {
    let bounds = bounds(graph);
    let mut changed = Changed::No;
    for id in graph.order() {
        if let Some((op, source)) = merged(graph, id, &bounds) {
            let pad = graph.inputs(id)[0];
            graph.replace(id, op, &[source])?;
            if graph.users(pad).is_empty() {
                graph.remove(pad);
            }
            changed = Changed::Yes;
        }
    }
    Ok(changed)
}

/// The operator that node `id` becomes on the operand of the pad before it.
fn merged(graph: &Graph, id: NodeId, bounds: &[Bounds]) -> Option<(Op, NodeId)> {
    let &[before] = graph.inputs(id).as_slice() else {
        return None;
    };
    let Op::Pad(pad) = &graph.node(before).op else {
        return None;
    };
    let source = graph.inputs(before)[0];
    let map = graph.node(source).shape;
    let op = match graph.node(id).op.class() {
        Class::Linear(layer) => convolved(layer, pad)?.into(),
        Class::Mean(Mean::Windows(op)) => averaged(op, pad, map)?.into(),
        Class::Max(window) if bounds[source.index()].non_negative => Op::from(MaxPool {
            window: widened(window, pad)?,
        }),
        // A mean of the whole map would divide by the pad's pixels, too, and no window says so.
        Class::Mean(Mean::Map) | Class::Max(_) => return None,
        Class::Input
        | Class::PerChannel(_)
        | Class::Gate(_)
        | Class::Add
        | Class::Move(_)
        | Class::Resize(_)
        | Class::Output(_) => return None,
    };
    // A window that would lie in the padding altogether is refused here.
    let fits = op.infer(&[map]).is_ok_and(|shape| shape == graph.node(id).shape);
    fits.then_some((op, source))
}

/// The convolution that pads by itself. (A fully connected layer has no pad before it that could join:
/// its map is one pixel.)
fn convolved(layer: Layer<'_>, pad: &Pad) -> Option<Conv2d> {
    let is_map = layer.weight.dims().len() == 4;
    is_map.then_some(())?;
    Some(Conv2d {
        window: widened(&layer.window, pad)?,
        weight: layer.weight.clone(),
        bias: layer.bias.cloned(),
        groups: layer.groups,
    })
}

/// The window with the pad's rows and columns, unless the pad has channels or one side would reach
/// the window's extent.
fn widened(window: &Window, pad: &Pad) -> Option<Window> {
    if pad.before[0] + pad.after[0] > 0 {
        return None;
    }
    let added = [pad.before[1], pad.before[2], pad.after[1], pad.after[2]];
    let pads = [0, 1, 2, 3].map(|side| window.pads[side] + added[side]);
    let extent = window.extent();
    let inside = (0..4).all(|side| pads[side] < extent[side % 2]);
    inside.then(|| Window {
        pads,
        ..window.clone()
    })
}

/// The average with the pad counted in its divisors, if they stay what they were.
fn averaged(op: &AvgPool, pad: &Pad, map: Shape) -> Option<AvgPool> {
    let merged = AvgPool {
        window: widened(&op.window, pad)?,
        include_pad: true,
        overhang: op.overhang,
    };
    let padded = pad.output(map)?;
    let out = op.window.output(padded.h, padded.w).ok()?;
    (merged.divisors(map, out) == op.divisors(padded, out)).then_some(merged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pass::testing::{Net, evaluate_equal, ops};

    fn left(net: Net, y: NodeId) -> Vec<&'static str> {
        let before = net.finish(y);
        let mut after = before.clone();
        run(&mut after, &PassOptions::default()).unwrap();
        evaluate_equal(&before, &after, 3).unwrap();
        let names = ops(&after);
        names[1..names.len() - 1].to_vec()
    }

    fn padded(before: [usize; 3], after: [usize; 3]) -> (Net, NodeId) {
        let mut net = Net::new(6);
        let x = net.input(Shape::new(2, 6, 7));
        let y = net.pad(x, before, after);
        (net, y)
    }

    #[test]
    fn a_convolution_takes_rows_and_columns_but_no_channels() {
        let (mut net, x) = padded([0, 1, 0], [0, 1, 2]);
        let y = net.bare_conv(x, 3, 3);
        assert_eq!(left(net, y), ["conv2d"]);
        let (mut net, x) = padded([1, 1, 0], [0, 1, 2]);
        let y = net.bare_conv(x, 3, 3);
        assert_eq!(left(net, y), ["pad", "conv2d"]);
    }

    #[test]
    fn a_pad_with_another_user_stays_for_it() {
        let (mut net, x) = padded([0, 1, 1], [0, 1, 1]);
        let a = net.conv(x, 2, 3);
        let b = net.add(a, x);
        assert_eq!(left(net, b), ["pad", "conv2d", "add"]);
    }

    #[test]
    fn pads_that_reach_the_extent_stay() {
        let (mut net, x) = padded([0, 3, 3], [0, 3, 3]);
        let y = net.bare_conv(x, 3, 3);
        assert_eq!(left(net, y), ["pad", "conv2d"]);
    }

    #[test]
    fn averages_keep_their_divisors() {
        let mut own = Window::dense([3, 3]);
        own.pads = [1; 4];
        for (window, include_pad, expected) in [
            (Window::dense([3, 3]), false, vec!["avg_pool"]),
            (own.clone(), true, vec!["avg_pool"]),
            (own, false, vec!["pad", "avg_pool"]),
        ] {
            let (mut net, x) = padded([0, 1, 1], [0, 1, 0]);
            let y = net.avg_pool(x, window, include_pad);
            assert_eq!(left(net, y), expected);
        }
    }

    #[test]
    fn a_max_pool_takes_zeros_only_behind_a_relu() {
        let (mut net, x) = padded([0, 1, 1], [0, 1, 1]);
        let y = net.max_pool(x, Window::dense([3, 3]));
        assert_eq!(left(net, y), ["pad", "max_pool"]);

        let mut net = Net::new(6);
        let x = net.input(Shape::new(2, 6, 7));
        let a = net.relu(x);
        let b = net.pad(a, [0, 1, 1], [0, 1, 1]);
        let y = net.max_pool(b, Window::dense([3, 3]));
        assert_eq!(left(net, y), ["relu", "max_pool"]);
    }
}
