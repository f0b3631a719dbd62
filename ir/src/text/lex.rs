//! One line of text as tokens. Lines are lexed one at a time: a statement never spans two, so that
//! a fault in one line says nothing about the next.

use super::diag::{Fault, Span};
use super::printable::{is_treacherous, push_escaped};

/// A token and where it stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Token<'s> {
    pub(super) kind: Kind,
    /// As written, with quotes and signs.
    pub(super) text: &'s str,
    pub(super) span: Span,
}

/// What a token is. Numbers and texts keep their spelling: the parser decides what they mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `conv2d`
    Word,
    /// `%12`
    Value,
    /// `-3`, `2.5`, `1e-5f`
    Number,
    /// `2x3`, `16x32x32`
    Dims,
    /// `"in quotes"`
    Text,
    /// `#0123456789abcdef`
    Hash,
    /// `..`
    Range,
    /// One of `{ } [ ] ( ) < > = , : * @`
    Mark(char),
}

/// Tokens of one line that starts at byte `start` of the source; comments (`//` or `;` up to the
/// end of the line) are dropped.
pub(super) fn lex_line(line: &str, start: usize) -> Result<Vec<Token<'_>>, Fault> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(next) = line[at..].chars().next() {
        let rest = &line[at..];
        if next == ';' || rest.starts_with("//") {
            break;
        }
        if next.is_whitespace() {
            at += next.len_utf8();
            continue;
        }
        let (kind, len) = token(rest, next).map_err(|(len, message)| {
            let span = Span::new(start + at, start + at + len);
            Fault::new(span, message)
        })?;
        tokens.push(Token {
            kind,
            text: &rest[..len],
            span: Span::new(start + at, start + at + len),
        });
        at += len;
    }
    Ok(tokens)
}

/// What a token is and its bytes, or how many bytes are at fault and why.
type Lexed = Result<(Kind, usize), (usize, String)>;

fn token(rest: &str, first: char) -> Lexed {
    match first {
        'a'..='z' | 'A'..='Z' | '_' => Ok((Kind::Word, word_len(rest))),
        '0'..='9' => number(rest),
        '-' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => number(rest),
        '%' => sigil(rest, Kind::Value, "a number must follow `%`, as in %12"),
        '#' => sigil(rest, Kind::Hash, "a hash must follow `#`"),
        '"' => text(rest),
        '.' if rest.starts_with("..") => Ok((Kind::Range, 2)),
        '{' | '}' | '[' | ']' | '(' | ')' | '<' | '>' | '=' | ',' | ':' | '*' | '@' => {
            Ok((Kind::Mark(first), 1))
        }
        _ => Err((
            first.len_utf8(),
            format!("the character {first:?} has no meaning here"),
        )),
    }
}

fn word_len(text: &str) -> usize {
    text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(text.len())
}

fn digits(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())
}

fn sigil(rest: &str, kind: Kind, message: &str) -> Lexed {
    match word_len(&rest[1..]) {
        0 => Err((1, message.to_owned())),
        len => Ok((kind, 1 + len)),
    }
}

fn number(rest: &str) -> Lexed {
    let sign = usize::from(rest.starts_with('-'));
    let mut len = sign + digits(&rest[sign..]);
    let mut kind = Kind::Number;
    if sign == 0 && rest[len..].starts_with('x') {
        kind = Kind::Dims;
        while rest[len..].starts_with('x') && digits(&rest[len + 1..]) > 0 {
            len += 1 + digits(&rest[len + 1..]);
        }
    } else {
        len += fraction(&rest[len..]);
    }
    match word_len(&rest[len..]) {
        0 => Ok((kind, len)),
        more => {
            let spelled = &rest[..len + more];
            let shown: String = spelled.chars().take(40).collect();
            Err((len + more, format!("`{shown}` is neither a number nor a word")))
        }
    }
}

/// Length of what follows the whole part: `.5`, `e-3`, `f`. A point without a digit is not part of
/// the number, so that `0..14` is three tokens.
fn fraction(rest: &str) -> usize {
    let mut len = 0;
    if rest.starts_with('.') && digits(&rest[1..]) > 0 {
        len = 1 + digits(&rest[1..]);
    }
    let exponent = &rest[len..];
    if exponent.starts_with(['e', 'E']) {
        let sign = usize::from(exponent[1..].starts_with(['+', '-']));
        match digits(&exponent[1 + sign..]) {
            0 => {}
            n => len += 1 + sign + n,
        }
    }
    len + usize::from(rest[len..].starts_with('f'))
}

