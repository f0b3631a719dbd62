//! Tests of verifiers, written as texts: a line that must be refused ends in
//! `; error: part of the message`, and no other line may be.

use thiserror::Error;

use super::diag::{Diagnostic, Diagnostics};

const DIRECTIVE: &str = "; error:";

/// Where the faults of a text are not those of its directives, one sentence each.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{}", .0.join("\n"))]
pub struct Differences(Vec<String>);

/// Compares the faults of a text with its directives. A line has as many directives as faults;
/// each names a part of one message.
///
/// # Errors
/// Every line on which the two differ.
pub fn compare<T>(source: &str, outcome: &Result<T, Diagnostics>) -> Result<(), Differences> {
    let found: &[Diagnostic] = outcome.as_ref().err().map_or(&[], Diagnostics::items);
    let mut differences = Vec::new();
    let mut rest = found;
    for (index, line) in source.lines().enumerate() {
        let here = rest.partition_point(|d| d.line <= index + 1);
        let (faults, later) = rest.split_at(here);
        compare_line(index + 1, line, faults, &mut differences);
        rest = later;
    }
    differences.extend(rest.iter().map(unexpected));
    if differences.is_empty() {
        Ok(())
    } else {
        Err(Differences(differences))
    }
}

fn compare_line(number: usize, line: &str, faults: &[Diagnostic], differences: &mut Vec<String>) {
    let mut open: Vec<&Diagnostic> = faults.iter().collect();
    for directive in line.split(DIRECTIVE).skip(1) {
        let directive = directive.trim();
        match open.iter().position(|d| d.message.contains(directive)) {
            Some(at) => drop(open.remove(at)),
            None => differences.push(format!("line {number}: the error \"{directive}\" does not occur")),
        }
    }
    differences.extend(open.into_iter().map(unexpected));
}

fn unexpected(fault: &Diagnostic) -> String {
    format!("line {}: unexpected error: {}", fault.line, fault.message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{Reporter, Span};

    #[test]
    fn both_kinds_of_difference_are_shown() {
        let source = "a ; error: first ; error: second\nb\nc ; error: never";
        let mut reporter = Reporter::new(source);
        reporter.report(Span::new(0, 1), "the second");
        reporter.report(Span::new(0, 1), "the first");
        reporter.report(Span::new(33, 34), "surprise");
        let outcome = reporter.finish(());
        let differences = compare(source, &outcome).unwrap_err();
        assert_eq!(
            differences.to_string(),
            "line 2: unexpected error: surprise\nline 3: the error \"never\" does not occur"
        );
        assert!(compare("fine\n", &Ok::<_, Diagnostics>(())).is_ok());
        assert!(compare("x ; error: y", &Ok::<_, Diagnostics>(())).is_err());
    }
}
