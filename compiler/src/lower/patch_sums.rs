//! Sums over large patches: which gates take them from an accumulator of their own, and its scale.
//!
//! The sum of a channel over a patch of n pixels may be n times as large as its values. Taken from
//! the pixels' own accumulator, the unit of the pixels has to make room for it. Instead, large
//! patches ([`is_large`]: 16 pixels and more) are summed up apart, with weights that are coarser by
//! what the sum needs, and the unit of the pixels is theirs alone. Whether a patch is summed up
//! apart follows from its size and from the structure of the network; it tells nobody what values
//! the calibration saw.
//!
//! Only the sign of such a sum is used, so its unit may be any number: the smallest for which the
//! sum has room. Where the client knows multipliers or levels in it, it is a power of two (of a mean
//! alone: times the number of its pixels), as all units are that the client can infer.
//!
//! The tree of a root is walked once more for its sums; the operators that can be summed up are
//! those below in [`summable`]. What moves pixels about within an accumulator (slices, pads, copying
//! interpolations) is not among them: a gate behind such a one takes its sums from the pixels.

use trefoil_ir::mpc::patch_sums::{SumList, is_large};
use trefoil_ir::nn::op::class::Move;
use trefoil_ir::nn::{Class, Gate, Graph, NodeId};
use trefoil_ir::{Patch, Shape};

use super::form::{Forms, interpolates};
use super::need::Needs;
use super::room::SUM_LIMIT;
use super::tree::{Member, Tree};
use super::{LowerError, linear};
/// The sums of one gate's large patches.
#[derive(Clone, Debug, Default)]
pub(super) struct GateSums {
    /// Which.
    pub(super) list: SumList,
    /// Rows and columns of the map.
    pub(super) map: [usize; 2],
    /// Per entry, the real value of one unit: 2^16 steps of the accumulator.
    pub(super) unit: Vec<f64>,
    /// Per entry, the largest magnitude that is foreseen.
    pub(super) bound: Vec<f64>,
    /// Per channel, the upper limit of a clip for each pixel of a patch, as a real value.
    pub(super) high: Vec<f64>,
}

impl GateSums {
    /// The entries whose channels lie in a member of the tree, numbered as that member's.
    pub(super) fn of_member(&self, offset: usize, channels: usize) -> Self {
        let mut part = Self {
            map: self.map,
            ..Self::default()
        };
        let entries = self.list.iter().zip(&self.unit).zip(&self.bound);
        for (((channel, patch), unit), bound) in entries {
            if (offset..offset + channels).contains(&channel) {
                part.list.push(channel - offset, patch);
                part.unit.push(*unit);
                part.bound.push(*bound);
            }
        }
        part
    }

    /// The upper limits in 2^-16 of the units of the sums that they limit; 1 for channels without
    /// such a sum.
    pub(super) fn levels(&self, upper: &[Patch]) -> Vec<i32> {
        let mut levels = vec![1; upper.len()];
        for ((channel, patch), unit) in self.list.iter().zip(&self.unit) {
            if upper[channel] == patch {
                levels[channel] = (self.high[channel] * 65536.0 / unit).round().max(1.0) as i32;
            }
        }
        levels
    }
}

/// Whether a gate has sums that may be computed apart.
pub(super) fn has_large(gate: &Gate) -> bool {
    let upper = gate.upper.iter().flat_map(|(_, patches)| patches);
    gate.lower.iter().chain(upper).copied().any(is_large)
}

/// Whether the sums of a root can be computed apart: if all that joins it is made of activations by
/// one linear layer, or adds or places channels.
pub(super) fn summable(graph: &Graph, forms: &Forms, root: NodeId) -> bool {
    let mut members = Tree::new(graph, forms, root).members.into_iter();
    !interpolates(graph, root) && members.all(|member| can_sum(graph, member.node))
}

fn can_sum(graph: &Graph, member: NodeId) -> bool {
    match graph.node(member).op.class() {
        Class::Linear(_) | Class::Add | Class::Move(Move::Concat) => true,
        // One multiplier a channel does for all windows.
        Class::Mean(_) => linear::divisors(graph, member)
            .is_some_and(|divisors| divisors.windows(2).all(|pair| pair[0] == pair[1])),
        // A gate that gates nothing, and a vector that becomes one.
        Class::Gate(_) | Class::Move(Move::Flatten) => true,
        Class::Move(Move::Pad(_) | Move::Slice(_) | Move::Shuffle(_))
        | Class::Input
        | Class::Resize(_)
        | Class::Max(_)
        | Class::PerChannel(_)
        | Class::Output(_) => false,
    }
}

