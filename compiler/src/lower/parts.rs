//! How small a channel is beside its layer, where that is its nature and not an accident of the
//! calibration.
//!
//! A channel that the calibration hardly woke needs more room than was seen: a part of what the
//! layer's largest channel takes ([`FLOOR`]). A channel whose weights make it a thousand times
//! smaller than others must not get that much, or it is rounded away. The two are told apart by the
//! weights: the root of the sum of squares of weight times room of the operand says how large a
//! channel should be, up to a factor that is about the same for the whole layer and that the layer's
//! median channel tells. Scaling a channel in one layer and back in the next changes neither what
//! is seen nor what is expected but by that very scale, so it costs no precision at all.
//!
//! A channel's *part* is that expectation, with some slack, beside the layer's largest value: a power
//! of two, and 1 for all channels that are not much smaller than the largest. The floor of a channel
//! is FLOOR times its part times the layer's largest.
//!
//! **What the client learns.** Multipliers of residuals, means and merged channels say how the scales of
//! two values are related, channel by channel. All values that such multipliers join share one part a
//! channel (the largest of them), which thus cancels in every multiplier: they say no more than they would
//! of a network with channels of one scale, about a bit each. Where one of the values is smaller than
//! the others by [`STEP`] and more in a channel, it would be lost; there, and nowhere else, the
//! multipliers tell so, in whole steps. Levels of clips say what a scale is beside the limit: a
//! channel's part is a whole number of steps there, too, unless the limit is out of its reach, when
//! its level is the largest number there is, whatever its scale.

use trefoil_ir::mpc::ACTIVATION_BOUND;
use trefoil_ir::nn::op::class::GateView;
use trefoil_ir::nn::{Class, NodeId};

use super::channel::{merged, origin};
use super::form::{Form, Forms, gate, interpolates};
use super::linear::{self, Weights};
use super::need::Needs;
use super::room::{FLOOR, ROOM_OF_DEAD_LAYER, VALUE_LIMIT, power_of_two_above};
use super::tree::Tree;

/// A channel may become this much larger than its weights let expect before it is given the part of
/// a smaller one: half of it is room that no image of the calibration has used.
const SLACK: f64 = 4.0;

/// The same for the output. Its floor is the layer's largest value itself: the images of a class may
/// all be missing from the calibration.
const SLACK_OF_OUTPUT: f64 = 8.0;

/// What the client may learn of the scales of channels comes in steps of this.
const STEP: f64 = 16.0;

/// The parts of all channels of all values, by the index of the node. Where a value has none of its
/// own (it is not computed, or joins another), nothing.
pub(super) fn parts(needs: &Needs<'_>, forms: &Forms, image: &[f64]) -> Vec<Vec<f64>> {
    let bound = needs.graph.id_bound();
    let mut survey = Survey {
        needs,
        forms,
        rooms: vec![Vec::new(); bound],
        own: (0..bound).map(|_| None).collect(),
    };
    for &id in forms.order() {
        survey.visit(id, image);
    }
    let mut classes = survey.classes();
    survey.share(&mut classes);
    survey.parts(&mut classes)
}

/// What a layer would do if no other value had a say.
struct Own {
    /// Its largest value.
    largest: f64,
    /// The largest value of each channel.
    bound: Vec<f64>,
    /// The part of each channel; 0 of one that is zero whatever the image, which has no say.
    parts: Vec<f64>,
}

impl Own {
    /// Channels that reach `bound` and should, by their weights, reach `expected`.
    fn new(bound: Vec<f64>, expected: &[f64], slack: f64) -> Self {
        let largest = largest(&bound);
        let mut parts = Vec::with_capacity(bound.len());
        for (bound, expected) in bound.iter().zip(expected) {
            let natural = bound.max(*expected);
            parts.push(match natural > 0.0 && largest > 0.0 {
                true => power_of_two_above(slack * natural / largest).min(1.0),
                false => 0.0,
            });
        }
        Self {
            largest,
            bound,
            parts,
        }
    }

    /// The room of a channel with this part.
    fn room(&self, c: usize, part: f64) -> f64 {
        match self.largest > 0.0 {
            true => self.bound[c].max(FLOOR * part * self.largest),
            false => ROOM_OF_DEAD_LAYER,
        }
    }

    /// The part of a channel whose class has this one: whole steps below it.
    fn beside(&self, c: usize, shared: f64) -> f64 {
        match self.parts[c] {
            _ if shared == 0.0 => 1.0,
            0.0 => shared,
            own => shared * steps(own / shared),
        }
    }

