//! The three-party program: what client, server and helper do, step by step.
//!
//! A [`Program`] is a list of protocol steps ([`op`]) on values that are masked (activations) or
//! shared (accumulators). Everything a party must know about sizes follows from it: the groups of
//! a gate ([`gate`]), which sums it may take from a coarser accumulator ([`patch_sums`]), the messages
//! of a step ([`message`]), the rounds in which they travel ([`schedule`]) and what they cost
//! ([`cost`], [`memory`], [`time`]). That no message tells its receiver anything is proved by
//! [`privacy`]. The [`emulate`] module runs a program in plain integers, as the parties compute it,
//! with their masks if it is told them, and [`text`] writes a program down and reads it back.
//!
//! How to add an op: one file in `op/` that implements [`Rule`](op::Rule), one line in
//! `op/mod.rs`, and the parties' sides in the runtime.

// What an op is, the op says itself: see `op::Class`.
#![cfg_attr(not(test), warn(clippy::wildcard_enum_match_arm))]

pub mod cost;
pub mod emulate;
pub mod gate;
pub mod memory;
pub mod message;
pub mod op;
pub mod patch_sums;
pub mod privacy;
mod program;
pub mod schedule;
pub mod text;
pub mod time;
mod types;
mod verify;

#[cfg(test)]
mod tests;

pub use message::{Link, Message, Party, Phase, Section, Stage};
pub use op::Op;
pub use program::{ConstId, ConstKind, Constant, Note, Program, Step, ValueId};
pub use types::{Kind, Type};
pub use verify::{Fault, bits_for};

/// Bits that every gate truncates: an accumulator is 2^16 times finer than the activation that is
/// made of it.
pub const TRUNCATED_BITS: u32 = 16;

/// One unit of an activation, seen from an accumulator.
pub const UNIT: i64 = 1 << TRUNCATED_BITS;

/// Activations stay within plus and minus this many units: gates need [-2^14, 2^14).
pub const ACTIVATION_BOUND: i64 = (1 << 14) - 1;

/// What moves an activation up into [0, 2^15), where the wrap of its two shares shows in their top
/// bits.
pub const ACTIVATION_OFFSET: i64 = 1 << 14;

/// Accumulators stay within plus and minus this, so that a rounding up cannot wrap.
pub const ACCUMULATOR_BOUND: i64 = (1 << 30) - (1 << 17);

/// Sums of accumulators over a patch stay within plus and minus this.
pub const PATCH_SUM_BOUND: i64 = (1 << 31) - (1 << 17);
