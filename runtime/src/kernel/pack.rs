//! Operands in the order in which the inner loop reads them.
//!
//! The inner loop multiplies a *broadcast* operand (a few scalars) with a *vector* operand (a few
//! vectors), see [`micro`](super::micro). Either may be the weights: with pixels in the vectors
//! the output comes out in its own order, but a 7×7 map wastes a quarter of the lanes; with
//! output channels in the vectors small maps are no waste, and the result is transposed once.

use super::buffer::Aligned;
use super::isa::Isa;
use super::micro::MAX_ROWS;
use super::phase::Run;
use super::shape::ConvShape;
use super::split::evenly;
use std::fmt;
use std::ops::Range;

/// Depth of the blocks into which long sums are cut, so that an operand's block stays in cache.
pub(super) const DEPTH_BLOCK: usize = 256;

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
    /// Weights are broadcast: per group, panels of up to [`MAX_ROWS`] output channels, each
    /// `[depth][channels]`.
    PixelVectors,
    /// Weights are vectors: per group, panels of up to [`Isa::max_vectors`] vectors of output
    /// channels, each `[depth][vectors][lanes]`, the last filled up with zeros.
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
                Layout::PixelVectors => pack_broadcast(shape, weights, packed),
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

impl Drop for PackedWeights {
    fn drop(&mut self) {
        self.words.wipe();
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
        let (pixels, channels) = (shape.plane(), shape.group_out());
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
        let channels = match self {
            Layout::Depthwise | Layout::PixelVectors => shape.group_out(),
            Layout::ChannelVectors => shape.group_out().next_multiple_of(isa.lanes()),
        };
        channels * shape.depth()
    }
}

fn pack_broadcast(shape: &ConvShape, weights: &[u32], packed: &mut [u32]) {
    let depth = shape.depth();
    for rows in evenly(shape.group_out(), MAX_ROWS) {
        let panel = &mut packed[rows.start * depth..rows.end * depth];
        interleave(weights, depth, rows.clone(), rows.len(), panel);
    }
}

fn pack_vectors(isa: Isa, shape: &ConvShape, weights: &[u32], packed: &mut [u32]) {
    let (depth, lanes) = (shape.depth(), isa.lanes());
    for vectors in evenly(shape.group_out().div_ceil(lanes), isa.max_vectors()) {
        let columns = vectors.start * lanes..vectors.end * lanes;
        let panel = &mut packed[columns.start * depth..columns.end * depth];
        let real = columns.start..columns.end.min(shape.group_out());
        interleave(weights, depth, real, columns.len(), panel);
    }
}

/// Transposes the rows `rows` of `weights` (each `depth` long) into `[depth][width]`.
fn interleave(weights: &[u32], depth: usize, rows: Range<usize>, width: usize, panel: &mut [u32]) {
    for (column, row) in rows.enumerate() {
        let row = &weights[row * depth..(row + 1) * depth];
        let places = panel.iter_mut().skip(column).step_by(width);
        places.zip(row).for_each(|(to, from)| *to = *from);
    }
}

/// Gathers pixels into a panel `[offsets][width]`: line `k` are the runs, shifted by `offsets[k]`.
///
/// Copies `CHUNK` words at a time, more than a run has: the surplus is overwritten by what
/// follows, or lies in lanes that nobody reads. That is several times faster than exact copies
/// of a few words each.
#[inline(always)]
pub(super) fn pack_pixels<const CHUNK: usize>(
    image: &[u32],
    offsets: &[usize],
    runs: &[Run],
    width: usize,
    panel: &mut [u32],
) {
    for (k, offset) in offsets.iter().enumerate() {
        for run in runs {
            let (to, from) = (k * width + run.to, offset + run.from);
            for done in (0..run.len).step_by(CHUNK) {
                let (to, from) = (to + done, from + done);
                if to + CHUNK <= panel.len() && from + CHUNK <= image.len() {
                    panel[to..to + CHUNK].copy_from_slice(&image[from..from + CHUNK]);
                } else {
                    let len = CHUNK.min(run.len - done);
                    panel[to..to + len].copy_from_slice(&image[from..from + len]);
                }
            }
        }
    }
}
