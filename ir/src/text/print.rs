//! From [`Module`] to text, one statement a line. What is printed reads back as the same module.

use std::fmt::Write;

use super::ast::{Declaration, Module, Statement, Type};
use super::attr::{Attr, Attrs};
use super::lex::quote;
use super::printable::is_treacherous;
use super::store::{Literal, Number};

/// Lists are compressed where at least this many elements go together.
const SHORTEST_RUN: usize = 5;

/// How modules are printed.
#[derive(Clone, Copy, Debug)]
pub struct TextOptions {
    /// Tensors of at most this many values are printed inline, larger ones by hash.
    pub inline_values: usize,
}

impl Default for TextOptions {
    fn default() -> Self {
        Self { inline_values: 8 }
    }
}

impl Module {
    /// The module's text. Names of operations, attributes, types and the like must be words.
    pub fn to_text(&self, options: &TextOptions) -> String {
        let mut out = format!("{} {} {{\n", self.kind, quote(&self.name));
        for (name, value) in self.properties.iter() {
            push_line(&mut out, &format!("{name} = {}", attr_text(value, options)), None);
        }
        for declaration in &self.declarations {
            push_line(
                &mut out,
                &declaration_text(declaration),
                declaration.comment.as_deref(),
            );
        }
        for statement in &self.statements {
            push_line(
                &mut out,
                &statement_text(statement, options),
                statement.comment.as_deref(),
            );
        }
        out.push_str("}\n");
        out
    }
}

fn push_line(out: &mut String, text: &str, comment: Option<&str>) {
    out.push_str("  ");
    out.push_str(text);
    if let Some(comment) = comment {
        out.push_str("  // ");
        out.push_str(&comment.replace(is_treacherous, " ")); // on one line, and shown as it is
    }
    out.push('\n');
}

fn declaration_text(declaration: &Declaration) -> String {
    let Declaration { id, kind, dims, .. } = declaration;
    let values = declaration.literal.as_ref().map(literal_text).unwrap_or_default();
    format!("const c{id} : {kind}[{}]{values}", join(dims, ","))
}

fn statement_text(statement: &Statement, options: &TextOptions) -> String {
    let mut text = String::new();
    if let Some(result) = statement.result {
        text = format!("%{result} = ");
    }
    text.push_str(&statement.op);
    for (i, operand) in statement.operands.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        // Writing to a String does not fail.
        let _ = write!(text, "{comma} %{operand}");
    }
    if !statement.attrs.is_empty() {
        let _ = write!(text, " {{{}}}", attrs_text(&statement.attrs, options));
    }
    if let Some(ty) = &statement.ty {
        let _ = write!(text, " : {}", type_text(ty, options));
    }
    if let Some(origin) = &statement.origin {
        let _ = write!(text, " @{}", quote(origin));
    }
    for (name, value) in statement.marks.iter() {
        let _ = write!(text, " {name} {}", attr_text(value, options));
    }
    text
}

/// A type as it is printed.
pub(super) fn type_text(ty: &Type, options: &TextOptions) -> String {
    match &ty.word {
        None => ty.shape.to_string(),
        Some(word) if ty.attrs.is_empty() => format!("{word}<{}>", ty.shape),
        Some(word) => format!("{word}<{}, {}>", ty.shape, attrs_text(&ty.attrs, options)),
    }
}

impl std::fmt::Display for Type {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&type_text(self, &TextOptions::default()))
    }
}

fn attrs_text(attrs: &Attrs, options: &TextOptions) -> String {
    let pairs = attrs
        .iter()
        .map(|(name, value)| format!("{name}={}", attr_text(value, options)));
    join(&pairs.collect::<Vec<_>>(), ", ")
}

impl std::fmt::Display for Attrs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{{{}}}", attrs_text(self, &TextOptions::default()))
    }
}

fn attr_text(attr: &Attr, options: &TextOptions) -> String {
    match attr {
        Attr::Int(value) => value.to_string(),
        Attr::Float(value) => real(*value),
        Attr::Word(word) => word.clone(),
        Attr::Constant(id) => format!("c{id}"),
        Attr::Patch(patch) => patch.to_string(),
        Attr::Shape(shape) => shape.to_string(),
        Attr::Text(text) => quote(text),
        Attr::List(list) => list_text(list, options),
        Attr::Tensor(tensor) => {
            let literal = Literal::of(tensor, options.inline_values);
            format!("f32[{}]{}", join(tensor.dims(), ","), literal_text(&literal))
        }
    }
}

/// The shortest text that reads back as the same bits. A value that f32 holds may be shorter as
/// one: `0.1f` instead of 0.10000000149011612.
fn real(value: f64) -> String {
    let wide = format!("{value:?}");
    let narrow = value as f32;
    if f64::from(narrow) == value {
        let narrow = format!("{narrow:?}f");
        if narrow.len() < wide.len() {
            return narrow;
        }
    }
    wide
}

