//! What a party works out once per plan: what each step is, what it works on, how long its messages
//! are, and constants packed for the kernels.

use std::sync::Arc;

use trefoil_ir::Shape;
use trefoil_ir::mpc::privacy::{Declaration, Draws};
use trefoil_ir::mpc::schedule::Schedule;
use trefoil_ir::mpc::{ConstId, ConstKind, Program, Stage, ValueId};
use trefoil_ir::tensor::Tensor;
use zeroize::Zeroizing;

use super::step::Kind;
use crate::kernel::Isa;

/// A program with one party's constants, ready to run.
pub(super) struct Prepared {
    pub(super) schedule: Schedule,
    pub(super) isa: Isa,
    pub(super) steps: Vec<Step>,
    /// How often each value is an operand.
    pub(super) uses: Vec<usize>,
}

/// A step, ready to run.
pub(super) struct Step {
    /// Its number, and its value's.
    pub(super) id: ValueId,
    /// What is done.
    pub(super) kind: Kind,
    /// On which values.
    pub(super) args: Vec<Arg>,
    /// Shape of the value.
    pub(super) shape: Shape,
    /// Its messages, and their bytes.
    messages: Vec<(Stage, usize)>,
    /// What is drawn at it.
    pub(super) draws: Draws,
    /// Op and ONNX name, for errors.
    pub(super) origin: String,
}

/// An operand.
#[derive(Clone, Copy)]
pub(super) struct Arg {
    pub(super) id: ValueId,
    pub(super) shape: Shape,
}

/// What a step is prepared from.
pub(super) struct Site<'a> {
    pub(super) isa: Isa,
    pub(super) program: &'a Program,
    pub(super) id: ValueId,
    pub(super) args: &'a [Arg],
    constants: &'a Constants<'a>,
}

/// One party's values of the constants.
struct Constants<'a> {
    /// Gives them, if the party has any; the number is how many there are.
    values: &'a dyn Fn(ConstId, usize) -> Option<Tensor<i32>>,
    /// Those that are no weights. Several steps may use the same ones.
    plain: Vec<Option<Arc<[i32]>>>,
}

impl Prepared {
    /// `constant` gives this party's values of a constant, if it has any; `isa` runs the kernels.
    pub(super) fn new(
        isa: Isa,
        program: &Program,
        constant: impl Fn(ConstId, usize) -> Option<Tensor<i32>>,
    ) -> Self {
        let constants = Constants::new(program, &constant);
        let mut uses = vec![0; program.steps.len()];
        for arg in program.steps.iter().flat_map(|step| &step.args) {
            uses[arg.index()] += 1;
        }
        Self {
            schedule: Schedule::new(program),
            isa,
            steps: program
                .ids()
                .map(|id| Step::new(isa, program, id, &constants))
                .collect(),
            uses,
        }
    }

    /// The step of this value.
    pub(super) fn step(&self, id: ValueId) -> &Step {
        &self.steps[id.index()]
    }

    /// Bytes of the packed weights.
    pub(super) fn bytes(&self) -> usize {
        self.steps.iter().map(|step| step.kind.packed_bytes()).sum()
    }
}

impl Step {
    fn new(isa: Isa, program: &Program, id: ValueId, constants: &Constants<'_>) -> Self {
        let step = program.step(id);
        let args: Vec<Arg> = step.args.iter().map(|&arg| Arg::new(program, arg)).collect();
        let site = Site {
            isa,
            program,
            id,
            args: &args,
            constants,
        };
        let messages = program.messages(id).into_iter();
        Self {
            id,
            kind: Kind::new(step.op.class(), &site),
            shape: step.ty.shape,
            messages: messages.map(|message| (message.stage, message.bytes())).collect(),
            draws: Declaration::of(program, id).draws,
            origin: format!("{} \"{}\"", step.op.name(), step.origin),
            args,
        }
    }

    /// Bytes of one of its messages; 0 if it has none of this stage.
    pub(super) fn bytes(&self, stage: Stage) -> usize {
        self.messages
            .iter()
            .find(|(of, _)| *of == stage)
            .map_or(0, |(_, bytes)| *bytes)
    }

    /// Whether it has a message of this stage.
    pub(super) fn has(&self, stage: Stage) -> bool {
        self.messages.iter().any(|(of, _)| *of == stage)
    }
}

impl Arg {
    fn new(program: &Program, id: ValueId) -> Self {
        Self {
            id,
            shape: program.ty(id).shape,
        }
    }
}

impl Site<'_> {
    /// Values of a weight as ring elements; packing copies them, and this copy is wiped.
    ///
    /// # Panics
    /// If the party has no part of it, which no plan that decodes leaves out.
    pub(super) fn weight(&self, id: ConstId) -> Zeroizing<Vec<u32>> {
        let len = length(self.program, id);
        let weights = (self.constants.values)(id, len).expect("every party has a part of every weight");
        Zeroizing::new(weights.values().iter().map(|&w| w as u32).collect())
    }

    /// Values of a constant that is no weight, if this party has them.
    pub(super) fn plain(&self, id: ConstId) -> Option<Arc<[i32]>> {
        self.constants.plain[id.index()].clone()
    }
}

impl<'a> Constants<'a> {
    fn new(program: &Program, values: &'a dyn Fn(ConstId, usize) -> Option<Tensor<i32>>) -> Self {
        let ids = (0..program.constants.len() as u32).map(ConstId);
        let plain = |id: ConstId| match program.constants[id.index()].kind {
            ConstKind::Weight => None,
            ConstKind::Bias | ConstKind::Multiplier | ConstKind::Level | ConstKind::SumLevel => {
                values(id, length(program, id)).map(|tensor| Arc::from(tensor.values()))
            }
        };
        Self {
            values,
            plain: ids.map(plain).collect(),
        }
    }
}

fn length(program: &Program, id: ConstId) -> usize {
    program.constants[id.index()].len().unwrap_or(0)
}
