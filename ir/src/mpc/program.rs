//! The program: declared constants and steps.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::message::Message;
use super::op::{Class, Effort, Op, OpError};
use super::types::Type;

macro_rules! typed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub struct $name(pub u32);

        impl $name {
            /// Position in tables.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}
typed_id!(
    /// A step and the value it computes, printed as `%3`.
    ValueId,
    "%"
);
typed_id!(
    /// A declared constant, printed as `c3`.
    ConstId,
    "c"
);

/// Who may know a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ConstKind {
    /// A weight W = F + B (mod 2^32): the server has W, the client F, the helper makes B.
    Weight,
    /// A bias, the server's alone.
    Bias,
    /// A multiplier of activations, known to server and client.
    Multiplier,
    /// The upper limit of a clip in units, known to server and client.
    Level,
    /// The same in 2^-16 of the units of patch sums, for those that are computed apart; known to
    /// server and client.
    SumLevel,
}

impl ConstKind {
    /// All of them.
    pub const ALL: [ConstKind; 5] = [
        ConstKind::Weight,
        ConstKind::Bias,
        ConstKind::Multiplier,
        ConstKind::Level,
        ConstKind::SumLevel,
    ];

    /// The word of the text form.
    pub fn word(self) -> &'static str {
        match self {
            ConstKind::Weight => "weight",
            ConstKind::Bias => "bias",
            ConstKind::Multiplier => "multiplier",
            ConstKind::Level => "level",
            ConstKind::SumLevel => "sum_level",
        }
    }

    /// Reads the word of the text form.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// A declared constant: its kind and dimensions; the values are in the plans.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Constant {
    /// Who may know it.
    pub kind: ConstKind,
    /// Dimensions, outermost first.
    pub dims: Vec<usize>,
}

impl Constant {
    /// Number of values, if it is not beyond all measure.
    pub fn len(&self) -> Option<usize> {
        self.dims
            .iter()
            .try_fold(1usize, |n, &d| n.checked_mul(d))
            .filter(|&n| n <= crate::geometry::MAX_ELEMENTS)
    }

    /// Whether it has no value.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }
}

/// What only the model owner knows of a value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// Real value of one unit (or, for an accumulator, of one integer step), per channel.
    pub unit: Vec<f64>,
    /// Largest magnitude that the calibration foresees, head-room included, per channel, in
    /// units (or integer steps).
    pub bound: Vec<i64>,
    /// The node of the NN graph whose value this is, if it is one's.
    pub node: Option<u32>,
}

/// A step of the program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What is done.
    pub op: Op,
    /// On which values.
    pub args: Vec<ValueId>,
    /// Form and shape of the result.
    pub ty: Type,
    /// ONNX name of the node that it comes from.
    pub origin: String,
    /// What only the model owner knows; never part of a plan's public part.
    pub note: Option<Note>,
}

/// A three-party program. Each step uses values of earlier steps only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Program {
    /// The model's name.
    pub name: String,
    /// Declared constants.
    pub constants: Vec<Constant>,
    /// Steps, each of which defines the value of its own number.
    pub steps: Vec<Step>,
}

impl Program {
    /// An empty program.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// Declares a constant.
    pub fn declare(&mut self, kind: ConstKind, dims: Vec<usize>) -> ConstId {
        self.constants.push(Constant { kind, dims });
        ConstId(self.constants.len() as u32 - 1)
    }

    /// Appends a step.
    ///
    /// # Errors
    /// If the op does not accept its operands.
    pub fn push(&mut self, op: impl Into<Op>, args: &[ValueId], origin: &str) -> Result<ValueId, OpError> {
        let op = op.into();
        let ty = self.infer(&op, args)?;
        self.steps.push(Step {
            op,
            args: args.to_vec(),
            ty,
            origin: origin.to_owned(),
            note: None,
        });
        Ok(ValueId(self.steps.len() as u32 - 1))
    }

    /// Type that `op` gives to these operands.
    ///
    /// # Errors
    /// If the op does not accept them.
    pub fn infer(&self, op: &Op, args: &[ValueId]) -> Result<Type, OpError> {
        let types: Vec<&Type> = args.iter().map(|a| &self.steps[a.index()].ty).collect();
        op.infer(&types, &self.constants)
    }

    /// Whether every operand of a step is defined somewhere and of a shape that can be computed
    /// with: what a hostile plan states may overflow.
    pub(super) fn has_sane_operands(&self, step: &Step) -> bool {
        let sane = |arg: &ValueId| self.steps.get(arg.index()).is_some_and(|s| s.ty.shape.is_sane());
        step.args.iter().all(sane)
    }

    /// The step of this value.
    pub fn step(&self, id: ValueId) -> &Step {
        &self.steps[id.index()]
    }

    /// Type of this value.
    pub fn ty(&self, id: ValueId) -> &Type {
        &self.step(id).ty
    }

    /// Ids in order.
    pub fn ids(&self) -> impl Iterator<Item = ValueId> + use<> {
        (0..self.steps.len() as u32).map(ValueId)
    }

    /// Words that a step takes on the way to its value, of steps that may take more of them than
    /// their operands and values have. None if they are beyond all measure.
    pub fn scratch_words(&self, id: ValueId) -> Option<usize> {
        self.effort(id).scratch_words
    }

    /// What one party's part of a step takes.
    pub fn effort(&self, id: ValueId) -> Effort {
        let step = self.step(id);
        step.op.effort(&self.operands(id), &step.ty)
    }

    /// Messages of a step, in order of their stages.
    pub fn messages(&self, id: ValueId) -> Vec<Message> {
        let step = self.step(id);
        step.op.messages(&self.operands(id), &step.ty)
    }

    /// Types of a step's operands.
    pub fn operands(&self, id: ValueId) -> Vec<&Type> {
        self.step(id).args.iter().map(|arg| self.ty(*arg)).collect()
    }

    /// The same program without the notes: what all three parties may know.
    #[must_use]
    pub fn public(&self) -> Program {
        let mut public = self.clone();
        for step in &mut public.steps {
            step.note = None;
        }
        public
    }

    /// The step that takes the image in, if there is one.
    pub fn input(&self) -> Option<ValueId> {
        self.ids()
            .find(|&id| matches!(self.step(id).op.class(), Class::Input))
    }

    /// The step that reveals, if there is one.
    pub fn output(&self) -> Option<ValueId> {
        self.ids()
            .find(|&id| matches!(self.step(id).op.class(), Class::Reveal))
    }
}
