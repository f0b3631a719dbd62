//! The proof message by message, for people and for programs.

use std::fmt;

use serde::Serialize;

use super::breach::{Breach, Rule};
use super::declaration::{Field, FieldId, How, Mask};
use super::draw::DrawId;
use super::proof::Proof;
use super::purpose::Key;
use super::step::{Declared, StepView};
use crate::Verified;
use crate::mpc::message::{Phase, Stage};
use crate::mpc::program::Program;

/// A proof with all that it rests on, or the breaches that stand in its way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The program's name.
    pub program: String,
    /// Whether the program is proved private.
    pub proved: bool,
    /// Every message, in program order.
    pub messages: Vec<MessageReport>,
    /// What was proved, in numbers; `None` if the program is not private.
    pub proof: Option<Proof>,
    /// Every breach of a rule; empty if the program is private.
    pub breaches: Vec<Breach>,
}

/// A message, and why it tells its receiver nothing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MessageReport {
    /// The step, as in the text form.
    pub step: String,
    /// Name of the op.
    pub op: &'static str,
    /// The ONNX name that it comes from.
    pub origin: String,
    /// Word of the stage: which message of the step it is.
    pub stage: &'static str,
    /// Sender and receiver, as `client->server`.
    pub link: String,
    /// When the message travels.
    pub phase: Phase,
    /// Its fields, in the order of sections.
    pub fields: Vec<FieldReport>,
}

/// A field of a message, and why it may be sent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FieldReport {
    /// Its name within the step.
    pub field: FieldId,
    /// Number of values.
    pub values: usize,
    /// Bits of each value.
    pub bits: u64,
    /// Its mask; none if it is revealed.
    pub mask: Option<MaskReport>,
    /// The rule by which it may be sent.
    pub rule: Rule,
}

/// The mask of a field: a stretch of a stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MaskReport {
    /// The key, which the receiver lacks.
    pub key: Key,
    /// The stretch of a stream of it.
    pub draw: DrawId,
    /// Where the stretch begins and ends in its stream, in bytes.
    pub bytes: [u64; 2],
    /// Bits for each value.
    pub bits: usize,
    /// How it is applied.
    pub how: How,
}

impl Report {
    /// Tries to prove a program private, and lists all its messages.
    pub fn of(program: &Verified<Program>) -> Self {
        let declared = Declared::of(program);
        let (proof, breaches) = match super::check(program, &declared) {
            Ok(proof) => (Some(proof), Vec::new()),
            Err(breaches) => (None, breaches),
        };
        Self {
            program: program.name.clone(),
            proved: proof.is_some(),
            messages: declared.steps(program).flat_map(|step| messages(&step)).collect(),
            proof,
            breaches,
        }
    }
}

fn messages(view: &StepView<'_>) -> Vec<MessageReport> {
    let of_stages = view.declared.fields.chunk_by(|a, b| a.stage == b.stage);
    of_stages
        .map(|fields| message(view, fields[0].stage, fields))
        .collect()
}

fn message(view: &StepView<'_>, stage: Stage, fields: &[Field]) -> MessageReport {
    let step = view.step();
    MessageReport {
        step: view.id.to_string(),
        op: step.op.name(),
        origin: step.origin.clone(),
        stage: stage.word(),
        link: stage.link().to_string(),
        phase: stage.phase(),
        fields: fields.iter().map(|field| field_report(view, field)).collect(),
    }
}

fn field_report(view: &StepView<'_>, field: &Field) -> FieldReport {
    let section = field.section;
    let mask = mask(view, field);
    FieldReport {
        field: field.id,
        values: section.count,
        bits: section.planes as u64 * u64::from(section.bits),
        rule: if mask.is_some() {
            Rule::Masked
        } else {
            Rule::Revelation
        },
        mask,
    }
}

fn mask(view: &StepView<'_>, field: &Field) -> Option<MaskReport> {
    let Mask::Drawn { draw: id, how, .. } = field.mask else {
        return None;
    };
    let (_, draw) = view.draw(id)?;
    let interval = draw.interval();
    Some(MaskReport {
        key: id.purpose.key(),
        draw: id,
        bytes: [interval.start, interval.end],
        bits: draw.unit.bits(),
        how,
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for message in &self.messages {
            writeln!(f, "{message}")?;
        }
        for breach in &self.breaches {
            writeln!(f, "leak: {breach}")?;
        }
        match &self.proof {
            Some(proof) => write!(f, "{proof}"),
            None => write!(f, "not private: {} breaches", self.breaches.len()),
        }
    }
}

impl fmt::Display for MessageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            step,
            op,
            origin,
            stage,
            ..
        } = self;
        write!(
            f,
            "{step} {op} \"{origin}\", {stage} {}, {}",
            self.link, self.phase
        )?;
        self.fields.iter().try_for_each(|field| write!(f, "\n  {field}"))
    }
}

impl fmt::Display for FieldReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} x {} bits ", self.field, self.values, self.bits)?;
        match &self.mask {
            Some(mask) => write!(f, "{mask}"),
            None => f.write_str("revealed"),
        }
    }
}

impl fmt::Display for MaskReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [start, end] = self.bytes;
        let how = match self.how {
            How::Xor => "xor",
            How::Garbled => "garbled under",
            How::Plus => "plus",
            How::Minus => "minus",
            How::TopOfMinus => "above 16 bits of minus",
        };
        write!(
            f,
            "{how} {} bits of {}, {}, bytes {start}..{end}",
            self.bits, self.key, self.draw
        )
    }
}
