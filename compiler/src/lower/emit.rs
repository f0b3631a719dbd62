//! Emits the steps of the program and the integers of its constants, node after node.

mod accumulator;
mod gate;
mod local;
mod max_pool;
mod patch_sums;

use std::collections::BTreeMap;

use trefoil_ir::mpc::op::{Input, Interpolate, Lift, Requant, Reveal, Truncate};
use trefoil_ir::mpc::{self, ConstId, ConstKind, Note, Program, UNIT, ValueId, bits_for};
use trefoil_ir::nn::{Class, Gate, Graph, NodeId};
use trefoil_ir::{Patch, Tensor};

use super::channel::merged;
use super::form::{Form, Forms, interpolates};
use super::scale::Scales;
use super::{LayerError, LowerError, linear, sign};
/// A program and the values of its constants.
pub(super) struct Emitted {
    pub(super) program: Program,
    pub(super) constants: Vec<Tensor<i32>>,
}

/// Emits the program of a graph.
pub(super) fn emit(graph: &Graph, forms: &Forms, scales: &Scales) -> Result<Emitted, LowerError> {
    let mut emitter = Emitter {
        graph,
        forms,
        scales,
        non_negative: sign::non_negative(graph, forms.order()),
        program: Program::new(graph.name.clone()),
        constants: Vec::new(),
        activations: BTreeMap::new(),
        truncated: BTreeMap::new(),
        relifted: BTreeMap::new(),
        lifts: BTreeMap::new(),
    };
    for &id in forms.order() {
        emitter.node(id)?;
    }
    emitter.reveal()?;
    Ok(Emitted {
        program: emitter.program,
        constants: emitter.constants,
    })
}

struct Emitter<'a> {
    graph: &'a Graph,
    forms: &'a Forms,
    scales: &'a Scales,
    non_negative: Vec<bool>,
    program: Program,
    constants: Vec<Tensor<i32>>,
    /// Values as activations.
    activations: BTreeMap<NodeId, ValueId>,
    /// Roots, truncated.
    truncated: BTreeMap<NodeId, ValueId>,
    /// Activations, lifted and truncated for their gates.
    relifted: BTreeMap<NodeId, ValueId>,
    /// Lifts by value and multipliers.
    lifts: BTreeMap<(NodeId, Vec<i32>), ValueId>,
}

impl<'a> Emitter<'a> {
    fn node(&mut self, id: NodeId) -> Result<(), LowerError> {
        match self.forms.of(id) {
            Form::Absent | Form::Joined => return Ok(()), // a joined value is emitted with its root
            Form::Activation => {
                let value = self.activation(id)?;
                self.activations.insert(id, value);
            }
            Form::Root => self.root(id)?,
        }
        self.relift(id)
    }

    fn activation(&mut self, id: NodeId) -> Result<ValueId, LowerError> {
        let node = self.graph.node(id);
        match node.op.class() {
            Class::Input => {
                let note = self.note(id, self.scales.unit(id));
                self.push(Input { shape: node.shape }, &[], id, note)
            }
            Class::Max(window) => self.max_pool(id, window),
            Class::Gate(_) => match super::form::gate(self.graph, id) {
                Some(gate) => self.gate(id, gate),
                None => Ok(self.activations[&self.graph.inputs(id)[0]]),
            },
            Class::Move(_) | Class::Resize(_) => {
                let operands = self.operands(id);
                self.local(id, &operands, self.scales.unit(id))
            }
            Class::Linear(_) | Class::PerChannel(_) | Class::Mean(_) | Class::Add | Class::Output(_) => {
                Err(LowerError::at(self.graph, id, LayerError::Unsupported))
            }
        }
    }

    /// A root: its accumulator, the one truncation, and the requantisation if anything but gates
    /// uses it.
    fn root(&mut self, id: NodeId) -> Result<(), LowerError> {
        let accumulator = if interpolates(self.graph, id) {
            self.interpolate(id)?
        } else if let Some(merged) = merged(self.graph, id) {
            self.merge(id, &merged)?
        } else {
            self.sum(id)?
        };
        let gates = self.forms.truncated_gates(self.graph, id, Form::Root);
        let mut users = self.forms.users(self.graph, id).into_iter();
        let requantised = users.any(|user| gates.iter().all(|(gate, _)| *gate != user));
        let whole = requantised || self.forms.revealed() == id;
        let truncated = self.truncate(id, accumulator, &gates, whole, self.scales.unit(id))?;
        self.truncated.insert(id, truncated);
        if requantised {
            let note = self.note(id, self.scales.unit(id));
            let value = self.push(Requant, &[truncated], id, note)?;
            self.activations.insert(id, value);
        }
        Ok(())
    }

