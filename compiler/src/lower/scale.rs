//! Scales: the real value of one unit, for every channel of every value.
//!
//! An accumulator counts in 2^-16 of the units of the activation that is made of it, so a root and
//! all that is made of it by truncation share one unit a channel. It is as small as the bounds of
//! the protocol allow: the value, what its gates make of it, and the sums over their small patches
//! must fit, with head-room above what the calibration has seen. A weight takes in the units of both
//! its sides, and what it gains or loses is invisible in its share.
//!
//! Multipliers and clip levels are different, since the client knows them: the units that enter
//! them are powers of two, so that they tell ranges to a factor of two and no more. (It costs half
//! a bit of precision on average, and has a merit of its own: they are integers without rounding.)
//! So are the units of the output, and those of the image where they come from calibration images
//! rather than from the preprocessing: the client's plan states both.
//! A mean over n pixels has the unit of its operand times a power of two over n, for the same two
//! reasons. An interpolation has fixed coefficients, hence the unit of its operand. Channels that become
//! pixels of one are lifted to its unit, by multipliers that the client knows.

use std::collections::BTreeMap;
use std::ops::Range;

use trefoil_ir::mpc::ACTIVATION_BOUND;
use trefoil_ir::nn::op::class::GateView;
use trefoil_ir::nn::{Class, Gate, Graph, NodeId};

use super::channel::{Origin, merged, origin};
use super::form::{Form, Forms, interpolates};
use super::need::Needs;
use super::parts::parts;
use super::patch_sums::{self, GateSums, Source};
use super::room::{ROOM_OF_DEAD_LAYER, VALUE_LIMIT, power_of_two_above, raise};
use super::tree::Tree;
use super::{LayerError, LowerError, LowerOptions, Warning, linear, warning};
use crate::ranges::Calibration;
/// Scales of a network.
pub(super) struct Scales {
    units: Vec<Vec<f64>>,
    bounds: Vec<Vec<f64>>,
    relifted: BTreeMap<NodeId, Vec<f64>>,
    sums: BTreeMap<NodeId, GateSums>,
    limits: BTreeMap<NodeId, Vec<f64>>,
}

/// Units that all computations below can take.
const USABLE: Range<f64> = 1e-100..1e100;

/// Bits that a layer may lose to patch sums, or to weights that are large against their sums,
/// before the user is told.
const LOST_BITS: f64 = 5.0;

impl Scales {
    /// Chooses the scales.
    pub(super) fn new(
        graph: &Graph,
        forms: &Forms,
        calibration: &Calibration,
        options: &LowerOptions,
        warnings: &mut Vec<Warning>,
    ) -> Result<Self, LowerError> {
        let mut needs = Needs {
            graph,
            calibration,
            factor: options.head_room.exp2(),
            revealed: forms.revealed(),
            parts: Vec::new(),
        };
        needs.parts = parts(&needs, forms, &image_bound(&needs, options, forms.input()));
        let mut choice = Choice {
            graph,
            forms,
            needs,
            options,
            public: public_units(graph, forms),
            warnings,
            scales: Scales {
                units: vec![Vec::new(); graph.id_bound()],
                bounds: vec![Vec::new(); graph.id_bound()],
                relifted: BTreeMap::new(),
                sums: BTreeMap::new(),
                limits: BTreeMap::new(),
            },
        };
        for &id in forms.order() {
            choice.choose(id)?;
        }
        Ok(choice.scales)
    }

    /// Real value of one unit of each channel of a node's value. Of an accumulator: of the
    /// activation that it would become.
    pub(super) fn unit(&self, id: NodeId) -> &[f64] {
        &self.units[id.index()]
    }

    /// Units of an activation that is lifted and truncated once more for its gates.
    pub(super) fn relifted(&self, id: NodeId) -> Option<&[f64]> {
        self.relifted.get(&id).map(Vec::as_slice)
    }

    /// Units of the truncated value that a gate works on.
    pub(super) fn gated(&self, graph: &Graph, forms: &Forms, gate: NodeId) -> &[f64] {
        let operand = graph.inputs(gate)[0];
        let relifted = forms.truncated_gates(graph, operand, Form::Activation);
        match self.relifted(operand) {
            Some(units) if relifted.iter().any(|(served, _)| *served == gate) => units,
            _ => self.unit(operand),
        }
    }

    /// The sums of a gate's large patches, if they are computed apart.
    pub(super) fn sums(&self, gate: NodeId) -> Option<&GateSums> {
        self.sums.get(&gate)
    }

