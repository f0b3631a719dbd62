//! What must hold between a program and a party's part of its plan.

use thiserror::Error;

use super::encoding::{InputEncoding, OutputDecoding};
use super::parts::{ClientPart, HelperPart, Owner, ServerPart};
use crate::geometry::{MAX_ELEMENTS, Patch, Shape};
use crate::mpc::op::{Class, Gate, Signs};
use crate::mpc::patch_sums::{is_large, sum_threshold};
use crate::mpc::{ACTIVATION_BOUND, ConstId, ConstKind, Constant, Program, ValueId};
use crate::nn::op::OpError;
use crate::nn::{self, Graph};
use crate::tail::{MAX_STEPS, TailError};
use crate::tensor::Tensor;
use crate::text::{UNPRINTABLE, is_printable};

/// Operators that the client may run in front of its tail: as many as a tail has steps.
const MAX_LINEAR: usize = MAX_STEPS;

/// Why a party's part does not fit the program.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PartError {
    /// There are more constants than the program declares, or fewer.
    #[error("the number of constants is not that of the program")]
    ConstantCount,
    /// The client has what is the server's alone.
    #[error("the bias {0} is in the client's plan")]
    BiasAtClient(ConstId),
    /// The client lacks a constant.
    #[error("the constant {0} is missing")]
    Missing(ConstId),
    /// A constant has other dimensions than the program declares, or not as many values as they need.
    #[error("the constant {0} has not the dimensions that the program declares")]
    Dimensions(ConstId),
    /// A clip's limit would wrap in its gate.
    #[error("the levels {0} of a clip leave the range of activations")]
    Levels(ConstId),
    /// A clip's limit would wrap in its gate where it is taken over a whole patch.
    #[error("the sum levels {0} of a clip leave the range of patch sums")]
    SumLevels(ConstId),
    /// An owner's note does not speak of its value's channels.
    #[error("the note on step {step} has not one unit and one bound for each of its {channels} channels")]
    Note {
        /// The step.
        step: ValueId,
        /// Channels of its value.
        channels: usize,
    },
    /// The owner's record holds a network that the verifier refuses.
    #[error("the network in it is unsound: {}", joined(.0))]
    Network(Vec<nn::Diagnostic>),
    /// The program takes no image in, or reveals nothing.
    #[error("the program has no input or no output")]
    Ends,
    /// The encoding of the image does not fit it.
    #[error("the image's units are not one positive number per channel")]
    InputUnits,
    /// The decoding of the output does not fit it.
    #[error("the output's units are not one positive number per channel")]
    OutputUnits,
    /// A terminal would act on the name of a class.
    #[error("the name of a class {UNPRINTABLE}")]
    ClassName,
    /// The client cannot run its tail on the logits.
    #[error("the client's tail: {0}")]
    Tail(TailError),
    /// The client would run too many operators in front of its tail.
    #[error("the client runs at most {MAX_LINEAR} operators in front of its tail")]
    LinearCount,
    /// The client would run an operator that needs the server, or that no compiler leaves to it.
    #[error("the client runs the operator `{0}`, which does not belong there")]
    LinearOp(&'static str),
    /// An operator in front of the tail does not take its operand.
    #[error("an operator that the client runs: {0}")]
    LinearOperand(OpError),
    /// The values in front of the tail are empty or too large.
    #[error("what the client computes is empty or has more than {MAX_ELEMENTS} elements")]
    LinearSize,
}

fn joined(faults: &[nn::Diagnostic]) -> String {
    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
    faults.join("; ")
}

/// A part that can be checked against the program.
pub(super) trait Part {
    /// Checks the part.
    ///
    /// # Errors
    /// What does not fit.
    fn check(&self, program: &Program) -> Result<(), PartError>;
}

impl Part for ClientPart {
    fn check(&self, program: &Program) -> Result<(), PartError> {
        check_count(program, self.constants.len())?;
        for (id, declared) in declarations(program) {
            match (declared.kind, &self.constants[id.index()]) {
                (ConstKind::Bias, None) => {}
                (ConstKind::Bias, Some(_)) => return Err(PartError::BiasAtClient(id)),
                (_, None) => return Err(PartError::Missing(id)),
                (_, Some(tensor)) => check_constant(id, declared, tensor)?,
            }
        }
        check_sum_levels(program, |id| self.constants.get(id.index())?.as_ref())?;
        check_ends(program, &self.input, &self.output)
    }
}

impl Part for ServerPart {
    fn check(&self, program: &Program) -> Result<(), PartError> {
        check_constants(program, &self.constants)
    }
}

impl Part for HelperPart {
    fn check(&self, _: &Program) -> Result<(), PartError> {
        Ok(())
    }
}

impl Part for Owner {
    fn check(&self, program: &Program) -> Result<(), PartError> {
        check_constants(program, &self.constants)?;
        check_ends(program, &self.input, &self.output)?;
        check_notes(program)?;
        check_graph(&self.graph)?;
        check_graph(&self.imported)
    }
}

