//! ReLU, Block-ReLU and clip as one thing: patches of a lower and perhaps an upper sign.

use trefoil_ir::nn::op::{BlockRelu, Clamp, Clip, Relu};
use trefoil_ir::nn::{Graph, GraphError, Node, NodeId, Op};
use trefoil_ir::{Patch, Patches, Shape};

use super::rewrite;

/// A gate: `y = low + b0 (x - low) - b1 (x - high)`, without the last summand if there is no upper sign.
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
        match &node.op {
            Op::Relu(_) => Some(Self {
                low: 0.0,
                lower: vec![Patch::PIXEL; node.shape.c],
                upper: None,
            }),
            Op::BlockRelu(op) => Some(Self {
                low: 0.0,
                lower: op.patches.clone(),
                upper: None,
            }),
            Op::Clip(op) => Some(Self {
                low: 0.0,
                lower: op.lower.clone(),
                upper: Some((op.high, op.upper.clone())),
            }),
            Op::Clamp(op) => Some(Self {
                low: op.low,
                lower: op.lower.clone(),
                upper: op.high.map(|high| (high, op.upper.clone())),
            }),
            _ => None,
        }
    }

    /// The simplest operator that does the same; `None` if nothing is gated at all.
    pub fn into_op(self) -> Option<Op> {
        let is_identity = |patches: &Patches| patches.iter().all(|p| *p == Patch::Identity);
        match self.upper {
            _ if self.low != 0.0 => self.gates().then(|| Op::Clamp(self.into_clamp())),
            Some((high, upper)) if !is_identity(&upper) => Some(Op::Clip(Clip {
                high,
                lower: self.lower,
                upper,
            })),
            _ if is_identity(&self.lower) => None,
            _ if self.lower.iter().all(Patch::is_pixel) => Some(Op::Relu(Relu)),
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
        let (high, upper) = match self.upper {
            Some((high, upper)) => (Some(high), upper),
            None => (None, vec![Patch::Identity; self.lower.len()]),
        };
        Clamp {
            low: self.low,
            high,
            lower: self.lower,
            upper,
        }
    }

    /// Whether anything is gated at all.
    fn gates(&self) -> bool {
        self.patch_lists().flatten().any(|p| *p != Patch::Identity)
    }

    /// Makes node `id` this gate, or removes the node if nothing is gated.
    pub(super) fn put(self, graph: &mut Graph, id: NodeId) -> Result<(), GraphError> {
        match self.into_op() {
            Some(op) => {
                let inputs = graph.inputs(id);
                graph.replace(id, op, &inputs)
            }
            None => {
                rewrite::bypass(graph, id);
                Ok(())
            }
        }
    }

    /// The same without its upper sign.
    pub(super) fn without_upper(self) -> Self {
        Self { upper: None, ..self }
    }

    /// Whether the patches of every sign have one pixel, in all channels.
    pub fn is_pixelwise(&self) -> bool {
        self.patch_lists().flatten().all(Patch::is_pixel)
    }

    /// Whether any sign is shared by pixels.
    pub fn has_blocks(&self) -> bool {
        self.patch_lists()
            .flatten()
            .any(|p| !p.is_pixel() && *p != Patch::Identity)
    }

    /// Patches of channel `c`: of the lower sign and, if there is one, of the upper.
    pub(super) fn channel(&self, c: usize) -> impl Iterator<Item = Patch> {
        self.patch_lists().map(move |patches| patches[c])
    }

    /// Lets channel `c` pass unchanged.
    pub(super) fn clear(&mut self, c: usize) {
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
