//! Sums and scaling of whole tensors, modulo 2³².
//!
//! Plain loops that the compiler vectorises, compiled once per instruction set. Memory sets the
//! pace, so long tensors are shared among the threads of rayon's current pool.

use super::isa::Isa;
use super::micro::{Loop, widened};
use rayon::prelude::*;

/// Words that one task handles; shorter tensors are not shared.
const CHUNK: usize = 1 << 15;

/// `out[i] += x[i]`
///
/// # Panics
///
/// If the lengths differ.
pub fn add_assign(isa: Isa, out: &mut [u32], x: &[u32]) {
    assert_eq!(out.len(), x.len(), "tensors must have the same length");
    let isa = isa.clamped();
    let op = Op::Add;
    if out.len() <= CHUNK {
        return widened(isa, Elementwise { op, out, x });
    }
    out.par_chunks_mut(CHUNK)
        .zip(x.par_chunks(CHUNK))
        .for_each(|(out, x)| widened(isa, Elementwise { op, out, x }));
}

/// `out[c, i] = x[c, i] · multipliers[c]`, where each channel has `plane` elements.
///
/// # Panics
///
/// If `out` and `x` do not both have `multipliers.len() · plane` elements.
pub fn mul_channel(isa: Isa, out: &mut [u32], x: &[u32], multipliers: &[u32], plane: usize) {
    assert_eq!(out.len(), x.len(), "tensors must have the same length");
    assert_eq!(out.len(), multipliers.len() * plane, "one multiplier a channel");
    if out.is_empty() {
        return;
    }
    let isa = isa.clamped();
    out.par_chunks_mut(plane)
        .zip(x.par_chunks(plane))
        .zip(multipliers)
        .with_min_len(CHUNK.div_ceil(plane))
        .for_each(|((out, x), &multiplier)| {
            let op = Op::Scale(multiplier);
            widened(isa, Elementwise { op, out, x });
        });
}

#[derive(Clone, Copy)]
enum Op {
    Add,
    Scale(u32),
}

struct Elementwise<'a> {
    op: Op,
    out: &'a mut [u32],
    x: &'a [u32],
}

impl Loop for Elementwise<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let pairs = self.out.iter_mut().zip(self.x);
        match self.op {
            Op::Add => pairs.for_each(|(out, x)| *out = out.wrapping_add(*x)),
            Op::Scale(multiplier) => pairs.for_each(|(out, x)| *out = x.wrapping_mul(multiplier)),
        }
    }
}
