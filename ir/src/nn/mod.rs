//! The NN graph: a network as its model owner knows it, in floats.
//!
//! [`Graph`] keeps operators ([`op`]), one a node, with shapes, ranges and the ONNX origin of each
//! value. [`verify`](Graph::verify) hands out the [`Verified`](crate::Verified) ticket that lowering asks for,
//! [`eval`] runs a graph in f32, and [`text`] writes it down and reads it back. How to add an
//! operator: one file in `op/` that implements [`Rule`](op::Rule), one line in `op/mod.rs`.

pub mod eval;
mod gate;
mod graph;
pub mod op;
mod stored;
pub mod text;
mod verify;

pub use gate::Gate;
pub use graph::{Graph, GraphError, Node, NodeId, Origin};
pub use op::{Class, Op};
pub use verify::Diagnostic;
