//! Declarations: under which mask each field of a step's messages travels, what lies beneath, and
//! what the step leaves at each party.
//!
//! The fields of a gate are those that [`Group::contents`](crate::mpc::gate::Group::contents) lists,
//! from which its messages are made, too. All else follows from the op's class. Both are matched without
//! `_`: a class or a field that is added does not compile until somebody declares it.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

use super::draw::{DrawId, Draws};
use super::gate::GateOperands;
use super::purpose::Purpose;
use crate::mpc::Op;
use crate::mpc::gate::{Content, Group, NARROW, WIDE};
use crate::mpc::message::{Party, Section, Stage};
use crate::mpc::op::{Class, Gate, Local, Truncate, Truncation};
use crate::mpc::program::{ConstId, ConstKind, Program, ValueId};

/// Names a field within a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldId {
    /// The masked image x - a.
    Image,
    /// The client's masked share c - r1 of what is truncated.
    MaskedShare,
    /// The top bits of R, of the channels that keep so many.
    TopBits(u32),
    /// The server's half of the output.
    Revealed,
    /// A field of a gate.
    Gate {
        /// The number of the group.
        group: usize,
        /// Which of the fields of the group.
        content: Content,
    },
}

impl fmt::Display for FieldId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FieldId::Image => f.write_str("image"),
            FieldId::MaskedShare => f.write_str("masked share"),
            FieldId::TopBits(bits) => write!(f, "top {bits} bits of R"),
            FieldId::Revealed => f.write_str("server's half of the output"),
            FieldId::Gate { group, content } => write!(f, "{content:?} of group {group}"),
        }
    }
}

/// What a payload, or a value that a party holds, is computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Atom {
    /// The client's image.
    Image,
    /// What the party has of a constant: of a weight W, F or B.
    Constant(ConstId),
    /// A draw of this step.
    Draw(DrawId),
    /// A field of this step, received or sent.
    Field(FieldId),
    /// What the party holds of the operand of this number.
    Operand(usize),
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Atom::Image => f.write_str("the image"),
            Atom::Constant(id) => write!(f, "{id}"),
            Atom::Draw(id) => write!(f, "{id}"),
            Atom::Field(id) => write!(f, "{id}"),
            Atom::Operand(at) => write!(f, "operand {at}"),
        }
    }
}

/// How a mask is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Added bit by bit, modulo 2.
    Xor,
    /// Added modulo 2^k, k being the bits of the field.
    Plus,
    /// Subtracted modulo 2^k.
    Minus,
    /// Subtracted modulo 2^32; the field is what lies above the lowest 16 bits, which nobody is told.
    TopOfMinus,
}

/// What makes a field uniform to its receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mask {
    /// A draw that the receiver cannot make.
    Drawn {
        /// The draw whose values are the masks.
        draw: DrawId,
        /// How a value of the draw is applied to a value of the field.
        how: How,
        /// Which values of the draw: one for each of the field's.
        values: Vec<Range<usize>>,
    },
    /// Nothing: it is revealed, less what the receiver holds of the operand itself.
    Revealed,
}

/// A field of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name within the step.
    pub id: FieldId,
    /// The message that it is part of.
    pub stage: Stage,
    /// Its size: a section of the message.
    pub section: Section,
    /// What makes it uniform to its receiver.
    pub mask: Mask,
    /// What its sender computes it from, the mask left out.
    pub payload: Vec<Atom>,
}

impl Field {
    /// A field of which each value has a value of a draw to itself.
    pub(super) fn masked(
        (id, stage): (FieldId, Stage),
        section: Section,
        (draw, how): (DrawId, How),
        payload: Vec<Atom>,
    ) -> Self {
        let all = 0..section.count;
        let mask = Mask::Drawn {
            draw,
            how,
            values: vec![all],
        };
        Self {
            id,
            stage,
            section,
            mask,
            payload,
        }
    }
}

/// What each party holds of a step's value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// What the client holds of the value.
    pub client: Vec<Atom>,
    /// What the server holds of the value.
    pub server: Vec<Atom>,
    /// What the helper holds of the value.
    pub helper: Vec<Atom>,
}

impl State {
    fn alike(atoms: Vec<Atom>) -> Self {
        Self {
            client: atoms.clone(),
            server: atoms.clone(),
            helper: atoms,
        }
    }

    /// What one party holds.
    pub fn of(&self, party: Party) -> &[Atom] {
        match party {
            Party::Client => &self.client,
            Party::Server => &self.server,
            Party::Helper => &self.helper,
        }
    }
}

/// What a step draws, sends and leaves behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declaration {
    /// The stretches of streams that are drawn.
    pub draws: Draws,
    /// Fields of messages, in the order of stages and sections.
    pub fields: Vec<Field>,
    /// What the parties hold of the value.
    pub state: State,
}

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
                    Gate::Truncated(_) | Gate::Activation(_) => {
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
