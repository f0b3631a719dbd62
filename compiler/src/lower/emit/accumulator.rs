//! The accumulator of a root: everything that joins it, from convolutions to the last sum.

use std::collections::BTreeMap;

use trefoil_ir::mpc::op::{Add, Conv2d, SumPool};
use trefoil_ir::mpc::{ConstKind, UNIT, ValueId};
use trefoil_ir::nn::{Class, NodeId};

use super::Emitter;
use crate::lower::linear::{self, Weights};
use crate::lower::tree::{self, Member, Tree};
use crate::lower::{LayerError, LowerError};

impl Emitter<'_> {
    pub(super) fn sum(&mut self, root: NodeId) -> Result<ValueId, LowerError> {
        let mut joined = BTreeMap::new();
        let tree = Tree::new(self.graph, self.forms, root);
        for &member in &tree.members {
            let value = self.member(root, member, &joined)?;
            joined.insert(member.node, value);
        }
        Ok(joined[&root])
    }

    fn member(
        &mut self,
        root: NodeId,
        member: Member,
        joined: &BTreeMap<NodeId, ValueId>,
    ) -> Result<ValueId, LowerError> {
        let graph = self.graph;
        let id = member.node;
        if let Some(weights) = Weights::of(&graph.node(id).op) {
            return self.convolution(id, &weights);
        }
        if let Some(divisors) = linear::divisors(graph, id) {
            return self.mean(id, &divisors);
        }
        let mut operands = Vec::new();
        for operand in tree::operands(graph, member) {
            operands.push(match joined.get(&operand.node) {
                Some(&value) => value,
                None => self.lift_into(root, operand)?,
            });
        }
        let unit: Vec<f64> = self.scales.unit(id).iter().map(|u| u / UNIT as f64).collect();
        if matches!(graph.node(id).op.class(), Class::Add) {
            let note = self.note(id, &unit);
            return self.push(Add, &operands, id, note);
        }
        self.local(id, &operands, &unit)
    }

    fn lift_into(&mut self, root: NodeId, operand: Member) -> Result<ValueId, LowerError> {
        let channels = self.graph.node(operand.node).shape.c;
        let unit = &self.scales.unit(root)[operand.offset..operand.offset + channels];
        self.lift(operand.node, unit)
    }

    fn convolution(&mut self, id: NodeId, weights: &Weights) -> Result<ValueId, LowerError> {
        let operand = self.graph.inputs(id)[0];
        let x = self.scales.unit(operand);
        let unit = self.scales.unit(id);
        let integers = weights.integers(x, unit);
        let bias = weights.bias_integers(unit);
        let op = Conv2d {
            weight: self.constant(ConstKind::Weight, weights.dims.clone(), integers),
            bias: bias.map(|b| self.constant(ConstKind::Bias, vec![b.len()], b)),
            channels: weights.channels(),
            window: weights.window.clone(),
            groups: weights.groups,
        };
        let note = self.fine_note(id, unit);
        self.push(op, &[self.activations[&operand]], id, note)
    }

    fn mean(&mut self, id: NodeId, divisors: &[usize]) -> Result<ValueId, LowerError> {
        let window = linear::pool_window(self.graph, id)
            .ok_or_else(|| LowerError::at(self.graph, id, LayerError::Unsupported))?;
        let operand = self.graph.inputs(id)[0];
        let x = self.scales.unit(operand);
        let unit = self.scales.unit(id);
        let mut multipliers = Vec::new();
        for (x, u) in x.iter().zip(unit) {
            multipliers.extend(divisors.iter().map(|&n| linear::multiplier(*x, *u, n)));
        }
        let shape = self.graph.node(id).shape;
        let multiplier = self.constant(
            ConstKind::Multiplier,
            vec![shape.c, shape.h, shape.w],
            multipliers,
        );
        let note = self.fine_note(id, unit);
        self.push(
            SumPool { window, multiplier },
            &[self.activations[&operand]],
            id,
            note,
        )
    }
}
