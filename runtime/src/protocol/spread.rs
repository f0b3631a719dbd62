//! From patches back to pixels: which sign, and which threshold, a pixel has.

use std::ops::Range;

use trefoil_ir::Patch;
use trefoil_ir::geometry::patch_area;
use trefoil_ir::mpc::gate::{BLOCK, Group, Opening};
use trefoil_ir::mpc::patch_sums::sum_threshold;

use super::block::{Halves, values_in};
use super::operand::Levels;

/// Which value of an opening each pixel belongs to.
pub struct Spread {
    /// Rows and columns of pixels.
    map: [usize; 2],
    /// One for each channel of the group.
    channels: Vec<Grid>,
    columns: Columns,
}

/// The patches of one channel.
struct Grid {
    /// The opening's value of its first patch.
    start: usize,
    /// Rows of pixels in a patch.
    height: usize,
    /// Index into [`Columns::of_widths`].
    columns_at: usize,
    /// Number of columns of patches.
    columns: usize,
}

/// Which column of patches each column of pixels is in, for all widths of patches that occur.
struct Columns {
    /// Pixels in a row of the map.
    map_width: usize,
    /// Columns of pixels in a patch.
    widths: Vec<usize>,
    /// For each of them: by column of pixels the column of patches.
    of_widths: Vec<Vec<u32>>,
}

impl Columns {
    /// The index of this width; a new one is added.
    fn index(&mut self, width: usize) -> usize {
        if let Some(known) = self.widths.iter().position(|&known| known == width) {
            return known;
        }
        self.widths.push(width);
        let columns = (0..self.map_width).map(|x| (x / width) as u32);
        self.of_widths.push(columns.collect());
        self.widths.len() - 1
    }
}

impl Spread {
    /// Which value of this opening each pixel of a map belongs to.
    pub fn new(opening: &Opening, map: [usize; 2]) -> Self {
        let mut columns = Columns {
            map_width: map[1],
            widths: Vec::new(),
            of_widths: Vec::new(),
        };
        let mut channels = Vec::with_capacity(opening.patches.len());
        for (patch, start) in opening.patches.iter().zip(&opening.starts) {
            let [height, width] = match *patch {
                Patch::Block { h, w } => [usize::from(h), usize::from(w)],
                Patch::Identity => map,
            };
            channels.push(Grid {
                start: *start,
                height,
                columns_at: columns.index(width),
                columns: map[1].div_ceil(width),
            });
        }
        Self {
            map,
            channels,
            columns,
        }
    }

    /// Gives each pixel of a block the value that it belongs to; `value` says what that is.
    #[inline(always)]
    pub fn block<T>(&self, block: usize, value: impl Fn(usize) -> T, pixels: &mut [T; BLOCK]) {
        let [height, width] = self.map;
        let start = block * BLOCK;
        let end = start + BLOCK;
        let mut at = start;
        while at < end {
            let Some(grid) = self.channels.get(at / (height * width)) else {
                return;
            };
            let y = at / width % height;
            let x = at % width;
            let row = grid.start + y / grid.height * grid.columns;
            let columns = &self.columns.of_widths[grid.columns_at][x..];
            let pixels = &mut pixels[at - start..];
            for (pixel, column) in pixels.iter_mut().zip(columns) {
                *pixel = value(row + *column as usize);
            }
            at += columns.len();
        }
    }
}

/// Goes through the channels that have values in a block; the values of channel `c` begin at `starts[c]`.
/// `fill` is given the channel, and the range of its values that are in the block, first as counted from
/// the channel's first value, then from the block's.
fn by_channel(starts: &[usize], block: usize, mut fill: impl FnMut(usize, Range<usize>, Range<usize>)) {
    let count = starts.last().copied().unwrap_or(0);
    let start = block * BLOCK;
    let end = start + values_in(block, count);
    let mut at = start;
    let mut channel = starts.partition_point(|&s| s <= at).saturating_sub(1);
    while at < end {
        let to = starts[channel + 1].min(end);
        fill(
            channel,
            at - starts[channel]..to - starts[channel],
            at - start..to - start,
        );
        at = to;
        channel += 1;
    }
}

/// The threshold of an upper sign for each value of an opening's block: the channel's level times
/// the number of pixels that the value sums up, modulo 2^16.
pub fn thresholds(group: &Group, opening: &Opening, levels: Levels<'_>, block: usize, values: &mut Halves) {
    let [h, w] = group.map;
    by_channel(&opening.starts, block, |at, patches, block| {
        let c = group.channels[at];
        let patch = opening.patches[at];
        let values = &mut values[block];
        if patch.is_pixel() {
            return values.fill(levels.pixels[c] as u16);
        }
        let [_, columns] = patch.grid(h, w);
        for (value, place) in values.iter_mut().zip(patches) {
            let area = patch_area(patch, place / columns, place % columns, h, w);
            *value = match opening.sums[at] {
                None => (levels.pixels[c] as u32).wrapping_mul(area as u32) as u16,
                Some(_) => sum_threshold(i64::from(levels.sums[c]), area as i64) as u16,
            };
        }
    });
}

/// The channel's level for each pixel of a block, modulo 2^16.
pub fn pixel_levels(group: &Group, levels: &[i32], block: usize, values: &mut Halves) {
    by_channel(&group.openings[0].starts, block, |at, _, block| {
        values[block].fill(levels[group.channels[at]] as u16);
    });
}

#[cfg(test)]
mod tests {
    use trefoil_ir::Shape;
    use trefoil_ir::mpc::gate::groups;

    use super::*;
    use crate::kernel::Isa;
    use crate::protocol::layout::{GateLayout, Placed};
    use crate::protocol::operand::Exact;
    use crate::protocol::patch_sums::opened_sums;

    #[test]
    fn sums_and_spreading_agree_on_patches_that_do_not_divide_the_map() {
        let (tall, wide) = (Patch::Block { h: 2, w: 3 }, Patch::Block { h: 1, w: 4 });
        let shape = Shape::new(3, 5, 7);
        let groups = groups(&vec![Patch::Identity, tall, wide], None, shape, false);
        let layer = GateLayout::new(Isa::Scalar, groups);
        let Placed { group, spreads, .. } = &layer.groups[1];
        assert_eq!(group.channels, [1, 2]);
        let exact = Exact {
            pixels: &vec![1; shape.len()],
            sums: &[],
        };
        let sums = opened_sums(group, &group.openings[1], exact);
        let one = Levels {
            pixels: &[1; 3],
            sums: &[],
        };
        let mut levels = [0; BLOCK];
        thresholds(group, &group.openings[1], one, 0, &mut levels);
        assert!(sums.iter().zip(&levels).all(|(s, t)| *s == u32::from(*t)));
        let mut pixels = [0; BLOCK];
        spreads[1].block(0, |at| sums[at], &mut pixels);
        let [first, second] = [&pixels[..35], &pixels[35..70]];
        assert_eq!((first[0], first[34]), (6, 1)); // bottom right corner: one row, one column
        assert_eq!((second[0], second[3], second[4], second[34]), (4, 4, 3, 3));
    }
}
