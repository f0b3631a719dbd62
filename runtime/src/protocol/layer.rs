//! The groups of one gate: where their values stand in the layer, and where in its messages.

use trefoil_ir::mpc::Stage;
use trefoil_ir::mpc::gate::{BLOCK, Group, Segment};
use trefoil_ir::mpc::privacy::Draws;

use super::block::{BlockReader, Places, values_in};
use super::spread::Spread;
use crate::kernel::Isa;
use crate::wire::bits::BitsError;

/// The groups of a gate, with all that is worked out of them once.
pub struct Layer {
    /// Which instructions to use.
    pub(super) isa: Isa,
    /// The groups.
    pub groups: Vec<Placed>,
    /// What they draw.
    pub draws: Draws,
}

/// A group, with the places of its values.
pub struct Placed {
    /// The group.
    pub group: Group,
    /// Its pixels in the layer.
    pub places: Places,
    /// For each opening, which of its values a pixel belongs to.
    pub spreads: Vec<Spread>,
}

impl Placed {
    fn new(group: Group) -> Self {
        let spread = |opening| Spread::new(opening, group.map);
        Self {
            places: Places::new(&group.channels, group.map[0] * group.map[1]),
            spreads: group.openings.iter().map(spread).collect(),
            group,
        }
    }

    /// Bytes of its part of a message.
    fn bytes(&self, stage: Stage) -> usize {
        self.group
            .order()
            .map(|opening| self.group.segment(stage, opening))
            .map(|segment| segment.bytes(segment.count))
            .sum()
    }
}

impl Layer {
    /// A gate of these groups.
    ///
    /// # Panics
    /// If a group with signs comes before one without. All groups read one stream of fresh masks: the
    /// client in M2 for those without and in M4 for those with signs, the helper (and the client, where
    /// it replays the stream) in one go, in the groups' order.
    pub fn new(isa: Isa, groups: Vec<Group>) -> Self {
        let ordered = groups.is_sorted_by_key(|group| group.form.has_signs());
        assert!(ordered, "groups come in the order in which fresh masks are drawn");
        Self {
            isa: isa.clamped(),
            draws: Draws::of_gate(&groups),
            groups: groups.into_iter().map(Placed::new).collect(),
        }
    }

    /// Bytes of a message.
    pub fn bytes(&self, stage: Stage) -> usize {
        self.groups.iter().map(|placed| placed.bytes(stage)).sum()
    }

    /// Cuts a message into the parts of each group's openings.
    ///
    /// # Errors
    /// If it has another length than the plan says.
    pub fn parts<'a>(&self, stage: Stage, payload: &'a [u8]) -> Result<Vec<Vec<Part<'a>>>, BitsError> {
        let expected = self.bytes(stage);
        let got = payload.len();
        if expected != got {
            return Err(BitsError::Length { expected, got });
        }
        let mut rest = payload;
        Ok(self.by_opening(|group, opening| {
            let segment = group.segment(stage, opening);
            let (bytes, behind) = rest.split_at(segment.bytes(segment.count));
            rest = behind;
            Part {
                isa: self.isa,
                segment,
                bytes,
            }
        }))
    }

    /// Cuts a message that is to be written into the parts of each group's openings.
    pub fn parts_mut<'a>(&self, stage: Stage, payload: &'a mut [u8]) -> Vec<Vec<&'a mut [u8]>> {
        let mut rest = payload;
        self.by_opening(|group, opening| {
            let segment = group.segment(stage, opening);
            let (bytes, behind) = std::mem::take(&mut rest).split_at_mut(segment.bytes(segment.count));
            rest = behind;
            bytes
        })
    }

    /// What `part` gives in the order of segments, for each group in the order of its openings.
    fn by_opening<T>(&self, mut part: impl FnMut(&Group, usize) -> T) -> Vec<Vec<T>> {
        let of_group = |placed: &Placed| {
            let group = &placed.group;
            let mut parts: Vec<T> = group.order().map(|opening| part(group, opening)).collect();
            // The pixels, the first opening, come last.
            parts.rotate_right(1);
            parts
        };
        self.groups.iter().map(of_group).collect()
    }
}

/// What an opening's values have in a message.
pub struct Part<'a> {
    isa: Isa,
    segment: Segment,
    bytes: &'a [u8],
}

impl<'a> Part<'a> {
    /// What the values of a block have.
    pub fn block(&self, block: usize) -> BlockReader<'a> {
        let full = self.segment.bytes(BLOCK);
        let count = values_in(block, self.segment.count);
        let bytes = &self.bytes[block * full..][..self.segment.bytes(count)];
        BlockReader::new(self.isa, bytes, count)
    }
}

#[cfg(test)]
mod tests {
    use trefoil_ir::mpc::gate::groups;
    use trefoil_ir::{Patch, Shape};

    use super::*;

    #[test]
    #[should_panic(expected = "the order in which fresh masks are drawn")]
    fn groups_come_in_the_order_in_which_fresh_masks_are_drawn() {
        let patches = [Patch::Block { h: 2, w: 2 }, Patch::PIXEL, Patch::Identity];
        let lower: Vec<Patch> = (0..9).map(|c| patches[c % 3]).collect();
        let upper: Vec<Patch> = (0..9).map(|c| patches[c / 3]).collect();
        let mut groups = groups(&lower, Some(&upper), Shape::new(9, 4, 4), false);
        assert!(Layer::new(Isa::detect(), groups.clone()).groups.len() > 2);
        groups.reverse();
        Layer::new(Isa::detect(), groups);
    }
}
