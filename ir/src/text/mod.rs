//! The written form of both languages.
//!
//! A module is a header, constants and one operation a line:
//!
//! ```text
//! graph "resnet" {
//!   %0 = input {shape=[3, 32, 32]} : 3x32x32 @"image"
//!   %1 = conv2d %0 {weight=f32[16,3,3,3]#5d41402abc4b2a76, pads=[1, 1, 1, 1]} : 16x32x32 @"/conv1/Conv"
//!   %2 = relu %1 : 16x32x32 @"/relu/Relu" counted 16x64x64
//! }
//! program "resnet" {
//!   const c0 : weight[16,3,3,3]#5d41402abc4b2a76
//!   %4 = truncate %3 {keep=[15*64]} : tr<64x32x32> @"/relu/Relu"  // a note
//! }
//! ```
//!
//! # Grammar
//!
//! Lines end where the line ends; `//` and `;` begin a comment. `[x]` may be left out, `x*` may be
//! repeated.
//!
//! ```text
//! module      = WORD TEXT "{" property* declaration* statement* "}"
//! property    = WORD "=" value
//! declaration = "const" CONSTANT ":" WORD dims [literal]
//! statement   = ["%"N "="] WORD ["%"N ("," "%"N)*] ["{" attrs "}"] [":" type] ["@" TEXT] (WORD value)*
//! attrs       = [WORD "=" value ("," WORD "=" value)*]
//! type        = SHAPE | WORD "<" SHAPE ["," attrs] ">"
//! value       = NUMBER | WORD | CONSTANT | PATCH | SHAPE | TEXT | list | "f32" dims literal
//! list        = "[" [element ("," element)*] "]"
//! element     = value | value "*" COUNT | FIRST ".." END [":" STEP]
//! dims        = "[" [N ("," N)*] "]"
//! literal     = "#"HASH | "{" numbers "}" | "random" "(" SEED ["," LIMIT] ")"
//! ```
//!
//! `15*64` is 64 times 15, `0..14:2` is 0, 2, ... 12, a patch is `2x3` (`0x1` the identity), a shape
//! `16x32x32`, a constant `c0`. Real numbers have a point or an exponent and read back to the bit;
//! `0.1f` is the f32 next to 0.1. Weights are left out: a hash names a tensor of the
//! [`TensorStore`], and [`random`](store::random) ones are drawn where a test needs some.
//!
//! # Reading and writing a language
//!
//! [`attr`] holds the values that an operation carries; each operation translates itself to and
//! from them in its own file, so that [`parse`] and [`mod@print`] here know no operation by name.
//! A language is written by making a [`Module`] of it and calling [`Module::to_text`], and read by
//! [`parse_module`], whose [`Reporter`] takes the faults that only the language can know. All faults
//! of a text are reported at once ([`Diagnostics`]), and tests of verifiers are texts themselves
//! ([`filetest`]). No text can make the reader panic, recurse deeply or hold more than the
//! limits in [`parse`] and [`store`] allow. Names are [`printable()`] wherever they come from.

pub mod ast;
pub mod attr;
pub mod diag;
pub mod filetest;
mod geometry;
mod lex;
pub mod parse;
pub mod print;
mod printable;
pub mod store;

#[cfg(test)]
mod tests;

pub use ast::{Declaration, Module, SourceMap, Statement, StatementSpans, Type};
pub use attr::{Attr, AttrError, Attrs};
pub use diag::{Diagnostic, Diagnostics, Reporter, Span, closest, did_you_mean};
pub use parse::{Parsed, parse_module};
pub use print::TextOptions;
pub(crate) use printable::UNPRINTABLE;
pub use printable::{is_printable, printable, printable_lines};
pub use store::{Literal, Number, Scalar, TensorStore};
