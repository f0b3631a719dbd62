//! Faults of a text: where, what and what to do, with the guilty line quoted.

use std::fmt;

use super::printable::is_treacherous;

/// More faults than this are counted, not kept.
pub const MAX_DIAGNOSTICS: usize = 100;

/// Longest part of a guilty line that is quoted, in characters.
const QUOTE: usize = 120;

/// Bytes `start..end` of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset behind the last byte.
    pub end: usize,
}

impl Span {
    /// Bytes `start..end`.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// From the start of this to the end of `other`.
    #[must_use]
    pub fn to(self, other: Span) -> Self {
        Self::new(self.start, other.end.max(self.start))
    }
}

/// A fault that has not been located in lines yet.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fault {
    pub(super) span: Span,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Fault {
    pub(super) fn new(span: Span, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            span,
            message,
            hint: None,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// One fault of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Line, from 1 on.
    pub line: usize,
    /// Column in characters, from 1 on.
    pub column: usize,
    /// What is wrong, as a sentence.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    quote: String,
    indent: usize,
    width: usize,
}

/// All faults of one text, in order of their lines. `Display` shows each with its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    file: String,
    items: Vec<Diagnostic>,
    dropped: usize,
}

impl std::error::Error for Diagnostics {}

impl Diagnostics {
    /// The same faults, shown as those of a file of this name.
    #[must_use]
    pub fn in_file(mut self, name: impl Into<String>) -> Self {
        self.file = name.into();
        self
    }

    /// The faults, at most [`MAX_DIAGNOSTICS`].
    pub fn items(&self) -> &[Diagnostic] {
        &self.items
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, item) in self.items.iter().enumerate() {
            if i > 0 {
                f.write_str("\n\n")?;
            }
            write_item(f, &self.file, item)?;
        }
        if self.dropped > 0 {
            write!(f, "\n\nand {} more errors", self.dropped)?;
        }
        Ok(())
    }
}

fn write_item(f: &mut fmt::Formatter<'_>, file: &str, item: &Diagnostic) -> fmt::Result {
    let Diagnostic { line, column, .. } = item;
    writeln!(f, "error: {}", item.message)?;
    writeln!(f, "  --> {file}:{line}:{column}")?;
    writeln!(f, "{line:>4} | {}", item.quote)?;
    let margin = line.to_string().len().max(4);
    write!(f, "{:margin$} | {:indent$}", "", "", indent = item.indent)?;
    f.write_str(&"^".repeat(item.width))?;
    match &item.hint {
        Some(hint) => write!(f, " {hint}"),
        None => Ok(()),
    }
}

/// Collects the faults of one source.
pub struct Reporter<'s> {
    source: &'s str,
    found: Vec<Fault>,
    dropped: usize,
}

/// Without the source, which may hold weights.
impl fmt::Debug for Reporter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter")
            .field("found", &self.found)
            .finish_non_exhaustive()
    }
}

impl<'s> Reporter<'s> {
    /// A reporter without faults.
    pub fn new(source: &'s str) -> Self {
        Self {
            source,
            found: Vec::new(),
            dropped: 0,
        }
    }

    /// Whether nothing has been reported.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Reports a fault.
    pub fn report(&mut self, span: Span, message: impl Into<String>) {
        self.push(Fault::new(span, message));
    }

    /// Reports a fault and what to do about it.
    pub fn report_with_hint(&mut self, span: Span, message: impl Into<String>, hint: Option<String>) {
        let fault = Fault::new(span, message);
        self.push(Fault { hint, ..fault });
    }

    pub(super) fn push(&mut self, fault: Fault) {
        if self.found.len() < MAX_DIAGNOSTICS {
            self.found.push(fault);
        } else {
            self.dropped += 1;
        }
    }

    /// The outcome: what was made of the source, or its faults.
    ///
    /// # Errors
    /// Everything that has been reported.
    pub fn finish<T>(self, made: T) -> Result<T, Diagnostics> {
        if self.is_empty() {
            Ok(made)
        } else {
            Err(self.into_diagnostics())
        }
    }

    /// Everything that has been reported.
    pub fn into_diagnostics(mut self) -> Diagnostics {
        self.found.sort_by_key(|fault| fault.span.start);
        let mut line = 1;
        let mut line_start = 0;
        let mut items = Vec::with_capacity(self.found.len());
        for fault in &self.found {
            let start = self.floor(fault.span.start);
            let passed = &self.source[line_start..start];
            line += passed.bytes().filter(|b| *b == b'\n').count();
            line_start += passed.rfind('\n').map_or(0, |at| at + 1);
            items.push(self.locate(fault, line, line_start));
        }
        Diagnostics {
            file: "<text>".to_owned(),
            items,
            dropped: self.dropped,
        }
    }

