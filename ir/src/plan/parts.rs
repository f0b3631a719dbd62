//! The parts of plans and what must hold between them.

use serde::{Deserialize, Serialize};

use super::identity::{Digest, PlanId};
use super::seed::SecretSeed;
use crate::Verified;
use crate::geometry::{MAX_ELEMENTS, Patch, Shape};
use crate::mpc::privacy::Proof;
use crate::mpc::sums::{is_large, sum_threshold};
use crate::mpc::{ACTIVATION_BOUND, ConstKind, Note, Op, Program};
use crate::nn::{self, Graph};
use crate::tail::{Prediction, Tail};
use crate::tensor::Tensor;
use crate::text::is_printable;

/// What all three parties know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Public {
    /// The program, without the owner's notes.
    pub program: Program,
    /// Which compilation this is.
    pub plan_id: PlanId,
}

/// How the client turns its image into integers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputEncoding {
    /// Real value of one unit, per channel.
    pub unit: Vec<f64>,
}

impl InputEncoding {
    /// The image in units; an error names the first element that is not a number or leaves the
    /// range for which the plan was made (never its value).
    ///
    /// # Errors
    /// If an element is not finite or out of range.
    pub fn encode(&self, image: &[f32], shape: Shape) -> Result<Vec<i32>, String> {
        if image.len() != shape.len() || self.unit.len() != shape.c {
            return Err(format!(
                "the image has {} values and the plan expects {shape}: resize it, or fix the preprocessing",
                image.len()
            ));
        }
        let mut units = Vec::with_capacity(image.len());
        for (at, &value) in image.iter().enumerate() {
            let (c, y, x) = (at / shape.plane(), at % shape.plane() / shape.w, at % shape.w);
            let scaled = (f64::from(value) / self.unit[c]).round();
            if !value.is_finite() {
                return Err(format!(
                    "the image's value at channel {c}, row {y}, column {x} is not a number"
                ));
            }
            if scaled.abs() > ACTIVATION_BOUND as f64 {
                return Err(format!(
                    "the image's value at channel {c}, row {y}, column {x} is outside the range that the plan was \
                     calibrated for: check the preprocessing, or compile with calibration data that covers it"
                ));
            }
            units.push(scaled as i32);
        }
        Ok(units)
    }
}

/// How the client turns what it learns into the network's output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputDecoding {
    /// Real value of one unit, per channel.
    pub unit: Vec<f64>,
    /// Linear operators without weights that the client runs in the clear behind the last gate: what
    /// they give are the logits.
    pub linear: Vec<nn::Op>,
    /// What the network makes of its logits.
    pub tail: Tail,
    /// Names of the classes.
    pub classes: Vec<String>,
}

impl OutputDecoding {
    /// Real values of the revealed units.
    pub fn decode(&self, units: &[i64], shape: Shape) -> Vec<f32> {
        let value = |(at, &unit): (usize, &i64)| (unit as f64 * self.unit[at / shape.plane()]) as f32;
        units.iter().enumerate().map(value).collect()
    }

    /// The logits that the revealed values stand for.
    pub fn logits(&self, revealed: Vec<f32>, shape: Shape) -> nn::eval::FeatureMap {
        let mut map = nn::eval::FeatureMap::new(shape, revealed);
        for op in &self.linear {
            // Plans are only made and decoded with operators whose shapes fit.
            let Ok(shape) = op.infer(&[map.shape()]) else {
                break;
            };
            map = op.eval(&[&map], shape);
        }
        map
    }

    /// What one image comes to, from the revealed units.
    pub fn predict(&self, units: &[i64], shape: Shape) -> Prediction {
        let logits = self.logits(self.decode(units, shape), shape);
        self.tail.run(logits.values())
    }
}

/// The client's part.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ClientPart {
    /// By constant: F of a weight, multipliers and levels; none for a bias.
    pub constants: Vec<Option<Tensor<i32>>>,
    /// Encoding of the image.
    pub input: InputEncoding,
    /// Decoding of the output.
    pub output: OutputDecoding,
    /// Preprocessing of images, as the TOML text of its description.
    pub preprocess: Option<String>,
    /// Shared with the server.
    pub with_server: SecretSeed,
    /// Shared with the helper.
    pub with_helper: SecretSeed,
}

/// The server's part.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerPart {
    /// By constant: everything.
    pub constants: Vec<Tensor<i32>>,
    /// Shared with the client.
    pub with_client: SecretSeed,
    /// Shared with the helper.
    pub with_helper: SecretSeed,
}

