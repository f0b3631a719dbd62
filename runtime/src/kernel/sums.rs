//! Patch sums of a convolution: a product of the weights with box sums of the image.
//!
//! Summed over a patch, a tap of a filter multiplies its weight with the sum of all pixels that it
//! meets while the filter takes every place of the patch. These box sums, `[in_c, taps, patches]`,
//! are an image of one row, and the patch sums a 1×1 convolution of it, one product for every
//! weight and patch. Box sums are differences of prefix sums, which are computed once for all patch
//! sizes. Entries are taken together by patch, and by how many a group of the
//! convolution has (the groups of a 1×1 convolution are of one size).

use super::isa::Isa;
use super::micro::{Loop, widened};
use super::pack::PackedWeights;
use super::shape::ConvShape;
use rayon::prelude::*;
use std::collections::BTreeMap;
use trefoil_ir::mpc::sums::{Reach, SumList};
use trefoil_ir::patch::Patch;
use trefoil_ir::shape::{Shape, Window};

use crate::wipe::wipe;

/// Fewest channels that one task handles.
const CHANNELS: usize = 4;

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

/// Entries of one patch, the same number in each of some groups.
struct Class {
    patch: Patch,
    /// The convolution's groups, and per group as many entries.
    groups: Vec<usize>,
    /// Where each entry's sums go.
    starts: Vec<usize>,
    shape: ConvShape,
    weights: PackedWeights,
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
        let classes = classes_of(shape, list).into_iter().map(|(key, entries)| {
            let rows = entries
                .iter()
                .flat_map(|&entry| &weights[entry * shape.depth()..][..shape.depth()]);
            let mut rows: Vec<u32> = rows.copied().collect();
            let shape = key.product(shape, geometry.output);
            let packed = PackedWeights::pack(isa, &shape, &rows);
            wipe(&mut rows);
            Class {
                patch: key.patch,
                groups: key.groups,
                starts: entries.iter().map(|&entry| starts[entry]).collect(),
                weights: packed,
                shape,
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

    /// Memory that the packed weights take.
    pub fn bytes(&self) -> usize {
        self.classes.iter().map(|class| class.weights.bytes()).sum()
    }

    /// An upper bound of the temporary memory that [`apply`](Self::apply) takes in the current pool.
    pub fn scratch_bytes(&self) -> usize {
        let geometry = &self.geometry;
        let prefixes = geometry.prefixes();
        let of_class = |class: &Class| {
            let words = class.shape.input_len() + class.shape.output_len();
            let spans = Spans::bytes(&geometry.reach(class.patch));
            words * size_of::<u32>() + spans + super::scratch_bytes(&class.shape)
        };
        let largest = self.classes.iter().map(of_class).max().unwrap_or(0);
        let lines = rayon::current_num_threads() * prefixes.width();
        largest + (geometry.input.c * prefixes.len() + lines) * size_of::<u32>()
    }

    /// The patch sums modulo 2³², entry after entry.
    pub fn apply(&self, x: &[u32]) -> Vec<u32> {
        let mut out = vec![0; self.len];
        let prefix = self.geometry.prefix_sums(self.isa, x);
        for class in &self.classes {
            let boxes = self.geometry.boxes(self.isa, class, &prefix);
            let mut sums = vec![0; class.shape.output_len()];
            super::conv2d(&class.shape, &class.weights, &boxes, &mut sums);
            for (sums, &start) in sums.chunks(class.shape.in_w).zip(&class.starts) {
                out[start..start + sums.len()].copy_from_slice(sums);
            }
        }
        out
    }
}

/// What the entries of a class have in common.
struct Key {
    patch: Patch,
    groups: Vec<usize>,
    per_group: usize,
}

impl Key {
    /// The 1×1 convolution of box sums.
    fn product(&self, shape: &ConvShape, output: Shape) -> ConvShape {
        ConvShape {
            in_c: self.groups.len() * shape.depth(),
            in_h: 1,
            in_w: self.patch.signs(output.h, output.w),
            out_c: self.groups.len() * self.per_group,
            kernel: [1, 1],
            stride: [1, 1],
            dilation: [1, 1],
            groups: self.groups.len(),
            pads: [0; 4],
        }
    }
}

/// The classes into which the entries fall, each with its entries group by group.
fn classes_of(shape: &ConvShape, list: &SumList) -> Vec<(Key, Vec<usize>)> {
    let per_group = shape.out_c / shape.groups;
    let mut by_group: BTreeMap<(Patch, usize), Vec<usize>> = BTreeMap::new();
    for (entry, (channel, patch)) in list.iter().enumerate() {
        by_group
            .entry((patch, channel / per_group))
            .or_default()
            .push(entry);
    }
    let mut classes: BTreeMap<(Patch, usize), (Key, Vec<usize>)> = BTreeMap::new();
    for ((patch, group), entries) in by_group {
        let new = || {
            let key = Key {
                patch,
                groups: Vec::new(),
                per_group: entries.len(),
            };
            (key, Vec::new())
        };
        let class = classes.entry((patch, entries.len())).or_insert_with(new);
        class.0.groups.push(group);
        class.1.extend(entries);
    }
    classes.into_values().collect()
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
        let mut words = vec![0; self.input.c * prefixes.len()];
        let tasks = words
            .par_chunks_mut(prefixes.len())
            .zip(x.par_chunks(self.input.plane()));
        tasks
            .with_min_len(CHANNELS)
            .for_each(|(words, pixels)| prefixes.fill(isa, pixels, words));
        words
    }

    /// The box sums of a class, `[groups, in channels of a group, taps, patches]`.
    fn boxes(&self, isa: Isa, class: &Class, prefix: &[u32]) -> Vec<u32> {
        let (spans, prefixes) = (Spans::new(&self.reach(class.patch)), self.prefixes());
        let channels: Vec<usize> = class
            .groups
            .iter()
            .flat_map(|&group| group * self.group_in..(group + 1) * self.group_in)
            .collect();
        let len = class.shape.input_len() / channels.len();
        let mut boxes = vec![0; class.shape.input_len()];
        let tasks = boxes.par_chunks_mut(len).zip(channels).with_min_len(CHANNELS);
        tasks.for_each(|(sums, channel)| {
            let prefix = &prefix[channel * prefixes.len()..][..prefixes.len()];
            spans.take(isa, prefix, prefixes.width(), sums);
        });
        boxes
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
        let pixels = &x[channel * input.plane()..(channel + 1) * input.plane()];
        prefixes.fill(isa, pixels, &mut prefix);
        spans.take(isa, &prefix, prefixes.width(), &mut boxes);
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
        boxes * size_of::<u32>() + Spans::bytes(&Reach::new(window, input, output, *patch))
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

    /// Memory that these spans take.
    fn bytes(reach: &Reach<'_>) -> usize {
        let (grid, taps) = (reach.grid(), reach.taps());
        let of_axis = |axis: usize| taps[axis] * (size_of::<Vec<Span>>() + grid[axis] * size_of::<Span>());
        of_axis(0) + of_axis(1)
    }

    /// Box sums of one channel, `[taps, patches]`, out of its prefix sums.
    fn take(&self, isa: Isa, prefix: &[u32], width: usize, sums: &mut [u32]) {
        let spans = self;
        let work = Take {
            spans,
            prefix,
            width,
            sums,
        };
        widened(isa, work);
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

struct Take<'a> {
    spans: &'a Spans,
    prefix: &'a [u32],
    width: usize,
    sums: &'a mut [u32],
}

impl Loop for Take<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self {
            spans,
            prefix,
            width,
            sums,
        } = self;
        let (grid_rows, grid_columns) = (spans.rows[0].len(), spans.columns[0].len());
        let mut line = vec![0u32; width];
        for (ky, rows) in spans.rows.iter().enumerate() {
            for (row, span) in rows.iter().enumerate() {
                let from = &prefix[span.from * width..][..width];
                let to = &prefix[span.to * width..][..width];
                for ((line, to), from) in line.iter_mut().zip(to).zip(from) {
                    *line = to.wrapping_sub(*from);
                }
                for (kx, columns) in spans.columns.iter().enumerate() {
                    let tap = ky * spans.columns.len() + kx;
                    let sums = &mut sums[(tap * grid_rows + row) * grid_columns..][..grid_columns];
                    for (sum, span) in sums.iter_mut().zip(columns) {
                        *sum = line[span.to].wrapping_sub(line[span.from]);
                    }
                }
            }
        }
    }
}
