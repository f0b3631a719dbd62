//! From a [`Module`](crate::text::Module) to a program: ops from their names, numbers to steps, and
//! every fault on its line.

use std::collections::{HashMap, HashSet};

use super::{ConstantValues, KIND, written};
use crate::geometry::MAX_ELEMENTS;
use crate::mpc::program::{ConstId, ConstKind, Program, Step, ValueId};
use crate::mpc::{Fault, Op, Type};
use crate::tensor::Tensor;
use crate::text::{
    self, Attrs, Declaration, Literal, Parsed, Reporter, Span, Statement, StatementSpans, TensorStore,
    did_you_mean, parse_module,
};

pub(super) fn read<'s>(source: &'s str, store: &TensorStore) -> Reader<'s> {
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

/// A program in the making.
pub(super) struct Reader<'s> {
    pub(super) program: Program,
    pub(super) values: ConstantValues,
    pub(super) reporter: Reporter<'s>,
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
    pub(super) fn place(&self, fault: &Fault) -> Span {
        let step = fault.step.and_then(|step| self.lines.get(step.index()));
        let constant = fault.constant.and_then(|c| self.declared.get(c.index()));
        step.or(constant).copied().unwrap_or(self.header)
    }

    fn declaration(&mut self, declaration: Declaration, span: Span, store: &TensorStore) {
        let literal = declaration.literal.as_ref();
        let values = literal.and_then(|literal| self.resolve(&declaration.dims, literal, span, store));
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
        self.values.push(values);
        self.program.declare(kind, declaration.dims);
        self.declared.push(span);
    }

    /// The values of a constant, unless its literal is at fault.
    fn resolve(
        &mut self,
        dims: &[usize],
        literal: &Literal,
        span: Span,
        store: &TensorStore,
    ) -> Option<Tensor<i32>> {
        let resolved = store.resolve(dims, literal);
        resolved
            .inspect_err(|error| self.reporter.report(span, error.to_string()))
            .ok()
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
        let operands = statement.operands.iter();
        let args: Option<Vec<ValueId>> = operands.map(|n| self.steps.get(n).copied()).collect();
        let (Some(number), Some(op), Some(args)) = (number, op, args) else {
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
            Ok(_) => {
                let message = format!("the value is empty or has more than {MAX_ELEMENTS} elements");
                self.reporter.report(spans.op, message);
            }
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
        self.next = self.next.max(number.saturating_add(1));
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