    fn interpolate(&mut self, id: NodeId) -> Result<ValueId, LowerError> {
        let Class::Resize(resize) = self.graph.node(id).op.class() else {
            unreachable!("only a resize interpolates");
        };
        let operands = self.operands(id);
        let note = self.fine_note(id, self.scales.unit(id));
        let resize = resize.clone();
        self.push(Interpolate { resize }, &operands, id, note)
    }

    /// Lifts and truncates an activation whose gates need more than a sign a pixel.
    fn relift(&mut self, id: NodeId) -> Result<(), LowerError> {
        let Some(unit) = self.scales.relifted(id) else {
            return Ok(());
        };
        let gates = self.forms.truncated_gates(self.graph, id, Form::Activation);
        let lifted = self.lift(id, unit)?;
        let truncated = self.truncate(id, lifted, &gates, false, unit)?;
        self.relifted.insert(id, truncated);
        Ok(())
    }

    /// An activation as an accumulator whose activation would have these units.
    fn lift(&mut self, id: NodeId, unit: &[f64]) -> Result<ValueId, LowerError> {
        let pairs = self.scales.unit(id).iter().zip(unit);
        let multipliers: Vec<i32> = pairs.map(|(x, u)| linear::multiplier(*x, *u, 1)).collect();
        if let Some(&lifted) = self.lifts.get(&(id, multipliers.clone())) {
            return Ok(lifted);
        }
        let operand = self.activations[&id];
        let multiplier = self.constant(
            ConstKind::Multiplier,
            vec![multipliers.len()],
            multipliers.clone(),
        );
        let note = self.fine_note(id, unit);
        let lifted = self.push(Lift { multiplier }, &[operand], id, note)?;
        self.lifts.insert((id, multipliers), lifted);
        Ok(lifted)
    }

    fn truncate(
        &mut self,
        id: NodeId,
        accumulator: ValueId,
        gates: &[(NodeId, Gate)],
        whole: bool,
        unit: &[f64],
    ) -> Result<ValueId, LowerError> {
        let channels = 0..self.graph.node(id).shape.c;
        let keep = channels.map(|c| if whole { 16 } else { bits_of_channel(gates, c) });
        let keep = keep.collect();
        let note = self.note(id, unit);
        self.push(Truncate { keep }, &[accumulator], id, note)
    }

    fn reveal(&mut self) -> Result<(), LowerError> {
        let id = self.forms.revealed();
        let value = match self.truncated.get(&id) {
            Some(&truncated) => truncated,
            None => self.activations[&id],
        };
        let note = self.note(id, self.scales.unit(id));
        self.push(Reveal, &[value], id, note).map(|_| ())
    }

    /// Operands of a node as activations.
    fn operands(&self, id: NodeId) -> Vec<ValueId> {
        let operands = self.graph.inputs(id).into_iter();
        operands.map(|x| self.activations[&x]).collect()
    }

    fn push(
        &mut self,
        op: impl Into<mpc::Op>,
        args: &[ValueId],
        from: NodeId,
        note: Note,
    ) -> Result<ValueId, LowerError> {
        let origin = &self.graph.node(from).origin.name;
        let id = self
            .program
            .push(op, args, origin)
            .map_err(|error| LowerError::at(self.graph, from, error))?;
        self.program.steps[id.index()].note = Some(note);
        Ok(id)
    }

    fn constant(&mut self, kind: ConstKind, dims: Vec<usize>, values: Vec<i32>) -> ConstId {
        let id = self.program.declare(kind, dims.clone());
        let tensor = Tensor::new(dims, values).expect("as many values as the dimensions say");
        self.constants.push(tensor);
        id
    }

    /// The note of a node's value in these units.
    fn note(&self, id: NodeId, unit: &[f64]) -> Note {
        let bounds = self.scales.bound(id).iter().zip(unit);
        Note {
            unit: unit.to_vec(),
            bound: bounds.map(|(b, u)| (b / u).ceil() as i64).collect(),
            node: Some(id.index() as u32),
        }
    }

    /// The note of a node's value as an accumulator of activations in these units.
    fn fine_note(&self, id: NodeId, unit: &[f64]) -> Note {
        let fine: Vec<f64> = unit.iter().map(|u| u / UNIT as f64).collect();
        self.note(id, &fine)
    }
}

/// Top bits of R that the client learns of a channel: what the signs of its gates take.
fn bits_of_channel(gates: &[(NodeId, Gate)], c: usize) -> u8 {
    let bits = gates.iter().map(|(_, gate)| {
        let upper = gate
            .upper
            .as_ref()
            .map_or(Patch::Identity, |(_, patches)| patches[c]);
        bits_for(gate.lower[c], upper)
    });
    bits.max().unwrap_or(16)
}
