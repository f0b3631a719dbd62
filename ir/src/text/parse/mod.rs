//! From text to [`Module`]. Each line is parsed by itself and faults are collected, so that one
//! run shows all of them. What is known here without knowing any operation is checked here:
//! numbers are defined once and before their use, constants are declared, nothing is larger than
//! a file may ask for.

mod cursor;
mod value;

use std::collections::HashSet;

use super::ast::{Declaration, Module, SourceMap, Statement, StatementSpans, Type};
use super::attr::{Attr, Attrs};
use super::diag::{Diagnostics, Fault, Reporter, Span};
use super::lex::{Kind, lex_line};
use super::store::TensorStore;
use cursor::Cursor;
use value::{Values, constant_number};

/// Longest text in bytes.
pub const MAX_SOURCE: usize = 1 << 24;
/// Longest line in bytes.
pub const MAX_LINE: usize = 1 << 21;
/// Most lines in braces that are not empty.
pub const MAX_LINES: usize = 1 << 16;

/// What the parser made of a text.
#[derive(Debug)]
pub struct Parsed<'s> {
    /// Everything that could be read; faulty lines are missing.
    pub module: Module,
    /// Where its parts stand.
    pub map: SourceMap,
    /// The faults so far, for a reader of the module to add its own.
    pub reporter: Reporter<'s>,
}

/// Reads a text; tensors among the attributes are resolved in `store`.
pub fn parse_module<'s>(source: &'s str, store: &TensorStore) -> Parsed<'s> {
    let mut parser = Parser {
        parsed: Parsed {
            module: Module::default(),
            map: SourceMap::default(),
            reporter: Reporter::new(""),
        },
        place: Place::Before,
        values: Values::new(store),
        defined: HashSet::new(),
        lines: 0,
    };
    if source.len() > MAX_SOURCE {
        let message = format!("the text is longer than {MAX_SOURCE} bytes");
        parser.parsed.reporter.report(Span::default(), message);
        return parser.parsed;
    }
    parser.parsed.reporter = Reporter::new(source);
    parser.module(source);
    parser.parsed
}

impl Parsed<'_> {
    /// Reports a module of another kind than `kind`.
    pub fn expect_kind(&mut self, kind: &str) {
        let found = &self.module.kind;
        if found != kind && !found.is_empty() {
            let message = format!("this is a {found}, and a {kind} is expected");
            self.reporter.report(self.map.header, message);
        }
    }

    /// The module, if there was no fault.
    ///
    /// # Errors
    /// All faults.
    pub fn finish(self) -> Result<Module, Diagnostics> {
        self.reporter.finish(self.module)
    }
}

/// Where a line stands: before the line that opens the module, inside of the braces, or behind them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Before,
    Inside,
    Behind,
}

struct Parser<'s, 't> {
    parsed: Parsed<'s>,
    place: Place,
    values: Values<'t>,
    /// Numbers that are defined, by faulty lines too: their users are not at fault.
    defined: HashSet<u32>,
    /// Lines so far that are not empty.
    lines: usize,
}