fn check_graph(graph: &Graph) -> Result<(), PartError> {
    graph.clone().verify().map(drop).map_err(PartError::Network)
}

/// A note says something of each channel of its value.
fn check_notes(program: &Program) -> Result<(), PartError> {
    for id in program.ids() {
        let step = program.step(id);
        let channels = step.ty.shape.c;
        if let Some(note) = &step.note
            && (note.unit.len() != channels || note.bound.len() != channels)
        {
            return Err(PartError::Note { step: id, channels });
        }
    }
    Ok(())
}

/// Checks constants of which all are given.
fn check_constants(program: &Program, constants: &[Tensor<i32>]) -> Result<(), PartError> {
    check_count(program, constants.len())?;
    for (id, declared) in declarations(program) {
        check_constant(id, declared, &constants[id.index()])?;
    }
    check_sum_levels(program, |id| constants.get(id.index()))
}

fn check_count(program: &Program, given: usize) -> Result<(), PartError> {
    if given == program.constants.len() {
        Ok(())
    } else {
        Err(PartError::ConstantCount)
    }
}

fn declarations(program: &Program) -> impl Iterator<Item = (ConstId, &Constant)> {
    (0..).map(ConstId).zip(&program.constants)
}

/// A constant has the declared dimensions; levels outside (0, 2^14) would wrap in the gates that they
/// limit.
fn check_constant(id: ConstId, declared: &Constant, tensor: &Tensor<i32>) -> Result<(), PartError> {
    if tensor.dims() != declared.dims || !tensor.is_consistent() {
        return Err(PartError::Dimensions(id));
    }
    let mut values = tensor.values().iter().map(|&value| i64::from(value));
    if declared.kind == ConstKind::Level && !values.all(|level| (1..=ACTIVATION_BOUND).contains(&level)) {
        return Err(PartError::Levels(id));
    }
    Ok(())
}

/// Checks the limits of all clips that take signs of patch sums.
fn check_sum_levels<'a>(
    program: &Program,
    values: impl Fn(ConstId) -> Option<&'a Tensor<i32>>,
) -> Result<(), PartError> {
    for step in &program.steps {
        let Class::Gate(Gate::Truncated(Some(Signs {
            upper: Some(upper), ..
        }))) = step.op.class()
        else {
            continue;
        };
        let Some(id) = upper.sum_level else { continue };
        let Some(levels) = values(id) else { continue };
        let mut channels = levels.values().iter().zip(upper.patches);
        if !channels.all(|(&level, &patch)| is_sum_level(level.into(), patch)) {
            return Err(PartError::SumLevels(id));
        }
    }
    Ok(())
}

/// Whether a level is positive and, where the sums over the patch are computed apart, does not reach
/// 2^15 over a whole patch: it would wrap in the gate that it limits.
fn is_sum_level(level: i64, patch: Patch) -> bool {
    let [h, w] = patch.to_pair().map(i64::from);
    level > 0 && (!is_large(patch) || sum_threshold(level, h * w) < 1 << 15)
}

fn check_ends(program: &Program, input: &InputEncoding, output: &OutputDecoding) -> Result<(), PartError> {
    let image = program.ty(program.input().ok_or(PartError::Ends)?).shape;
    let revealed = program.ty(program.output().ok_or(PartError::Ends)?).shape;
    if !are_units(&input.unit, image) {
        return Err(PartError::InputUnits);
    }
    if !are_units(&output.unit, revealed) {
        return Err(PartError::OutputUnits);
    }
    if !output.classes.iter().all(|class| is_printable(class)) {
        return Err(PartError::ClassName);
    }
    let logits = check_linear(&output.linear, revealed)?;
    output.tail.check(logits).map_err(PartError::Tail)
}

/// Whether there is one positive number for each channel.
fn are_units(units: &[f64], shape: Shape) -> bool {
    units.len() == shape.c && units.iter().all(|unit| unit.is_finite() && *unit > 0.0)
}

/// Checks what the client runs in front of its tail; returns the shape of the logits.
fn check_linear(linear: &[nn::Op], mut shape: Shape) -> Result<Shape, PartError> {
    if linear.len() > MAX_LINEAR {
        return Err(PartError::LinearCount);
    }
    let mut left = MAX_ELEMENTS;
    for op in linear {
        if !matches!(op, nn::Op::Resize(_) | nn::Op::Flatten(_) | nn::Op::Shuffle(_)) {
            return Err(PartError::LinearOp(op.name()));
        }
        shape = op.infer(&[shape]).map_err(PartError::LinearOperand)?;
        if !shape.is_sane() || shape.len() > left {
            return Err(PartError::LinearSize);
        }
        left -= shape.len();
    }
    Ok(shape)
}
