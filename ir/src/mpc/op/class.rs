//! What the parties do at a step, in the protocol's terms.
//!
//! An op says here, once, what kind of step it is. Messages, costs, memory, the verifier's rules and
//! the parties' sides follow from that, so that none of them matches on [`Op`](super::Op): an op of a
//! known class needs no line there, and a new class does not compile until each of them knows it.

use super::{
    Conv2d, Conv2dSums, Gather, Input, Interpolate, Lift, Pad, PoolSums, Reveal, Shuffle, SumPool, Truncate,
    TruncateSums,
};
use crate::geometry::{Patch, Patches};
use crate::mpc::gate::{self, Group, Rounds};
use crate::mpc::message::Message;
use crate::mpc::patch_sums::SumList;
use crate::mpc::program::ConstId;
use crate::mpc::types::Type;

/// What the parties do at a step.
#[derive(Clone, Copy, Debug)]
pub enum Class<'a> {
    /// The client's image comes in, masked.
    Input,
    /// Each party works on what it holds, without a message.
    Local(Local<'a>),
    /// The first half of every gate on an accumulator.
    Truncate(Truncation<'a>),
    /// Signs are taken of a value, and the result is masked anew.
    Gate(Gate<'a>),
    /// The client learns a value.
    Reveal,
}

/// A step without messages.
#[derive(Clone, Copy, Debug)]
pub enum Local<'a> {
    /// A convolution, of which each party has a part of the weight.
    Conv2d(&'a Conv2d),
    /// Patch sums of a convolution, likewise.
    Conv2dSums(&'a Conv2dSums),
    /// An activation times multipliers that client and server know.
    Lift(&'a Lift),
    /// Sums over windows times such multipliers.
    SumPool(&'a SumPool),
    /// Patch sums of an activation, or of sums over windows, times such multipliers.
    PoolSums(&'a PoolSums),
    /// Bilinear interpolation with coefficients that everybody knows.
    Interpolate(&'a Interpolate),
    /// A sum of two accumulators.
    Add,
    /// All operands, one behind the other.
    Concat,
    /// Chosen indices of one axis.
    Gather(&'a Gather),
    /// Zeros around a value.
    Pad(&'a Pad),
    /// The same elements in another shape.
    Reshape,
    /// Pixels become channels, or channels pixels.
    Shuffle(&'a Shuffle),
}

/// What is truncated.
#[derive(Clone, Copy, Debug)]
pub enum Truncation<'a> {
    /// An accumulator of pixels, of which the client learns the top bits of R.
    Pixels(&'a Truncate),
    /// Patch sums, of which it learns nothing.
    Sums,
}

/// What a gate's operand is, and which signs are taken of it.
#[derive(Clone, Copy, Debug)]
pub enum Gate<'a> {
    /// A truncated accumulator, of which no sign is taken where there are no [`Signs`]. A second
    /// operand, where the step has one, holds the sums over those of the patches that are large.
    Truncated(Option<Signs<'a>>),
    /// An activation, whose channels pass unchanged where their patch is the identity.
    Activation {
        /// A pixel or the identity, per channel.
        patches: &'a Patches,
        /// In how many rounds signs are taken.
        rounds: Rounds,
    },
    /// The difference of the two operands, which are activations; the second one is added back to
    /// the result.
    Difference {
        /// Bits of the difference.
        ring: u32,
        /// In how many rounds signs are taken.
        rounds: Rounds,
    },
}

/// The signs that a gate takes of a truncated accumulator.
#[derive(Clone, Copy, Debug)]
pub struct Signs<'a> {
    /// Patches of the sign of z, per channel.
    pub lower: &'a Patches,
    /// The sign of z - h.
    pub upper: Option<Upper<'a>>,
    /// In how many rounds they are taken.
    pub rounds: Rounds,
}

/// The upper sign of a clip.
#[derive(Clone, Copy, Debug)]
pub struct Upper<'a> {
    /// Patches of the sign of z - h, per channel.
    pub patches: &'a Patches,
    /// The upper limit h in units, per channel.
    pub level: ConstId,
    /// The upper limit for sums of the second operand, in 2^-16 of their units for each pixel; there is
    /// one if an upper sign is taken of such a sum.
    pub sum_level: Option<ConstId>,
}

impl Class<'_> {
    /// Messages of a step of this class, in order of their stages.
    pub fn messages(&self, args: &[&Type], ty: &Type) -> Vec<Message> {
        match self {
            Class::Input => Input::messages(ty),
            Class::Local(_) => Vec::new(),
            Class::Truncate(Truncation::Pixels(truncate)) => truncate.messages(ty),
            Class::Truncate(Truncation::Sums) => TruncateSums::messages(ty),
            Class::Gate(gate) => gate::messages(&gate.groups(args)),
            Class::Reveal => Reveal::messages(ty),
        }
    }
}

impl Gate<'_> {
    /// The groups into which the channels fall, on operands of these types.
    pub fn groups(&self, args: &[&Type]) -> Vec<Group> {
        let Some((value, sums)) = args.split_first() else {
            return Vec::new(); // a gate without an operand, which no verified program has
        };
        let shape = value.shape;
        match self {
            Gate::Truncated(None) => gate::groups(&vec![Patch::Identity; shape.c], None, shape, false),
            Gate::Truncated(Some(signs)) => {
                let (lower, upper) = (signs.lower, signs.upper_patches());
                gate::in_rounds(signs.rounds, gate::groups(lower, upper, shape, !sums.is_empty()))
            }
            Gate::Activation { patches, rounds } => {
                gate::in_rounds(*rounds, gate::activation_groups(patches, shape))
            }
            Gate::Difference { ring, rounds } => {
                gate::in_rounds(*rounds, gate::difference_groups(*ring, shape))
            }
        }
    }

    /// The patch sums that the gate takes from its second operand, if it has one.
    pub fn patch_sums(&self) -> SumList {
        match self {
            Gate::Truncated(Some(signs)) => {
                SumList::of_gate(signs.lower, signs.upper_patches().map(Vec::as_slice))
            }
            Gate::Truncated(None) | Gate::Activation { .. } | Gate::Difference { .. } => SumList::default(),
        }
    }
}

impl<'a> Signs<'a> {
    fn upper_patches(&self) -> Option<&'a Patches> {
        self.upper.map(|upper| upper.patches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mpc::op::{BlockRelu, Clip, Max, Op, Relu, Requant};

    const LARGE: Patch = Patch::Block { h: 4, w: 4 };
    const LARGER: Patch = Patch::Block { h: 5, w: 7 };

    fn patch_sums(op: impl Into<Op>) -> Vec<(usize, Patch)> {
        match op.into().class() {
            Class::Gate(gate) => gate.patch_sums().iter().collect(),
            Class::Input | Class::Local(_) | Class::Truncate(_) | Class::Reveal => Vec::new(),
        }
    }

    #[test]
    fn a_gate_takes_the_sums_over_its_own_large_patches() {
        let patches = vec![LARGE, Patch::PIXEL, LARGER];
        let block_relu = BlockRelu {
            patches: patches.clone(),
            rounds: Rounds::Two,
        };
        assert_eq!(patch_sums(block_relu), [(0, LARGE), (2, LARGER)]);
        let clip = Clip {
            level: ConstId(0),
            sum_level: Some(ConstId(1)),
            lower: patches,
            upper: vec![LARGE, LARGER, Patch::Identity],
            rounds: Rounds::Two,
        };
        assert_eq!(patch_sums(clip), [(0, LARGE), (1, LARGER), (2, LARGER)]);
    }

    #[test]
    fn other_gates_take_none() {
        let patches = vec![Patch::PIXEL, Patch::Identity];
        assert!(patch_sums(Relu::new(patches)).is_empty());
        assert!(patch_sums(Requant).is_empty());
        assert!(patch_sums(Max::new(true)).is_empty());
    }
}
