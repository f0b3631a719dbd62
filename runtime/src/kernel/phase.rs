//! Padding and stride removed: a view of the image in which every patch is a plain offset.
//!
//! With stride `s`, the taps of a filter read the padded map at `s·o + d·k`: row `o + ⌊dk/s⌋` of
//! the submap ("phase") of all rows that are `dk mod s` modulo `s`. So the map is copied once
//! into its phases, zeros included, and from then on the value that output pixel `p` multiplies
//! with weight `k` lies at `offset(k) + offset(p)`, whatever stride, dilation and padding are.
//! Neighbouring pixels are neighbours in memory. Without padding and stride the image already
//! has this form and is used as it is.

use super::isa::Isa;
use super::micro::{Loop, widened};
use super::shape::ConvShape;
use rayon::prelude::*;
use std::borrow::Cow;
use std::ops::Range;

use crate::pool;

/// How the phases of one convolution lie in memory: `[in_c][row phase][column phase][h][w]`.
pub(super) struct Phases {
    pub(super) shape: ConvShape,
    rows: Axis,
    columns: Axis,
}

/// One of the two directions.
struct Axis {
    input: usize,
    pad: usize,
    stride: usize,
    dilation: usize,
    /// Length of every phase: the outputs and the reach of the filter.
    len: usize,
    /// The residues that some tap meets; the phases of others are not stored.
    residues: Vec<usize>,
}

/// A run of neighbouring pixels: where it begins in a packed panel and in a phase, and its length.
pub(super) struct Run {
    pub(super) to: usize,
    pub(super) from: usize,
    pub(super) len: usize,
}

/// An image in phases.
pub(super) struct View<'a> {
    pub(super) phases: &'a Phases,
    pub(super) words: Cow<'a, [u32]>,
}

impl Drop for View<'_> {
    fn drop(&mut self) {
        if let Cow::Owned(words) = std::mem::take(&mut self.words) {
            pool::recycle(words);
        }
    }
}

impl<'a> View<'a> {
    /// Splits `x` into its phases, unless it already is its only one.
    pub(super) fn of(isa: Isa, phases: &'a Phases, x: &'a [u32]) -> View<'a> {
        let words = if phases.is_identity() {
            Cow::Borrowed(x)
        } else {
            let mut words = pool::zeroed(phases.shape.in_c * phases.channel_len());
            let plane = phases.shape.in_h * phases.shape.in_w;
            words
                .par_chunks_mut(phases.channel_len())
                .enumerate()
                .with_min_len(4)
                .for_each(|(c, words)| {
                    let channel = &x[c * plane..(c + 1) * plane];
                    phases.fill(isa, channel, words);
                });
            Cow::Owned(words)
        };
        View { phases, words }
    }

    /// The channels that one group reads.
    pub(super) fn group(&self, group: usize) -> &[u32] {
        let len = self.phases.shape.group_in() * self.phases.channel_len();
        &self.words[group * len..(group + 1) * len]
    }
}

impl Phases {
    pub(super) fn new(shape: &ConvShape) -> Phases {
        Phases {
            rows: Axis::new(shape, 0, shape.in_h, shape.out_h()),
            columns: Axis::new(shape, 1, shape.in_w, shape.out_w()),
            shape: shape.clone(),
        }
    }

    /// Words that one channel's phases take.
    pub(super) fn channel_len(&self) -> usize {
        self.rows.residues.len() * self.columns.residues.len() * self.rows.len * self.columns.len
    }

    /// Words from one row of a phase to the next.
    pub(super) fn row_len(&self) -> usize {
        self.columns.len
    }

    /// Memory for the copy of the whole image that [`View::of`] makes.
    pub(super) fn copy_bytes(&self) -> usize {
        if self.is_identity() {
            return 0;
        }
        self.shape.in_c * self.channel_len() * size_of::<u32>()
    }

    fn is_identity(&self) -> bool {
        self.shape.pads == [0; 4] && self.shape.stride == [1, 1]
    }

    /// The offsets of one channel's taps, in the order of the weights.
    pub(super) fn tap_offsets(&self) -> Vec<usize> {
        let [height, width] = self.shape.kernel;
        let mut offsets = Vec::with_capacity(height * width);
        for i in 0..height {
            let (row_phase, row) = self.rows.tap(i);
            for j in 0..width {
                let (column_phase, column) = self.columns.tap(j);
                let phase = row_phase * self.columns.residues.len() + column_phase;
                offsets.push((phase * self.rows.len + row) * self.columns.len + column);
            }
        }
        offsets
    }

