//! The project's own source, as far as people read what it says: its string literals, and the
//! comments that become the help of arguments.

use std::fs;
use std::path::Path;

/// A text, and where it stands.
pub(super) struct Text {
    pub(super) place: String,
    pub(super) text: String,
}

/// Every literal of the files in a folder, and every `///` of a command line; tests are left out.
pub(super) fn texts(folder: &Path) -> Vec<Text> {
    let mut found = Vec::new();
    for (place, source) in sources(folder) {
        let of_arguments = place.contains("/cli/");
        let doc = |line: &str| line.trim_start().strip_prefix("/// ").map(str::to_owned);
        let docs = source.lines().filter_map(doc).filter(|_| of_arguments);
        let texts: Vec<String> = docs.chain(literals(&source)).collect();
        found.extend(texts.into_iter().map(|text| Text {
            place: place.clone(),
            text,
        }));
    }
    found
}

/// Every line of the files in a folder that is no comment; tests are left out.
pub(super) fn lines(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (place, source) in sources(folder) {
        let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
        found.extend(code.map(|line| (place.clone(), line.to_owned())));
    }
    found
}

/// The files of a folder without their tests.
fn sources(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // Attacks, test problems and machines to test with are compiled for tests alone.
        if ["test", "attacks", "same_bits"]
            .iter()
            .any(|word| name.starts_with(word))
        {
            continue;
        }
        if path.is_dir() {
            found.extend(sources(&path));
        } else if name.ends_with(".rs") {
            let source = fs::read_to_string(&path).unwrap();
            let source = source
                .split("#[cfg(test)]\nmod tests {")
                .next()
                .unwrap_or_default()
                .to_owned();
            found.push((path.display().to_string(), source));
        }
    }
    found
}

/// The flags that a text names, without their dashes.
pub(super) fn flags(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("--").filter_map(move |(at, dashes)| {
        let before = text[..at].chars().next_back();
        let rest = &text[at + dashes.len()..];
        let end = rest.find(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
        let flag = rest[..end.unwrap_or(rest.len())].trim_end_matches('-');
        let begins = !before.is_some_and(|c| c.is_alphanumeric() || c == '-');
        (begins && flag.starts_with(|c: char| c.is_ascii_lowercase())).then_some(flag)
    })
}

/// The string literals of a source, escapes left as they are and continued lines joined.
fn literals(source: &str) -> Vec<String> {
    let bytes = source.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => at += line_length(&bytes[at..]),
            // A quote as a character: no literal begins here.
            b'\'' if bytes[at..].starts_with(b"'\"'") => at += 3,
            b'\'' if bytes[at..].starts_with(b"'\\\"'") => at += 4,
            b'"' => {
                let hashes = bytes[..at].iter().rev().take_while(|byte| **byte == b'#').count();
                let is_raw = bytes[..at - hashes].ends_with(b"r");
                let end = match is_raw {
                    true => raw_end(bytes, at + 1, hashes),
                    false => end(bytes, at + 1),
                };
                found.push(joined(&source[at + 1..end]));
                at = end + 1;
            }
            _ => at += 1,
        }
    }
    found
}

fn line_length(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(bytes.len())
}

fn end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at.min(bytes.len())
}

fn raw_end(bytes: &[u8], mut at: usize, hashes: usize) -> usize {
    let close = [&b"\""[..], &b"#".repeat(hashes)].concat();
    while at < bytes.len() && !bytes[at..].starts_with(&close) {
        at += 1;
    }
    at
}

fn joined(literal: &str) -> String {
    let pieces: Vec<&str> = literal.split("\\\n").collect();
    let rest = pieces[1..].iter().map(|piece| piece.trim_start());
    std::iter::once(pieces[0]).chain(rest).collect()
}

#[test]
fn texts_are_found() {
    let source = "let a = \"one --flag\"; // \"no\"\nlet c = '\"'; let b = r#\"two \"--raw\" x\"#;\nf(\"a \\\n   b\\\"c\")";
    assert_eq!(literals(source), ["one --flag", "two \"--raw\" x", "a b\\\"c"]);
    let found: Vec<&str> = flags("--one, (--two-b N) a--b --- `--three` --4").collect();
    assert_eq!(found, ["one", "two-b", "three"]);
}
