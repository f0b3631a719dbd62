//! The written form of both languages.
//!
//! A module is a header, constants and one operation a line:
//!
//! ```text
//! graph "resnet" {
//!   %0 = input : 3x32x32 @"image"
//!   %1 = conv2d %0 {weight=f32[16,3,3,3]#5d41402abc4b2a76, stride=[1,1], pads=[1,1,1,1]} : 16x32x32 @"/conv1/Conv"
//! }
//! ```
//!
//! [`attr`] holds the values that an operation carries between the braces; each operation
//! translates itself to and from them in its own file, so that the lexer, parser and printer here
//! know no operation by name.

pub mod attr;

pub use attr::{Attr, AttrError, Attrs};
