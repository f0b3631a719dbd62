//! The product of box sums with weights.

use super::prefix::Prefixes;
use super::{GroupEntries, LANES, PatchClass, whole};
use crate::kernel::micro::Loop;

/// Box sums that are taken at a time, in words.
const BOXES: usize = 4096;

impl PatchClass {
    /// Words for one line of prefix sums, the box sums of some channels, and all sums of a part.
    pub(super) fn scratch_words(&self, prefixes: &Prefixes) -> usize {
        let parts = self.parts.iter().map(|part| self.part_words(part));
        prefixes.width() + parts.max().unwrap_or(0)
    }

    /// Words for the box sums of some channels, and all sums of a part.
    fn part_words(&self, part: &GroupEntries) -> usize {
        let [rows, columns] = self.axes(part);
        self.channels_at_once(part) * self.taps * self.box_line(part) + rows * columns
    }

    /// Rows and columns of a part's product, these in whole vectors.
    fn axes(&self, part: &GroupEntries) -> [usize; 2] {
        let entries = part.starts.len();
        if part.by_patch {
            [entries, whole(self.patches)]
        } else {
            [self.patches, whole(entries)]
        }
    }

    /// Words of the box sums of one channel and tap.
    fn box_line(&self, part: &GroupEntries) -> usize {
        if part.by_patch {
            whole(self.patches)
        } else {
            self.patches
        }
    }

    /// Channels whose box sums are taken before they are multiplied: what fits the first-level cache.
    fn channels_at_once(&self, part: &GroupEntries) -> usize {
        (BOXES / (self.taps * self.box_line(part)).max(1)).max(1)
    }
}

/// Box sums times weights, some channels at a time.
pub(super) struct Product<'a> {
    pub(super) class: &'a PatchClass,
    pub(super) part: &'a GroupEntries,
    pub(super) prefixes: Prefixes,
    /// Prefix sums of the channels that the part's group reads.
    pub(super) prefix: &'a [u32],
    /// [`PatchClass::scratch_words`] at least.
    pub(super) scratch: &'a mut [u32],
    /// `[entries, patches]`
    pub(super) out: &'a mut [u32],
}

impl Loop for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let class = self.class;
        let part = self.part;
        let [rows, columns] = class.axes(part);
        let box_line = class.box_line(part);
        let channels = class.channels_at_once(part);
        let weight_line = if part.by_patch { rows } else { columns };
        let (line, rest) = self.scratch.split_at_mut(self.prefixes.width());
        let (boxes, rest) = rest.split_at_mut(channels * class.taps * box_line);
        let sums = &mut rest[..rows * columns];
        boxes.fill(0);
        sums.fill(0);
        let weights = part.weights.chunks(channels * class.taps * weight_line);
        let prefixes = self.prefix.chunks(channels * self.prefixes.len());
        for (weights, prefixes) in weights.zip(prefixes) {
            let of_channels = prefixes.chunks_exact(self.prefixes.len());
            for (prefix, boxes) in of_channels.zip(boxes.chunks_exact_mut(class.taps * box_line)) {
                class.spans.take(prefix, line, boxes, box_line);
            }
            // Behind the last channels stand boxes of earlier ones, which no weights meet.
            if part.by_patch {
                add_product(sums, [weights, boxes], [rows, columns]);
            } else {
                add_product(sums, [boxes, weights], [rows, columns]);
            }
        }
        for (entry, out) in self.out.chunks_exact_mut(class.patches).enumerate() {
            if part.by_patch {
                out.copy_from_slice(&sums[entry * columns..][..class.patches]);
            } else {
                let column = sums[entry..].iter().step_by(columns);
                out.iter_mut().zip(column).for_each(|(to, from)| *to = *from);
            }
        }
    }
}

/// `sums[i][j] += Σₖ left[k][i] · right[k][j]`, as far as both reach; columns are whole vectors.
#[inline(always)]
fn add_product(sums: &mut [u32], [left, right]: [&[u32]; 2], [rows, columns]: [usize; 2]) {
    for first in (0..columns).step_by(LANES) {
        let mut row = 0;
        while row + 4 <= rows {
            add_tile::<4>(sums, [left, right], [rows, columns], [row, first]);
            row += 4;
        }
        while row < rows {
            add_tile::<1>(sums, [left, right], [rows, columns], [row, first]);
            row += 1;
        }
    }
}

/// Adds the product to a tile of `sums`: `R` rows and the columns of one vector.
#[inline(always)]
fn add_tile<const R: usize>(
    sums: &mut [u32],
    [left, right]: [&[u32]; 2],
    [rows, columns]: [usize; 2],
    [row, first]: [usize; 2],
) {
    let mut tile = [[0u32; LANES]; R];
    for (left, right) in left.chunks_exact(rows).zip(right.chunks_exact(columns)) {
        let left: &[u32; R] = left[row..].first_chunk().expect("a tile is within the rows");
        let right: &[u32; LANES] = right[first..].first_chunk().expect("and within the columns");
        for (tile, factor) in tile.iter_mut().zip(left) {
            for (sum, value) in tile.iter_mut().zip(right) {
                *sum = sum.wrapping_add(factor.wrapping_mul(*value));
            }
        }
    }
    for (at, tile) in tile.iter().enumerate() {
        let sums = &mut sums[(row + at) * columns + first..][..LANES];
        for (sum, value) in sums.iter_mut().zip(tile) {
            *sum = sum.wrapping_add(*value);
        }
    }
}
