//! A written module, before anything is known of its operations: what the printer takes and the
//! parser gives. Positions are kept beside it ([`SourceMap`]), so that modules compare by content.

use super::attr::{AttrError, Attrs};
use super::diag::Span;
use super::store::Literal;
use crate::geometry::Shape;

/// A module: `KIND "name" {`, properties, declarations, statements, `}`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Module {
    /// `graph` or `program`.
    pub kind: String,
    /// The model's name.
    pub name: String,
    /// Lines `key = value`.
    pub properties: Attrs,
    /// Lines `const c0 : ...`.
    pub declarations: Vec<Declaration>,
    /// One operation a line.
    pub statements: Vec<Statement>,
}

/// `const c0 : weight[16,3,3,3]#5d41402abc4b2a76`
#[derive(Clone, Debug, PartialEq)]
pub struct Declaration {
    /// The constant's number.
    pub id: u32,
    /// What it is, a word: `weight`.
    pub kind: String,
    /// Dimensions, outermost first.
    pub dims: Vec<usize>,
    /// Its values, unless they are kept elsewhere: `const c0 : weight[16,3,3,3]`.
    pub literal: Option<Literal>,
    /// Printed behind `//`; the parser drops it.
    pub comment: Option<String>,
}

/// `%4 = truncate %3 {keep=[15*64]} : tr<64x32x32> @"/relu/Relu" counted 64x112x112 // comment`
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statement {
    /// Number of the value that it defines, if it defines one.
    pub result: Option<u32>,
    /// Name of the operation.
    pub op: String,
    /// Numbers of the values that it takes. The parser has checked that each is defined above,
    /// possibly by a statement that was faulty and is missing here.
    pub operands: Vec<u32>,
    /// What stands between the braces.
    pub attrs: Attrs,
    /// The stated type.
    pub ty: Option<Type>,
    /// The ONNX origin.
    pub origin: Option<String>,
    /// Pairs of word and value behind the origin: `counted 64x112x112`.
    pub marks: Attrs,
    /// Printed behind `//`; the parser drops it.
    pub comment: Option<String>,
}

/// `64x32x32`, `act<64x32x32>` or `act<64x32x32, bits=16>`.
#[derive(Clone, Debug, PartialEq)]
pub struct Type {
    /// The word before the bracket.
    pub word: Option<String>,
    /// The shape.
    pub shape: Shape,
    /// What follows the shape between the brackets.
    pub attrs: Attrs,
}

impl Type {
    /// A bare shape.
    pub fn bare(shape: Shape) -> Self {
        Self {
            word: None,
            shape,
            attrs: Attrs::new(),
        }
    }

    /// `word<shape>`.
    pub fn of(word: impl Into<String>, shape: Shape) -> Self {
        Self {
            word: Some(word.into()),
            ..Self::bare(shape)
        }
    }
}

/// Where the parts of a parsed module stand.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    /// The line `graph "name" {`.
    pub header: Span,
    /// Of each property, in order.
    pub properties: Vec<(String, Span)>,
    /// Of each declaration, in order.
    pub declarations: Vec<Span>,
    /// Of each statement, in order.
    pub statements: Vec<StatementSpans>,
}

/// Where the parts of a statement stand.
#[derive(Clone, Debug, Default)]
pub struct StatementSpans {
    /// The number that it defines.
    pub result: Option<Span>,
    /// The operation's name.
    pub op: Span,
    /// Each operand.
    pub operands: Vec<Span>,
    /// Each attribute and mark with its name.
    pub attrs: Vec<(String, Span)>,
    /// The type.
    pub ty: Option<Span>,
    /// The origin.
    pub origin: Option<Span>,
}

impl StatementSpans {
    /// The attribute of this name, or the operation if it has none.
    pub fn attr(&self, name: &str) -> Span {
        let found = self.attrs.iter().find(|(n, _)| n == name);
        found.map_or(self.op, |(_, span)| *span)
    }

    /// What an attribute's fault is about: the attribute, or the operation if it is missing.
    pub fn of_error(&self, error: &AttrError) -> Span {
        self.attr(error.name())
    }

    /// The type, or the operation if none is stated.
    pub fn ty_or_op(&self) -> Span {
        self.ty.unwrap_or(self.op)
    }
}
