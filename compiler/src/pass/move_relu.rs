//! Moves gates behind the max-pool that alone uses them: there are fewer pixels there.
//!
//! A sign per pixel commutes with a maximum, since both are monotone, and so does the identity; a
//! sign that pixels share does not. A layer with both is split: the channels with larger patches
//! are gated before the pool, under the layer's name with "/blocks" behind it, and the others
//! behind the pool, under the layer's own name. A max-pool of a concatenation goes before it where
//! that lets a gate move.
//!
//! DReLUs are still counted on the imported map: see [`count`](crate::patches::count).

use trefoil_ir::Patch;
use trefoil_ir::nn::op::Concat;
use trefoil_ir::nn::op::class::Move;
use trefoil_ir::nn::{Class, Gate, Graph, NodeId, Op, Origin};

use super::rewrite::{only_user, put, sweep};
use super::{Changed, PassError, PassOptions};
use crate::patches::count::{BLOCKS_SUFFIX, counted_map};

pub(super) fn run(graph: &mut Graph, _: &PassOptions) -> Result<Changed, PassError> {
    sweep(graph, |graph, id| {
        Ok(move_before_concat(graph, id)? || swap(graph, id)?)
    })
}

/// A max-pool of a concatenation of gates becomes a concatenation of max-pools.
fn move_before_concat(graph: &mut Graph, pool: NodeId) -> Result<bool, PassError> {
    let Op::MaxPool(op) = graph.node(pool).op.clone() else {
        return Ok(false);
    };
    let concat = graph.inputs(pool)[0];
    let operands = graph.inputs(concat);
    let worthwhile = matches!(graph.node(concat).op.class(), Class::Move(Move::Concat))
        && only_user(graph, concat).is_some()
        && operands.iter().any(|&gate| movable(graph, gate).is_some());
    if !worthwhile {
        return Ok(false);
    }
    let origin = graph.node(pool).origin.clone();
    let mut pools = Vec::with_capacity(operands.len());
    for operand in operands {
        pools.push(graph.add(op.clone(), &[operand], origin.clone())?);
    }
    graph.node_mut(pool).origin = graph.node(concat).origin.clone();
    graph.replace(pool, Concat, &pools)?;
    graph.remove(concat);
    Ok(true)
}

/// Puts what can move of the gate before a max-pool behind it.
fn swap(graph: &mut Graph, pool: NodeId) -> Result<bool, PassError> {
    if !matches!(graph.node(pool).op.class(), Class::Max(_)) {
        return Ok(false);
    }
    let gate = graph.inputs(pool)[0];
    let Some(Split { before, behind }) = movable(graph, gate) else {
        return Ok(false);
    };
    let node = graph.node(gate);
    let origin = Origin {
        name: node.origin.name.clone(),
        counted_on: Some(counted_map(node)),
    };
    graph.node_mut(gate).origin.name.push_str(BLOCKS_SUFFIX);
    put(graph, gate, before)?;
    graph.node_mut(pool).range = None;
    if let Some(op) = behind.into_op() {
        let moved = graph.add(op, &[pool], origin)?;
        graph.replace_uses(pool, moved);
    }
    Ok(true)
}

/// A gate in two: what must stay before a max-pool and what may go behind it.
struct Split {
    before: Gate,
    behind: Gate,
}