    fn rooms(&self) -> Vec<f64> {
        let parts = self.parts.iter().enumerate();
        parts.map(|(c, part)| self.room(c, *part)).collect()
    }
}

struct Survey<'a> {
    needs: &'a Needs<'a>,
    forms: &'a Forms,
    /// Magnitudes that each channel of a value would get room for, if no other value had a say.
    rooms: Vec<Vec<f64>>,
    /// What the image and each truncated accumulator would do; `None` for all other values.
    own: Vec<Option<Own>>,
}

impl Survey<'_> {
    fn visit(&mut self, id: NodeId, image: &[f64]) {
        let graph = self.needs.graph;
        let own = match self.forms.of(id) {
            Form::Absent | Form::Joined => return,
            Form::Activation => {
                let is_image = matches!(graph.node(id).op.class(), Class::Input);
                is_image.then(|| Own::new(image.to_vec(), image, SLACK))
            }
            Form::Root => (!interpolates(graph, id)).then(|| self.root(id)),
        };
        self.rooms[id.index()] = match &own {
            Some(own) => own.rooms(),
            None => self.moved(id, &self.rooms, 0.0),
        };
        if let Class::Gate(GateView {
            upper: Some((high, _)),
            ..
        }) = graph.node(id).op.class()
        {
            for room in &mut self.rooms[id.index()] {
                *room = room.min(f64::from(high));
            }
        }
        self.own[id.index()] = own;
    }

    /// What the channels of a value have of those that they are made of.
    fn moved(&self, id: NodeId, of: &[Vec<f64>], padding: f64) -> Vec<f64> {
        let graph = self.needs.graph;
        let sources = (0..graph.node(id).shape.c).map(|c| origin(graph, id, c).channel());
        sources
            .map(|source| source.map_or(padding, |(x, from)| of[x.index()][from]))
            .collect()
    }

    fn root(&self, id: NodeId) -> Own {
        let gates = self.forms.truncated_gates(self.needs.graph, id, Form::Root);
        let bound = self.needs.reach(id, &gates);
        let mut expected = self.expected(id);
        let factor = median_ratio(&bound, &expected);
        expected.iter_mut().for_each(|e| *e *= factor);
        let slack = if id == self.needs.revealed {
            SLACK_OF_OUTPUT
        } else {
            SLACK
        };
        Own::new(bound, &expected, slack)
    }

    /// How large weights and operands make each channel of a root, up to a factor of the layer.
    fn expected(&self, root: NodeId) -> Vec<f64> {
        let graph = self.needs.graph;
        let mut squares = vec![0.0; graph.node(root).shape.c];
        let tree = Tree::new(graph, self.forms, root);
        for member in &tree.members {
            let operand = graph.inputs(member.node)[0];
            if let Some(weights) = Weights::of(&graph.node(member.node).op) {
                add(
                    &mut squares[member.offset..],
                    &weights.squares(&self.rooms[operand.index()]),
                );
            } else if linear::pooled_pixels(graph, member.node).is_some() {
                add(&mut squares[member.offset..], &self.squares(operand));
            } else if let Some(merged) = merged(graph, member.node) {
                for (c, square) in merged.into_iter().zip(self.squares(operand)) {
                    squares[member.offset + c] += square;
                }
            }
        }
        for operand in &tree.lifted {
            add(&mut squares[operand.offset..], &self.squares(operand.node));
        }
        squares.into_iter().map(f64::sqrt).collect()
    }

    /// The squares of the rooms of a value's channels.
    fn squares(&self, id: NodeId) -> Vec<f64> {
        self.rooms[id.index()].iter().map(|room| room * room).collect()
    }

    /// Channels that share one part: of values whose scales are the same, or joined by multipliers
    /// that the client knows.
    fn classes(&self) -> Classes {
        let graph = self.needs.graph;
        let mut classes = Classes::new(self.rooms.iter().map(Vec::len));
        for &id in self.forms.order() {
            let channels = 0..graph.node(id).shape.c;
            match self.forms.of(id) {
                Form::Absent | Form::Joined => {}
                Form::Root if !interpolates(graph, id) => {
                    let tree = Tree::new(graph, self.forms, id);
                    let means = tree.members.iter();
                    let means = means.filter(|m| linear::pooled_pixels(graph, m.node).is_some());
                    let operands = means.map(|m| (graph.inputs(m.node)[0], m.offset));
                    let lifted = tree.lifted.iter().map(|m| (m.node, m.offset));
                    for (part, c) in merged(graph, id).unwrap_or_default().into_iter().enumerate() {
                        classes.join((graph.inputs(id)[0], part), (id, c));
                    }
                    for (x, offset) in operands.chain(lifted) {
                        let channels = 0..graph.node(x).shape.c;
                        channels.for_each(|c| classes.join((x, c), (id, offset + c)));
                    }
                }
                Form::Root | Form::Activation => {
                    let sources = channels.filter_map(|c| Some((c, origin(graph, id, c).channel()?)));
                    sources.for_each(|(c, from)| classes.join(from, (id, c)));
                }
            }
        }
        classes
    }

    /// Gives each class the largest part of its members, in whole steps where a clip's level tells it.
    fn share(&self, classes: &mut Classes) {
        for &id in self.forms.order() {
            let own = self.own[id.index()].iter().flat_map(|own| &own.parts);
            own.enumerate()
                .for_each(|(c, part)| classes.raise((id, c), *part));
        }
        for &id in self.forms.order() {
            let Some(high) = self.lowest_limit(id) else {
                continue;
            };
            for c in 0..self.rooms[id.index()].len() {
                let shared = classes.part((id, c));
                let out_of_reach = self.own[id.index()].as_ref().is_some_and(|own| {
                    let room = own.room(c, own.beside(c, shared));
                    high / power_of_two_above(room / VALUE_LIMIT) >= ACTIVATION_BOUND as f64
                });
                if !out_of_reach && shared > 0.0 {
                    classes.raise((id, c), steps(shared));
                }
            }
        }
    }

    /// The lowest limit of the clips of a value.
    fn lowest_limit(&self, id: NodeId) -> Option<f64> {
        let graph = self.needs.graph;
        let users = self.forms.users(graph, id).into_iter();
        let limits = users.filter_map(|user| gate(graph, user)?.upper);
        limits.map(|(high, _)| f64::from(high)).min_by(f64::total_cmp)
    }

    fn parts(&self, classes: &mut Classes) -> Vec<Vec<f64>> {
        let mut parts = vec![Vec::new(); self.rooms.len()];
        for &id in self.forms.order() {
            parts[id.index()] = match (&self.own[id.index()], self.forms.of(id)) {
                (_, Form::Absent | Form::Joined) => continue,
                (None, _) => self.moved(id, &parts, 1.0),
                (Some(own), _) => {
                    let channels = 0..own.parts.len();
                    channels.map(|c| own.beside(c, classes.part((id, c)))).collect()
                }
            };
        }
        parts
    }
}

