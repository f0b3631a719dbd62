//! What the end-to-end tests share. Each test crate uses a part of it.
#![allow(dead_code)]

pub(crate) mod commands;
pub(crate) mod compiled;
pub(crate) mod folder;
pub(crate) mod hosts;
pub(crate) mod onnx;
pub(crate) mod parties;
pub(crate) mod python;
pub(crate) mod ring;
pub(crate) mod trace;