/// The helper's part.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct HelperPart {
    /// Seed of B.
    pub weight_seed: SecretSeed,
    /// Shared with the client.
    pub with_client: SecretSeed,
    /// Shared with the server.
    pub with_server: SecretSeed,
}

/// A plan: the verified program and one party's part.
pub struct Plan<P> {
    public: Verified<Program>,
    proof: Proof,
    plan_id: PlanId,
    digest: Digest,
    /// What is this party's alone.
    pub part: P,
}

/// The client's plan.
pub type ClientPlan = Plan<ClientPart>;
/// The server's plan.
pub type ServerPlan = Plan<ServerPart>;
/// The helper's plan.
pub type HelperPlan = Plan<HelperPart>;

impl<P> Plan<P> {
    pub(super) fn new(
        program: Verified<Program>,
        proof: Proof,
        plan_id: PlanId,
        digest: Digest,
        part: P,
    ) -> Self {
        Self {
            public: program,
            proof,
            plan_id,
            digest,
            part,
        }
    }

    /// The program.
    pub fn program(&self) -> &Verified<Program> {
        &self.public
    }

    /// That the program's messages tell their receivers nothing, as this party has proved for itself.
    pub fn proof(&self) -> &Proof {
        &self.proof
    }

    /// Which compilation this is.
    pub fn plan_id(&self) -> PlanId {
        self.plan_id
    }

    /// Hash of the public part.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// The model owner's record of a compilation.
#[derive(Clone, Serialize, Deserialize)]
pub struct Owner {
    /// The program with its notes.
    pub program: Program,
    /// Which compilation this is.
    pub plan_id: PlanId,
    /// All constants.
    pub constants: Vec<Tensor<i32>>,
    /// The network after all passes, tail included.
    pub graph: Graph,
    /// The network as it was imported.
    pub imported: Graph,
    /// The patches with which it was compiled, as the JSON text of an assignment for the imported
    /// network; none where every pixel keeps its signs.
    pub assignment: Option<String>,
    /// Encoding of the image.
    pub input: InputEncoding,
    /// Decoding of the output.
    pub output: OutputDecoding,
    /// Preprocessing of images, as the TOML text of its description.
    pub preprocess: Option<String>,
    /// How many images the ranges were taken from.
    pub calibration_images: usize,
}

/// A part that can be checked against the program.
pub(super) trait Part {
    /// Checks the part.
    ///
    /// # Errors
    /// A sentence that says what does not fit.
    fn check(&self, program: &Program) -> Result<(), String>;
}

impl Part for ClientPart {
    fn check(&self, program: &Program) -> Result<(), String> {
        if self.constants.len() != program.constants.len() {
            return Err("the number of constants is not that of the program".into());
        }
        for (at, (declared, tensor)) in program.constants.iter().zip(&self.constants).enumerate() {
            match (declared.kind, tensor) {
                (ConstKind::Bias, None) => {}
                (ConstKind::Bias, Some(_)) => return Err(format!("the bias c{at} is in the client's plan")),
                (_, None) => return Err(format!("the constant c{at} is missing")),
                (kind, Some(tensor)) => {
                    check_tensor(at, &declared.dims, tensor)?;
                    check_levels(at, kind, tensor)?;
                }
            }
        }
        check_sum_levels(program, |at| self.constants[at].as_ref())?;
        check_ends(program, &self.input, &self.output)
    }
}

impl Part for ServerPart {
    fn check(&self, program: &Program) -> Result<(), String> {
        check_constants(program, &self.constants)
    }
}

impl Part for HelperPart {
    fn check(&self, _: &Program) -> Result<(), String> {
        Ok(())
    }
}

impl Part for Owner {
    fn check(&self, program: &Program) -> Result<(), String> {
        check_constants(program, &self.constants)?;
        check_ends(program, &self.input, &self.output)?;
        check_notes(program)?;
        for graph in [&self.graph, &self.imported] {
            if let Err(faults) = graph.clone().verify() {
                let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
                return Err(format!("the network in it is unsound: {}", faults.join("; ")));
            }
        }
        Ok(())
    }
}

/// A note says something of each channel of its value.
fn check_notes(program: &Program) -> Result<(), String> {
    for (at, step) in program.steps.iter().enumerate() {
        let channels = step.ty.shape.c;
        let fits = |note: &Note| note.unit.len() == channels && note.bound.len() == channels;
        if !step.note.as_ref().is_none_or(fits) {
            return Err(format!(
                "the note on step %{at} has not one unit and one bound for each of its {channels} channels"
            ));
        }
    }
    Ok(())
}

/// Checks constants of which all are given.
fn check_constants(program: &Program, constants: &[Tensor<i32>]) -> Result<(), String> {
    if constants.len() != program.constants.len() {
        return Err("the number of constants is not that of the program".into());
    }
    for (at, (declared, tensor)) in program.constants.iter().zip(constants).enumerate() {
        check_tensor(at, &declared.dims, tensor)?;
        check_levels(at, declared.kind, tensor)?;
    }
    check_sum_levels(program, |at| constants.get(at))
}

fn check_tensor(at: usize, dims: &[usize], tensor: &Tensor<i32>) -> Result<(), String> {
    if tensor.dims() != dims || !tensor.is_consistent() {
        return Err(format!(
            "the constant c{at} has not the dimensions that the program declares"
        ));
    }
    Ok(())
}

/// A level outside (0, 2^14) would wrap in the gate that it limits.
fn check_levels(at: usize, kind: ConstKind, tensor: &Tensor<i32>) -> Result<(), String> {
    let fits = |level: &i32| (1..=ACTIVATION_BOUND).contains(&i64::from(*level));
    if kind == ConstKind::Level && !tensor.values().iter().all(fits) {
        return Err(format!(
            "the levels c{at} of a clip leave the range of activations"
        ));
    }
    Ok(())
}

/// A sum level of which a whole patch would reach 2^15 would wrap in the gate that it limits.
fn check_sum_levels<'a>(
    program: &Program,
    values: impl Fn(usize) -> Option<&'a Tensor<i32>>,
) -> Result<(), String> {
    for step in &program.steps {
        let Op::Clip(clip) = &step.op else { continue };
        let Some((at, tensor)) = clip.sum_level.and_then(|l| Some((l, values(l.index())?))) else {
            continue;
        };
        let fits = |(level, patch): (&i32, &Patch)| {
            let [h, w] = patch.to_pair().map(i64::from);
            let apart = is_large(*patch);
            *level > 0 && (!apart || sum_threshold(i64::from(*level), h * w) < 1 << 15)
        };
        if !tensor.values().iter().zip(&clip.upper).all(fits) {
            return Err(format!(
                "the sum levels {at} of a clip leave the range of patch sums"
            ));
        }
    }
    Ok(())
}

