//! Operands in the order in which the inner loop reads them.
//!
//! The inner loop multiplies a *broadcast* operand (a few scalars) with a *vector* operand (a few
//! vectors), see [`micro`](super::micro). Either may be the weights: with pixels in the vectors
//! the output comes out in its own order, but a 7×7 map wastes a quarter of the lanes; with
//! output channels in the vectors small maps are no waste, and the result is transposed once.

use super::block::{Block, all_lines, blocks, complete};
use super::buffer::Aligned;
use super::isa::Isa;
use super::micro::Loop;
use super::phase::Run;
use super::shape::ConvShape;
use super::split::evenly;
use std::fmt;
use std::ops::Range;

/// Most output channels that are packed, and later handed to a task, as one.
pub(super) const ROW_BLOCK: usize = 96;

/// Maps with fewer pixels than this do not fill a register tile with pixels.
const SMALL_MAP: usize = 64;

/// Weights of one convolution, arranged for one instruction set.
///
/// They are secret (or a share of a secret): wiped on drop, and never printed.
pub struct PackedWeights {
    isa: Isa,
    shape: ConvShape,
    layout: Layout,
    words: Aligned,
}

/// The order of packed weights, and with it the algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// `[out_c][taps]`: the order in which they came.
    Depthwise,
    /// Weights are broadcast: per group, blocks of up to [`ROW_BLOCK`] output channels; in each,
    /// panels of up to [`Isa::max_rows`], `[lines][channels]`.
    PixelVectors,
    /// Weights are vectors: per group, panels of up to [`Isa::max_vectors`] vectors of output
    /// channels, each `[lines][vectors][lanes]`, the last filled up with zeros.
    ChannelVectors,
}

impl PackedWeights {
    /// Arranges `weights`, which are `[out_c, in_c / groups, kh, kw]`, for `isa` (or the best
    /// below it that this CPU runs).
    ///
    /// # Panics
    ///
    /// If `weights` does not have the length that `shape` tells.
    pub fn pack(isa: Isa, shape: &ConvShape, weights: &[u32]) -> PackedWeights {
        assert_eq!(weights.len(), shape.weight_len(), "weights must fit shape");
        let isa = isa.clamped();
        let layout = Layout::choose(isa, shape);
        let groups = weights.chunks(weights.len().div_ceil(shape.groups).max(1));
        let mut words = Aligned::zeroed(shape.groups * layout.group_words(isa, shape));
        let packed = words.chunks_mut(layout.group_words(isa, shape).max(1));
        for (weights, packed) in groups.zip(packed) {
            match layout {
                Layout::Depthwise => packed.copy_from_slice(weights),
                Layout::PixelVectors => pack_broadcast(isa, shape, weights, packed),
                Layout::ChannelVectors => pack_vectors(isa, shape, weights, packed),
            }
        }
        PackedWeights {
            isa,
            shape: shape.clone(),
            layout,
            words,
        }
    }

    /// Memory that the packed weights take.
    pub fn bytes(&self) -> usize {
        self.words.len() * size_of::<u32>()
    }

    /// The instruction set for which they are arranged.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The shape for which they are arranged.
    pub fn shape(&self) -> &ConvShape {
        &self.shape
    }

    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    pub(super) fn group(&self, group: usize) -> &[u32] {
        let len = self.layout.group_words(self.isa, &self.shape);
        &self.words[group * len..(group + 1) * len]
    }
}

impl fmt::Debug for PackedWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackedWeights")
            .field("isa", &self.isa)
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}

impl Layout {
    pub(super) fn choose(isa: Isa, shape: &ConvShape) -> Layout {
        if shape.groups == shape.in_c && shape.groups > 1 {
            return Layout::Depthwise;
        }
        let pixels = shape.plane();
        let channels = shape.group_out();
        let by_pixels = pixels.next_multiple_of(isa.lanes()) * channels;
        let by_channels = channels.next_multiple_of(isa.lanes()) * pixels;
        // A larger map has to gain a tenth to be worth the transposition.
        let tolerance = if pixels < SMALL_MAP { 10 } else { 11 };
        if by_channels * tolerance <= by_pixels * 10 {
            Layout::ChannelVectors
        } else {
            Layout::PixelVectors
        }
    }

