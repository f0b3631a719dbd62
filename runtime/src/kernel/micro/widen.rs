//! Plain loops, compiled once per instruction set.
#![allow(unsafe_code)]

use crate::kernel::isa::Isa;

/// A loop over words. Its `run`, and all that it calls, must be `#[inline(always)]`: only what
/// is inlined into the functions below is vectorised for their instruction set.
pub(in crate::kernel) trait Loop {
    fn run(self);
}

/// Runs a loop in the form that was compiled for `isa`.
///
/// `isa` must be one that this CPU runs, as every [`Isa::clamped`] is.
pub(in crate::kernel) fn widened(isa: Isa, work: impl Loop) {
    match isa {
        Isa::Scalar => work.run(),
        // SAFETY: the CPU runs `isa`, see above.
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
fn with_avx2(work: impl Loop) {
    work.run();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl")]
fn with_avx512(work: impl Loop) {
    work.run();
}
