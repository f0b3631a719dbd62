//! Patch sums of a convolution: a product of the weights with box sums of the image.
//!
//! Summed over a patch, a tap of a filter multiplies its weight with the sum of all pixels that it
//! meets while the filter takes every place of the patch. These box sums are differences of prefix
//! sums, which are computed once for all patch sizes.
//!
//! A layer has dozens of patch sizes, each with a few channels, so that there are nearly as many box
//! sums as products with them. Entries of one patch are one task: it takes the box sums of one input
//! channel at a time, which stay in the first-level cache, and adds their products up.

use super::buffer::with_scratch;
use super::isa::Isa;
use super::micro::{Loop, widened};
use super::shape::ConvShape;
use rayon::prelude::*;
use std::collections::BTreeMap;
use trefoil_ir::mpc::sums::{Reach, SumList};
use trefoil_ir::{Patch, Shape, Window};

use crate::pool;
use crate::wipe::wipe;

/// Fewest channels that one task handles.
const CHANNELS: usize = 4;

/// Words of a vector, of the widest instruction set.
const LANES: usize = 16;

/// Box sums that are taken at a time, in words.
const BOXES: usize = 4096;

/// Weights of a convolution's patch sums, arranged for one instruction set.
pub struct PackedSums {
    isa: Isa,
    geometry: Geometry,
    /// Number of sums in all.
    len: usize,
    classes: Vec<Class>,
}

/// The convolution, as box sums see it.
struct Geometry {
    window: Window,
    input: Shape,
    output: Shape,
    group_in: usize,
}

/// Entries of one patch.
struct Class {
    spans: Spans,
    /// Of one channel: taps, and patches.
    taps: usize,
    patches: usize,
    parts: Vec<Part>,
}

/// Entries of one patch and one group of the convolution.
struct Part {
    group: usize,
    /// Where each entry's sums go.
    starts: Vec<usize>,
    /// Whether the patches are the columns of the product, and the entries its rows.
    by_patch: bool,
    /// `[in channels of a group, taps, entries]`; filled up to whole vectors where entries are columns.
    weights: Vec<u32>,
}

impl Drop for Part {
    fn drop(&mut self) {
        wipe(&mut self.weights);
    }
}

impl PackedSums {
    /// Arranges `weights`, `[entries, in_c / groups, kh, kw]`, for the sums in `list` over the map of
    /// the convolution `shape`.
    ///
    /// # Panics
    ///
    /// If `weights` does not have the length that `shape` and `list` tell.
    pub fn pack(isa: Isa, shape: &ConvShape, list: &SumList, weights: &[u32]) -> Self {
        assert_eq!(
            weights.len(),
            list.patches.len() * shape.depth(),
            "weights must fit the list of sums"
        );
        let geometry = Geometry::new(shape);
        let Shape { h, w, .. } = geometry.output;
        let starts = list.starts(h, w);
        let per_group = shape.out_c / shape.groups;
        let mut by_patch: BTreeMap<Patch, BTreeMap<usize, Vec<usize>>> = BTreeMap::new();
        for (entry, (channel, patch)) in list.iter().enumerate() {
            let of_patch = by_patch.entry(patch).or_default();
            of_patch.entry(channel / per_group).or_default().push(entry);
        }
        let part = |patches: usize, group: usize, entries: &[usize]| {
            let count = entries.len();
            // The fewest vectors: those of columns are whole.
            let by_patch = count * patches.div_ceil(LANES) <= patches * count.div_ceil(LANES);
            let line = if by_patch { count } else { whole(count) };
            Part {
                group,
                starts: entries.iter().map(|&entry| starts[entry]).collect(),
                by_patch,
                weights: transposed(entries, line, shape.depth(), weights),
            }
        };
        let classes = by_patch.into_iter().map(|(patch, of_patch)| {
            let patches = patch.signs(h, w);
            let parts = of_patch.iter();
            Class {
                spans: Spans::new(&geometry.reach(patch)),
                taps: shape.kernel[0] * shape.kernel[1],
                patches,
                parts: parts
                    .map(|(&group, entries)| part(patches, group, entries))
                    .collect(),
            }
        });
        Self {
            isa: isa.clamped(),
            len: list.patches.iter().map(|patch| patch.signs(h, w)).sum(),
            classes: classes.collect(),
            geometry,
        }
    }

