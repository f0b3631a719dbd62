//! Running only what lies behind a change.
//!
//! What travels is the *difference* from the tape's values. An affine operator maps differences
//! without its bias and needs no old values, a value that nothing changed is no work at all, and a
//! convolution right behind the gate sees a difference in one channel and needs that channel's weights
//! alone. Gates, max-pools and the like see old value plus difference.

use std::borrow::Cow;
use std::collections::BTreeMap;

use trefoil_ir::nn::eval::{FeatureMap, Tape};
use trefoil_ir::nn::op::class::PerChannel;
use trefoil_ir::nn::op::{Affine, Conv2d};
use trefoil_ir::nn::{Class, Graph, NodeId, Op};
use trefoil_ir::{Shape, Tensor};

/// The graph as differences see it.
#[derive(Debug)]
pub(super) struct Differences<'a> {
    graph: &'a Graph,
    logits: NodeId,
    /// By node: the operator without its constant part, if it is affine.
    linear: Vec<Option<Op>>,
}

/// The nodes between a gate and the logits.
#[derive(Debug)]
pub(super) struct Behind {
    source: NodeId,
    /// In topological order, without the gate.
    order: Vec<NodeId>,
    /// By node: how many operands of these nodes it is.
    uses: Vec<usize>,
}

/// The way from one channel of a gate to the logits.
pub(super) struct Channel<'b> {
    behind: &'b Behind,
    shape: Shape,
    channel: usize,
    /// Convolutions of the gate's value, with this channel's weights.
    first: BTreeMap<NodeId, Op>,
}

impl<'a> Differences<'a> {
    pub(super) fn new(graph: &'a Graph, logits: NodeId) -> Self {
        let mut linear = vec![None; graph.id_bound()];
        for id in graph.ids() {
            linear[id.index()] = without_constant(&graph.node(id).op);
        }
        Self {
            graph,
            logits,
            linear,
        }
    }

    /// The nodes between a gate and the logits.
    pub(super) fn behind(&self, source: NodeId) -> Behind {
        let mut wanted = vec![false; self.graph.id_bound()];
        let mut stack = vec![self.logits];
        while let Some(id) = stack.pop() {
            if !std::mem::replace(&mut wanted[id.index()], true) {
                stack.extend(self.graph.inputs(id));
            }
        }
        let mut reached = vec![false; self.graph.id_bound()];
        let mut uses = vec![0; self.graph.id_bound()];
        let mut order = Vec::new();
        reached[source.index()] = true;
        for id in self.graph.order() {
            let inputs = self.graph.inputs(id);
            if wanted[id.index()] && inputs.iter().any(|i| reached[i.index()]) {
                reached[id.index()] = true;
                inputs.iter().for_each(|i| uses[i.index()] += 1);
                order.push(id);
            }
        }
        Behind { source, order, uses }
    }

