//! Operators that move values and compute nothing, on activations and accumulators alike.

use trefoil_ir::Axis;
use trefoil_ir::mpc::op::{Concat, Gather, Pad, Reshape, Shuffle};
use trefoil_ir::mpc::{UNIT, ValueId};
use trefoil_ir::nn::op::class::Move;
use trefoil_ir::nn::{Class, NodeId};

use super::Emitter;
use crate::lower::form::copied;
use crate::lower::{LayerError, LowerError};

impl Emitter<'_> {
    /// The value of a local operator whose result has these units (or steps, of accumulators). A
    /// gate that gates nothing is its operand.
    pub(super) fn local(
        &mut self,
        id: NodeId,
        operands: &[ValueId],
        unit: &[f64],
    ) -> Result<ValueId, LowerError> {
        let node = self.graph.node(id);
        let note = self.note(id, unit);
        match node.op.class() {
            Class::Move(Move::Concat) => self.push(Concat, operands, id, note),
            Class::Move(Move::Pad(pad)) => self.push(Pad { pad: pad.clone() }, operands, id, note),
            Class::Move(Move::Flatten) => self.push(Reshape, operands, id, note),
            Class::Move(Move::Shuffle(shuffle)) => {
                let shuffle = shuffle.clone();
                self.push(Shuffle { shuffle }, operands, id, note)
            }
            Class::Move(Move::Slice(slice)) => self.gather(id, operands[0], slice.axis, slice.index(), unit),
            Class::Resize(resize) => {
                let input = self.graph.node(self.graph.inputs(id)[0]).shape;
                let [rows, columns] = copied(resize, input)
                    .ok_or_else(|| LowerError::at(self.graph, id, LayerError::Unsupported))?;
                let value = self.gather(id, operands[0], Axis::H, rows, unit)?;
                self.gather(id, value, Axis::W, columns, unit)
            }
            Class::Gate(_) => Ok(operands[0]),
            Class::Input
            | Class::Linear(_)
            | Class::PerChannel(_)
            | Class::Max(_)
            | Class::Mean(_)
            | Class::Add
            | Class::Output(_) => Err(LowerError::at(self.graph, id, LayerError::Unsupported)),
        }
    }

    /// The accumulator of a node that makes pixels of channels: each of these is lifted to the unit of the
    /// channel that it becomes a part of.
    pub(super) fn merge(&mut self, id: NodeId, merged: &[usize]) -> Result<ValueId, LowerError> {
        let unit = self.scales.unit(id);
        let of_parts: Vec<f64> = merged.iter().map(|&c| unit[c]).collect();
        let lifted = self.lift(self.graph.inputs(id)[0], &of_parts)?;
        let fine: Vec<f64> = unit.iter().map(|u| u / UNIT as f64).collect();
        self.local(id, &[lifted], &fine)
    }

    /// Indices of one axis; the value itself if these are all, in order. The note names the node
    /// only if the shape is its own.
    pub(super) fn gather(
        &mut self,
        id: NodeId,
        value: ValueId,
        axis: Axis,
        index: Vec<usize>,
        unit: &[f64],
    ) -> Result<ValueId, LowerError> {
        let size = axis.size(self.program.ty(value).shape);
        if index.iter().copied().eq(0..size) {
            return Ok(value);
        }
        let note = self.note(id, unit);
        let value = self.push(Gather { axis, index }, &[value], id, note)?;
        let step = &mut self.program.steps[value.index()];
        if let Some(note) = step
            .note
            .as_mut()
            .filter(|_| step.ty.shape != self.graph.node(id).shape)
        {
            note.node = None;
        }
        Ok(value)
    }
}