    /// Rows and columns of the convolution's map.
    pub fn map(&self) -> [usize; 2] {
        [self.geometry.output.h, self.geometry.output.w]
    }

    /// Memory that the weights take, and where their pixels are.
    pub fn bytes(&self) -> usize {
        let of_class = |class: &Class| {
            let parts = class.parts.iter();
            let weights: usize = parts.map(|part| size_of_val(&part.weights[..])).sum();
            weights + class.spans.bytes()
        };
        self.classes.iter().map(of_class).sum()
    }

    /// An upper bound of the temporary memory that [`apply`](Self::apply) takes in the current pool.
    pub fn scratch_bytes(&self) -> usize {
        let prefixes = self.geometry.prefixes();
        let largest = self.classes.iter().map(|class| class.scratch_words(&prefixes));
        let threads = rayon::current_num_threads() * largest.max().unwrap_or(0);
        (self.geometry.input.c * prefixes.len() + threads + self.len) * size_of::<u32>()
    }

    /// The patch sums modulo 2³², entry after entry.
    pub fn apply(&self, x: &[u32]) -> Vec<u32> {
        let mut out = pool::zeroed(self.len);
        let prefix = self.geometry.prefix_sums(self.isa, x);
        let sums = |class: &Class| self.of_class(class, &prefix);
        let of_classes: Vec<Vec<u32>> = self.classes.par_iter().with_max_len(1).map(sums).collect();
        for (class, mut sums) in self.classes.iter().zip(of_classes) {
            let starts = class.parts.iter().flat_map(|part| &part.starts);
            for (sums, &start) in sums.chunks(class.patches).zip(starts) {
                out[start..start + sums.len()].copy_from_slice(sums);
            }
            wipe(&mut sums);
        }
        pool::recycle(prefix);
        out
    }

    /// The sums of one class, `[entries, patches]`.
    fn of_class(&self, class: &Class, prefix: &[u32]) -> Vec<u32> {
        let prefixes = self.geometry.prefixes();
        let entries: usize = class.parts.iter().map(|part| part.starts.len()).sum();
        let mut out = vec![0; entries * class.patches];
        with_scratch(class.scratch_words(&prefixes), |scratch| {
            let mut rest = &mut out[..];
            for part in &class.parts {
                let (out, behind) = rest.split_at_mut(part.starts.len() * class.patches);
                rest = behind;
                let channels = self.geometry.group_in * prefixes.len();
                let work = Product {
                    class,
                    part,
                    prefixes,
                    prefix: &prefix[part.group * channels..][..channels],
                    scratch,
                    out,
                };
                widened(self.isa, work);
            }
        });
        out
    }
}

/// The weights of some entries, `[depth, entries]`, each line filled up to `line` words.
fn transposed(entries: &[usize], line: usize, depth: usize, weights: &[u32]) -> Vec<u32> {
    let mut lines = vec![0; depth * line];
    for (at, entry) in entries.iter().enumerate() {
        let row = &weights[entry * depth..][..depth];
        let places = lines[at..].iter_mut().step_by(line);
        places.zip(row).for_each(|(to, from)| *to = *from);
    }
    lines
}

/// Words of whole vectors for so many values.
fn whole(count: usize) -> usize {
    count.next_multiple_of(LANES)
}

impl Class {
    /// Words for one line of prefix sums, the box sums of some channels, and all sums of a part.
    fn scratch_words(&self, prefixes: &Prefixes) -> usize {
        let of_part = |part: &Part| {
            let [rows, columns] = self.axes(part);
            self.channels_at_once(part) * self.taps * self.box_line(part) + rows * columns
        };
        let most = self.parts.iter().map(of_part).max();
        prefixes.width() + most.unwrap_or(0)
    }

    /// Rows and columns of a part's product, these in whole vectors.
    fn axes(&self, part: &Part) -> [usize; 2] {
        let entries = part.starts.len();
        if part.by_patch {
            [entries, whole(self.patches)]
        } else {
            [self.patches, whole(entries)]
        }
    }

    /// Words of the box sums of one channel and tap.
    fn box_line(&self, part: &Part) -> usize {
        if part.by_patch {
            whole(self.patches)
        } else {
            self.patches
        }
    }

    /// Channels whose box sums are taken before they are multiplied: what fits the first-level cache.
    fn channels_at_once(&self, part: &Part) -> usize {
        (BOXES / (self.taps * self.box_line(part)).max(1)).max(1)
    }
}