    /// The offsets of all weights of one output channel, group 0 assumed.
    pub(super) fn weight_offsets(&self) -> Vec<usize> {
        let taps = self.tap_offsets();
        let channels = 0..self.shape.group_in();
        channels
            .flat_map(|c| taps.iter().map(move |tap| c * self.channel_len() + tap))
            .collect()
    }

    /// The runs that make up a range of output pixels, one per row that it touches (or one in
    /// all, where rows follow each other without a gap).
    pub(super) fn runs(&self, pixels: Range<usize>) -> Vec<Run> {
        let width = self.shape.out_w();
        if width == self.columns.len {
            let from = pixels.start;
            let len = pixels.len();
            return vec![Run { to: 0, from, len }];
        }
        let mut runs = Vec::new();
        let mut pixel = pixels.start;
        while pixel < pixels.end {
            let row = pixel / width;
            let column = pixel % width;
            let len = (width - column).min(pixels.end - pixel);
            runs.push(Run {
                to: pixel - pixels.start,
                from: row * self.columns.len + column,
                len,
            });
            pixel += len;
        }
        runs
    }

    /// Writes the phases of one channel into memory that is zero, as the padding will be.
    pub(super) fn fill(&self, isa: Isa, channel: &[u32], words: &mut [u32]) {
        let phases = self;
        widened(
            isa,
            Fill {
                phases,
                channel,
                words,
            },
        );
    }
}

struct Fill<'a> {
    phases: &'a Phases,
    channel: &'a [u32],
    words: &'a mut [u32],
}

impl Loop for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Phases { rows, columns, .. } = self.phases;
        let mut lines = self.words.chunks_exact_mut(columns.len);
        for &row_residue in &rows.residues {
            for &column_residue in &columns.residues {
                let first = columns.first(column_residue);
                let source = first * columns.stride + column_residue - columns.pad;
                for (i, line) in lines.by_ref().take(rows.len).enumerate() {
                    let Some(row) = rows.source(i, row_residue) else {
                        continue;
                    };
                    let row = &self.channel[row * columns.input..(row + 1) * columns.input];
                    if let Some(row) = row.get(source..)
                        && let Some(line) = line.get_mut(first..)
                    {
                        pick(columns.stride, row, line);
                    }
                }
            }
        }
    }
}

impl Axis {
    /// Rows (0) or columns (1) of a convolution, with so many pixels in its input and its output.
    fn new(shape: &ConvShape, axis: usize, input: usize, output: usize) -> Self {
        let stride = shape.stride[axis];
        let dilation = shape.dilation[axis];
        let taps = 0..shape.kernel[axis];
        let mut residues: Vec<_> = taps.map(|k| k * dilation % stride).collect();
        residues.sort_unstable();
        residues.dedup();
        let reach = shape.kernel[axis].saturating_sub(1) * dilation / stride;
        Self {
            input,
            pad: shape.pads[axis],
            stride,
            dilation,
            len: output + reach,
            residues,
        }
    }

    /// The phase that tap `k` reads (its place among those stored), and at which offset.
    fn tap(&self, k: usize) -> (usize, usize) {
        let at = k * self.dilation;
        let residue = at % self.stride;
        let phase = self.residues.partition_point(|&r| r < residue);
        (phase, at / self.stride)
    }

    /// The first element of a phase that is not padding.
    fn first(&self, residue: usize) -> usize {
        self.pad.saturating_sub(residue).div_ceil(self.stride)
    }

    /// The input position at element `i` of a phase; none in the padding.
    #[inline(always)]
    fn source(&self, i: usize, residue: usize) -> Option<usize> {
        let at = (i * self.stride + residue).checked_sub(self.pad)?;
        (at < self.input).then_some(at)
    }
}

/// Copies every `stride`-th word, as many as there are places or words.
#[inline(always)]
fn pick(stride: usize, source: &[u32], line: &mut [u32]) {
    match stride {
        1 => {
            let len = line.len().min(source.len());
            line[..len].copy_from_slice(&source[..len]);
        }
        2 => pick_every_second(source, line),
        stride => {
            let picked = source.iter().step_by(stride);
            line.iter_mut().zip(picked).for_each(|(to, from)| *to = *from);
        }
    }
}

/// The common stride, in a form that the compiler turns into vector shuffles.
#[inline(always)]
fn pick_every_second(source: &[u32], line: &mut [u32]) {
    let (pairs, odd_one) = source.as_chunks::<2>();
    for (to, [even, _]) in line.iter_mut().zip(pairs) {
        *to = *even;
    }
    if let Some(to) = line.get_mut(pairs.len())
        && let [odd_one] = odd_one
    {
        *to = *odd_one;
    }
}
