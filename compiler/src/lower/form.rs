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
//!
//! Shuffles work on activations. One that makes pixels of channels gives an accumulator of its own: the
//! channels that it merges have units of their own, and are lifted to one.

use trefoil_ir::geometry::all_identities;
use trefoil_ir::nn::op::Resize;
use trefoil_ir::nn::op::class::Move;
use trefoil_ir::nn::{Class, Gate, Graph, NodeId};
use trefoil_ir::{Axis, Shape};

use super::channel::merged;
use super::{LayerError, LowerError};
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
            .find(|&id| matches!(graph.node(id).op.class(), Class::Input));
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
            (Form::Root, Form::Activation) => gates.clear(),
            (Form::Absent | Form::Joined, _) | (_, Form::Absent | Form::Joined) => gates.clear(),
        }
        gates
    }
}

/// The gate that a node is, unless it gates nothing; an upper sign only where there is one.
pub(super) fn gate(graph: &Graph, id: NodeId) -> Option<Gate> {
    let mut gate = Gate::of(graph.node(id))?;
    gate.upper = gate.upper.filter(|(_, patches)| !all_identities(patches));
    let gates_nothing = all_identities(&gate.lower) && gate.upper.is_none();
    (!gates_nothing).then_some(gate)
}

/// Row and column that each output pixel copies, if the interpolation only copies.
pub(super) fn copied(resize: &Resize, input: Shape) -> Option<[Vec<usize>; 2]> {
    Some([
        copied_along(resize, 0, input.h)?,
        copied_along(resize, 1, input.w)?,
    ])
}

fn copied_along(resize: &Resize, axis: usize, size: usize) -> Option<Vec<usize>> {
    let mut copied = Vec::with_capacity(resize.size[axis]);
    for taps in resize.taps(axis, size) {
        let [tap] = taps[..] else {
            return None;
        };
        copied.push(tap.index);
    }
    Some(copied)
}

/// Whether a node computes values between pixels, rather than copying some.
pub(super) fn interpolates(graph: &Graph, id: NodeId) -> bool {
    let Class::Resize(resize) = graph.node(id).op.class() else {
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
        let [user] = users[..] else {
            return None;
        };
        (id != self.revealed).then_some(user)
    }

    fn leads_to_add(&self, id: NodeId) -> bool {
        self.only_user(id)
            .is_some_and(|user| self.adds(user) || (self.is_local(user) && self.leads_to_add[user.index()]))
    }

    fn adds(&self, id: NodeId) -> bool {
        matches!(self.graph.node(id).op.class(), Class::Add)
    }

    fn is_local(&self, id: NodeId) -> bool {
        match self.graph.node(id).op.class() {
            Class::Move(_) => merged(self.graph, id).is_none(),
            Class::Resize(_) => !interpolates(self.graph, id),
            Class::Gate(_) => gate(self.graph, id).is_none(),
            Class::Input
            | Class::Linear(_)
            | Class::PerChannel(_)
            | Class::Max(_)
            | Class::Mean(_)
            | Class::Add
            | Class::Output(_) => false,
        }
    }

    /// Whether a local operator, given operands that can join it, should stay in accumulators.
    fn stays(&self, id: NodeId) -> bool {
        match self.graph.node(id).op.class() {
            // A tree maps channels to channels by an offset; nothing else is worth its while.
            Class::Move(Move::Slice(op)) => op.axis != Axis::C,
            Class::Move(Move::Flatten) => self.operand(id).plane() == 1,
            Class::Move(Move::Pad(_)) | Class::Resize(_) => {
                let enlarges = self.graph.node(id).shape.len() > self.operand(id).len();
                !enlarges || self.leads_to_add[id.index()]
            }
            Class::Move(Move::Shuffle(_)) => false,
            Class::Move(Move::Concat) | Class::Gate(_) => true,
            // None of these is local.
            Class::Input
            | Class::Linear(_)
            | Class::PerChannel(_)
            | Class::Max(_)
            | Class::Mean(_)
            | Class::Add
            | Class::Output(_) => false,
        }
    }

    fn accumulates(&self, id: NodeId) -> Result<bool, LowerError> {
        match self.graph.node(id).op.class() {
            Class::Linear(_) | Class::Mean(_) | Class::Add => Ok(true),
            Class::Move(_) => Ok(merged(self.graph, id).is_some() || self.stays_in_accumulators(id)),
            Class::Resize(_) => Ok(interpolates(self.graph, id) || self.stays_in_accumulators(id)),
            Class::Gate(gate) if gate.low != 0.0 => Err(self.unsupported(id)),
            Class::Gate(_) => Ok(self.is_local(id) && self.stays_in_accumulators(id)),
            Class::Input | Class::Max(_) => Ok(false),
            Class::PerChannel(_) | Class::Output(_) => Err(self.unsupported(id)),
        }
    }

    fn stays_in_accumulators(&self, local: NodeId) -> bool {
        let mut operands = self.graph.inputs(local).into_iter();
        self.stays(local) && operands.all(|x| self.can_join(x))
    }

    fn unsupported(&self, id: NodeId) -> LowerError {
        LowerError::at(self.graph, id, LayerError::Unsupported)
    }

    /// Whether this value can join its only user's accumulator.
    fn can_join(&self, id: NodeId) -> bool {
        let joins = match self.graph.node(id).op.class() {
            Class::Mean(mean) => {
                let [h, w] = mean.window(self.operand(id)).kernel;
                h.saturating_mul(w) <= MAX_JOINED_PIXELS
            }
            // The scale of an interpolation is its operand's.
            Class::Resize(_) => !interpolates(self.graph, id),
            // Its tree would have to know which channels go where.
            Class::Move(_) => merged(self.graph, id).is_none(),
            Class::Linear(_) | Class::Add | Class::Gate(_) => true,
            // None of these accumulates.
            Class::Input | Class::PerChannel(_) | Class::Max(_) | Class::Output(_) => false,
        };
        joins && self.accumulates[id.index()] && self.only_user(id).is_some()
    }

    fn form(&self, id: NodeId) -> Form {
        if !self.accumulates[id.index()] {
            return Form::Activation;
        }
        let user = self.only_user(id).filter(|_| self.can_join(id));
        match user.is_some_and(|user| self.takes_accumulators(user)) {
            true => Form::Joined,
            false => Form::Root,
        }
    }

    fn takes_accumulators(&self, user: NodeId) -> bool {
        self.adds(user) || (self.is_local(user) && self.accumulates[user.index()])
    }
}
