//! Folds batch norms and affine maps into convolutions and linear layers.
//!
//! An affine map looks for nodes that can take it in, in this order:
//!
//! 1. [`backward`]: all of what produces its operand, through pools, sums and concatenations that
//!    nothing else uses;
//! 2. [`forward`]: all users of its value, through pools and flattening, as in pre-activation
//!    networks (batch norm, global pool, linear layer);
//! 3. part of a concatenation: the operands that can take their part in do, and the others get an
//!    affine map each.
//!
//! It moves only where it is taken in for good, never merely to stand elsewhere. A batch norm that
//! finds no place becomes an affine map. Every fold removes an affine map or moves it towards the
//! input past a concatenation, so that the pass ends.

mod backward;
mod forward;
mod per_channel;

use trefoil_ir::nn::op::class::Move;
use trefoil_ir::nn::{Class, Graph, NodeId, Op};

use self::per_channel::PerChannel;
use super::rewrite::{bypass, only_user, sweep};
use super::{Changed, PassError, PassOptions};

/// How far an affine map looks for a place, in nodes: far more than any network needs, and few
/// enough for the stack.
const REACH: usize = 64;

pub(super) fn run(graph: &mut Graph, _: &PassOptions) -> Result<Changed, PassError> {
    let folded = sweep(graph, fold)?;
    Ok(folded.or(sweep(graph, batch_norm_to_affine)?))
}

fn fold(graph: &mut Graph, id: NodeId) -> Result<bool, PassError> {
    let Some(map) = PerChannel::of(&graph.node(id).op) else {
        return Ok(false);
    };
    let operand = graph.inputs(id)[0];
    if map.is_identity() {
        bypass(graph, id);
    } else if backward::can_take(graph, operand, &map, REACH) {
        backward::take(graph, operand, &map)?;
        bypass(graph, id);
    } else if forward::can_take(graph, id, &map, REACH) {
        forward::take(graph, id, &map)?;
        bypass(graph, id);
    } else {
        return split_over_concat(graph, id, &map);
    }
    Ok(true)
}

/// Moves `map` past the concatenation before it if at least one of its operands takes its part in.
fn split_over_concat(graph: &mut Graph, id: NodeId, map: &PerChannel) -> Result<bool, PassError> {
    let concat = graph.inputs(id)[0];
    if !matches!(graph.node(concat).op.class(), Class::Move(Move::Concat))
        || only_user(graph, concat).is_none()
    {
        return Ok(false);
    }
    let operands = graph.inputs(concat);
    let parts = map.split(operands.iter().map(|&i| graph.node(i).shape.c));
    let takes: Vec<bool> = operands
        .iter()
        .zip(&parts)
        .map(|(&i, part)| backward::can_take(graph, i, part, REACH))
        .collect();
    if !takes.contains(&true) {
        return Ok(false);
    }
    let origin = graph.node(id).origin.clone();
    let mut new = Vec::with_capacity(operands.len());
    for ((operand, part), takes) in operands.into_iter().zip(&parts).zip(takes) {
        if takes {
            backward::take(graph, operand, part)?;
            new.push(operand);
        } else if part.is_identity() {
            new.push(operand);
        } else {
            new.push(graph.add(part.to_affine(), &[operand], origin.clone())?);
        }
    }
    let joined = graph.node(concat).op.clone();
    graph.replace(concat, joined, &new)?;
    bypass(graph, id);
    Ok(true)
}

fn batch_norm_to_affine(graph: &mut Graph, id: NodeId) -> Result<bool, PassError> {
    let Op::BatchNorm(op) = &graph.node(id).op else {
        return Ok(false);
    };
    let affine = op.to_affine();
    let inputs = graph.inputs(id);
    graph.replace(id, affine, &inputs)?;
    Ok(true)
}

#[cfg(test)]
mod tests;
