//! Values of attributes: numbers, words, patches, lists, tensors.

use std::collections::HashSet;

use super::cursor::Cursor;
use crate::geometry::{MAX_ELEMENTS, Patch, Shape};
use crate::tensor::{Element, Tensor};
use crate::text::attr::Attr;
use crate::text::diag::{Fault, Span};
use crate::text::lex::{Kind, Token, unquote};
use crate::text::store::{Literal, MAX_RANDOM, Number, TensorStore, count};

/// Deepest list in lists.
const MAX_DEPTH: usize = 8;
/// Most list elements and inline values of a text: runs are short to write and long to hold.
pub(in crate::text) const MAX_LISTED: usize = 1 << 20;
/// Most dimensions of a tensor.
const MAX_RANK: usize = 8;

/// Reads values, within the limits of one text.
pub(super) struct Values<'t> {
    store: &'t TensorStore,
    constants: HashSet<u32>,
    listed: usize,
    random: usize,
}

impl<'t> Values<'t> {
    pub(super) fn new(store: &'t TensorStore) -> Self {
        Self {
            store,
            constants: HashSet::new(),
            listed: MAX_LISTED,
            random: MAX_RANDOM,
        }
    }

    /// Declares a constant, unless it is declared already.
    pub(super) fn declare(&mut self, id: u32) -> bool {
        self.constants.insert(id)
    }

    pub(super) fn value(&mut self, cursor: &mut Cursor<'_>) -> Result<Attr, Fault> {
        self.nested(cursor, 0)
    }