/// Box sums times weights, some channels at a time.
struct Product<'a> {
    class: &'a Class,
    part: &'a Part,
    prefixes: Prefixes,
    prefix: &'a [u32],
    scratch: &'a mut [u32],
    /// `[entries, patches]`
    out: &'a mut [u32],
}

impl Loop for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (class, part) = (self.class, self.part);
        let ([rows, columns], box_line) = (class.axes(part), class.box_line(part));
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

/// The same for `R` rows and the columns of one vector.
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

impl Geometry {
    fn new(shape: &ConvShape) -> Self {
        Self {
            window: Window {
                kernel: shape.kernel,
                stride: shape.stride,
                dilation: shape.dilation,
                pads: shape.pads,
            },
            input: Shape::new(shape.in_c, shape.in_h, shape.in_w),
            output: Shape::new(shape.out_c, shape.out_h(), shape.out_w()),
            group_in: shape.in_c / shape.groups,
        }
    }

    fn reach(&self, patch: Patch) -> Reach<'_> {
        Reach::new(&self.window, self.input, self.output, patch)
    }

    fn prefixes(&self) -> Prefixes {
        Prefixes::new(self.input, &self.window)
    }

    /// The prefix sums of all channels.
    fn prefix_sums(&self, isa: Isa, x: &[u32]) -> Vec<u32> {
        let prefixes = self.prefixes();
        let mut words = pool::zeroed(self.input.c * prefixes.len());
        let tasks = words
            .par_chunks_mut(prefixes.len())
            .zip(x.par_chunks(self.input.plane()));
        tasks
            .with_min_len(CHANNELS)
            .for_each(|(words, pixels)| prefixes.fill(isa, pixels, words));
        words
    }
}

/// Patch sums of windows' sums times one multiplier an entry, modulo 2³².
///
/// # Panics
///
/// If there are fewer multipliers than entries, or `x` is not of shape `input`.
pub fn pool_sums(
    isa: Isa,
    window: &Window,
    list: &SumList,
    x: &[u32],
    input: Shape,
    multiplier: &[i32],
) -> Vec<u32> {
    let isa = isa.clamped();
    let [h, w] = window.output(input.h, input.w).unwrap_or_default();
    let output = Shape::new(input.c, h, w);
    let prefixes = Prefixes::new(input, window);
    let mut out = Vec::new();
    for (entry, (channel, patch)) in list.iter().enumerate() {
        let spans = Spans::new(&Reach::new(window, input, output, patch));
        let patches = patch.signs(h, w);
        let taps = window.kernel[0] * window.kernel[1];
        let mut boxes = vec![0; taps * patches];
        let mut prefix = vec![0; prefixes.len()];
        let mut line = vec![0; prefixes.width()];
        let pixels = &x[channel * input.plane()..(channel + 1) * input.plane()];
        prefixes.fill(isa, pixels, &mut prefix);
        spans.take(&prefix, &mut line, &mut boxes, patches);
        let sum = |p: usize| boxes.iter().skip(p).step_by(patches);
        let sum = |p: usize| sum(p).fold(0u32, |s, v| s.wrapping_add(*v));
        out.extend((0..patches).map(|p| sum(p).wrapping_mul(multiplier[entry] as u32)));
    }
    out
}

/// An upper bound of the temporary memory that [`pool_sums`] takes.
pub fn pool_scratch_bytes(window: &Window, list: &SumList, input: Shape) -> usize {
    let [h, w] = window.output(input.h, input.w).unwrap_or_default();
    let output = Shape::new(input.c, h, w);
    let prefixes = Prefixes::new(input, window);
    let of_patch = |patch: &Patch| {
        let boxes = window.kernel[0] * window.kernel[1] * patch.signs(h, w);
        boxes * size_of::<u32>() + Spans::bytes_of(&Reach::new(window, input, output, *patch))
    };
    let largest = list.patches.iter().map(of_patch).max().unwrap_or(0);
    largest + (prefixes.len() + prefixes.width()) * size_of::<u32>()
}

/// Where the prefix sums are that a tap's rows (or columns) in one patch lie between.
#[derive(Clone, Copy)]
struct Span {
    from: usize,
    to: usize,
}

/// The spans of all taps and patches, along both axes: `[taps][patches]`.
struct Spans {
    rows: Vec<Vec<Span>>,
    columns: Vec<Vec<Span>>,
}

