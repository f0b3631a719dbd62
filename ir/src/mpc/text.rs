//! The text form of three-party programs, written with the parts of [`crate::text`].
//!
//! ```text
//! program "tiny" {
//!   const c0 : weight[4,3,3,3]#5d41402abc4b2a76
//!   const c1 : level[4]{1500, 1500, 1500, 900}
//!   %0 = input {shape=[3, 8, 8]} : act<3x8x8> @"image"  // unit 7.8e-3, bound 2^8.0, real 2.00
//!   %1 = conv2d %0 {weight=c0, channels=4, kernel=[3, 3], pads=[1, 1, 1, 1]} : acc<4x8x8> @"/conv/Conv"
//!   %2 = truncate %1 {keep=[16*4]} : tr<4x8x8> @"/clip/Clip"
//!   %3 = clip %2 {level=c1, lower=[2x2*4], upper=[1x1*4]} : act<4x8x8> @"/clip/Clip"
//!   %4 = reveal %3 : out<4x8x8> @"features"
//! }
//! ```
//!
//! Steps and constants are numbered in order without gaps, so that a number in a message is the
//! number in the text. Values of constants may be missing: a public program has none. Where they
//! are written, by hash, inline or as `random(seed, limit)`, a program that is read can be run by
//! the [emulator](super::emulate). A type may be left out where a person writes. Comments show what
//! is not part of the program's meaning: the owner's notes and, if asked for, each step's messages.

mod read;

use std::ops::Range;

use super::Type;
use super::program::{Constant, Note, Program, ValueId};
use crate::Verified;
use crate::tensor::Tensor;
use crate::text::{
    self, Attrs, Declaration, Diagnostics, Literal, Module, Statement, TensorStore, TextOptions, filetest,
};
use read::{Reader, read};

const KIND: &str = "program";

/// Values by constant; `None` where a text or a plan leaves them out.
pub type ConstantValues = Vec<Option<Tensor<i32>>>;

/// What the text of a program shows besides the program.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProgramTextOptions<'a> {
    /// How values are printed.
    pub text: TextOptions,
    /// Values by constant: few inline, many by hash, none for constants beyond the end.
    pub constants: &'a [Option<Tensor<i32>>],
    /// Whether each step is followed by a comment line for each of its messages.
    pub messages: bool,
}

impl Program {
    /// The program as text, with the owner's notes but without values of constants.
    pub fn to_text(&self) -> String {
        self.to_text_with(&ProgramTextOptions::default())
    }

    /// The program as text, printed in a given way.
    pub fn to_text_with(&self, options: &ProgramTextOptions<'_>) -> String {
        let values = options.constants.iter().map(Option::as_ref);
        let values = values.chain(std::iter::repeat(None));
        let declared = (0..).zip(&self.constants).zip(values);
        let module = Module {
            kind: KIND.to_owned(),
            name: self.name.clone(),
            declarations: declared
                .map(|((id, constant), values)| declaration(id, constant, values, &options.text))
                .collect(),
            statements: self.ids().map(|id| self.statement(id)).collect(),
            ..Module::default()
        };
        let text = module.to_text(&options.text);
        if options.messages {
            self.with_messages(&text)
        } else {
            text
        }
    }

    fn statement(&self, id: ValueId) -> Statement {
        let step = self.step(id);
        Statement {
            result: Some(id.0),
            op: step.op.name().to_owned(),
            operands: step.args.iter().map(|arg| arg.0).collect(),
            attrs: step.op.attrs(),
            ty: Some(written(&step.ty)),
            origin: Some(step.origin.clone()).filter(|origin| !origin.is_empty()),
            marks: Attrs::new(),
            comment: step.note.as_ref().map(note_text).filter(|note| !note.is_empty()),
        }
    }

    /// Puts the messages of each step behind its line.
    fn with_messages(&self, text: &str) -> String {
        let first = 1 + self.constants.len(); // each line of the module is one line of text
        let mut out = String::with_capacity(2 * text.len());
        for (at, line) in text.lines().enumerate() {
            out.push_str(line);
            out.push('\n');
            if let Some(step) = at.checked_sub(first).filter(|&step| step < self.steps.len()) {
                for message in self.message_lines(ValueId(step as u32)) {
                    out.push_str("  //   ");
                    out.push_str(&message);
                    out.push('\n');
                }
            }
        }
        out
    }

