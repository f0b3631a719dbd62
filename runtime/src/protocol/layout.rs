//! Where the values of a gate's groups stand: in a layer, in a message, and as one for many pixels.

use std::ops::Range;

use trefoil_ir::mpc::gate::{BLOCK, Group, Opening, Segment};
use trefoil_ir::mpc::privacy::Draws;
use trefoil_ir::mpc::sums::sum_threshold;
use trefoil_ir::mpc::{Stage, TRUNCATED_BITS, UNIT};
use trefoil_ir::patch::{Patch, patch_area};

use super::block::{BlockReader, Halves, JOB_VALUES, blocks, values_in};
use super::gate::{Exact, Levels};
use crate::kernel::Isa;
use crate::pool;
use crate::wipe::wipe;
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
    /// Of each opening: which of its values a pixel belongs to.
    pub spreads: Vec<Spread>,
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
        let placed = |group: Group| Placed {
            places: Places::new(&group.channels, group.map[0] * group.map[1]),
            spreads: group.openings.iter().map(|o| Spread::new(o, group.map)).collect(),
            group,
        };
        Self {
            isa: isa.clamped(),
            draws: Draws::of_gate(&groups),
            groups: groups.into_iter().map(placed).collect(),
        }
    }

    /// Bytes of a message.
    pub fn bytes(&self, stage: Stage) -> usize {
        let segment = |g: &Group, opening| {
            let segment = g.segment(stage, opening);
            segment.bytes(segment.count)
        };
        let group = |g: &Placed| g.group.order().map(|at| segment(&g.group, at)).sum::<usize>();
        self.groups.iter().map(group).sum()
    }

    /// Cuts a message into the parts of each group's openings.
    ///
    /// # Errors
    /// If it has another length than the plan says.
    pub fn parts<'a>(&self, stage: Stage, payload: &'a [u8]) -> Result<Vec<Vec<Part<'a>>>, BitsError> {
        let (expected, got) = (self.bytes(stage), payload.len());
        if expected != got {
            return Err(BitsError::Length { expected, got });
        }
        let mut rest = payload;
        let mut part = |group: &Group, opening: usize| {
            let segment = group.segment(stage, opening);
            let (bytes, behind) = rest.split_at(segment.bytes(segment.count));
            rest = behind;
            let isa = self.isa;
            Part { isa, segment, bytes }
        };
        Ok(self
            .groups
            .iter()
            .map(|g| by_opening(&g.group, &mut part))
            .collect())
    }

    /// Cuts a message that is to be written into the parts of each group's openings.
    pub fn parts_mut<'a>(&self, stage: Stage, payload: &'a mut [u8]) -> Vec<Vec<&'a mut [u8]>> {
        let mut rest = payload;
        let mut part = |group: &Group, opening: usize| {
            let segment = group.segment(stage, opening);
            let (bytes, behind) = std::mem::take(&mut rest).split_at_mut(segment.bytes(segment.count));
            rest = behind;
            bytes
        };
        self.groups
            .iter()
            .map(|g| by_opening(&g.group, &mut part))
            .collect()
    }
}

/// What `part` gives in the order of segments, in the order of openings.
fn by_opening<T>(group: &Group, part: &mut impl FnMut(&Group, usize) -> T) -> Vec<T> {
    let mut parts: Vec<T> = group.order().map(|opening| part(group, opening)).collect();
    // The pixels, the first opening, come last.
    parts.rotate_right(1);
    parts
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
        let (full, count) = (self.segment.bytes(BLOCK), values_in(block, self.segment.count));
        let bytes = &self.bytes[block * full..][..self.segment.bytes(count)];
        BlockReader::new(self.isa, bytes, count)
    }
}

/// Where a group's pixels stand in a layer: runs of neighbours.
pub struct Places {
    runs: Vec<Run>,
    count: usize,
}

/// Neighbours in the group and in the layer.
#[derive(Clone, Copy)]
struct Run {
    group: usize,
    layer: usize,
    len: usize,
}