    /// The upper limits of a clip's channels: the clip's, or a smaller one that no value exceeds either
    /// where patches are summed up with the pixels, whose sums take up less room beside it.
    pub(super) fn limits(&self, gate: NodeId) -> Option<&[f64]> {
        self.limits.get(&gate).map(Vec::as_slice)
    }

    /// Largest magnitudes that are foreseen, as real values.
    pub(super) fn bound(&self, id: NodeId) -> &[f64] {
        &self.bounds[id.index()]
    }
}

/// Which units the client learns something of, by way of multipliers and levels or as the output's.
fn public_units(graph: &Graph, forms: &Forms) -> Vec<bool> {
    let mut public = vec![false; graph.id_bound()];
    // Users first: whatever is lifted, and all that it is made of at one scale.
    for &id in forms.order().iter().rev() {
        let mut users = forms.users(graph, id).into_iter();
        public[id.index()] = id == forms.revealed()
            || users.any(|user| tells(graph, forms, user).unwrap_or(public[user.index()]));
    }
    for &id in forms.order().iter().filter(|&&id| forms.of(id) == Form::Root) {
        if is_sum(graph, id) {
            let tree = Tree::new(graph, forms, id);
            let mut members = tree.members.iter();
            let pooled = members.any(|m| matches!(graph.node(m.node).op.class(), Class::Mean(_)));
            public[id.index()] |= pooled || !tree.lifted.is_empty() || merged(graph, id).is_some();
        }
    }
    public
}

/// Whether the client learns something of the units of what this node uses: `None` if as much as of the
/// units of its result.
fn tells(graph: &Graph, forms: &Forms, user: NodeId) -> Option<bool> {
    match graph.node(user).op.class() {
        Class::Linear(_) => Some(false),
        // The level of an upper sign is in units of the operand.
        Class::Gate(gate) if gate.upper.is_some() => Some(true),
        Class::Mean(_) if forms.of(user) == Form::Joined => Some(true),
        Class::Mean(_)
        | Class::Gate(_)
        | Class::Max(_)
        | Class::Add
        | Class::Move(_)
        | Class::Resize(_)
        | Class::Input
        | Class::PerChannel(_)
        | Class::Output(_) => {
            let is_lifted = forms.of(user) != Form::Activation && is_sum(graph, user);
            is_lifted.then_some(true)
        }
    }
}

/// Whether this accumulator is a sum or moves sums, rather than made of activations by one layer.
fn is_sum(graph: &Graph, id: NodeId) -> bool {
    let is_layer = matches!(graph.node(id).op.class(), Class::Linear(_) | Class::Mean(_));
    !is_layer && !interpolates(graph, id)
}

struct Choice<'a> {
    graph: &'a Graph,
    forms: &'a Forms,
    needs: Needs<'a>,
    options: &'a LowerOptions,
    public: Vec<bool>,
    warnings: &'a mut Vec<Warning>,
    scales: Scales,
}

