//! B, the helper's share of the weights: drawn by the compiler, which subtracts it from W, and by
//! the helper, which multiplies with it.

use trefoil_ir::mpc::ConstId;
use trefoil_ir::plan::SecretSeed;

use super::{Purpose, Seed, StreamKey};

/// `len` values of the share of one constant: the stream (0, its number, [`Purpose::WeightShare`])
/// of the plan's weight seed. It is the same for every inference, since F is shipped once; what
/// hides the products from the server is the fresh mask p of each accumulator.
pub fn weight_share(seed: &SecretSeed, constant: ConstId, len: usize) -> Vec<u32> {
    let seed = Seed::of_plan(seed);
    let mut share = vec![0; len];
    StreamKey::new(&seed)
        .stream(0, constant.0, Purpose::WeightShare)
        .fill(&mut share);
    share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_depend_on_seed_and_constant_alone() {
        let (one, other) = (SecretSeed::new([1; 32]), SecretSeed::new([2; 32]));
        let share = weight_share(&one, ConstId(3), 100);
        assert_eq!(share, weight_share(&one, ConstId(3), 100));
        assert_eq!(share[..40], weight_share(&one, ConstId(3), 40)[..]);
        assert_ne!(share, weight_share(&one, ConstId(4), 100));
        assert_ne!(share, weight_share(&other, ConstId(3), 100));
    }
}