    fn nested(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> Result<Attr, Fault> {
        let wrong = cursor.expected("a value");
        let Some(token) = cursor.next() else {
            return Err(wrong);
        };
        match token.kind {
            Kind::Number => Ok(match number(&token)? {
                Number::Int(value) => Attr::Int(value),
                // `0.1f` is the f32 next to 0.1, in whatever the operation keeps it.
                Number::Real { narrow, .. } if token.text.ends_with('f') => Attr::Float(narrow.into()),
                Number::Real { wide, .. } => Attr::Float(wide),
            }),
            Kind::Dims => dims_value(&token),
            Kind::Text => unquote(&token).map(Attr::Text),
            Kind::Mark('[') => self.list(cursor, depth),
            Kind::Word => self.word(cursor, &token),
            _ => Err(wrong),
        }
    }

    fn word(&mut self, cursor: &mut Cursor<'_>, token: &Token<'_>) -> Result<Attr, Fault> {
        if token.text == f32::NAME && cursor.peek().is_some_and(|t| t.kind == Kind::Mark('[')) {
            return self.tensor(cursor, token.span).map(Attr::Tensor);
        }
        if matches!(
            token.text.to_ascii_lowercase().as_str(),
            "nan" | "inf" | "infinity"
        ) {
            return Err(Fault::new(token.span, "a number must be finite"));
        }
        match constant_number(token.text) {
            None => Ok(Attr::Word(token.text.to_owned())),
            Some(id) if self.constants.contains(&id) => Ok(Attr::Constant(id)),
            Some(id) => Err(Fault::new(
                token.span,
                format!("the constant `c{id}` is not declared"),
            )),
        }
    }

    fn tensor(&mut self, cursor: &mut Cursor<'_>, start: Span) -> Result<Tensor, Fault> {
        let dims = self.dims(cursor)?;
        let literal = self.literal(cursor, &dims)?;
        let span = start.to(cursor.last());
        let resolved = self.store.resolve(&dims, &literal);
        resolved.map_err(|error| Fault::new(span, error.to_string()))
    }

    /// `[16,3,3,3]`
    pub(super) fn dims(&mut self, cursor: &mut Cursor<'_>) -> Result<Vec<usize>, Fault> {
        let mut dims = Vec::new();
        let open = cursor.mark('[')?;
        if cursor.eat(']').is_some() {
            return Ok(dims);
        }
        loop {
            dims.push(unsigned(cursor, "a dimension")?);
            if cursor.comma_or(']')? {
                break;
            }
        }
        let span = open.span.to(cursor.last());
        if dims.len() > MAX_RANK || count(&dims, MAX_ELEMENTS).is_none() {
            return Err(Fault::new(span, "the dimensions are beyond all measure"));
        }
        Ok(dims)
    }

    /// `#hash`, `{1, 2}` or `random(7)`, behind dimensions that have been checked.
    pub(super) fn literal(&mut self, cursor: &mut Cursor<'_>, dims: &[usize]) -> Result<Literal, Fault> {
        if let Some(token) = cursor.eat_kind(Kind::Hash) {
            return hash(&token);
        }
        if cursor.eat('{').is_some() {
            return self.inline(cursor).map(Literal::Inline);
        }
        match cursor.eat_kind(Kind::Word) {
            Some(word) if word.text == "random" => self.random(cursor, dims, word.span),
            _ => Err(cursor.expected("#hash, {values} or random(seed)")),
        }
    }

    fn random(&mut self, cursor: &mut Cursor<'_>, dims: &[usize], span: Span) -> Result<Literal, Fault> {
        cursor.mark('(')?;
        let seed = unsigned(cursor, "a seed")?;
        let limit = match cursor.eat(',') {
            Some(_) => Some(number(&cursor.expect(Kind::Number, "the limit of the values")?)?),
            None => None,
        };
        cursor.mark(')')?;
        let left = count(dims, self.random).map(|n| self.random - n);
        let too_many = || {
            Fault::new(
                span,
                format!("a text may draw at most {MAX_RANDOM} random values"),
            )
        };
        self.random = left.ok_or_else(too_many)?;
        Ok(Literal::Random { seed, limit })
    }

    fn inline(&mut self, cursor: &mut Cursor<'_>) -> Result<Vec<Number>, Fault> {
        let mut values = Vec::new();
        if cursor.eat('}').is_some() {
            return Ok(values);
        }
        loop {
            let token = cursor.expect(Kind::Number, "a number")?;
            let value = number(&token)?;
            let count = self.run(cursor, 1, token.span)?;
            values.extend(std::iter::repeat_n(value, count));
            if cursor.comma_or('}')? {
                return Ok(values);
            }
        }
    }

    /// A list behind its opening bracket.
    fn list(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> Result<Attr, Fault> {
        if depth == MAX_DEPTH {
            return Err(Fault::new(cursor.last(), "the lists are nested too deeply"));
        }
        let mut list = Vec::new();
        if cursor.eat(']').is_some() {
            return Ok(Attr::List(list));
        }
        loop {
            let start = cursor.peek().map_or(cursor.last(), |t| t.span);
            let value = self.nested(cursor, depth + 1)?;
            match (&value, cursor.eat_kind(Kind::Range)) {
                (Attr::Int(first), Some(_)) => self.progression(cursor, *first, start, &mut list)?,
                (_, Some(dots)) => {
                    return Err(Fault::new(dots.span, "only whole numbers form a progression"));
                }
                (_, None) => {
                    let count = self.run(cursor, weight(&value), start)?;
                    list.extend(std::iter::repeat_n(value, count));
                }
            }
            if cursor.comma_or(']')? {
                return Ok(Attr::List(list));
            }
        }
    }

    /// `*16` behind a value of this weight, or nothing, which means once.
    fn run(&mut self, cursor: &mut Cursor<'_>, weight: usize, start: Span) -> Result<usize, Fault> {
        let count: usize = match cursor.eat('*') {
            Some(_) => unsigned(cursor, "how often the value stands here")?,
            None => 1,
        };
        if count == 0 {
            return Err(Fault::new(cursor.last(), "a run has one element or more"));
        }
        self.charge(count.checked_mul(weight), start.to(cursor.last()))?;
        Ok(count)
    }

    /// `..end:step` behind the first number; the end is not part of it.
    fn progression(
        &mut self,
        cursor: &mut Cursor<'_>,
        first: i64,
        start: Span,
        list: &mut Vec<Attr>,
    ) -> Result<(), Fault> {
        let end = integer(cursor, "the end of the progression")?;
        let step = match cursor.eat(':') {
            Some(_) => integer(cursor, "the step of the progression")?,
            None => 1,
        };
        let span = start.to(cursor.last());
        let (distance, step) = (i128::from(end) - i128::from(first), i128::from(step));
        if step == 0 || distance.signum() != step.signum() {
            return Err(Fault::new(span, "the progression has no element"));
        }
        let count = (distance.abs() + step.abs() - 1) / step.abs();
        self.charge(usize::try_from(count).ok(), span)?;
        // Every element lies between two i64.
        list.extend((0..count).map(|i| Attr::Int((i128::from(first) + i * step) as i64)));
        Ok(())
    }

    fn charge(&mut self, elements: Option<usize>, span: Span) -> Result<(), Fault> {
        let left = elements.and_then(|n| self.listed.checked_sub(n));
        let too_many = || {
            Fault::new(
                span,
                format!("the lists of a text hold at most {MAX_LISTED} elements"),
            )
        };
        self.listed = left.ok_or_else(too_many)?;
        Ok(())
    }

    pub(super) fn shape(&self, cursor: &mut Cursor<'_>) -> Result<(Shape, Span), Fault> {
        let token = cursor.expect(Kind::Dims, "a shape such as 16x32x32")?;
        Ok((shape(&token)?, token.span))
    }
}

/// What a value takes up when it is repeated, in list elements.
fn weight(value: &Attr) -> usize {
    match value {
        Attr::List(list) => 1 + list.iter().map(weight).sum::<usize>(),
        Attr::Word(text) | Attr::Text(text) => 1 + text.len() / 16,
        _ => 1,
    }
}

/// The 3 of `c3`.
pub(super) fn constant_number(word: &str) -> Option<u32> {
    let digits = word.strip_prefix('c').filter(|d| !d.is_empty())?;
    digits.parse().ok()
}

fn number(token: &Token<'_>) -> Result<Number, Fault> {
    let overflow = || Fault::new(token.span, "the number is too large");
    let digits = token.text.strip_suffix('f').unwrap_or(token.text);
    if !token.text.contains(['.', 'e', 'E', 'f']) {
        return digits.parse().map(Number::Int).map_err(|_| overflow());
    }
    let wide: f64 = digits.parse().map_err(|_| overflow())?;
    let narrow: f32 = digits.parse().map_err(|_| overflow())?;
    let finite = wide.is_finite() && (narrow.is_finite() || !token.text.ends_with('f'));
    finite
        .then_some(Number::Real { wide, narrow })
        .ok_or_else(overflow)
}

fn integer(cursor: &mut Cursor<'_>, what: &str) -> Result<i64, Fault> {
    let token = cursor.expect(Kind::Number, what)?;
    match number(&token)? {
        Number::Int(value) => Ok(value),
        Number::Real { .. } => Err(Fault::new(token.span, format!("{what} must be a whole number"))),
    }
}

fn unsigned<T: std::str::FromStr>(cursor: &mut Cursor<'_>, what: &str) -> Result<T, Fault> {
    let token = cursor.expect(Kind::Number, what)?;
    let bad = |_| {
        Fault::new(
            token.span,
            format!("{what} must be a whole number, not negative and in range"),
        )
    };
    token.text.parse().map_err(bad)
}

fn hash(token: &Token<'_>) -> Result<Literal, Fault> {
    let digits = &token.text[1..];
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if digits.len() != 16 || !digits.bytes().all(is_hex) {
        return Err(Fault::new(
            token.span,
            "a hash has 16 digits from 0 to 9 and a to f",
        ));
    }
    Ok(Literal::Hash(digits.to_owned()))
}

fn dims_value(token: &Token<'_>) -> Result<Attr, Fault> {
    let Some((h, w)) = token.text.split_once('x').filter(|(_, w)| !w.contains('x')) else {
        return shape(token).map(Attr::Shape);
    };
    let patch = h
        .parse()
        .ok()
        .zip(w.parse().ok())
        .and_then(|(h, w)| Patch::from_pair([h, w]));
    let bad = || {
        let fault = Fault::new(token.span, "a patch has two sides from 1 to 65535");
        fault.hint("the identity is 0x1")
    };
    patch.map(Attr::Patch).ok_or_else(bad)
}

fn shape(token: &Token<'_>) -> Result<Shape, Fault> {
    let bad = |_| {
        Fault::new(
            token.span,
            "a shape is channels, height and width, not empty and of sensible size",
        )
    };
    token.text.parse().map_err(bad)
}
