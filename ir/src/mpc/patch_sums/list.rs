//! Which sums a vector of patch sums holds, and where in it they stand.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::geometry::{MAX_ELEMENTS, Patch, Patches, Shape, Window};
use crate::mpc::op::{OpError, invalid};

/// Patches of this many pixels and more are large. Their sums cost 32 bits a patch to truncate, 2
/// bits a pixel for 4x4, and the same sums out of the pixels' accumulator about as many bits of its
/// precision. For smaller patches the price per pixel grows and the loss shrinks.
pub const LARGE_PATCH: usize = 16;

/// Words of a span: where the rows, or columns, that a tap meets in a patch begin and end.
const SPAN_WORDS: usize = 4;

/// Whether the sums of this patch are taken from a gate's second operand, if it has one.
pub fn is_large(patch: Patch) -> bool {
    match patch {
        Patch::Identity => false,
        Patch::Block { h, w } => usize::from(h) * usize::from(w) >= LARGE_PATCH,
    }
}

/// Index of the first sum over a channel's patches in a vector of sums, by channel and patch size.
pub type SumPlaces = BTreeMap<(usize, Patch), usize>;

/// The sums that a vector holds: one entry after the other, of each entry one sum a patch of its
/// channel, in row-major order of the patches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SumList {
    /// The channel of each entry.
    pub channels: Vec<usize>,
    /// The patch size of each entry.
    pub patches: Patches,
}

impl SumList {
    /// The sums that a gate with these patches takes from its second operand: per channel that of
    /// the lower sign, then that of the upper one unless it is the same.
    pub fn of_gate(lower: &[Patch], upper: Option<&[Patch]>) -> Self {
        let mut list = Self::default();
        for (channel, &below) in lower.iter().enumerate() {
            if is_large(below) {
                list.push(channel, below);
            }
            if let Some(&above) = upper.and_then(|upper| upper.get(channel))
                && above != below
                && is_large(above)
            {
                list.push(channel, above);
            }
        }
        list
    }

    /// Appends an entry.
    pub fn push(&mut self, channel: usize, patch: Patch) {
        self.channels.push(channel);
        self.patches.push(patch);
    }

    /// Words that these sums take on their way from a map of `input` through a window to a map of
    /// `output`, all patch sizes together: prefix sums, box sums (of every tap and patch), and the
    /// spans that each tap reaches along both axes. `None` if a `usize` does not hold their number.
    pub(in crate::mpc) fn scratch_words(
        &self,
        window: &Window,
        input: Shape,
        output: [usize; 2],
    ) -> Option<usize> {
        let [down, across] = window.step_within(input.h, input.w);
        let rows = input.h.checked_add(down)?;
        let columns = input.w.checked_add(across)?;
        let mut words = checked_product(&[input.c, rows, columns])?;
        let [height, width] = window.kernel;
        let sizes: BTreeSet<Patch> = self.patches.iter().copied().collect();
        for patch in sizes {
            let [rows, columns] = patch.grid(output[0], output[1]);
            let boxes = checked_product(&[input.c, height, width, rows, columns])?;
            let of_rows = checked_product(&[SPAN_WORDS, height, rows])?;
            let of_columns = checked_product(&[SPAN_WORDS, width, columns])?;
            let spans = of_rows.checked_add(of_columns)?;
            words = words.checked_add(boxes)?.checked_add(spans)?;
        }
        Some(words)
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.patches.is_empty()
    }

    /// Channel and patch of every entry.
    pub fn iter(&self) -> impl Iterator<Item = (usize, Patch)> + '_ {
        self.channels.iter().copied().zip(self.patches.iter().copied())
    }

    /// Where each entry's sums begin on a map of `h` x `w` pixels.
    pub fn starts(&self, h: usize, w: usize) -> Vec<usize> {
        let mut starts = Vec::with_capacity(self.patches.len());
        let mut start = 0;
        for patch in &self.patches {
            starts.push(start);
            start += patch.signs(h, w);
        }
        starts
    }

    /// Where the sums of each channel's patches begin on a map of `h` x `w` pixels.
    pub fn places(&self, h: usize, w: usize) -> SumPlaces {
        self.iter().zip(self.starts(h, w)).collect()
    }

    /// The shape of the vector for a map of this shape.
    ///
    /// # Errors
    /// If an entry's channel or patch does not fit the map, or there is no entry.
    pub fn vector(&self, map: Shape) -> Result<Shape, OpError> {
        if self.is_empty() || self.channels.len() != self.patches.len() || !self.fits(map) {
            return invalid(format!(
                "`of` and `patches` must name as many channels of {map} as patches, each no larger than the map"
            ));
        }
        let mut count = Some(0usize);
        for patch in &self.patches {
            count = count.and_then(|count| count.checked_add(patch.signs(map.h, map.w)));
        }
        match count {
            Some(count) => Ok(Shape::vector(count)),
            None => invalid(format!("there are more than {MAX_ELEMENTS} sums")),
        }
    }

    /// Whether every entry's channel and patch are those of a map of this shape.
    fn fits(&self, map: Shape) -> bool {
        self.iter()
            .all(|(channel, patch)| channel < map.c && patch != Patch::Identity && patch.fits(map))
    }
}

/// `None` if a `usize` does not hold the product.
fn checked_product(factors: &[usize]) -> Option<usize> {
    factors
        .iter()
        .try_fold(1usize, |product, &factor| product.checked_mul(factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: Patch = Patch::Block { h: 4, w: 4 };
    const ROW: Patch = Patch::Block { h: 2, w: 8 };

    #[test]
    fn sixteen_pixels_are_large() {
        assert!(is_large(LARGE) && is_large(ROW) && is_large(Patch::Block { h: 1, w: 16 }));
        assert!(!is_large(Patch::Identity) && !is_large(Patch::Block { h: 3, w: 5 }));
    }

    #[test]
    fn a_gate_takes_each_large_patch_once() {
        let lower = [LARGE, LARGE, Patch::PIXEL, Patch::Identity];
        let upper = [LARGE, ROW, ROW, LARGE];
        let list = SumList::of_gate(&lower, Some(&upper));
        assert_eq!(list.channels, [0, 1, 1, 2, 3]);
        assert_eq!(list.patches, [LARGE, LARGE, ROW, ROW, LARGE]);
        // On 5 x 9 pixels: 2 x 3 patches, and 3 x 2 in rows.
        assert_eq!(list.starts(5, 9), [0, 6, 12, 18, 24]);
        assert_eq!(list.vector(Shape::new(4, 5, 9)), Ok(Shape::vector(30)));
        assert!(list.vector(Shape::new(3, 5, 9)).is_err());
        assert!(list.vector(Shape::new(4, 3, 9)).is_err());
    }
}
