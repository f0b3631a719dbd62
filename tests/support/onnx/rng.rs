//! A tiny seeded generator of random numbers, so that a model is a function of its seed alone.
//!
//! Every parameter draws from a stream of its own, keyed by the parameter's name. So a network has
//! the same weights whichever exporter it imitates, and a new layer leaves the others' weights alone.

use std::f64::consts::TAU;

/// SplitMix64 with Box-Muller on top.
pub(crate) struct Rng {
    state: u64,
    spare: Option<f32>,
}

impl Rng {
    /// The stream of `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            state: seed,
            spare: None,
        }
    }

    /// The stream of one named parameter of the model `seed`.
    pub(crate) fn named(seed: u64, name: &str) -> Self {
        // FNV-1a, then one SplitMix64 step, so that similar names give unrelated streams.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let mut rng = Self::new(seed ^ hash);
        rng.state = rng.next_u64();
        rng
    }

    /// The next 64 bits.
    pub(crate) fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which must not be zero; the bias of the modulus is negligible here.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next_u64() % bound as u64) as usize
    }

    /// Uniform in (0, 1].
    fn uniform(&mut self) -> f64 {
        ((self.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// Standard normal.
    pub(crate) fn normal(&mut self) -> f32 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        let (sin, cos) = (TAU * self.uniform()).sin_cos();
        self.spare = Some((radius * sin) as f32);
        (radius * cos) as f32
    }

    /// `len` normal numbers of standard deviation `std`.
    pub(crate) fn normals(&mut self, len: usize, std: f32) -> Vec<f32> {
        (0..len).map(|_| std * self.normal()).collect()
    }
}
