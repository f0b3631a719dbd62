//! Declarations: under which mask each field of a step's messages travels, what lies beneath, and
//! what the step leaves at each party.
//!
//! The fields of a gate are those that [`Group::contents`](crate::mpc::gate::Group::contents) lists,
//! from which its messages are made, too. All else follows from the op's class. Both are matched without
//! `_`: a class or a field that is added does not compile until somebody declares it.

use std::ops::Range;

use super::declaration::{Atom, Declaration, Field, FieldId, How, Mask, State};
use super::draw::{DrawId, Draws};
use super::gate::GateOperands;
use super::purpose::Purpose;
use crate::mpc::Op;
use crate::mpc::gate::{Group, NARROW, WIDE};
use crate::mpc::message::{Party, Section, Stage};
use crate::mpc::op::{Class, Gate, Local, Truncate, Truncation};
use crate::mpc::program::{ConstKind, Program, ValueId};

impl Declaration {
    /// What a step declares.
    pub fn of(program: &Program, id: ValueId) -> Self {
        let step = program.step(id);
        let count = step.ty.shape.len();
        match step.op.class() {
            Class::Input => Self::of_input(count),
            Class::Local(local) => Self::of_local(program, id, local),
            Class::Truncate(Truncation::Pixels(op)) => Self::of_truncation(op, count),
            Class::Truncate(Truncation::Sums) => Self::of_sums_truncation(count),
            Class::Gate(gate) => {
                let operands = match gate {
                    Gate::Truncated(_) | Gate::Activation { .. } => {
                        GateOperands::value(step.args.len(), step.op.constants())
                    }
                    Gate::Difference { .. } => GateOperands::difference(),
                };
                Self::of_gate(&gate.groups(&program.operands(id)), &operands)
            }
            Class::Reveal => Self::of_reveal(count),
        }
    }

    fn of_local(program: &Program, id: ValueId, local: Local<'_>) -> Self {
        let step = program.step(id);
        Self::local(match local {
            Local::Conv2d(_) | Local::Conv2dSums(_) => linear(program, &step.op),
            Local::Lift(_) | Local::SumPool(_) | Local::PoolSums(_) | Local::Interpolate(_) => State {
                helper: Vec::new(), // its share is zero
                ..linear(program, &step.op)
            },
            Local::Add
            | Local::Concat
            | Local::Gather(_)
            | Local::Pad(_)
            | Local::Reshape
            | Local::Shuffle(_) => State::alike((0..step.args.len()).map(Atom::Operand).collect()),
        })
    }

    fn local(state: State) -> Self {
        Self {
            state,
            ..Self::default()
        }
    }

    /// An image of so many values.
    pub fn of_input(count: usize) -> Self {
        let mask = DrawId::only(Purpose::InputMask);
        let image = Field::masked(
            (FieldId::Image, Stage::Input),
            Section::fields(count, 32),
            (mask, How::Minus),
            vec![Atom::Image],
        );
        let state = State {
            client: vec![Atom::Draw(mask)],
            server: vec![Atom::Field(image.id)],
            helper: vec![Atom::Draw(mask)],
        };
        Self {
            draws: Draws::of_input(count),
            fields: vec![image],
            state,
        }
    }

    /// A truncation of so many values: the server ends with D = s + p + (c - r1), the helper with
    /// R = h - p + r1, the client with the top of R.
    pub fn of_truncation(op: &Truncate, count: usize) -> Self {
        let mut declared = Self::of_sums_truncation(count);
        let plane = count / op.keep.len().max(1);
        let classes = [NARROW, WIDE].map(|bits| (bits, op.channels(bits)));
        for (bits, channels) in classes.into_iter().filter(|(_, channels)| !channels.is_empty()) {
            let field = Field {
                id: FieldId::TopBits(bits),
                stage: Stage::TruncationMask,
                section: Section::fields(channels.len() * plane, bits),
                mask: Mask::Drawn {
                    draw: DrawId::only(Purpose::Rerandomise),
                    how: How::TopOfMinus,
                    values: runs(&channels, plane),
                },
                payload: vec![
                    Atom::Operand(0),
                    Atom::Draw(DrawId::only(Purpose::TruncationMask)),
                ],
            };
            declared.state.client.push(Atom::Field(field.id));
            declared.fields.push(field);
        }
        declared
    }

    /// A truncation of so many patch sums: the server ends with D, the helper with R, and the client,
    /// which is told nothing of R, with nothing.
    pub fn of_sums_truncation(count: usize) -> Self {
        let p = DrawId::only(Purpose::Rerandomise);
        let r1 = DrawId::only(Purpose::TruncationMask);
        let share = Field::masked(
            (FieldId::MaskedShare, Stage::MaskedShare),
            Section::fields(count, 32),
            (r1, How::Minus),
            vec![Atom::Operand(0)],
        );
        let state = State {
            client: Vec::new(),
            server: vec![Atom::Operand(0), Atom::Draw(p), Atom::Field(share.id)],
            helper: vec![Atom::Operand(0), Atom::Draw(p), Atom::Draw(r1)],
        };
        Self {
            draws: Draws::of_truncation(count),
            fields: vec![share],
            state,
        }
    }

    /// A gate of these groups.
    pub fn of_gate(groups: &[Group], operands: &GateOperands) -> Self {
        super::gate::declare(groups, operands)
    }

    /// The revelation of so many values.
    pub fn of_reveal(count: usize) -> Self {
        let half = Field {
            id: FieldId::Revealed,
            stage: Stage::Reveal,
            section: Section::fields(count, WIDE),
            mask: Mask::Revealed,
            payload: vec![Atom::Operand(0)],
        };
        let state = State {
            client: vec![Atom::Operand(0), Atom::Field(half.id)],
            ..State::default()
        };
        Self {
            draws: Draws::default(),
            fields: vec![half],
            state,
        }
    }

    /// The field of this name.
    pub fn field(&self, id: FieldId) -> Option<&Field> {
        self.fields.iter().find(|field| field.id == id)
    }
}

/// A linear map of the operand, by what each party has of the op's constants.
fn linear(program: &Program, op: &Op) -> State {
    State {
        client: operand_and_constants(program, op, Party::Client),
        server: operand_and_constants(program, op, Party::Server),
        helper: operand_and_constants(program, op, Party::Helper),
    }
}

/// The operand, and those of the op's constants that a party has.
fn operand_and_constants(program: &Program, op: &Op, party: Party) -> Vec<Atom> {
    let mut atoms = vec![Atom::Operand(0)];
    for id in op.constants() {
        if is_known(program.constants[id.index()].kind, party) {
            atoms.push(Atom::Constant(id));
        }
    }
    atoms
}

/// Whether a party has (its part of) a constant of this kind.
pub(super) fn is_known(kind: ConstKind, party: Party) -> bool {
    match kind {
        ConstKind::Weight => true,
        ConstKind::Bias => party == Party::Server,
        ConstKind::Multiplier | ConstKind::Level | ConstKind::SumLevel => party != Party::Helper,
    }
}

/// The values of these ascending channels of `plane` values each, as runs of neighbours.
fn runs(channels: &[usize], plane: usize) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for channel in channels {
        let start = channel * plane;
        let end = start + plane;
        match runs.last_mut() {
            Some(run) if run.end == start => run.end = end,
            _ => runs.push(start..end),
        }
    }
    runs
}
