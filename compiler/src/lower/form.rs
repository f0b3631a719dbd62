//! Which form each value takes.
//!
//! Convolutions, linear layers, means, interpolations and sums give accumulators; gates and
//! max-pools give activations. An accumulator whose only user is a sum, or a local operator that
//! stays in accumulators, *joins* it: no truncation between, so a residual block costs one. All
//! others are *roots*: truncated once, for all their gates and the requantisation together.
//!
//! Local operators (concatenation, slice, pad, change of shape, copying interpolation) stay in
//! accumulators where all operands can join, and work on activations else. What enlarges a map
//! does so only on the way to a sum: truncating the smaller map is cheaper.

use trefoil_ir::nn::op::Resize;
use trefoil_ir::nn::{Graph, NodeId, Op};
use trefoil_ir::{Axis, Patch, Shape};

use super::{LayerError, LowerError};
use crate::pass::Gate;

/// Form of a node's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The parties do not compute it: it is dead, or in the client's tail.
    Absent,
    /// An activation.
    Activation,
    /// An accumulator that joins that of its only user.
    Joined,
    /// An accumulator that is truncated.
    Root,
}

/// Forms of all values.
pub(super) struct Forms {
    forms: Vec<Form>,
    order: Vec<NodeId>,
    revealed: NodeId,
    input: NodeId,
}

/// A mean of more pixels than this does not join a sum: its multiplier, rounded to an integer, may
/// be off by 1/8 of a unit a pixel at full scale. A root of its own has none of that error.
const MAX_JOINED_PIXELS: usize = 16;

impl Forms {
    /// Forms of a graph whose value `revealed` the client learns.
    pub(super) fn new(graph: &Graph, revealed: NodeId) -> Result<Self, LowerError> {
        let order = live_order(graph, revealed);
        let input = order
            .iter()
            .copied()
            .find(|&id| matches!(graph.node(id).op, Op::Input(_)));
        let mut analysis = Analysis {
            graph,
            revealed,
            live: vec![false; graph.id_bound()],
            accumulates: vec![false; graph.id_bound()],
            leads_to_add: vec![false; graph.id_bound()],
        };
        order.iter().for_each(|id| analysis.live[id.index()] = true);
        for &id in order.iter().rev() {
            analysis.leads_to_add[id.index()] = analysis.leads_to_add(id);
        }
        for &id in &order {
            analysis.accumulates[id.index()] = analysis.accumulates(id)?;
        }
        let mut forms = vec![Form::Absent; graph.id_bound()];
        for &id in &order {
            forms[id.index()] = analysis.form(id);
        }
        Ok(Self {
            forms,
            order,
            revealed,
            input: input.ok_or(LowerError::NoInput)?,
        })
    }

    /// The form of a value.
    pub(super) fn of(&self, id: NodeId) -> Form {
        self.forms[id.index()]
    }

    /// The values that the parties compute, in topological order.
    pub(super) fn order(&self) -> &[NodeId] {
        &self.order
    }

    /// The value that the client learns.
    pub(super) fn revealed(&self) -> NodeId {
        self.revealed
    }

    /// The image.
    pub(super) fn input(&self) -> NodeId {
        self.input
    }

    /// The users of a value that the parties compute.
    pub(super) fn users(&self, graph: &Graph, id: NodeId) -> Vec<NodeId> {
        let mut users = graph.users(id);
        users.retain(|&u| self.of(u) != Form::Absent);
        users
    }

    /// The gates that a truncated form of this value serves: of a root all of them, of an
    /// activation those that need more than a sign a pixel. (The scale of an interpolation cannot
    /// make room for patch sums, so such gates are served by its activation, too.)
    pub(super) fn truncated_gates(&self, graph: &Graph, id: NodeId, of: Form) -> Vec<(NodeId, Gate)> {
        let resized = interpolates(graph, id);
        let mut gates: Vec<(NodeId, Gate)> = self
            .users(graph, id)
            .into_iter()
            .filter_map(|user| Some((user, gate(graph, user)?)))
            .collect();
        match (of, self.of(id)) {
            (Form::Root, Form::Root) => gates.retain(|(_, g)| !(resized && g.has_blocks())),
            (Form::Activation, Form::Root) => gates.retain(|(_, g)| resized && g.has_blocks()),
            (Form::Activation, Form::Activation) => {
                gates.retain(|(_, g)| g.upper.is_some() || g.has_blocks())
            }
            _ => gates.clear(),
        }
        gates
    }
}

/// The gate that a node is, unless it gates nothing; an upper sign only where there is one.
pub(super) fn gate(graph: &Graph, id: NodeId) -> Option<Gate> {
    let passes = |patches: &[Patch]| patches.iter().all(|p| *p == Patch::Identity);
    let Gate { low, lower, upper } = Gate::of(graph.node(id))?;
    let upper = upper.filter(|(_, patches)| !passes(patches));
    let nothing = passes(&lower) && upper.is_none();
    (!nothing).then_some(Gate { low, lower, upper })
}

