//! The languages of Trefoil and the plan that is made of them.
//!
//! A network passes through two languages on its way from ONNX to three parties:
//!
//! - [`nn`]: the neural network as a graph of float operators, close to ONNX;
//! - [`mpc`]: the three-party program, a list of protocol steps on masked and shared values,
//!   for each of which the messages are known to the bit before anything runs.
//!
//! [`tail`] is what the client computes of the network's logits in the clear.
//!
//! [`plan`] is what one party needs of a program and no more. [`text`] is the written form of both
//! languages. This crate does no I/O and knows neither ONNX nor sockets.

mod convolution;
pub mod demand;
pub mod geometry;
pub mod mpc;
pub mod nn;
pub mod plan;
pub mod tail;
pub mod tensor;
pub mod text;
mod verified;

pub use geometry::{Axis, Patch, Patches, Shape, Window};
pub use tensor::Tensor;
pub use verified::Verified;
