//! Attacks on the protocol, as tests that succeed as soon as one of its rules is broken.
//!
//! - [`views`]: everything that a party receives in tens of thousands of runs, bit against bit and
//!   against the streams that it shares, against the image and the rounding coins
//! - [`diagonal`]: each bit of each mask turned round, which must turn the one bit that it hides and
//!   nothing before it
//! - [`coin`]: a client that regresses what it learns on what it holds, to find the next layer's
//!   weights
//! - [`reuse`]: a mask asked for a second time
//!
//! Each attack is also let loose on a protocol that is broken on purpose, here and nowhere else,
//! and must find the breach: a test that cannot fail shows nothing.

mod bits;
mod coin;
mod diagonal;
mod parties;
mod reuse;
mod views;