fn literal_text(literal: &Literal) -> String {
    match literal {
        Literal::Hash(hash) => format!("#{hash}"),
        Literal::Random { seed, limit: None } => format!(" random({seed})"),
        Literal::Random {
            seed,
            limit: Some(limit),
        } => format!(" random({seed}, {})", number_text(limit)),
        Literal::Inline(values) => {
            let values: Vec<String> = values.iter().map(number_text).collect();
            format!("{{{}}}", join(&runs(&values), ", "))
        }
    }
}

fn number_text(number: &Number) -> String {
    match number {
        Number::Int(value) => value.to_string(),
        // What is the same as f32 but not as f64 was given as f64.
        Number::Real { wide, narrow } if f64::from(*narrow) == *wide => format!("{narrow:?}"),
        Number::Real { wide, .. } => format!("{wide:?}"),
    }
}

fn list_text(list: &[Attr], options: &TextOptions) -> String {
    let mut parts = Vec::new();
    let mut plain = Vec::new();
    let mut at = 0;
    while at < list.len() {
        if let Some((len, text)) = progression(&list[at..]) {
            parts.append(&mut runs(&plain));
            plain.clear();
            parts.push(text);
            at += len;
        } else {
            plain.push(attr_text(&list[at], options));
            at += 1;
        }
    }
    parts.append(&mut runs(&plain));
    format!("[{}]", join(&parts, ", "))
}

/// The whole numbers at the front of `list` that rise or fall by one step: how many, and their
/// text. `None` if they are too few, or equal.
fn progression(list: &[Attr]) -> Option<(usize, String)> {
    let first = whole_number(list, 0)?;
    let step = whole_number(list, 1)?.checked_sub(first).filter(|s| *s != 0)?;
    let mut len = 1;
    let mut end = first.checked_add(step)?;
    while whole_number(list, len) == Some(end) {
        len += 1;
        // An end that i64 does not hold cannot be written: the last number stands alone.
        match end.checked_add(step) {
            Some(next) => end = next,
            None => {
                len -= 1;
                break;
            }
        }
    }
    let text = match step {
        1 => format!("{first}..{end}"),
        step => format!("{first}..{end}:{step}"),
    };
    (len >= SHORTEST_RUN).then_some((len, text))
}

fn whole_number(list: &[Attr], at: usize) -> Option<i64> {
    match list.get(at) {
        Some(Attr::Int(value)) => Some(*value),
        _ => None,
    }
}

/// Equal neighbours as `element*count`. Elements are compared as they are printed, which tells
/// 0.0 from -0.0.
fn runs(elements: &[String]) -> Vec<String> {
    let mut parts = Vec::new();
    for run in elements.chunk_by(|a, b| a == b) {
        if run.len() >= SHORTEST_RUN {
            parts.push(format!("{}*{}", run[0], run.len()));
        } else {
            parts.extend_from_slice(run);
        }
    }
    parts
}

fn join<T: ToString>(items: &[T], separator: &str) -> String {
    let texts: Vec<String> = items.iter().map(ToString::to_string).collect();
    texts.join(separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(attr: impl Into<Attr>) -> String {
        attr_text(&attr.into(), &TextOptions::default())
    }

    #[test]
    fn lists_are_compressed() {
        assert_eq!(text(vec![15i64; 64]), "[15*64]");
        assert_eq!(text([1i64, 1, 1, 1]), "[1, 1, 1, 1]");
        assert_eq!(text((0..7).map(|i| 2 * i).collect::<Vec<i64>>()), "[0..14:2]");
        assert_eq!(
            text(vec![9i64, 3, 4, 5, 6, 7, 0, 0, 0, 0, 0, 2]),
            "[9, 3..8, 0*5, 2]"
        );
        assert_eq!(text((-3..3).rev().collect::<Vec<i64>>()), "[2..-4:-1]");
        assert_eq!(text(vec![0.0f32, 0.0, 0.0, 0.0, 0.0, -0.0]), "[0.0*5, -0.0]");
        let top: Vec<i64> = (i64::MAX - 5..=i64::MAX).collect();
        assert_eq!(
            text(top),
            format!("[{}..{}, {}]", i64::MAX - 5, i64::MAX, i64::MAX)
        );
    }

    #[test]
    fn floats_are_short_and_exact() {
        assert_eq!(text(1e-5f32), "1e-5f");
        assert_eq!(text(1e-5f64), "1e-5");
        assert_eq!(text(6.0f32), "6.0");
        assert_eq!(text(0.1f32), "0.1f");
        assert_eq!(text(0.1f64), "0.1");
    }
}