fn text(rest: &str) -> Lexed {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '"' if !escaped => return Ok((Kind::Text, at + 1)),
            _ => escaped = c == '\\' && !escaped,
        }
    }
    Err((rest.len(), "the closing quote is missing".to_owned()))
}

/// What a text token means, its escapes resolved.
pub(super) fn unquote(token: &Token<'_>) -> Result<String, Fault> {
    let inner = &token.text[1..token.text.len() - 1];
    let mut result = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            result.push(c);
            continue;
        }
        let decoded = match chars.next() {
            Some(c @ ('"' | '\\')) => Some(c),
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some('t') => Some('\t'),
            Some('u') => unicode(&mut chars),
            _ => None,
        };
        let Some(decoded) = decoded else {
            let fault = Fault::new(token.span, "the text holds an unknown escape");
            return Err(fault.hint("write \\\" \\\\ \\n \\r \\t or \\u{1f}"));
        };
        result.push(decoded);
    }
    Ok(result)
}

fn unicode(chars: &mut std::str::Chars<'_>) -> Option<char> {
    let (hex, rest) = chars.as_str().strip_prefix('{')?.split_once('}')?;
    if hex.len() > 6 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    *chars = rest.chars();
    char::from_u32(u32::from_str_radix(hex, 16).ok()?)
}

/// `text` in quotes. Controls, and the marks that reorder or hide text, are escaped: what a
/// terminal shows is what the file holds.
pub(super) fn quote(text: &str) -> String {
    let mut result = String::with_capacity(text.len() + 2);
    result.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => result.extend(['\\', c]),
            c if is_treacherous(c) => push_escaped(&mut result, c),
            c => result.push(c),
        }
    }
    result.push('"');
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(line: &str) -> Vec<(Kind, &str)> {
        let tokens = lex_line(line, 0).unwrap();
        tokens.into_iter().map(|t| (t.kind, t.text)).collect()
    }

    #[test]
    fn numbers_ranges_and_dims_fall_apart_where_they_should() {
        use Kind::*;
        assert_eq!(
            kinds("0..14:-2"),
            [
                (Number, "0"),
                (Range, ".."),
                (Number, "14"),
                (Mark(':'), ":"),
                (Number, "-2")
            ]
        );
        assert_eq!(kinds("2x3*16"), [(Dims, "2x3"), (Mark('*'), "*"), (Number, "16")]);
        assert_eq!(
            kinds("-1.5e-3f 1e16 7"),
            [(Number, "-1.5e-3f"), (Number, "1e16"), (Number, "7")]
        );
        for bad in [
            "12abc", "1.5.5", "2x", "1e", "0x1y", "-x", "%", "#", "\"open", "é", "3x-1",
        ] {
            assert!(lex_line(bad, 0).is_err(), "{bad}");
        }
    }

    #[test]
    fn comments_end_a_line_outside_texts() {
        assert_eq!(
            kinds("@\"a // b ; c\" // rest"),
            [(Kind::Mark('@'), "@"), (Kind::Text, "\"a // b ; c\"")]
        );
        assert_eq!(kinds("  ; error: x"), []);
    }

    #[test]
    fn texts_read_back_and_hide_nothing() {
        for text in [
            "",
            "a\"b\\",
            "\u{1b}[31m",
            "línea\n\t\r",
            "\u{202e}evil",
            "\\u{41}",
        ] {
            let quoted = quote(text);
            assert!(!quoted.chars().any(is_treacherous), "{quoted:?}");
            let token = lex_line(&quoted, 0).unwrap()[0];
            assert_eq!(unquote(&token).unwrap(), text);
        }
        for bad in [
            r#""\x""#,
            r#""\u{}""#,
            r#""\u{d800}""#,
            r#""\u{1234567}""#,
            r#""\u41""#,
        ] {
            assert!(unquote(&lex_line(bad, 0).unwrap()[0]).is_err(), "{bad}");
        }
    }
}