    fn locate(&self, fault: &Fault, number: usize, line_start: usize) -> Diagnostic {
        let start = self.floor(fault.span.start);
        let line = self.source[line_start..].split('\n').next().unwrap_or_default();
        let end = self
            .floor(fault.span.end)
            .clamp(start, start.max(line_start + line.len()));
        let column = self.source[line_start..start].chars().count();
        let width = self.source[start..end].chars().count();
        let (quote, indent, width) = excerpt(line, column, width);
        Diagnostic {
            line: number,
            column: column + 1,
            message: fault.message.chars().map(harmless).collect(),
            hint: fault.hint.clone(),
            quote,
            indent,
            width,
        }
    }

    /// The nearest character boundary at or before `at`.
    fn floor(&self, at: usize) -> usize {
        self.source.floor_char_boundary(at)
    }
}

/// The part of a line around `column`, where the caret goes, and how many there are.
fn excerpt(line: &str, column: usize, width: usize) -> (String, usize, usize) {
    let long = line.chars().nth(QUOTE).is_some();
    let from = if long { column.saturating_sub(QUOTE / 2) } else { 0 };
    let head = if from > 0 { "... " } else { "" };
    let mut rest = line.trim_end_matches('\r').chars().skip(from).map(harmless);
    let shown: String = rest.by_ref().take(QUOTE).collect();
    let tail = if rest.next().is_some() { " ..." } else { "" };
    let indent = column - from;
    let room = shown.chars().count().saturating_sub(indent).max(1);
    let quote = format!("{head}{shown}{tail}");
    (quote, head.len() + indent, width.clamp(1, room))
}

/// What a terminal may be shown: nothing in a hostile file acts on it.
fn harmless(c: char) -> char {
    match c {
        '\t' | '\n' => ' ',
        c if is_treacherous(c) => '\u{fffd}',
        c => c,
    }
}

/// `did you mean ...?` for the closest of `known`, if one is close.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    const LONGEST: usize = 40;
    if word.len() > LONGEST {
        return None;
    }
    closest(word, known).map(|known| format!("did you mean `{known}`?"))
}

/// The one of `known` that takes the fewest edits to reach, if they are few for a word of this length.
pub fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distances = known.into_iter().map(|known| (edit_distance(word, known), known));
    let (edits, closest) = distances.min()?;
    (edits <= 1 + word.len() / 4).then_some(closest)
}

/// Levenshtein distance: the fewest insertions, deletions and substitutions of bytes that make one
/// word of another.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_quotes_its_line() {
        let source = "graph \"x\" {\n  %1 = conv3d %0\n}\n";
        let mut reporter = Reporter::new(source);
        reporter.report_with_hint(
            Span::new(19, 25),
            "unknown operator `conv3d`",
            did_you_mean("conv3d", ["relu", "conv2d"]),
        );
        let errors = reporter.finish(()).unwrap_err().in_file("file.tir");
        let expected = "\
error: unknown operator `conv3d`
  --> file.tir:2:8
   2 |   %1 = conv3d %0
     |        ^^^^^^ did you mean `conv2d`?";
        assert_eq!(errors.to_string(), expected);
    }

    #[test]
    fn long_and_hostile_lines_are_cut_and_made_harmless() {
        let source = format!("{}\u{1b}[2J{}", "é".repeat(5000), "y".repeat(5000));
        let mut reporter = Reporter::new(&source);
        reporter.report(Span::new(9_999, usize::MAX), "inside a character, beyond the end");
        let text = reporter.finish(()).unwrap_err().to_string();
        assert!(text.len() < 800, "{text}");
        assert!(text.contains(":1:5000"), "{text}");
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn floods_are_counted() {
        let mut reporter = Reporter::new("");
        for _ in 0..MAX_DIAGNOSTICS + 7 {
            reporter.report(Span::default(), "x");
        }
        assert!(
            reporter
                .finish(())
                .unwrap_err()
                .to_string()
                .ends_with("and 7 more errors")
        );
    }

    #[test]
    fn distances_count_edits() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "ab"), 2);
        assert_eq!(edit_distance("same", "same"), 0);
    }

    #[test]
    fn only_close_names_are_suggested() {
        assert_eq!(did_you_mean("zzzz", ["relu"]), None);
        let names = ["/layer1/relu1/Relu", "/layer2/relu1/Relu"];
        assert_eq!(closest("/layer2/relu/Relu", names), Some("/layer2/relu1/Relu"));
        assert_eq!(closest("Conv_17", names), None);
    }
}