impl Places {
    /// Of these channels of a layer, each of `plane` pixels.
    pub fn new(channels: &[usize], plane: usize) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        for (at, &channel) in channels.iter().enumerate() {
            let (group, layer) = (at * plane, channel * plane);
            match runs.last_mut() {
                Some(run) if run.layer + run.len == layer => run.len += plane,
                _ => runs.push(Run {
                    group,
                    layer,
                    len: plane,
                }),
            }
        }
        let count = channels.len() * plane;
        Self { runs, count }
    }

    /// Of `count` values that stand in order by themselves.
    pub fn in_order(count: usize) -> Self {
        Self::new(&[0], count)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Where a range of the group's pixels stands: each stretch of neighbours, with its place in the
    /// range.
    pub fn stretches(&self, range: Range<usize>) -> impl Iterator<Item = (Range<usize>, usize)> + '_ {
        let first = self
            .runs
            .partition_point(|run| run.group + run.len <= range.start);
        let runs = self.runs[first..].iter();
        runs.take_while(move |run| run.group < range.end).map({
            let range = range.clone();
            move |run| {
                let from = run.group.max(range.start);
                let to = (run.group + run.len).min(range.end);
                let layer = run.layer + from - run.group;
                (layer..layer + to - from, from - range.start)
            }
        })
    }

    /// Cuts a layer into what each job's pixels are, in their order.
    pub fn jobs<'a, T>(&self, layer: &'a mut [T]) -> Vec<Stretches<'a, T>> {
        let (mut rest, mut gone) = (layer, 0);
        let jobs = (0..self.count.div_ceil(JOB_VALUES)).map(|job| {
            let range = job * JOB_VALUES..self.count.min((job + 1) * JOB_VALUES);
            let stretches = self.stretches(range).map(|(layer, _)| {
                let (_, behind) = std::mem::take(&mut rest).split_at_mut(layer.start - gone);
                let (stretch, behind) = behind.split_at_mut(layer.len());
                (rest, gone) = (behind, layer.end);
                stretch
            });
            let mut stretches: Vec<_> = stretches.collect();
            stretches.reverse();
            Stretches(stretches)
        });
        jobs.collect()
    }
}

/// The places in a layer that one job writes, the last one first.
pub struct Stretches<'a, T>(Vec<&'a mut [T]>);

impl<T: Copy> Stretches<'_, T> {
    /// Writes the next values.
    pub fn write(&mut self, mut values: &[T]) {
        while let (false, Some(stretch)) = (values.is_empty(), self.0.last_mut()) {
            let len = stretch.len().min(values.len());
            let (now, later) = values.split_at(len);
            let (to, rest) = std::mem::take(stretch).split_at_mut(len);
            to.copy_from_slice(now);
            *stretch = rest;
            if stretch.is_empty() {
                self.0.pop();
            }
            values = later;
        }
    }
}

