//! The protocol: what each party computes and sends, without any I/O.
//!
//! The client's, server's and helper's sides of a step stand side by side, in one file or one folder,
//! with the messages numbered M1 to M4 as in `docs/PROTOCOL.md`. Nothing here knows sockets or plans:
//! values and payloads go in, values and payloads come out.
//!
//! - [`truncate`]: the first half of every gate on an accumulator
//! - [`gate`]: requantise, Block-ReLU, clip, maximum
//! - [`compare`]: the borrow of "public minus dealt", shared between client and server
//! - [`garbled`]: the same in one message, under a mask at the client
//! - [`operand`]: what each party holds of the value that a gate works on
//! - [`layout`]: a gate's groups, their places in the layer and in messages; [`patch_sums`] and
//!   [`spread`]: from pixels to patches and back
//! - [`section`], [`streams`]: payloads and masks
//! - [`block`]: 512 values at a time, on which all of it works

pub mod block;
pub mod compare;
pub mod garbled;
pub mod gate;
pub mod layout;
pub mod operand;
pub mod patch_sums;
pub mod section;
pub mod spread;
pub mod streams;
pub mod truncate;

#[cfg(test)]
mod attacks;
#[cfg(test)]
pub(crate) mod tests;

/// Low `bits` bits of a 16-bit word.
const fn low(bits: u32) -> u16 {
    if bits >= 16 { u16::MAX } else { (1 << bits) - 1 }
}
