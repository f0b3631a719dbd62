//! Plain loops, compiled once per instruction set.
#![allow(unsafe_code)]

use crate::kernel::isa::Isa;

/// A loop over words. Its `run`, and all that it calls, must be `#[inline(always)]`: only what
/// is inlined into the functions below is vectorised for their instruction set.
pub(crate) trait Loop {
    /// What comes of it, beside what it writes.
    type Output;

    fn run(self) -> Self::Output;
}

/// Runs a loop in the form that was compiled for `isa`, or the best below it that this CPU runs.
pub(crate) fn widened<L: Loop>(isa: Isa, work: L) -> L::Output {
    match isa.clamped() {
        Isa::Scalar => work.run(),
        // SAFETY: a clamped `Isa` is one that the CPU runs.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { with_avx2(work) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { with_avx512(work) },
        #[cfg(not(target_arch = "x86_64"))]
        Isa::Avx2 | Isa::Avx512 => work.run(),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn with_avx2<L: Loop>(work: L) -> L::Output {
    work.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
fn with_avx512<L: Loop>(work: L) -> L::Output {
    work.run()
}