/// A party's half of a value z, as it holds it: z is the sum of both halves modulo 2^16.
#[derive(Clone, Copy)]
pub enum Half<'a> {
    /// The server's D: its top bits, with the unit that centres the rounding.
    D(&'a [u32]),
    /// The helper's R: its top bits.
    R(&'a [u32]),
    /// The top bits themselves.
    Top(&'a [u16]),
    /// Of an activation: its low bits.
    Activation(&'a [u32]),
    /// Of a difference of two activations.
    Difference(&'a [u32], &'a [u32]),
}

impl Half<'_> {
    /// The values of one block of a group's; behind the last one there is anything.
    #[inline(always)]
    pub fn load(&self, places: &Places, block: usize, values: &mut Halves) {
        let start = block * BLOCK;
        for (layer, at) in places.stretches(start..start + values_in(block, places.count)) {
            let values = &mut values[at..at + layer.len()];
            match self {
                Half::D(d) => narrow(values, &d[layer], |d| {
                    d.wrapping_add(UNIT as u32) >> TRUNCATED_BITS
                }),
                Half::R(r) => narrow(values, &r[layer], |r| r >> TRUNCATED_BITS),
                Half::Top(top) => values.copy_from_slice(&top[layer]),
                Half::Activation(a) => narrow(values, &a[layer], |a| a),
                Half::Difference(x, y) => {
                    let pairs = x[layer.clone()].iter().zip(&y[layer]);
                    for (value, (x, y)) in values.iter_mut().zip(pairs) {
                        *value = x.wrapping_sub(*y) as u16;
                    }
                }
            }
        }
    }

    /// All values, in order.
    pub fn to_vec(self) -> Vec<u16> {
        let places = Places::in_order(self.len());
        let (mut all, mut values) = (pool::with_capacity(self.len()), [0; BLOCK]);
        for block in 0..blocks(self.len()) {
            self.load(&places, block, &mut values);
            all.extend_from_slice(&values[..values_in(block, self.len())]);
        }
        wipe(&mut values);
        all
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        match self {
            Half::D(values) | Half::R(values) | Half::Activation(values) | Half::Difference(values, _) => {
                values.len()
            }
            Half::Top(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[inline(always)]
fn narrow(values: &mut [u16], from: &[u32], part: impl Fn(u32) -> u32) {
    for (value, from) in values.iter_mut().zip(from) {
        *value = part(*from) as u16;
    }
}

/// The sums of one of the group's openings in Z_2^32: out of those that were computed apart, or added
/// up from the layer's pixels.
pub fn opened_sums(group: &Group, opening: &Opening, exact: Exact<'_>) -> Vec<u32> {
    let mut sums = pool::zeroed(opening.count());
    let mut rest = &mut sums[..];
    for (at, &c) in group.channels.iter().enumerate() {
        let count = opening.starts[at + 1] - opening.starts[at];
        let (own, behind) = rest.split_at_mut(count);
        rest = behind;
        match opening.sums[at] {
            Some(start) => own.copy_from_slice(&exact.sums[start..start + count]),
            None => {
                let plane = group.map[0] * group.map[1];
                patch_sums(
                    opening.patches[at],
                    group.map[1],
                    &exact.pixels[c * plane..][..plane],
                    own,
                );
            }
        }
    }
    sums
}

/// Adds the pixels of each patch of a channel up.
fn patch_sums(patch: Patch, width: usize, pixels: &[u32], sums: &mut [u32]) {
    let Patch::Block { h, w } = patch else { return };
    let (h, w) = (usize::from(h), usize::from(w));
    let columns = width.div_ceil(w);
    for (y, row) in pixels.chunks(width).enumerate() {
        let sums = &mut sums[y / h * columns..][..columns];
        for (sum, pixels) in sums.iter_mut().zip(row.chunks(w)) {
            *sum = pixels.iter().fold(*sum, |s, &p| s.wrapping_add(p));
        }
    }
}

/// Which value of an opening each pixel belongs to.
pub struct Spread {
    map: [usize; 2],
    channels: Vec<Grid>,
    /// For each width of a patch the column of patches that each column of pixels is in.
    columns: Vec<Vec<u32>>,
}

/// The patches of one channel.
struct Grid {
    start: usize,
    height: usize,
    columns_at: usize,
    columns: usize,
}

impl Spread {
    fn new(opening: &Opening, map: [usize; 2]) -> Self {
        let [_, width] = map;
        let (mut columns, mut widths) = (Vec::new(), Vec::new());
        let grid = |(&patch, &start): (&Patch, &usize)| {
            let [h, w] = match patch {
                Patch::Block { h, w } => [usize::from(h), usize::from(w)],
                Patch::Identity => map,
            };
            let known = widths.iter().position(|&known| known == w);
            let columns_at = known.unwrap_or_else(|| {
                widths.push(w);
                columns.push((0..width).map(|x| (x / w) as u32).collect());
                widths.len() - 1
            });
            Grid {
                start,
                height: h,
                columns_at,
                columns: width.div_ceil(w),
            }
        };
        let channels = opening.patches.iter().zip(&opening.starts).map(grid).collect();
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
        let (start, end) = (block * BLOCK, (block + 1) * BLOCK);
        let mut at = start;
        while at < end {
            let (channel, y, x) = (at / (height * width), at / width % height, at % width);
            let Some(grid) = self.channels.get(channel) else {
                return;
            };
            let row = grid.start + y / grid.height * grid.columns;
            let columns = &self.columns[grid.columns_at][x..];
            let pixels = &mut pixels[at - start..];
            for (pixel, column) in pixels.iter_mut().zip(columns) {
                *pixel = value(row + *column as usize);
            }
            at += columns.len();
        }
    }
}

/// Fills a block with what each channel has for its values: `starts` says where they begin.
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
        (at, channel) = (to, channel + 1);
    }
}

/// The threshold of an upper sign for each value of an opening's block: the channel's level times
/// the number of pixels that the value sums up, modulo 2^16.
pub fn thresholds(group: &Group, opening: &Opening, levels: Levels<'_>, block: usize, values: &mut Halves) {
    let [h, w] = group.map;
    by_channel(&opening.starts, block, |at, patches, block| {
        let (c, patch) = (group.channels[at], opening.patches[at]);
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
    use super::*;
    use trefoil_ir::Shape;
    use trefoil_ir::mpc::gate::groups;

    #[test]
    fn sums_and_spreading_agree_on_patches_that_do_not_divide_the_map() {
        let (tall, wide) = (Patch::Block { h: 2, w: 3 }, Patch::Block { h: 1, w: 4 });
        let shape = Shape::new(3, 5, 7);
        let groups = groups(&vec![Patch::Identity, tall, wide], None, shape, false);
        let layer = Layer::new(Isa::Scalar, groups);
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

    #[test]
    fn jobs_write_what_blocks_load() {
        let channels: Vec<usize> = (0..90).filter(|c| c % 5 != 1 && c % 7 != 3).collect();
        let places = Places::new(&channels, 300);
        let layer: Vec<u16> = (0..90 * 300).map(|i| (i * 7) as u16).collect();
        let mut back = vec![0; layer.len()];
        let mut values = [0; BLOCK];
        for (job, mut stretches) in places.jobs(&mut back).into_iter().enumerate() {
            for block in job * 16..places.count().div_ceil(BLOCK).min((job + 1) * 16) {
                Half::Top(&layer).load(&places, block, &mut values);
                stretches.write(&values[..values_in(block, places.count())]);
            }
        }
        for (c, (want, got)) in layer.chunks(300).zip(back.chunks(300)).enumerate() {
            let want = if channels.contains(&c) {
                want.to_vec()
            } else {
                vec![0; 300]
            };
            assert_eq!(got, want, "channel {c}");
        }
    }
}
