//! Seeded generators of ONNX files, for tests.
//!
//! Test crates include this folder with `#[path = "../tests/support/onnx/mod.rs"] mod onnx;`. It
//! needs `tract-onnx` (for its protobuf types) and `prost`. Every file is a function of a seed and
//! of [`Options`], which choose among the ways in which exporters write the same network; none of
//! the options changes what a network computes, beyond rounding.
//!
//! - [`resnet50`], [`resnet18_cifar`], [`resnet20`], [`mobilenet_v2`]: whole networks.
//! - [`all_tiny`]: small networks on odd maps, each about one thing, in a mixture of options;
//!   [`all_tiny_with`]: the same ones written down as asked.
//! - [`hostile`], [`truncations`], [`bit_flips`], [`unsupported`], [`external_data`]: bad input.
//! - [`ModelBuilder`]: for everything else.

// Each test crate uses a part of this.
#![allow(dead_code, unused_imports)]

mod builder;
mod damage;
mod hostile;
mod layers;
mod linear;
mod moments;
mod nets;
pub(crate) mod proto;
mod rng;
mod shapes;
mod tiny;
mod tiny_forms;
mod tiny_heads;
mod tiny_scales;
mod window;

pub(crate) use builder::{Batch, ModelBuilder, Options, Style, Value};
pub(crate) use hostile::{
    ExternalData, bit_flips, external_data, hostile, long_chain, truncations, unsupported,
};
pub(crate) use layers::Conv;
pub(crate) use linear::Linear;
pub(crate) use nets::{
    Resnet, Shortcut, mobilenet_v2, mobilenet_v2_with, resnet18_cifar, resnet20, resnet50,
};
pub(crate) use rng::Rng;
pub(crate) use shapes::{Flatten, Operand, Resize};
pub(crate) use tiny::{Tiny, TinyModel, all_tiny, all_tiny_with, tiny_nets};
pub(crate) use window::{GlobalPool, Padding, Window};
