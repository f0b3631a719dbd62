//! Patch sums that are computed apart: the tree of a gate's operand once more, in sums.

use trefoil_ir::Window;
use trefoil_ir::mpc::op::{Add, Concat, Conv2dSums, PoolSums, TruncateSums};
use trefoil_ir::mpc::{ConstKind, Note, UNIT, ValueId};
use trefoil_ir::nn::op::class::Move;
use trefoil_ir::nn::{Class, NodeId};

use super::Emitter;
use crate::lower::form::Form;
use crate::lower::linear::{self, Weights};
use crate::lower::patch_sums::GateSums;
use crate::lower::tree::{self, Member};
use crate::lower::{LayerError, LowerError};

impl Emitter<'_> {
    /// The truncated sums of a gate's large patches, if they are computed apart.
    pub(super) fn gate_sums(&mut self, gate: NodeId, operand: NodeId) -> Result<Option<ValueId>, LowerError> {
        let scales = self.scales;
        let Some(sums) = scales.sums(gate) else {
            return Ok(None);
        };
        let root = Member {
            node: operand,
            offset: 0,
        };
        let is_root = self.forms.of(operand) == Form::Root && !self.relifted.contains_key(&operand);
        let value = if is_root {
            self.sums_of_member(operand, root, sums)?
        } else {
            self.sums_of_lift(operand, sums)?
        };
        let note = self.sums_note(sums, 1.0);
        self.push(TruncateSums, &[value], gate, note).map(Some)
    }

    fn sums_of_member(
        &mut self,
        root: NodeId,
        member: Member,
        all: &GateSums,
    ) -> Result<ValueId, LowerError> {
        let graph = self.graph;
        let id = member.node;
        let sums = all.of_member(member.offset, graph.node(id).shape.c);
        if id != root && self.forms.of(id) != Form::Joined {
            return self.sums_of_lift(id, &sums);
        }
        if let Some(weights) = Weights::of(&graph.node(id).op) {
            return self.sums_of_convolution(id, &weights, &sums);
        }
        if let Some(pixels) = linear::pooled_pixels(graph, id) {
            let window = linear::pool_window(graph, id)
                .ok_or_else(|| LowerError::at(graph, id, LayerError::Unsupported))?;
            return self.sums_of_pool(graph.inputs(id)[0], id, window, pixels, &sums);
        }
        let mut parts = Vec::new();
        for operand in tree::operands(graph, member) {
            let channels = graph.node(operand.node).shape.c;
            if !all.of_member(operand.offset, channels).list.is_empty() {
                parts.push(self.sums_of_member(root, operand, all)?);
            }
        }
        let note = self.sums_note(&sums, UNIT as f64);
        if let &[part] = &parts[..] {
            return Ok(part);
        }
        match graph.node(id).op.class() {
            Class::Add => self.push(Add, &parts, id, note),
            Class::Move(Move::Concat) => self.push(Concat, &parts, id, note),
            // Those that are summable have one operand.
            Class::Move(Move::Slice(_) | Move::Pad(_) | Move::Flatten | Move::Shuffle(_))
            | Class::Gate(_)
            | Class::Input
            | Class::Linear(_)
            | Class::PerChannel(_)
            | Class::Max(_)
            | Class::Mean(_)
            | Class::Resize(_)
            | Class::Output(_) => Err(LowerError::at(graph, id, LayerError::Unsupported)),
        }
    }

    fn sums_of_convolution(
        &mut self,
        id: NodeId,
        weights: &Weights,
        sums: &GateSums,
    ) -> Result<ValueId, LowerError> {
        let operand = self.graph.inputs(id)[0];
        let integers = weights.of_sums(&sums.list.channels, self.scales.unit(operand), &sums.unit);
        let bias = weights.bias_of_sums(&sums.list.channels, &sums.unit);
        let dims = [&[sums.unit.len()], &weights.dims[1..]].concat();
        let op = Conv2dSums {
            weight: self.constant(ConstKind::Weight, dims, integers),
            bias: bias.map(|b| self.constant(ConstKind::Bias, vec![b.len()], b)),
            channels: weights.channels(),
            window: weights.window.clone(),
            groups: weights.groups,
            sums: sums.list.clone(),
        };
        let note = self.sums_note(sums, UNIT as f64);
        self.push(op, &[self.activations[&operand]], id, note)
    }

    /// Sums of an activation as they enter those of an accumulator.
    fn sums_of_lift(&mut self, id: NodeId, sums: &GateSums) -> Result<ValueId, LowerError> {
        self.sums_of_pool(id, id, Window::dense([1, 1]), 1, sums)
    }

    fn sums_of_pool(
        &mut self,
        operand: NodeId,
        id: NodeId,
        window: Window,
        pixels: usize,
        sums: &GateSums,
    ) -> Result<ValueId, LowerError> {
        let x = self.scales.unit(operand);
        let pairs = sums.list.channels.iter().zip(&sums.unit);
        let multipliers: Vec<i32> = pairs
            .map(|(&c, unit)| linear::nearest_multiplier(x[c], *unit, pixels))
            .collect();
        let op = PoolSums {
            window,
            multiplier: self.constant(ConstKind::Multiplier, vec![multipliers.len()], multipliers),
            sums: sums.list.clone(),
        };
        let note = self.sums_note(sums, UNIT as f64);
        self.push(op, &[self.activations[&operand]], id, note)
    }

    /// The note of sums in `1 / parts` of their units, which are no node's value.
    fn sums_note(&self, sums: &GateSums, parts: f64) -> Note {
        let [h, w] = sums.map;
        let mut note = Note::default();
        for ((patch, unit), bound) in sums.list.patches.iter().zip(&sums.unit).zip(&sums.bound) {
            let count = patch.signs(h, w);
            note.unit.extend(std::iter::repeat_n(unit / parts, count));
            let bound = (bound / unit * parts).ceil() as i64;
            note.bound.extend(std::iter::repeat_n(bound, count));
        }
        note
    }
}