impl Spans {
    fn new(reach: &Reach<'_>) -> Self {
        let (grid, taps, step) = (reach.grid(), reach.taps(), reach.step());
        let span = |axis: usize, at: usize, tap: usize| {
            let mut sources = reach.sources(axis, at, tap);
            let count = sources.len();
            let from = sources.next().unwrap_or(0);
            let to = from + count * step[axis];
            Span { from, to }
        };
        let axis = |axis: usize| {
            let of_tap = |tap| (0..grid[axis]).map(|at| span(axis, at, tap)).collect();
            (0..taps[axis]).map(of_tap).collect()
        };
        Self {
            rows: axis(0),
            columns: axis(1),
        }
    }

    /// Memory that the spans of these sums would take.
    fn bytes_of(reach: &Reach<'_>) -> usize {
        let (grid, taps) = (reach.grid(), reach.taps());
        let of_axis = |axis: usize| taps[axis] * (size_of::<Vec<Span>>() + grid[axis] * size_of::<Span>());
        of_axis(0) + of_axis(1)
    }

    /// Memory that these spans take.
    fn bytes(&self) -> usize {
        let lines = self.rows.iter().chain(&self.columns);
        lines.map(|line| size_of_val(line) + size_of_val(&line[..])).sum()
    }

    /// Box sums of one channel, `[taps, patches]` in lines of `tap_line` words, out of its prefix sums,
    /// of whose width `line` is.
    #[inline(always)]
    fn take(&self, prefix: &[u32], line: &mut [u32], sums: &mut [u32], tap_line: usize) {
        let width = line.len();
        let grid_columns = self.columns[0].len();
        for (ky, rows) in self.rows.iter().enumerate() {
            for (row, span) in rows.iter().enumerate() {
                let from = &prefix[span.from * width..][..width];
                let to = &prefix[span.to * width..][..width];
                for ((line, to), from) in line.iter_mut().zip(to).zip(from) {
                    *line = to.wrapping_sub(*from);
                }
                for (kx, columns) in self.columns.iter().enumerate() {
                    let tap = ky * self.columns.len() + kx;
                    let sums = &mut sums[tap * tap_line + row * grid_columns..][..grid_columns];
                    for (sum, span) in sums.iter_mut().zip(columns) {
                        *sum = line[span.to].wrapping_sub(line[span.from]);
                    }
                }
            }
        }
    }
}

/// Prefix sums of a channel: at `(y + step, x + step)` the sum of all pixels that are above and to
/// the left of `(y, x)`, or there, in whole steps of a window. Rows and columns below `step` are zero.
#[derive(Clone, Copy)]
struct Prefixes {
    input: [usize; 2],
    step: [usize; 2],
}

impl Prefixes {
    fn new(input: Shape, window: &Window) -> Self {
        Self {
            input: [input.h, input.w],
            step: window.step_within(input.h, input.w),
        }
    }

    fn width(&self) -> usize {
        self.input[1] + self.step[1]
    }

    fn len(&self) -> usize {
        (self.input[0] + self.step[0]) * self.width()
    }

    /// The prefix sums of one channel, into memory that is zero.
    fn fill(self, isa: Isa, pixels: &[u32], words: &mut [u32]) {
        let prefixes = self;
        let work = Fill {
            prefixes,
            pixels,
            words,
        };
        widened(isa, work);
    }
}

struct Fill<'a> {
    prefixes: Prefixes,
    pixels: &'a [u32],
    words: &'a mut [u32],
}

impl Loop for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Prefixes {
            input: [_, width],
            step: [down, across],
        } = self.prefixes;
        let stored = self.prefixes.width();
        for (y, row) in self.pixels.chunks_exact(width).enumerate() {
            let (above, below) = self.words.split_at_mut((y + down) * stored);
            let line = &mut below[..stored];
            line[across..].copy_from_slice(row);
            for first in across..(2 * across).min(stored) {
                let mut sum = 0u32;
                for pixel in line[first..].iter_mut().step_by(across) {
                    sum = sum.wrapping_add(*pixel);
                    *pixel = sum;
                }
            }
            let above = &above[y * stored..][..stored];
            line.iter_mut()
                .zip(above)
                .for_each(|(sum, above)| *sum = sum.wrapping_add(*above));
        }
    }
}
