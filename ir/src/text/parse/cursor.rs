//! A position in the tokens of a line.

use crate::text::diag::{Fault, Span};
use crate::text::lex::{Kind, Token, unquote};

pub(super) struct Cursor<'s> {
    tokens: Vec<Token<'s>>,
    at: usize,
    end: usize,
}

impl<'s> Cursor<'s> {
    /// At the first of `tokens`, of a line that ends at byte `end`.
    pub(super) fn new(tokens: Vec<Token<'s>>, end: usize) -> Self {
        Self { tokens, at: 0, end }
    }

    pub(super) fn peek(&self) -> Option<&Token<'s>> {
        self.peek_at(0)
    }

    pub(super) fn peek_at(&self, ahead: usize) -> Option<&Token<'s>> {
        self.tokens.get(self.at + ahead)
    }

    pub(super) fn next(&mut self) -> Option<Token<'s>> {
        let token = self.peek().copied();
        self.at += usize::from(token.is_some());
        token
    }

    /// Place of the token that was taken last.
    pub(super) fn last(&self) -> Span {
        let token = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        token.map_or(Span::default(), |t| t.span)
    }

    pub(super) fn eat_kind(&mut self, kind: Kind) -> Option<Token<'s>> {
        if self.peek()?.kind == kind {
            self.next()
        } else {
            None
        }
    }

    pub(super) fn eat(&mut self, mark: char) -> Option<Token<'s>> {
        self.eat_kind(Kind::Mark(mark))
    }

    pub(super) fn expect(&mut self, kind: Kind, what: &str) -> Result<Token<'s>, Fault> {
        self.eat_kind(kind).ok_or_else(|| self.expected(what))
    }

    pub(super) fn mark(&mut self, mark: char) -> Result<Token<'s>, Fault> {
        self.eat(mark).ok_or_else(|| self.expected(&format!("`{mark}`")))
    }

    /// Takes a comma, or the closing bracket, which ends a list: `true`.
    pub(super) fn comma_or(&mut self, close: char) -> Result<bool, Fault> {
        if self.eat(close).is_some() {
            return Ok(true);
        }
        match self.eat(',') {
            Some(_) => Ok(false),
            None => Err(self.expected(&format!("`,` or `{close}`"))),
        }
    }

    /// A text and where it stands.
    pub(super) fn text(&mut self) -> Result<(String, Span), Fault> {
        let token = self.expect(Kind::Text, "a text in quotes")?;
        Ok((unquote(&token)?, token.span))
    }

    /// Checks that nothing is left of the line.
    pub(super) fn end(&self) -> Result<(), Fault> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.expected("the end of the line")),
        }
    }

    /// The fault that the next token is not `what`.
    pub(super) fn expected(&self, what: &str) -> Fault {
        match self.peek() {
            Some(token) => {
                let shown: String = token.text.chars().take(40).collect();
                Fault::new(token.span, format!("{what} is expected instead of `{shown}`"))
            }
            None => {
                let at = self.last().end.min(self.end);
                Fault::new(
                    Span::new(at, at),
                    format!("{what} is expected before the end of the line"),
                )
            }
        }
    }
}