impl<'s> Parser<'s, '_> {
    fn module(&mut self, source: &'s str) {
        let mut start = 0;
        for line in source.split('\n') {
            if let Err(fault) = self.line(line, start) {
                self.parsed.reporter.push(fault);
            }
            start += line.len() + 1;
        }
        let end = Span::new(source.trim_end().len(), source.len());
        match self.place {
            Place::Before => self
                .parsed
                .reporter
                .report(end, "the module is missing: write graph \"name\" {"),
            Place::Inside => self.parsed.reporter.report(end, "the closing `}` is missing"),
            Place::Behind => {}
        }
    }

    fn line(&mut self, line: &'s str, start: usize) -> Result<(), Fault> {
        let span = Span::new(start, start + line.len());
        if line.len() > MAX_LINE {
            self.note_broken(line);
            return Err(Fault::new(
                span,
                format!("the line is longer than {MAX_LINE} bytes"),
            ));
        }
        let tokens = lex_line(line, start).inspect_err(|_| self.note_broken(line))?;
        if tokens.is_empty() {
            return Ok(());
        }
        self.lines += 1;
        if self.lines > MAX_LINES {
            return match std::mem::replace(&mut self.place, Place::Behind) {
                Place::Behind => Ok(()),
                _ => Err(Fault::new(
                    span,
                    format!("a module has at most {MAX_LINES} lines"),
                )),
            };
        }
        let mut cursor = Cursor::new(tokens, span.end);
        match self.place {
            Place::Before => self.header(&mut cursor),
            Place::Inside => self.body(&mut cursor).inspect_err(|_| self.note_broken(line)),
            Place::Behind => Err(Fault::new(span, "nothing may follow the closing `}`")),
        }
    }

    /// Keeps the number that a faulty line was to define.
    fn note_broken(&mut self, line: &str) {
        let name = line.split('=').next().unwrap_or_default().trim();
        if let Some(id) = name.strip_prefix('%').and_then(|n| n.parse().ok()) {
            self.defined.insert(id);
        }
    }

    fn header(&mut self, cursor: &mut Cursor<'s>) -> Result<(), Fault> {
        self.place = Place::Inside;
        let kind = cursor.expect(Kind::Word, "the kind of the module, graph or program")?;
        self.parsed.map.header = kind.span;
        self.parsed.module.kind = kind.text.to_owned();
        self.parsed.module.name = cursor.text()?.0;
        cursor.mark('{')?;
        cursor.end()
    }

    fn body(&mut self, cursor: &mut Cursor<'s>) -> Result<(), Fault> {
        if cursor.eat('}').is_some() {
            self.place = Place::Behind;
            return cursor.end();
        }
        let second = cursor.peek_at(1).map(|t| t.kind);
        match cursor.peek() {
            Some(t) if t.kind == Kind::Word && second == Some(Kind::Mark('=')) => self.property(cursor),
            Some(t) if t.text == "const" && second == Some(Kind::Word) => self.declaration(cursor),
            _ => self.statement(cursor),
        }
    }

    fn property(&mut self, cursor: &mut Cursor<'s>) -> Result<(), Fault> {
        let name = cursor.expect(Kind::Word, "a name")?;
        if !self.parsed.module.declarations.is_empty() || !self.parsed.module.statements.is_empty() {
            return Err(Fault::new(
                name.span,
                "properties stand before constants and operations",
            ));
        }
        cursor.mark('=')?;
        let value = self.values.value(cursor)?;
        cursor.end()?;
        add(&mut self.parsed.module.properties, name.text, name.span, value)?;
        self.parsed.map.properties.push((name.text.to_owned(), name.span));
        Ok(())
    }

    fn declaration(&mut self, cursor: &mut Cursor<'s>) -> Result<(), Fault> {
        cursor.expect(Kind::Word, "const")?;
        let name = cursor.expect(Kind::Word, "a constant such as c0")?;
        let Some(id) = constant_number(name.text) else {
            return Err(Fault::new(name.span, "constants are named c0, c1 and so on"));
        };
        if !self.parsed.module.statements.is_empty() {
            return Err(Fault::new(
                name.span,
                "constants are declared before the first operation",
            ));
        }
        if !self.values.declare(id) {
            return Err(Fault::new(name.span, format!("`c{id}` is declared twice")));
        }
        cursor.mark(':')?;
        let kind = cursor.expect(Kind::Word, "what the constant is, as in weight[16,3,3,3]")?;
        let dims = self.values.dims(cursor)?;
        let literal = match cursor.peek() {
            Some(_) => Some(self.values.literal(cursor, &dims)?),
            None => None,
        };
        cursor.end()?;
        self.parsed.map.declarations.push(name.span);
        self.parsed.module.declarations.push(Declaration {
            id,
            kind: kind.text.to_owned(),
            dims,
            literal,
            comment: None,
        });
        Ok(())
    }

    fn statement(&mut self, cursor: &mut Cursor<'s>) -> Result<(), Fault> {
        let mut statement = Statement::default();
        let mut spans = StatementSpans::default();
        if let Some(token) = cursor.eat_kind(Kind::Value) {
            statement.result = Some(value_number(token.text, token.span)?);
            spans.result = Some(token.span);
            cursor.mark('=')?;
        }
        let op = cursor.expect(Kind::Word, "an operation")?;
        statement.op = op.text.to_owned();
        spans.op = op.span;
        operands(cursor, &mut statement, &mut spans)?;
        if cursor.eat('{').is_some() {
            statement.attrs = self.attrs(cursor, '}', &mut spans)?;
        }
        if cursor.eat(':').is_some() {
            let (ty, span) = self.ty(cursor)?;
            statement.ty = Some(ty);
            spans.ty = Some(span);
        }
        if cursor.eat('@').is_some() {
            let (origin, span) = cursor.text()?;
            statement.origin = Some(origin);
            spans.origin = Some(span);
        }
        while let Some(word) = cursor.eat_kind(Kind::Word) {
            let value = self.values.value(cursor)?;
            add(&mut statement.marks, word.text, word.span, value)?;
            spans.attrs.push((word.text.to_owned(), word.span));
        }
        cursor.end()?;
        self.keep(statement, spans)
    }

    /// `name=value, ...` up to the closing bracket.
    fn attrs(
        &mut self,
        cursor: &mut Cursor<'s>,
        close: char,
        spans: &mut StatementSpans,
    ) -> Result<Attrs, Fault> {
        let mut attrs = Attrs::new();
        if cursor.eat(close).is_some() {
            return Ok(attrs);
        }
        loop {
            let name = cursor.expect(Kind::Word, "an attribute")?;
            cursor.mark('=')?;
            let value = self.values.value(cursor)?;
            add(&mut attrs, name.text, name.span, value)?;
            spans
                .attrs
                .push((name.text.to_owned(), name.span.to(cursor.last())));
            if cursor.comma_or(close)? {
                return Ok(attrs);
            }
        }
    }

    fn ty(&mut self, cursor: &mut Cursor<'s>) -> Result<(Type, Span), Fault> {
        let Some(word) = cursor.eat_kind(Kind::Word) else {
            let (shape, span) = self.values.shape(cursor)?;
            return Ok((Type::bare(shape), span));
        };
        cursor.mark('<')?;
        let mut ty = Type::of(word.text, self.values.shape(cursor)?.0);
        if !cursor.comma_or('>')? {
            ty.attrs = self.attrs(cursor, '>', &mut StatementSpans::default())?;
        }
        Ok((ty, word.span.to(cursor.last())))
    }

    fn keep(&mut self, statement: Statement, spans: StatementSpans) -> Result<(), Fault> {
        for (id, span) in statement.operands.iter().zip(&spans.operands) {
            if !self.defined.contains(id) {
                let message = format!("`%{id}` is not defined above this line");
                self.parsed.reporter.report(*span, message);
            }
        }
        if let Some(id) = statement.result
            && !self.defined.insert(id)
        {
            let span = spans.result.unwrap_or(spans.op);
            return Err(Fault::new(span, format!("`%{id}` is defined twice")));
        }
        self.parsed.module.statements.push(statement);
        self.parsed.map.statements.push(spans);
        Ok(())
    }
}

