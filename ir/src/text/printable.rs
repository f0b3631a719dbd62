//! Names that come from files, as a terminal or a log may show them.
//!
//! A model's names, its classes and the names of image files are a stranger's: an escape sequence in
//! one would act on the terminal that a message goes to, a line break would forge lines of a log, and
//! a mark of direction would show another text than is there. So names become [`printable`] where they
//! enter, and the verifiers of both languages accept [no others](is_printable).

use std::borrow::Cow;
use std::fmt::Write;

/// Why a name is refused, as the end of a sentence.
pub(crate) const UNPRINTABLE: &str = "holds a character that acts on a terminal instead of being shown";

/// Whether every character of a name is shown by a terminal, and none acts on it.
pub fn is_printable(name: &str) -> bool {
    !name.contains(is_treacherous)
}

/// The name with what would act on a terminal escaped, as the written form of both languages has it:
/// `\n`, `\u{1b}`. It stays as it is if there is nothing of the kind.
pub fn printable(name: &str) -> Cow<'_, str> {
    escaped(name, is_treacherous)
}

/// A text of several lines with the same characters escaped in each. Line breaks and tabs are the
/// text's own: the names in it must have become printable before.
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| is_treacherous(c) && !matches!(c, '\n' | '\t'))
}

fn escaped(text: &str, acts: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&acts) {
        return Cow::Borrowed(text);
    }
    let mut result = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if acts(c) {
            push_escaped(&mut result, c);
        } else {
            result.push(c);
        }
    }
    Cow::Owned(result)
}

/// A treacherous character as it stands in a text in quotes.
pub(super) fn push_escaped(text: &mut String, c: char) {
    match c {
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        '\t' => text.push_str("\\t"),
        // Writing to a String does not fail.
        c => drop(write!(text, "\\u{{{:x}}}", u32::from(c))),
    }
}

/// Whether a character would act on a terminal instead of being shown: controls, and the marks that
/// reorder or hide text.
pub(super) fn is_treacherous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_escaped_and_nothing_else() {
        for (name, shown) in [
            ("/layer1/layer1.0/conv1/Conv", "/layer1/layer1.0/conv1/Conv"),
            ("línea 日本 \\ \"", "línea 日本 \\ \""),
            ("\u{1b}]0;owned\u{7}", "\\u{1b}]0;owned\\u{7}"),
            ("a\r\nerror: fine\t\u{7f}", "a\\r\\nerror: fine\\t\\u{7f}"),
            (
                "\u{9b}31m\u{202e}evil\u{2066}",
                "\\u{9b}31m\\u{202e}evil\\u{2066}",
            ),
            ("tag\u{e0041}\u{200b}\u{feff}", "tag\\u{e0041}\\u{200b}\\u{feff}"),
        ] {
            assert_eq!(printable(name), shown);
            assert_eq!(is_printable(name), name == shown, "{name:?}");
            assert!(is_printable(&printable(name)));
        }
        assert_eq!(printable_lines("a\tb\n\u{1b}c\r\n"), "a\tb\n\\u{1b}c\\r\n");
    }
}