/// Row and column that each output pixel copies, if the interpolation only copies.
pub(super) fn copied(resize: &Resize, input: Shape) -> Option<[Vec<usize>; 2]> {
    let copied = |axis: usize, size: usize| -> Option<Vec<usize>> {
        let single = |taps: &Vec<trefoil_ir::geometry::Tap>| (taps.len() == 1).then(|| taps[0].index);
        resize.taps(axis, size).iter().map(single).collect()
    };
    Some([copied(0, input.h)?, copied(1, input.w)?])
}

/// Whether a node computes values between pixels, rather than copying some.
pub(super) fn interpolates(graph: &Graph, id: NodeId) -> bool {
    let Op::Resize(resize) = &graph.node(id).op else {
        return false;
    };
    copied(resize, graph.node(graph.inputs(id)[0]).shape).is_none()
}

fn live_order(graph: &Graph, revealed: NodeId) -> Vec<NodeId> {
    let mut live = vec![false; graph.id_bound()];
    let mut stack = vec![revealed];
    while let Some(id) = stack.pop() {
        if !std::mem::replace(&mut live[id.index()], true) {
            stack.extend(graph.inputs(id));
        }
    }
    let mut order = graph.order();
    order.retain(|id| live[id.index()]);
    order
}

struct Analysis<'a> {
    graph: &'a Graph,
    revealed: NodeId,
    live: Vec<bool>,
    accumulates: Vec<bool>,
    leads_to_add: Vec<bool>,
}

impl Analysis<'_> {
    fn operand(&self, id: NodeId) -> Shape {
        self.graph.node(self.graph.inputs(id)[0]).shape
    }

    /// The only user, if the value is not revealed either.
    fn only_user(&self, id: NodeId) -> Option<NodeId> {
        let mut users = self.graph.users(id);
        users.retain(|u| self.live[u.index()]);
        match users[..] {
            [user] if id != self.revealed => Some(user),
            _ => None,
        }
    }

    fn leads_to_add(&self, id: NodeId) -> bool {
        self.only_user(id)
            .is_some_and(|user| match &self.graph.node(user).op {
                Op::Add(_) => true,
                _ => self.is_local(user) && self.leads_to_add[user.index()],
            })
    }

    fn is_local(&self, id: NodeId) -> bool {
        match &self.graph.node(id).op {
            Op::Concat(_) | Op::Slice(_) | Op::Pad(_) | Op::Flatten(_) => true,
            Op::Resize(_) => !interpolates(self.graph, id),
            Op::Relu(_) | Op::BlockRelu(_) | Op::Clip(_) => gate(self.graph, id).is_none(),
            _ => false,
        }
    }

    /// Whether a local operator, given operands that can join it, should stay in accumulators.
    fn stays(&self, id: NodeId) -> bool {
        match &self.graph.node(id).op {
            // A tree maps channels to channels by an offset; nothing else is worth its while.
            Op::Slice(op) => op.axis != Axis::C,
            Op::Flatten(_) => self.operand(id).plane() == 1,
            Op::Pad(_) | Op::Resize(_) => {
                let enlarges = self.graph.node(id).shape.len() > self.operand(id).len();
                !enlarges || self.leads_to_add[id.index()]
            }
            _ => true,
        }
    }

    fn accumulates(&self, id: NodeId) -> Result<bool, LowerError> {
        match &self.graph.node(id).op {
            Op::Conv2d(_) | Op::Linear(_) | Op::AvgPool(_) | Op::GlobalAvgPool(_) | Op::Add(_) => Ok(true),
            _ if self.is_local(id) => {
                let mut operands = self.graph.inputs(id).into_iter();
                Ok(self.stays(id) && operands.all(|x| self.can_join(x)))
            }
            Op::Resize(_) => Ok(true),
            Op::Input(_) | Op::Relu(_) | Op::BlockRelu(_) | Op::Clip(_) | Op::MaxPool(_) => Ok(false),
            Op::BatchNorm(_)
            | Op::Affine(_)
            | Op::Clamp(_)
            | Op::Output(_)
            | Op::Concat(_)
            | Op::Slice(_)
            | Op::Pad(_)
            | Op::Flatten(_) => Err(LowerError::at(self.graph, id, LayerError::Unsupported)),
        }
    }

    /// Whether this value can join its only user's accumulator.
    fn can_join(&self, id: NodeId) -> bool {
        let joins = match &self.graph.node(id).op {
            Op::AvgPool(op) => op.window.kernel.iter().product::<usize>() <= MAX_JOINED_PIXELS,
            Op::GlobalAvgPool(_) => self.operand(id).plane() <= MAX_JOINED_PIXELS,
            // The scale of an interpolation is its operand's.
            Op::Resize(_) => !interpolates(self.graph, id),
            _ => true,
        };
        joins && self.accumulates[id.index()] && self.only_user(id).is_some()
    }

    fn form(&self, id: NodeId) -> Form {
        if !self.accumulates[id.index()] {
            return Form::Activation;
        }
        let takes_accumulators = |user: NodeId| {
            let local = self.is_local(user) && self.accumulates[user.index()];
            local || matches!(self.graph.node(user).op, Op::Add(_))
        };
        match self.only_user(id) {
            Some(user) if self.can_join(id) && takes_accumulators(user) => Form::Joined,
            _ => Form::Root,
        }
    }
}