    fn message_lines(&self, id: ValueId) -> Vec<String> {
        let step = self.step(id);
        // Only of a step that is typed as it must be is it known what it sends.
        if !self.has_sane_operands(step) || self.infer(&step.op, &step.args).as_ref() != Ok(&step.ty) {
            return Vec::new();
        }
        let elements = step.ty.shape.len();
        let line = |message: super::Message| {
            let stage = message.stage;
            let bits = message.content_bits() as f64 / elements as f64;
            let (word, link, phase) = (stage.word(), stage.link(), stage.phase());
            format!("{word} {link} {phase} {bits:.1} bits x {elements}")
        };
        self.messages(id).into_iter().map(line).collect()
    }

    /// Reads a program and the values of its constants.
    ///
    /// # Errors
    /// All faults of the text, of attributes and of types. A program that is read can still be one
    /// that [`Program::verify`] refuses.
    pub fn parse(source: &str, store: &TensorStore) -> Result<(Program, ConstantValues), Diagnostics> {
        let Reader {
            program,
            values,
            reporter,
            ..
        } = read(source, store);
        reporter.finish((program, values))
    }

    /// Reads a program with the values of its constants and verifies it.
    ///
    /// # Errors
    /// The faults of the text or, if there are none, those that the verifier finds.
    pub fn parse_verified(
        source: &str,
        store: &TensorStore,
    ) -> Result<(Verified<Program>, ConstantValues), Diagnostics> {
        let mut reader = read(source, store);
        if !reader.reporter.is_empty() {
            // Nothing of a program with gaps would be worth saying.
            return Err(reader.reporter.into_diagnostics());
        }
        match std::mem::take(&mut reader.program).verify() {
            Ok(verified) => Ok((verified, reader.values)),
            Err(faults) => {
                for fault in faults {
                    reader.reporter.report(reader.place(&fault), fault.message);
                }
                Err(reader.reporter.into_diagnostics())
            }
        }
    }
}

/// Reads and verifies `source` and compares what is found with its `; error: ...` directives: see
/// [`filetest`].
///
/// # Errors
/// Every line on which the two differ.
pub fn check_filetest(source: &str) -> Result<(), String> {
    filetest::compare(source, &Program::parse_verified(source, &TensorStore::new()))
}

fn declaration(
    id: u32,
    constant: &Constant,
    values: Option<&Tensor<i32>>,
    options: &TextOptions,
) -> Declaration {
    Declaration {
        id,
        kind: constant.kind.word().to_owned(),
        dims: constant.dims.clone(),
        literal: values.map(|values| Literal::of(values, options.inline_values)),
        comment: None,
    }
}

fn written(ty: &Type) -> text::Type {
    text::Type::of(ty.kind.word(), ty.shape)
}

/// `unit 1.2e-4..3.1e-4, bound 2^11.0..2^13.2, real 0.98..2.10, node 7`
fn note_text(note: &Note) -> String {
    let Note { unit, bound, node } = note;
    let real = unit.iter().zip(bound).map(|(unit, &bound)| unit * bound as f64);
    let power = |bound: f64| match bound {
        0.0 => "0".to_owned(),
        bound => format!("2^{:.1}", bound.log2()),
    };
    let parts = [
        extent(unit.iter().copied(), short).map(|text| format!("unit {text}")),
        extent(bound.iter().map(|&bound| bound as f64), power).map(|text| format!("bound {text}")),
        extent(real, short).map(|text| format!("real {text}")),
        node.map(|node| format!("node {node}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Least and largest of some values, or the one text that both have.
fn extent(values: impl Iterator<Item = f64>, show: impl Fn(f64) -> String) -> Option<String> {
    let Range { start, end } = values.fold(None, |extent: Option<Range<f64>>, value| {
        let extent = extent.unwrap_or(value..value);
        Some(extent.start.min(value)..extent.end.max(value))
    })?;
    let (least, largest) = (show(start), show(end));
    Some(if least == largest {
        least
    } else {
        format!("{least}..{largest}")
    })
}

/// A number for the eye.
fn short(value: f64) -> String {
    if value == 0.0 || (0.01..10_000.0).contains(&value.abs()) {
        format!("{value:.2}")
    } else {
        format!("{value:.1e}")
    }
}

#[cfg(test)]
mod tests;