impl Choice<'_> {
    fn choose(&mut self, id: NodeId) -> Result<(), LowerError> {
        self.scales.bounds[id.index()] = self.needs.bound(id);
        match self.forms.of(id) {
            Form::Absent | Form::Joined => return Ok(()),
            Form::Activation => {
                let unit = self.activation(id)?;
                self.set(id, unit)?;
            }
            Form::Root => self.root(id)?,
        }
        self.relift(id)
    }

    fn set(&mut self, id: NodeId, unit: Vec<f64>) -> Result<(), LowerError> {
        if let Some(channel) = unit.iter().position(|u| !USABLE.contains(u)) {
            return Err(LowerError::at(self.graph, id, LayerError::Range { channel }));
        }
        self.scales.units[id.index()] = unit;
        Ok(())
    }

    fn operand(&self, id: NodeId) -> NodeId {
        self.graph.inputs(id)[0]
    }

    /// Units of an activation: those of what it is made of. Channels that a pad adds are zero at any
    /// scale: they get the finest of the others.
    fn activation(&self, id: NodeId) -> Result<Vec<f64>, LowerError> {
        match self.graph.node(id).op.class() {
            Class::Input => Ok(self.image(id)),
            Class::Move(_) => self.moved(id),
            Class::Gate(gate) => Ok(self.gated(id, gate)),
            Class::Max(_) | Class::Resize(_) => Ok(self.scales.unit(self.operand(id)).to_vec()),
            // The forms have no such activation.
            Class::Linear(_) | Class::PerChannel(_) | Class::Mean(_) | Class::Add | Class::Output(_) => {
                Err(LowerError::at(self.graph, id, LayerError::Unsupported))
            }
        }
    }

    fn moved(&self, id: NodeId) -> Result<Vec<f64>, LowerError> {
        let mut units = Vec::new();
        for c in 0..self.graph.node(id).shape.c {
            units.push(match origin(self.graph, id, c) {
                Origin::Channel(operand, from) => self.scales.unit(operand)[from],
                Origin::Zero => finest(self.scales.unit(self.operand(id))),
                // It would have to be lifted to a unit of its own, which makes it a root.
                Origin::Own => return Err(LowerError::at(self.graph, id, LayerError::Unsupported)),
            });
        }
        Ok(units)
    }

    fn gated(&self, id: NodeId, gate: GateView<'_>) -> Vec<f64> {
        let mut units = self.scales.gated(self.graph, self.forms, id).to_vec();
        let Some((high, upper)) = gate.upper else {
            return units;
        };
        for (c, unit) in units.iter_mut().enumerate() {
            let is_sharp = upper[c].is_pixel() && gate.lower.is_none_or(|lower| lower[c].is_pixel());
            if is_sharp {
                *unit = of_clipped(f64::from(high), *unit);
            }
        }
        units
    }

    /// Units of the image. The exact range of its preprocessing, which the client knows, needs no
    /// head-room, and no floor but for channels that are always zero.
    fn image(&self, id: NodeId) -> Vec<f64> {
        if self.options.input_range.is_none() {
            let units = self.needs.of_values(id, &[]);
            return units.into_iter().map(power_of_two_above).collect();
        }
        let bound = image_bound(&self.needs, self.options, id);
        let largest = bound.iter().fold(0.0f64, |m, b| m.max(*b));
        let otherwise = if largest > 0.0 {
            largest
        } else {
            ROOM_OF_DEAD_LAYER
        };
        let rooms = bound.iter().map(|b| if *b > 0.0 { *b } else { otherwise });
        rooms.map(|room| room / ACTIVATION_BOUND as f64).collect()
    }

    fn root(&mut self, id: NodeId) -> Result<(), LowerError> {
        let gates = self.forms.truncated_gates(self.graph, id, Form::Root);
        let apart = patch_sums::summable(self.graph, self.forms, id);
        self.limit(id, &gates, apart);
        if interpolates(self.graph, id) {
            let unit = self.scales.unit(self.operand(id)).to_vec();
            return self.set(id, unit);
        }
        let mut unit = self.needs.of_values(id, &gates);
        if apart {
            let tree = Tree::new(self.graph, self.forms, id);
            self.sums(id, &gates, &Source::Tree(&tree))?;
        }
        self.make_room_for_patches(id, &gates, apart, &mut unit)?;
        if let Some(pixels) = linear::pooled_pixels(self.graph, id) {
            let unit = self.mean(id, pixels, &unit)?;
            return self.set(id, unit);
        }
        let tree = Tree::new(self.graph, self.forms, id);
        self.make_room_for_operands(id, &tree, &mut unit);
        if self.public[id.index()] {
            unit.iter_mut().for_each(|u| *u = power_of_two_above(*u));
        }
        for member in &tree.members {
            let channels = self.graph.node(member.node).shape.c;
            self.set(
                member.node,
                unit[member.offset..member.offset + channels].to_vec(),
            )?;
        }
        Ok(())
    }

    /// Units of a mean: `2^16 u_x / (n u)` is the largest power of two for which `u` has room.
    fn mean(&self, id: NodeId, pixels: usize, room: &[f64]) -> Result<Vec<f64>, LowerError> {
        let operand = self.scales.unit(self.operand(id));
        let mut units = Vec::with_capacity(room.len());
        for (channel, (x, room)) in operand.iter().zip(room).enumerate() {
            let finest = x / pixels as f64;
            let bits = (finest * 65536.0 / room).log2().floor().min(16.0);
            if bits < 0.0 {
                let too_large = LayerError::PoolTooLarge { pixels, channel };
                return Err(LowerError::at(self.graph, id, too_large));
            }
            units.push(finest * (16.0 - bits).exp2());
        }
        Ok(units)
    }

    /// Chooses the scales of the sums that are computed apart.
    fn sums(&mut self, id: NodeId, gates: &[(NodeId, Gate)], source: &Source<'_>) -> Result<(), LowerError> {
        for gate in gates.iter().filter(|(_, gate)| patch_sums::has_large(gate)) {
            let sums = patch_sums::choose(&self.needs, id, gate, source, |id| self.scales.unit(id))?;
            self.scales.sums.insert(gate.0, sums);
        }
        Ok(())
    }

    fn limit(&mut self, id: NodeId, gates: &[(NodeId, Gate)], apart: bool) {
        for (node, gate) in gates {
            let limits = self.needs.limits(id, gate, apart);
            self.scales.limits.extend(limits.map(|limits| (*node, limits)));
        }
    }

    fn make_room_for_patches(
        &mut self,
        id: NodeId,
        gates: &[(NodeId, Gate)],
        apart: bool,
        unit: &mut [f64],
    ) -> Result<(), LowerError> {
        let sums = self.needs.of_patches(id, gates, apart)?;
        let before = unit.to_vec();
        raise(unit, &sums);
        let advice = "its patches are large: smaller ones keep more";
        self.warn_of_loss(id, &before, unit, advice);
        Ok(())
    }

    /// Weights, biases and multipliers are 32-bit integers.
    fn make_room_for_operands(&mut self, id: NodeId, tree: &Tree, unit: &mut [f64]) {
        let before = unit.to_vec();
        for member in &tree.members {
            let operands = self.graph.inputs(member.node);
            let operand = self.scales.unit(operands[0]);
            let room = &mut unit[member.offset..];
            if let Some(weights) = linear::Weights::of(&self.graph.node(member.node).op) {
                raise(room, &weights.smallest_units(operand));
            } else if linear::pooled_pixels(self.graph, member.node).is_some() {
                raise(room, &linear::coarsest(operand));
            } else if let Some(merged) = merged(self.graph, member.node) {
                for (c, coarsest) in merged.into_iter().zip(linear::coarsest(operand)) {
                    raise(&mut room[c..=c], &[coarsest]);
                }
            }
        }
        for operand in &tree.lifted {
            raise(
                &mut unit[operand.offset..],
                &linear::coarsest(self.scales.unit(operand.node)),
            );
        }
        let advice = "what it adds up is far larger than the sum";
        self.warn_of_loss(id, &before, unit, advice);
    }

    fn warn_of_loss(&mut self, id: NodeId, before: &[f64], after: &[f64], why: &str) {
        let bits = before.iter().zip(after).map(|(b, a)| (a / b).log2());
        let worst = bits
            .enumerate()
            .fold((0, 0.0f64), |w, b| if b.1 > w.1 { b } else { w });
        if worst.1 > LOST_BITS {
            let (channel, lost) = worst;
            let message = format!("channel {channel} loses {lost:.1} of its 14 bits, since {why}");
            self.warnings.push(warning(self.graph, id, message));
        }
    }

    /// Chooses the scale at which an activation is truncated once more, if gates need that.
    fn relift(&mut self, id: NodeId) -> Result<(), LowerError> {
        let gates = self.forms.truncated_gates(self.graph, id, Form::Activation);
        if gates.is_empty() {
            return Ok(());
        }
        let mut room = self.scales.unit(id).to_vec();
        let before = room.clone();
        let reach = self.needs.reach(id, &gates);
        raise(
            &mut room,
            &reach.iter().map(|b| b / VALUE_LIMIT).collect::<Vec<_>>(),
        );
        self.sums(id, &gates, &Source::Lifted(id))?;
        self.limit(id, &gates, true);
        self.make_room_for_patches(id, &gates, true, &mut room)?;
        let pairs = before.iter().zip(&room);
        let units = pairs.map(|(unit, room)| unit * power_of_two_above((room / unit).max(1.0)));
        let units = units.collect();
        self.scales.relifted.insert(id, units);
        Ok(())
    }
}

fn finest(units: &[f64]) -> f64 {
    units.iter().copied().fold(f64::INFINITY, f64::min)
}

/// The unit of what a clip makes of values in units of `unit`. Where the limit is a few units, or less
/// than one, nearly all values are 0 or the limit: the limit must be exact, and is a whole number of
/// the result's units.
fn of_clipped(high: f64, unit: f64) -> f64 {
    let level = f64::from(linear::level(high, unit));
    let exact = (level * unit - high).abs() <= high / 512.0;
    match exact || level == ACTIVATION_BOUND as f64 {
        true => unit,
        false => high / level,
    }
}

/// The largest magnitudes of the image's channels.
fn image_bound(needs: &Needs<'_>, options: &LowerOptions, id: NodeId) -> Vec<f64> {
    match &options.input_range {
        None => needs.bound(id),
        Some(range) => {
            let seen = needs.calibration.magnitudes(id);
            range.iter().zip(seen).map(|(r, s)| f64::from(r.max(s))).collect()
        }
    }
}
