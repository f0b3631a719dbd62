//! Gates: on the truncated form of their operand, or on the activation itself where a sign a
//! pixel is all they take.

use trefoil_ir::Patch;
use trefoil_ir::mpc::gate::Rounds;
use trefoil_ir::mpc::op::{BlockRelu, Clip, Relu};
use trefoil_ir::mpc::patch_sums::is_large;
use trefoil_ir::mpc::{ConstKind, ValueId};
use trefoil_ir::nn::NodeId;

use super::Emitter;
use crate::lower::form::Form;
use crate::lower::{LowerError, linear};
use trefoil_ir::nn::Gate;

impl Emitter<'_> {
    pub(super) fn gate(&mut self, id: NodeId, gate: Gate) -> Result<ValueId, LowerError> {
        let operand = self.graph.inputs(id)[0];
        let note = self.note(id, self.scales.unit(id));
        let Some(truncated) = self.truncated_for(id, operand) else {
            let patches = gate.lower;
            return self.push(Relu::new(patches), &[self.activations[&operand]], id, note);
        };
        let sums = self.gate_sums(id, operand)?;
        let operands: Vec<ValueId> = std::iter::once(truncated).chain(sums).collect();
        let Some((_, upper)) = gate.upper else {
            let patches = gate.lower;
            return self.push(BlockRelu::new(patches), &operands, id, note);
        };
        let levels = self.levels(id);
        let sum_levels = self.sum_levels(id, &upper);
        let clip = Clip {
            level: self.constant(ConstKind::Level, vec![levels.len()], levels),
            sum_level: sum_levels.map(|l| self.constant(ConstKind::SumLevel, vec![l.len()], l)),
            lower: gate.lower,
            upper,
            rounds: Rounds::Two,
        };
        self.push(clip, &operands, id, note)
    }

    /// The upper limits of sums that are computed apart, if there are such.
    fn sum_levels(&self, id: NodeId, upper: &[Patch]) -> Option<Vec<i32>> {
        let sums = self.scales.sums(id)?;
        upper.iter().copied().any(is_large).then(|| sums.levels(upper))
    }

    /// The truncated value that a gate works on; `None` if it works on the activation.
    fn truncated_for(&self, id: NodeId, operand: NodeId) -> Option<ValueId> {
        if self.is_served(id, operand, Form::Root) {
            self.truncated.get(&operand).copied()
        } else if self.is_served(id, operand, Form::Activation) {
            self.relifted.get(&operand).copied()
        } else {
            None
        }
    }

    /// Whether the truncated form of its operand as this serves the gate.
    fn is_served(&self, gate: NodeId, operand: NodeId, form: Form) -> bool {
        let served = self.forms.truncated_gates(self.graph, operand, form);
        served.iter().any(|(id, _)| *id == gate)
    }

    /// The upper limit in units.
    fn levels(&self, id: NodeId) -> Vec<i32> {
        let limits = self.scales.limits(id).into_iter().flatten();
        let pairs = limits.zip(self.scales.unit(id));
        pairs.map(|(limit, u)| linear::level(*limit, *u)).collect()
    }
}
