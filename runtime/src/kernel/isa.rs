//! Which vector instructions the kernels may use on this machine.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

/// An instruction set for which the kernels have an inner loop, from slowest to fastest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Portable code.
    Scalar,
    /// 8 lanes of 32 bits.
    Avx2,
    /// 16 lanes of 32 bits: AVX-512 F with VL, BW and DQ, as servers have had it from the first.
    Avx512,
}

/// The value of `TREFOIL_ISA` names no instruction set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("TREFOIL_ISA is \"{0}\", which names no instruction set; use scalar, avx2 or avx512")]
pub struct UnknownIsa(pub String);

impl Isa {
    const ALL: [Isa; 3] = [Isa::Scalar, Isa::Avx2, Isa::Avx512];

    /// The fastest instruction set of this CPU, or a slower one if the environment variable
    /// `TREFOIL_ISA` (`scalar`, `avx2` or `avx512`) asks for it.
    ///
    /// A value that names nothing, or more than the CPU has, changes nothing here: a command
    /// that wants to complain about it calls [`Isa::requested`].
    pub fn detect() -> Isa {
        static DETECTED: OnceLock<Isa> = OnceLock::new();
        *DETECTED.get_or_init(|| {
            let wanted = Isa::requested().ok().flatten();
            wanted.unwrap_or(Isa::Avx512).clamped()
        })
    }

    /// What the environment variable `TREFOIL_ISA` asks for, if it is set.
    pub fn requested() -> Result<Option<Isa>, UnknownIsa> {
        match std::env::var_os("TREFOIL_ISA") {
            None => Ok(None),
            Some(name) => name.to_string_lossy().parse().map(Some),
        }
    }

    /// The instruction sets that this CPU runs, slowest first.
    pub fn available() -> Vec<Isa> {
        let all = Isa::ALL.into_iter();
        all.filter(|isa| isa.is_available()).collect()
    }

    /// Whether this CPU runs it.
    pub fn is_available(self) -> bool {
        match self {
            Isa::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx2 | Isa::Avx512 => false,
        }
    }

    /// Itself if the CPU runs it, else the best below: what makes safe functions of an `Isa` sound.
    pub(crate) fn clamped(self) -> Isa {
        let mut fastest_first = Isa::ALL.into_iter().rev();
        let best = fastest_first.find(|isa| *isa <= self && isa.is_available());
        best.unwrap_or(Isa::Scalar)
    }

    /// Whether it is AVX-512, and the CPU runs it: what is asked where its instructions are called.
    #[inline]
    pub(crate) fn runs_avx512(self) -> bool {
        self == Isa::Avx512 && self.is_available()
    }

    /// 32-bit lanes of one vector (portable code pretends to have some).
    pub(super) fn lanes(self) -> usize {
        match self {
            Isa::Scalar | Isa::Avx2 => 8,
            Isa::Avx512 => 16,
        }
    }

    /// Rows of the largest register tile, such that sums and operands fill the registers.
    pub(super) fn max_rows(self) -> usize {
        match self {
            Isa::Scalar | Isa::Avx2 => 4,
            Isa::Avx512 => 6,
        }
    }

    /// Vectors side by side in the largest register tile.
    pub(super) fn max_vectors(self) -> usize {
        match self {
            Isa::Scalar => 1,
            Isa::Avx2 => 2,
            Isa::Avx512 => 4,
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Isa::Scalar => "scalar",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        })
    }
}

impl FromStr for Isa {
    type Err = UnknownIsa;

    fn from_str(name: &str) -> Result<Isa, UnknownIsa> {
        match name.to_ascii_lowercase().as_str() {
            "scalar" => Ok(Isa::Scalar),
            "avx2" => Ok(Isa::Avx2),
            "avx512" => Ok(Isa::Avx512),
            _ => Err(UnknownIsa(name.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_in_either_case() {
        assert_eq!("AVX512".parse(), Ok(Isa::Avx512));
        assert_eq!("scalar".parse(), Ok(Isa::Scalar));
        for isa in Isa::ALL {
            assert_eq!(isa.to_string().parse(), Ok(isa));
        }
        let error = "sse".parse::<Isa>().unwrap_err();
        assert!(error.to_string().contains("use scalar, avx2 or avx512"));
    }

    #[test]
    fn only_runnable_sets_are_offered() {
        let available = Isa::available();
        assert_eq!(available[0], Isa::Scalar);
        assert!(available.contains(&Isa::detect()));
        assert!(available.contains(&Isa::Avx512.clamped()));
    }
}