/// How the gate splits, if its value has one user and something of it can move.
fn movable(graph: &Graph, id: NodeId) -> Option<Split> {
    let node = graph.node(id);
    let gate = Gate::of(node)?;
    only_user(graph, id)?;
    let mut split = Split {
        before: gate.clone(),
        behind: gate,
    };
    for c in 0..node.shape.c {
        let moves = split
            .before
            .channel(c)
            .all(|p| p.is_pixel() || p == Patch::Identity);
        let cleared = if moves {
            &mut split.before
        } else {
            &mut split.behind
        };
        cleared.clear(c);
    }
    let something_moves = split.behind.clone().into_op().is_some();
    let second_name = format!("{}{BLOCKS_SUFFIX}", node.origin.name);
    let is_free = graph
        .ids()
        .iter()
        .all(|&other| graph.node(other).origin.name != second_name);
    (something_moves && is_free).then_some(split)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use trefoil_ir::nn::op::Clip;
    use trefoil_ir::{Shape, Window};

    use super::*;
    use crate::pass::testing::{Net, config, evaluate_equal, ops};
    use crate::patches::count::count;

    fn pool() -> Window {
        Window {
            kernel: [3, 3],
            stride: [2, 2],
            dilation: [1, 1],
            pads: [1, 1, 0, 0],
        }
    }

    /// Runs the pass; returns graphs before and after.
    fn moved(net: Net, y: NodeId) -> (Graph, Graph) {
        let before = net.finish(y);
        let mut after = before.clone();
        run(&mut after, &PassOptions::default()).unwrap();
        evaluate_equal(&before, &after, 9).unwrap();
        let after = after.compacted().verify().unwrap().into_inner();
        (before, after)
    }

    #[test]
    fn relus_and_clips_go_behind_the_pools() {
        let mut net = Net::new(8);
        let x = net.input(Shape::new(2, 16, 16));
        let a = net.clip(x, 0.8);
        let b = net.max_pool(a, pool());
        let c = net.max_pool(b, pool());
        let (before, after) = moved(net, c);
        assert_eq!(ops(&after), ["input", "max_pool", "max_pool", "clip", "output"]);
        let counts = count(&before, &after);
        assert_eq!((counts.relus[0].drelus, counts.relus[0].signs), (1024, 64));
    }

    #[test]
    fn a_gate_with_another_user_stays() {
        let mut net = Net::new(8);
        let x = net.input(Shape::new(2, 6, 6));
        let a = net.relu(x);
        let b = net.max_pool(a, Window::dense([1, 2]));
        let (a, b) = (net.global_avg_pool(a), net.global_avg_pool(b));
        let c = net.add(a, b);
        let (before, after) = moved(net, c);
        assert_eq!(ops(&before), ops(&after));
    }

    #[test]
    fn a_mixed_layer_is_split_and_counted_once() {
        let mut net = Net::new(8);
        let x = net.input(Shape::new(3, 6, 6));
        let block = Patch::Block { h: 2, w: 3 };
        let a = net.block(x, vec![Patch::PIXEL, block, Patch::Identity]);
        let b = net.max_pool(a, pool());
        let (before, after) = moved(net, b);
        assert_eq!(
            ops(&after),
            ["input", "block_relu", "max_pool", "block_relu", "output"]
        );
        let names: Vec<_> = after
            .ids()
            .iter()
            .map(|&id| after.node(id).origin.name.clone())
            .collect();
        assert!(
            names.contains(&"block_relu1/blocks".to_owned()) && names.contains(&"block_relu1".to_owned())
        );
        let counts = count(&before, &after);
        assert_eq!(counts.relus.len(), 1);
        assert_eq!((counts.relus[0].drelus, counts.relus[0].signs), (36 + 6, 9 + 6));
        assert_eq!(counts.drelus, count(&before, &before).drelus);
    }

    #[test]
    fn blocks_alone_stay() {
        let mut net = Net::new(8);
        let x = net.input(Shape::new(2, 6, 6));
        let a = net.block(x, vec![Patch::Block { h: 2, w: 2 }, Patch::Identity]);
        let b = net.max_pool(a, pool());
        let (before, after) = moved(net, b);
        assert_eq!(ops(&before), ops(&after));
    }

    #[test]
    fn a_pool_goes_before_a_concatenation_of_relus() {
        let mut net = Net::new(8);
        let x = net.input(Shape::new(2, 6, 6));
        let y = net.conv(x, 3, 3);
        let (a, b) = (net.relu(x), net.relu(y));
        let c = net.concat(&[a, b]);
        let d = net.max_pool(c, pool());
        let (before, after) = moved(net, d);
        let counts = count(&before, &after);
        assert_eq!((counts.drelus, counts.signs), (180, 45));
        assert_eq!(counts.comparisons, count(&before, &before).comparisons);
    }

    #[test]
    fn a_name_that_is_taken_is_left_alone() {
        let mut net = Net::new(8);
        let x = net.input(Shape::new(2, 6, 6));
        let a = net.relu(x);
        let b = net.max_pool(a, pool());
        let c = net.relu(b);
        let mut graph = net.finish(c);
        graph.node_mut(c).origin.name = "relu1/blocks".to_owned();
        assert_eq!(run(&mut graph, &PassOptions::default()).unwrap(), Changed::No);
    }

    proptest! {
        #![proptest_config(config(60))]

        #[test]
        fn any_patches_keep_meaning_and_counts(seed in any::<u64>(), clip in any::<bool>()) {
            let mut net = Net::new(seed);
            let shape = Shape::new(4, 4 + net.rng.below(5), 4 + net.rng.below(5));
            let x = net.input(shape);
            let (lower, upper) = (net.patches(shape), net.patches(shape));
            let a = if clip {
                net.op(Clip { high: 0.5, lower, upper }, &[x])
            } else {
                net.block(x, lower)
            };
            let b = net.max_pool(a, pool());
            let (before, after) = moved(net, b);
            let (one, other) = (count(&before, &before), count(&before, &after));
            prop_assert_eq!(one.drelus, other.drelus);
            prop_assert!(other.signs <= one.signs);
        }
    }
}
