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

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::program::{ConstId, ConstKind, Constant, Note, Program, Step, ValueId};
use super::{Fault, Op, Type};
use crate::nn::Verified;
use crate::tensor::Tensor;
use crate::text::{
    self, Attrs, Declaration, Diagnostics, Literal, Module, Parsed, Reporter, Span, Statement,
    StatementSpans, TensorStore, TextOptions, did_you_mean, filetest, parse_module,
};

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

fn read<'s>(source: &'s str, store: &TensorStore) -> Reader<'s> {
    let mut parsed = parse_module(source, store);
    parsed.expect_kind(KIND);
    for (name, span) in &parsed.map.properties {
        let message = format!("a program has no property `{name}`");
        parsed.reporter.report(*span, message);
    }
    let Parsed {
        module,
        map,
        reporter,
    } = parsed;
    let mut reader = Reader {
        program: Program::new(module.name),
        values: Vec::new(),
        complete: reporter.is_empty(),
        reporter,
        steps: HashMap::new(),
        next: 0,
        faulty: HashSet::new(),
        header: map.header,
        lines: Vec::new(),
        declared: Vec::new(),
    };
    for (declaration, &span) in module.declarations.into_iter().zip(&map.declarations) {
        reader.declaration(declaration, span, store);
    }
    for (statement, spans) in module.statements.into_iter().zip(&map.statements) {
        reader.statement(statement, spans);
    }
    reader
}

struct Reader<'s> {
    program: Program,
    values: ConstantValues,
    reporter: Reporter<'s>,
    /// Whether the module has all lines of the text; if not, numbers that are missing in it may
    /// stand there.
    complete: bool,
    /// Steps by their numbers in the text; those that were at fault are missing.
    steps: HashMap<u32, ValueId>,
    /// Number of the next value.
    next: u32,
    /// Constants whose kind is not known.
    faulty: HashSet<ConstId>,
    header: Span,
    /// The op of each step.
    lines: Vec<Span>,
    /// The name of each constant.
    declared: Vec<Span>,
}

impl Reader<'_> {
    /// The line of a fault: a step's, a constant's or the program's.
    fn place(&self, fault: &Fault) -> Span {
        let step = fault.step.and_then(|step| self.lines.get(step.index()));
        let constant = fault.constant.and_then(|c| self.declared.get(c.index()));
        step.or(constant).copied().unwrap_or(self.header)
    }

    fn declaration(&mut self, declaration: Declaration, span: Span, store: &TensorStore) {
        let next = self.program.constants.len() as u32;
        if declaration.id != next {
            if self.complete {
                let message = format!("constants are numbered in order, and the next one is `c{next}`");
                self.reporter.report(span, message);
            }
            return;
        }
        let kind = ConstKind::from_word(&declaration.kind).unwrap_or_else(|| {
            self.unknown_kind(&declaration.kind, span);
            self.faulty.insert(ConstId(next));
            ConstKind::Weight
        });
        let resolve = |literal: &Literal| store.resolve(&declaration.dims, literal);
        let values = declaration.literal.as_ref().map(resolve).transpose();
        self.values.push(values.unwrap_or_else(|error| {
            self.reporter.report(span, error.to_string());
            None
        }));
        self.program.declare(kind, declaration.dims);
        self.declared.push(span);
    }

    fn unknown_kind(&mut self, word: &str, span: Span) {
        let known = ConstKind::ALL.map(ConstKind::word);
        let message = format!("unknown kind of constant `{}`", excerpt(word));
        let hint = did_you_mean(word, known).unwrap_or_else(|| format!("one of {}", known.join(", ")));
        self.reporter.report_with_hint(span, message, Some(hint));
    }

    fn statement(&mut self, statement: Statement, spans: &StatementSpans) {
        let number = self.number(statement.result, spans);
        let op = self.op(&statement.op, statement.attrs, spans);
        if let Err(error) = statement.marks.finish() {
            self.reporter.report(spans.of_error(&error), error.to_string());
        }
        // An operand or constant that is missing has been reported where it was to be defined.
        let args = statement.operands.iter().map(|n| self.steps.get(n).copied());
        let (Some(number), Some(op), Some(args)) = (number, op, args.collect::<Option<Vec<_>>>()) else {
            return;
        };
        if !op.constants().into_iter().all(|id| self.is_known(id)) {
            return;
        }
        match self.program.infer(&op, &args) {
            Ok(ty) if ty.shape.is_sane() => {
                self.check_type(&ty, statement.ty, spans);
                self.steps
                    .insert(number, ValueId(self.program.steps.len() as u32));
                self.lines.push(spans.op);
                self.program.steps.push(Step {
                    op,
                    args,
                    ty,
                    origin: statement.origin.unwrap_or_default(),
                    note: None,
                });
            }
            Ok(_) => self
                .reporter
                .report(spans.op, "the value is empty or beyond all measure"),
            Err(error) => self.reporter.report(spans.op, error.to_string()),
        }
    }

    /// The number that a statement defines, which must be the next one.
    fn number(&mut self, result: Option<u32>, spans: &StatementSpans) -> Option<u32> {
        let Some(number) = result else {
            let message = format!(
                "every step defines a value: write %{} = in front of it",
                self.next
            );
            self.reporter.report(spans.op, message);
            return None;
        };
        if number < self.next || number > self.next && self.complete {
            let message = format!(
                "values are numbered in order, and the next one is `%{}`",
                self.next
            );
            self.reporter.report(spans.result.unwrap_or(spans.op), message);
        }
        self.next = number.saturating_add(1);
        Some(number)
    }

    fn op(&mut self, name: &str, attrs: Attrs, spans: &StatementSpans) -> Option<Op> {
        match Op::from_attrs(name, attrs) {
            Ok(Some(op)) => Some(op),
            Ok(None) => {
                let message = format!("unknown op `{}`", excerpt(name));
                self.reporter.report(spans.op, message);
                None
            }
            Err(error) => {
                self.reporter.report(spans.of_error(&error), error.to_string());
                None
            }
        }
    }

    fn is_known(&self, id: ConstId) -> bool {
        id.index() < self.program.constants.len() && !self.faulty.contains(&id)
    }

    fn check_type(&mut self, ty: &Type, stated: Option<text::Type>, spans: &StatementSpans) {
        if let Some(stated) = stated.filter(|stated| *stated != written(ty)) {
            let message = format!("the type is stated as {stated} and must be {ty}");
            self.reporter.report(spans.ty_or_op(), message);
        }
    }
}

/// A word of a text, as far as a message should show it.
fn excerpt(word: &str) -> String {
    word.chars().take(40).collect()
}

#[cfg(test)]
mod tests;
