//! Mean and variance per channel, carried along while a model is built.
//!
//! A trained batch norm subtracts the mean that its input really has. Random running statistics
//! would not: deep random networks then give nearly the same logits for every image, and comparing
//! predictions means nothing. So the builder propagates what each channel holds on
//! standard-normal images, as if channels were independent and Gaussian, and takes the running
//! statistics from there (with some noise). It need not be exact, only keep every depth in range.

/// What one channel holds on standard-normal images, approximately.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Expected value.
    pub(crate) mean: f32,
    /// Variance.
    pub(crate) var: f32,
}

impl Moment {
    /// A pixel of a standard-normal image.
    pub(crate) const STANDARD: Self = Self { mean: 0.0, var: 1.0 };

    /// After `scale · x + bias`.
    pub(crate) fn affine(self, scale: f32, bias: f32) -> Self {
        Self {
            mean: scale * self.mean + bias,
            var: scale * scale * self.var,
        }
    }

    /// The sum with an independent channel.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            mean: self.mean + other.mean,
            var: self.var + other.var,
        }
    }

    /// After a ReLU: the moments of a rectified Gaussian.
    pub(crate) fn relu(self) -> Self {
        let std = self.var.sqrt().max(1e-6);
        let t = self.mean / std;
        let (density, mass) = (normal_density(t), normal_mass(t));
        let mean = std * density + self.mean * mass;
        let square = (self.var + self.mean * self.mean) * mass + self.mean * std * density;
        Self {
            mean,
            var: (square - mean * mean).max(1e-6),
        }
    }

    /// After a maximum over `count` pixels: a rule of thumb for neighbours that go together. (The
    /// variance stays: a maximum spreads less, but comes out of the flat part of a ReLU.)
    pub(crate) fn max_of(self, count: usize) -> Self {
        let logarithm = (count.max(1) as f32).ln();
        Self {
            mean: self.mean + (1.2 * logarithm * self.var).sqrt(),
            var: self.var,
        }
    }

    /// After a mean over `count` pixels. Neighbours go together, so the variance falls slowly.
    pub(crate) fn mean_of(self, count: usize) -> Self {
        Self {
            mean: self.mean,
            var: self.var / (count as f32).sqrt(),
        }
    }
}

fn normal_density(t: f32) -> f32 {
    (-0.5 * t * t).exp() / std::f32::consts::TAU.sqrt()
}

/// The mass of a standard normal below `t`, by the logistic approximation (within 0.02).
fn normal_mass(t: f32) -> f32 {
    1.0 / (1.0 + (-1.702 * t).exp())
}