/// What enters the sums: a root's tree, or one activation that is lifted.
pub(super) enum Source<'a> {
    /// The tree of a root.
    Tree(&'a Tree),
    /// An activation.
    Lifted(NodeId),
}

impl Source<'_> {
    fn members(&self) -> &[Member] {
        match self {
            Source::Tree(tree) => &tree.members,
            Source::Lifted(_) => &[],
        }
    }

    fn lifted(&self) -> Vec<Member> {
        match self {
            Source::Tree(tree) => tree.lifted.clone(),
            Source::Lifted(node) => vec![Member {
                node: *node,
                offset: 0,
            }],
        }
    }

    /// Whether the client knows multipliers in it.
    fn has_multipliers(&self, graph: &Graph) -> bool {
        let mut members = self.members().iter();
        let has_mean = members.any(|m| linear::pooled_pixels(graph, m.node).is_some());
        has_mean || !self.lifted().is_empty()
    }

    /// Where one activation alone enters: what its unit adds to sums, per channel. Multipliers are
    /// powers of two if the sums' units are such multiples of it.
    fn base<'u>(&self, graph: &Graph, units: impl Fn(NodeId) -> &'u [f64]) -> Option<Vec<f64>> {
        let (operand, pixels) = match self {
            Source::Lifted(node) => (*node, 1),
            Source::Tree(tree) => {
                let [mean] = tree.members[..] else {
                    return None;
                };
                (
                    graph.inputs(mean.node)[0],
                    linear::pooled_pixels(graph, mean.node)?,
                )
            }
        };
        Some(units(operand).iter().map(|u| u / pixels as f64).collect())
    }
}

/// Chooses the units of a gate's sums. `units` gives those of activations.
///
/// # Errors
/// If the calibration has no sums of this gate.
pub(super) fn choose<'u>(
    needs: &Needs<'_>,
    value: NodeId,
    (node, gate): &(NodeId, Gate),
    source: &Source<'_>,
    units: impl Fn(NodeId) -> &'u [f64],
) -> Result<GateSums, LowerError> {
    let upper = gate.upper.as_ref().map(|(_, patches)| patches.as_slice());
    let list = SumList::of_gate(&gate.lower, upper);
    let bound = needs.of_sums(value, *node, gate, &list)?;
    let mut unit: Vec<f64> = bound.iter().map(|b| b / SUM_LIMIT).collect();
    make_room(needs.graph, source, &list, &mut unit, &units);
    let upper_large = upper.is_some_and(|patches| patches.iter().copied().any(is_large));
    if upper_large || source.has_multipliers(needs.graph) {
        let base = source.base(needs.graph, units);
        for ((channel, _), unit) in list.iter().zip(&mut unit) {
            let base = base.as_ref().map_or(1.0, |base| base[channel]);
            *unit = base * (*unit / base).log2().ceil().exp2();
        }
    }
    let Shape { h, w, .. } = needs.graph.node(value).shape;
    Ok(GateSums {
        map: [h, w],
        high: needs.reachable_limits(value, gate),
        list,
        unit,
        bound,
    })
}

/// Weights, biases and multipliers are 32-bit integers.
fn make_room<'u>(
    graph: &Graph,
    source: &Source<'_>,
    list: &SumList,
    unit: &mut [f64],
    units: &impl Fn(NodeId) -> &'u [f64],
) {
    for member in source.members() {
        let operand = graph.inputs(member.node)[0];
        if let Some(weights) = linear::Weights::of(&graph.node(member.node).op) {
            raise(list, unit, member.offset, &weights.smallest_units(units(operand)));
        } else if linear::pooled_pixels(graph, member.node).is_some() {
            raise(list, unit, member.offset, &linear::coarsest(units(operand)));
        }
    }
    for operand in source.lifted() {
        raise(list, unit, operand.offset, &linear::coarsest(units(operand.node)));
    }
}

/// Raises the units of the sums of channels from `offset` on to the smallest ones that these allow.
fn raise(list: &SumList, unit: &mut [f64], offset: usize, smallest: &[f64]) {
    for ((channel, _), unit) in list.iter().zip(unit.iter_mut()) {
        if let Some(smallest) = channel.checked_sub(offset).and_then(|c| smallest.get(c)) {
            *unit = unit.max(*smallest);
        }
    }
}
