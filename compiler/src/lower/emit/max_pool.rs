//! Max-pools: a tournament along each axis.

use trefoil_ir::mpc::ValueId;
use trefoil_ir::mpc::op::Max;
use trefoil_ir::nn::NodeId;
use trefoil_ir::{Axis, Window};

use super::Emitter;
use crate::lower::LowerError;
use crate::lower::max_pool::{AxisPlan, columns_first, plan};

impl Emitter<'_> {
    pub(super) fn max_pool(&mut self, id: NodeId, window: &Window) -> Result<ValueId, LowerError> {
        let operand = self.operands(id)[0];
        let input = self.program.ty(operand).shape;
        let output = self.graph.node(id).shape;
        let rows = plan(window, 0, input.h, output.h);
        let columns = plan(window, 1, input.w, output.w);
        let first = self.program.steps.len();
        let result = if columns_first(&rows, &columns, input, output) {
            let value = self.tournament(id, operand, Axis::W, &columns)?;
            self.tournament(id, value, Axis::H, &rows)?
        } else {
            let value = self.tournament(id, operand, Axis::H, &rows)?;
            self.tournament(id, value, Axis::W, &columns)?
        };
        // Only the result is the node's value.
        for at in first..self.program.steps.len() {
            let note = self.program.steps[at].note.as_mut();
            note.into_iter()
                .filter(|_| at != result.index())
                .for_each(|n| n.node = None);
        }
        Ok(result)
    }

    fn tournament(
        &mut self,
        id: NodeId,
        operand: ValueId,
        axis: Axis,
        plan: &AxisPlan,
    ) -> Result<ValueId, LowerError> {
        let unit = self.scales.unit(id);
        let non_negative = self.non_negative[self.graph.inputs(id)[0].index()];
        let mut values = vec![operand];
        for level in &plan.levels {
            let left = self.gather(id, values[level.left], axis, level.left_index.clone(), unit)?;
            let right = self.gather(id, values[level.right], axis, level.right_index.clone(), unit)?;
            let note = self.max_note(id);
            values.push(self.push(Max::new(non_negative), &[left, right], id, note)?);
        }
        let last = values.last().copied().unwrap_or(operand);
        self.gather(id, last, axis, plan.outputs.clone(), unit)
    }

    /// A partial maximum lies between the operand's bounds, as the pool's own result does.
    fn max_note(&self, id: NodeId) -> trefoil_ir::mpc::Note {
        let operand = self.graph.inputs(id)[0];
        let mut note = self.note(operand, self.scales.unit(id));
        note.node = Some(id.index() as u32);
        note
    }
}
