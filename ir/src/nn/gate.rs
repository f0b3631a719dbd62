//! ReLU, Block-ReLU and clip as one thing: patches of a lower and perhaps an upper sign.

use super::op::{BlockRelu, Clamp, Clip, Relu};
use super::{Class, Node, Op};
use crate::geometry::{Patch, Patches, Shape, all_identities, all_pixels};

/// A gate with patches of its own, as passes change it: `y = low + b0 (x - low) - b1 (x - high)`, without the last summand if there is no upper sign.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    /// The lower limit: 0 for all gates but clamps.
    pub low: f32,
    /// Patches of the sign of x - low, one per channel.
    pub lower: Patches,
    /// Upper limit and patches of the sign of x - high, one per channel.
    pub upper: Option<(f32, Patches)>,
}

impl Gate {
    /// The gate that a node is.
    pub fn of(node: &Node) -> Option<Self> {
        let Class::Gate(gate) = node.op.class() else {
            return None;
        };
        Some(Self {
            low: gate.low,
            lower: match gate.lower {
                Some(patches) => patches.clone(),
                None => vec![Patch::PIXEL; node.shape.c],
            },
            upper: gate.upper.map(|(high, patches)| (high, patches.clone())),
        })
    }

    /// The simplest operator that does the same; `None` if nothing is gated at all.
    pub fn into_op(self) -> Option<Op> {
        match self.upper {
            _ if self.low != 0.0 => self.gates().then(|| Op::Clamp(self.into_clamp())),
            Some((high, upper)) if !all_identities(&upper) => Some(Op::Clip(Clip {
                high,
                lower: self.lower,
                upper,
            })),
            _ if all_identities(&self.lower) => None,
            _ if all_pixels(&self.lower) => Some(Op::Relu(Relu)),
            _ => Some(Op::BlockRelu(BlockRelu { patches: self.lower })),
        }
    }

    /// The operator with all of the gate's signs, be they identities.
    pub fn into_whole_op(self) -> Op {
        match self.upper {
            _ if self.low != 0.0 => Op::Clamp(self.into_clamp()),
            Some((high, upper)) => Op::Clip(Clip {
                high,
                lower: self.lower,
                upper,
            }),
            None => Op::BlockRelu(BlockRelu { patches: self.lower }),
        }
    }

    fn into_clamp(self) -> Clamp {
        let channels = self.lower.len();
        Clamp {
            low: self.low,
            high: self.upper.as_ref().map(|(high, _)| *high),
            upper: self
                .upper
                .map_or_else(|| vec![Patch::Identity; channels], |(_, patches)| patches),
            lower: self.lower,
        }
    }

    /// Whether anything is gated at all.
    fn gates(&self) -> bool {
        !self.patch_lists().all(|patches| all_identities(patches))
    }

    /// The same without its upper sign.
    #[must_use]
    pub fn without_upper(self) -> Self {
        Self { upper: None, ..self }
    }

    /// Whether the patches of every sign have one pixel, in all channels.
    pub fn is_pixelwise(&self) -> bool {
        self.patch_lists().all(|patches| all_pixels(patches))
    }

    /// Whether any sign is shared by pixels.
    pub fn has_blocks(&self) -> bool {
        self.patch_lists()
            .flatten()
            .any(|p| !p.is_pixel() && *p != Patch::Identity)
    }

    /// Patches of channel `c`: of the lower sign and, if there is one, of the upper.
    pub fn channel(&self, c: usize) -> impl Iterator<Item = Patch> {
        self.patch_lists().map(move |patches| patches[c])
    }

    /// Lets channel `c` pass unchanged.
    pub fn clear(&mut self, c: usize) {
        self.lower[c] = Patch::Identity;
        if let Some((_, patches)) = &mut self.upper {
            patches[c] = Patch::Identity;
        }
    }

    /// Signs that the gate takes on a map of this shape.
    pub fn signs(&self, map: Shape) -> usize {
        self.patch_lists().flatten().map(|p| p.signs(map.h, map.w)).sum()
    }

    fn patch_lists(&self) -> impl Iterator<Item = &Patches> {
        std::iter::once(&self.lower).chain(self.upper.as_ref().map(|(_, patches)| patches))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(lower: Patch, upper: Patch) -> Gate {
        Gate {
            low: 0.0,
            lower: vec![lower; 2],
            upper: Some((6.0, vec![upper; 2])),
        }
    }

    #[test]
    fn the_simplest_operator_is_chosen() {
        let block = Patch::Block { h: 2, w: 2 };
        assert_eq!(clip(Patch::Identity, Patch::Identity).into_op(), None);
        assert_eq!(
            clip(Patch::PIXEL, Patch::Identity).into_op(),
            Some(Op::Relu(Relu))
        );
        let names = [clip(block, Patch::Identity), clip(Patch::Identity, Patch::PIXEL)]
            .map(|gate| gate.into_op().map(|op| op.name()));
        assert_eq!(names, [Some("block_relu"), Some("clip")]);
    }

    #[test]
    fn a_clip_takes_two_signs() {
        let map = Shape::new(2, 3, 3);
        assert_eq!(clip(Patch::PIXEL, Patch::PIXEL).signs(map), 36);
        assert_eq!(clip(Patch::Block { h: 2, w: 2 }, Patch::Identity).signs(map), 8);
    }
}
