//! Images in, logits out: everything the two commands read and write besides models and plans.
//!
//! # Data
//!
//! [`DataSet::open`] takes one of four forms and hands out one [`ImageTensor`] (CHW) at a time;
//! nothing is decoded before it is asked for, so that a large set costs one image of memory.
//!
//! | form | values |
//! | --- | --- |
//! | `.npy`, float32 or float64, `[N, C, H, W]` or `[C, H, W]` | taken as they are; a [`Preprocess`] is not applied |
//! | `.npy`, uint8, `[N, H, W, C]` or `[H, W, C]` | through the [`Preprocess`] |
//! | a JPEG or PNG | as a folder that holds it alone |
//! | folder of JPEG and PNG, in the order of their names | decoded to RGB, then through the [`Preprocess`] |
//!
//! # Labels
//!
//! [`read_labels`] takes a one-dimensional `.npy` of any integer type, one class per image, or text
//! of lines `file class` (further columns, empty lines and lines that begin with `#` are ignored).
//! Text selects and orders the files of a folder; a file may be named more than once. Class -1
//! marks an image without a label.
//!
//! # Preprocessing
//!
//! A TOML file of these keys, no others, applied in this order:
//!
//! | key | meaning |
//! | --- | --- |
//! | `shorter_side` or `longer_side` | resize so that this side has that many pixels, keeping the aspect |
//! | `crop` | cut the centre square of that side (of an odd remainder the smaller half lies left and on top) |
//! | `canvas`, `fill` | place top left on a square of that side, filled with a grey of 0 to 255 (it need not be whole) |
//! | `scale`, `mean`, `std` | `x = (byte * scale - mean) / std`; lists of three (RGB) or of one (grey) |
//!
//! The last three are required. Resizing is the antialiased triangle filter in 8-bit fixed point
//! that Pillow calls `BILINEAR`, so that a network sees the pixels it was evaluated on. (JPEG decoders
//! differ among themselves by a few grey levels; PNG and arrays are exact.)

mod dataset;
mod error;
mod labels;
mod npy;
mod outputs;
mod picture;
mod preprocess;
mod resize;
mod results;
mod shape;
mod tensor;

#[cfg(test)]
mod tests;

pub use dataset::DataSet;
pub use error::{DataError, ImageProblem, LabelsError, NpyError, PreprocessError};
pub use labels::{LabelLine, Labels, UNLABELLED, read_labels};
pub use npy::read_npy_header;
pub use outputs::write_arrays;
pub use preprocess::Preprocess;
pub use results::{Kept, Origin, ResultsFile, Row};
pub use shape::ImageShape;
pub use tensor::ImageTensor;