fn operands(
    cursor: &mut Cursor<'_>,
    statement: &mut Statement,
    spans: &mut StatementSpans,
) -> Result<(), Fault> {
    if cursor.peek().is_none_or(|t| t.kind != Kind::Value) {
        return Ok(());
    }
    loop {
        let token = cursor.expect(Kind::Value, "an operand such as %3")?;
        statement.operands.push(value_number(token.text, token.span)?);
        spans.operands.push(token.span);
        if cursor.eat(',').is_none() {
            return Ok(());
        }
    }
}

fn value_number(text: &str, span: Span) -> Result<u32, Fault> {
    let number = text[1..].parse();
    number.map_err(|_| Fault::new(span, "a value is a number behind `%`, below 2^32"))
}

/// Adds an attribute that is not there yet.
fn add(attrs: &mut Attrs, name: &str, span: Span, value: Attr) -> Result<(), Fault> {
    /// Names are looked up one by one, so there must not be many.
    const MOST: usize = 64;
    if attrs.len() >= MOST {
        return Err(Fault::new(span, format!("there are more than {MOST} attributes")));
    }
    if attrs.get(name).is_some() {
        return Err(Fault::new(span, format!("the attribute `{name}` is given twice")));
    }
    *attrs = std::mem::take(attrs).with(name, value);
    Ok(())
}
