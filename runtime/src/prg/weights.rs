//! B, the helper's share of the weights: drawn by the compiler, which subtracts it from W, and by
//! the helper, which multiplies with it.

use trefoil_ir::mpc::ConstId;
use trefoil_ir::plan::SecretSeed;

use super::{Purpose, Seed, StreamKey};

/// `len` values of the share of one constant: the stream (0, its number, [`Purpose::WeightShare`])
/// of the plan's weight seed. It is the same for every inference, since F is shipped once; what
/// hides the products from the server is the fresh mask p of each accumulator.
pub fn weight_share(seed: &SecretSeed, constant: ConstId, len: usize) -> Vec<u32> {
    share_under(&StreamKey::new(&Seed::of_plan(seed)), constant, len)
}

fn share_under(key: &StreamKey, constant: ConstId, len: usize) -> Vec<u32> {
    let mut share = vec![0; len];
    let mut stream = key.stream(0, constant.0, Purpose::WeightShare);
    stream.fill(&mut share);
    share
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prg::Tap;

    /// F = W - B hides a weight if every bit of B is one of the stream's, and no other weight's.
    #[test]
    fn each_bit_of_the_share_is_a_bit_of_its_own_stream() {
        let (seed, constant) = (SecretSeed::new([3; 32]), ConstId(5));
        let share = weight_share(&seed, constant, 9);
        for (at, value) in share.iter().enumerate() {
            for bit in 0..32 {
                let tap = Tap {
                    inference: 0,
                    step: constant.0,
                    purpose: Purpose::WeightShare,
                    bit: 32 * at as u64 + bit,
                };
                let key = StreamKey::tapped(&Seed::of_plan(&seed), tap);
                let mut want = share.clone();
                want[at] = value ^ 1 << bit;
                assert_eq!(share_under(&key, constant, 9), want, "bit {bit} of weight {at}");
                assert_eq!(
                    share_under(&key, ConstId(6), 9),
                    weight_share(&seed, ConstId(6), 9)
                );
            }
        }
    }

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