    fn group_words(self, isa: Isa, shape: &ConvShape) -> usize {
        let channels = shape.group_out();
        let depth = shape.depth();
        match self {
            Layout::Depthwise => channels * depth,
            Layout::PixelVectors => channels * all_lines(depth),
            Layout::ChannelVectors => channels.next_multiple_of(isa.lanes()) * all_lines(depth),
        }
    }
}

fn pack_broadcast(isa: Isa, shape: &ConvShape, weights: &[u32], packed: &mut [u32]) {
    for block in evenly(shape.group_out(), ROW_BLOCK) {
        for panel in evenly(block.len(), isa.max_rows()) {
            let rows = block.start + panel.start..block.start + panel.end;
            pack_weights(shape, weights, rows.clone(), rows, packed);
        }
    }
}

fn pack_vectors(isa: Isa, shape: &ConvShape, weights: &[u32], packed: &mut [u32]) {
    let channels = shape.group_out();
    let lanes = isa.lanes();
    for vectors in evenly(channels.div_ceil(lanes), isa.max_vectors()) {
        let columns = vectors.start * lanes..vectors.end * lanes;
        let rows = columns.start..columns.end.min(channels);
        pack_weights(shape, weights, rows, columns, packed);
    }
}

/// Transposes some rows of one group's weights (`[out_c][depth]`) into the panel of `columns`.
fn pack_weights(
    shape: &ConvShape,
    weights: &[u32],
    rows: Range<usize>,
    columns: Range<usize>,
    packed: &mut [u32],
) {
    let depth = shape.depth();
    let width = columns.len();
    let lines = all_lines(depth);
    let panel = &mut packed[columns.start * lines..columns.end * lines];
    for block in blocks(depth) {
        let panel = &mut panel[block.lines.start * width..block.lines.end * width];
        for (column, row) in rows.clone().enumerate() {
            let row = &weights[row * depth..][block.values.clone()];
            let places = panel[width..].iter_mut().skip(column).step_by(width);
            places.zip(row).for_each(|(to, from)| *to = *from);
        }
        complete(&block, width, panel);
    }
}

/// Where a panel of pixels comes from: how many there are, and the runs that they form.
pub(super) struct Source {
    pub(super) width: usize,
    pub(super) runs: Vec<Run>,
}

/// Gathers pixels into one block of panels that follow each other.
///
/// Line `k` of a panel are its runs, shifted by `offsets[k]`. Line by line through all panels:
/// what they read is one neighbourhood.
pub(super) struct PackPixels<'a, const CHUNK: usize> {
    pub(super) image: &'a [u32],
    pub(super) offsets: &'a [usize],
    pub(super) sources: &'a [Source],
    pub(super) block: &'a Block,
    pub(super) panels: &'a mut [u32],
}

impl<const CHUNK: usize> Loop for PackPixels<'_, CHUNK> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let lines = self.block.lines.len();
        let offsets = &self.offsets[self.block.values.clone()];
        for (k, offset) in offsets.iter().enumerate() {
            let mut start = 0;
            for source in self.sources {
                let end = start + lines * source.width;
                let line = &mut self.panels[start + (k + 1) * source.width..end];
                pack_line::<CHUNK>(&self.image[*offset..], &source.runs, line);
                start = end;
            }
        }
        let mut rest = self.panels;
        for source in self.sources {
            let (panel, next) = rest.split_at_mut(lines * source.width);
            complete(self.block, source.width, panel);
            rest = next;
        }
    }
}

/// Copies `CHUNK` words at a time, more than a run may have: the surplus is overwritten by what
/// follows, or lies in lanes that nobody reads. That is several times faster than exact copies
/// of a few words each.
#[inline(always)]
fn pack_line<const CHUNK: usize>(image: &[u32], runs: &[Run], line: &mut [u32]) {
    for run in runs {
        for done in (0..run.len).step_by(CHUNK) {
            let to = &mut line[run.to + done..];
            let from = &image[run.from + done..];
            match (to.first_chunk_mut::<CHUNK>(), from.first_chunk::<CHUNK>()) {
                (Some(to), Some(from)) => *to = *from,
                _ => {
                    let len = CHUNK.min(run.len - done);
                    to[..len].copy_from_slice(&from[..len]);
                }
            }
        }
    }
}