    /// The way from one channel of the gate to the logits.
    pub(super) fn channel<'b>(&self, behind: &'b Behind, channel: usize) -> Channel<'b> {
        let users = self.graph.users(behind.source);
        let mut first = BTreeMap::new();
        for user in users {
            if let Some(Op::Conv2d(conv)) = &self.linear[user.index()]
                && let Some(conv) = input_channel(conv, channel)
            {
                first.insert(user, conv.into());
            }
        }
        Channel {
            behind,
            shape: self.graph.node(behind.source).shape,
            channel,
            first,
        }
    }

    /// The mean squared change of the logits if the channel's value changes by `difference`.
    pub(super) fn mean_square(&self, tape: &Tape<'_>, channel: &Channel<'_>, difference: Vec<f32>) -> f64 {
        let Channel { behind, shape, .. } = channel;
        let mut uses = behind.uses.clone();
        let mut changes: Vec<Option<FeatureMap>> = vec![None; uses.len()];
        changes[behind.source.index()] = Some(widened(&difference, channel.channel, *shape));
        let single = FeatureMap::new(Shape { c: 1, ..*shape }, difference);
        for &id in &behind.order {
            changes[id.index()] = match channel.first.get(&id) {
                Some(conv) => Some(conv.eval(&[&single], self.graph.node(id).shape)),
                None => self.change(tape, id, &changes),
            };
            for input in self.graph.inputs(id) {
                uses[input.index()] -= 1;
                if uses[input.index()] == 0 {
                    changes[input.index()] = None;
                }
            }
        }
        let Some(change) = &changes[self.logits.index()] else {
            return 0.0;
        };
        let squares = change.values().iter().map(|v| f64::from(*v).powi(2));
        squares.sum::<f64>() / change.values().len() as f64
    }

    /// The change of a node's value; `None` if there is none.
    fn change(&self, tape: &Tape<'_>, id: NodeId, changes: &[Option<FeatureMap>]) -> Option<FeatureMap> {
        let inputs = self.graph.inputs(id);
        if inputs.iter().all(|input| changes[input.index()].is_none()) {
            return None;
        }
        match &self.linear[id.index()] {
            Some(Op::Add(_)) => sum(inputs.iter().filter_map(|input| changes[input.index()].as_ref())),
            Some(op) => {
                let mut operands = Vec::with_capacity(inputs.len());
                for input in &inputs {
                    operands.push(match &changes[input.index()] {
                        Some(change) => Cow::Borrowed(change),
                        None => Cow::Owned(FeatureMap::zeros(self.graph.node(*input).shape)),
                    });
                }
                let operands: Vec<&FeatureMap> = operands.iter().map(Cow::as_ref).collect();
                Some(op.eval(&operands, self.graph.node(id).shape))
            }
            None => self.change_of_values(tape, id, changes),
        }
    }

    /// The change of an operator that is not affine: it has to see old and new values.
    fn change_of_values(
        &self,
        tape: &Tape<'_>,
        id: NodeId,
        changes: &[Option<FeatureMap>],
    ) -> Option<FeatureMap> {
        let node = self.graph.node(id);
        let mut operands = Vec::new();
        for input in self.graph.inputs(id) {
            let mut value = tape.value(input).clone();
            if let Some(change) = &changes[input.index()] {
                value.accumulate(change);
            }
            operands.push(value);
        }
        let new = node.op.eval(&operands.iter().collect::<Vec<_>>(), node.shape);
        let pairs = new.values().iter().zip(tape.value(id).values());
        let change: Vec<f32> = pairs.map(|(new, old)| new - old).collect();
        let any = change.iter().any(|v| *v != 0.0);
        any.then(|| FeatureMap::new(node.shape, change))
    }
}

fn sum<'m>(mut maps: impl Iterator<Item = &'m FeatureMap>) -> Option<FeatureMap> {
    let mut sum = maps.next()?.clone();
    for more in maps {
        sum.accumulate(more);
    }
    Some(sum)
}

/// A map that is zero but for one channel.
fn widened(plane: &[f32], channel: usize, shape: Shape) -> FeatureMap {
    let mut values = vec![0.0; shape.len()];
    values[channel * shape.plane()..][..shape.plane()].copy_from_slice(plane);
    FeatureMap::new(shape, values)
}

/// The convolution of one input channel, if every output depends on all of them.
fn input_channel(conv: &Conv2d, channel: usize) -> Option<Conv2d> {
    let &[out, channels, kh, kw] = conv.weight.dims() else {
        return None;
    };
    if conv.groups != 1 {
        return None;
    }
    let taps = conv.weight.values().chunks(kh * kw);
    let taps = taps.skip(channel).step_by(channels);
    Some(Conv2d {
        weight: Tensor::new(vec![out, 1, kh, kw], taps.flatten().copied().collect()).ok()?,
        bias: None,
        window: conv.window.clone(),
        groups: 1,
    })
}

/// An affine operator without its constant part; `None` if it is not affine.
fn without_constant(op: &Op) -> Option<Op> {
    match op.class() {
        Class::Linear(_) => Some(without_bias(op.clone())),
        Class::PerChannel(PerChannel::BatchNorm(norm)) => Some(scale_alone(norm.to_affine())),
        Class::PerChannel(PerChannel::Affine(affine)) => Some(scale_alone(affine.clone())),
        Class::Mean(_) | Class::Add | Class::Move(_) | Class::Resize(_) | Class::Output(_) => {
            Some(op.clone())
        }
        Class::Input | Class::Gate(_) | Class::Max(_) => None,
    }
}

fn without_bias(mut op: Op) -> Op {
    if let Some(layer) = op.layer_mut() {
        *layer.bias = None;
    }
    op
}

fn scale_alone(affine: Affine) -> Op {
    Op::Affine(Affine {
        bias: Tensor::vector(vec![0.0; affine.bias.len()]),
        scale: affine.scale,
    })
}