fn check_ends(program: &Program, input: &InputEncoding, output: &OutputDecoding) -> Result<(), String> {
    let shape_of = |wanted: fn(&Op) -> bool| program.steps.iter().find(|s| wanted(&s.op)).map(|s| s.ty.shape);
    let (Some(image), Some(revealed)) = (
        shape_of(|op| matches!(op, Op::Input(_))),
        shape_of(|op| matches!(op, Op::Reveal(_))),
    ) else {
        return Err("the program has no input or no output".into());
    };
    let positive = |units: &[f64]| units.iter().all(|u| u.is_finite() && *u > 0.0);
    if input.unit.len() != image.c || !positive(&input.unit) {
        return Err("the image's units are not one positive number per channel".into());
    }
    if output.unit.len() != revealed.c || !positive(&output.unit) {
        return Err("the output's units are not one positive number per channel".into());
    }
    if !output.classes.iter().all(|class| is_printable(class)) {
        return Err(format!("the name of a class {}", crate::text::UNPRINTABLE));
    }
    let logits = check_linear(&output.linear, revealed)?;
    let checked = output.tail.check(logits);
    checked.map_err(|error| format!("the client's tail: {error}"))
}

/// Operators that the client may run in front of its tail: as many as a tail has steps.
const MAX_LINEAR: usize = crate::tail::MAX_STEPS;

/// Checks what the client runs in front of its tail; returns the shape of the logits.
fn check_linear(linear: &[nn::Op], mut shape: Shape) -> Result<Shape, String> {
    if linear.len() > MAX_LINEAR {
        return Err(format!(
            "the client runs at most {MAX_LINEAR} operators in front of its tail"
        ));
    }
    let mut left = MAX_ELEMENTS;
    for op in linear {
        if !matches!(op, nn::Op::Resize(_) | nn::Op::Flatten(_)) {
            return Err(format!(
                "the client runs the operator `{}`, which does not belong there",
                op.name()
            ));
        }
        shape = op
            .infer(&[shape])
            .map_err(|e| format!("an operator that the client runs: {e}"))?;
        if !shape.is_sane() || shape.len() > left {
            return Err("what the client computes is empty or beyond all measure".into());
        }
        left -= shape.len();
    }
    Ok(shape)
}