fn add(sums: &mut [f64], more: &[f64]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
    }
}

/// The next part that is a whole number of steps.
fn steps(part: f64) -> f64 {
    (STEP.log2() * (part.log2() / STEP.log2()).ceil()).exp2()
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |most, value| most.max(*value))
}

/// The median of what is seen beside what is expected; 1 of a layer that tells nothing.
fn median_ratio(seen: &[f64], expected: &[f64]) -> f64 {
    let pairs = seen.iter().zip(expected).filter(|(s, e)| **s > 0.0 && **e > 0.0);
    let mut ratios: Vec<f64> = pairs.map(|(s, e)| s / e).collect();
    ratios.sort_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied().unwrap_or(1.0)
}

/// Disjoint sets of channels, and the part of each.
struct Classes {
    /// Where the channels of each node begin.
    first: Vec<usize>,
    parent: Vec<usize>,
    part: Vec<f64>,
}

impl Classes {
    fn new(channels: impl Iterator<Item = usize>) -> Self {
        let mut count = 0;
        let mut first = Vec::new();
        for channels in channels {
            first.push(count);
            count += channels;
        }
        Self {
            first,
            parent: (0..count).collect(),
            part: vec![0.0; count],
        }
    }

    fn find(&mut self, (id, c): (NodeId, usize)) -> usize {
        let mut at = self.first[id.index()] + c;
        while self.parent[at] != at {
            self.parent[at] = self.parent[self.parent[at]];
            at = self.parent[at];
        }
        at
    }

    /// Joins the classes of two channels; only before any part is raised.
    fn join(&mut self, a: (NodeId, usize), b: (NodeId, usize)) {
        let from = self.find(a);
        self.parent[from] = self.find(b);
    }

    fn raise(&mut self, channel: (NodeId, usize), part: f64) {
        let class = self.find(channel);
        self.part[class] = self.part[class].max(part);
    }

    fn part(&mut self, channel: (NodeId, usize)) -> f64 {
        let class = self.find(channel);
        self.part[class]
    }
}
