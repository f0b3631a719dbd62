//! The inner loops, once per instruction set.
//!
//! *Tile*: `rows[r][v] (+)= Σₖ broadcast[k][r] · vectors[k][v]`, for a few scalars and a few
//! vectors, all sums in registers; see [`block`](super::block) for how. *Correlate*:
//! `out[i] = Σ weight · image[i + offset]`.
//! The scalar version is the specification; the tests compare the others with it.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;
mod widen;

pub(crate) use widen::{Loop, widened};

use super::isa::Isa;
use super::split::evenly;
use std::ops::Range;

/// Outputs are computed this many words at a time by [`correlate`].
pub(super) const CORRELATE_BLOCK: usize = 64;

/// A packed operand: panels of a few columns, one after the other, each `[lines][columns]`.
pub(super) struct Panels<'a> {
    pub(super) words: &'a [u32],
    /// Lines of every panel.
    pub(super) all_lines: usize,
    /// The lines of the block to multiply.
    pub(super) lines: Range<usize>,
}

impl<'a> Panels<'a> {
    fn panel(&self, start: usize, columns: usize) -> &'a [u32] {
        let panel = &self.words[start * self.all_lines..];
        &panel[self.lines.start * columns..self.lines.end * columns]
    }
}

/// The operands and results of one register tile.
struct Tile<'a, 'b> {
    /// `[lines][rows.len()]`, corrections first.
    broadcast: &'a [u32],
    /// `[lines][width][lanes]`, corrections first.
    vectors: &'a [u32],
    width: usize,
    rows: &'a mut [&'b mut [u32]],
    /// Where the tile begins in each row; a row may end within the tile.
    column: usize,
    /// Whether to add to the rows or to overwrite them.
    accumulate: bool,
}

/// `rows (+)= broadcastᵀ · vectors`, all panels of both with each other, for one block.
///
/// `isa` must be one that this CPU runs, as every [`Isa::clamped`] is.
pub(super) fn multiply(
    isa: Isa,
    broadcast: Panels<'_>,
    vectors: Panels<'_>,
    rows: &mut [&mut [u32]],
    accumulate: bool,
) {
    let columns = rows.first().map_or(0, |row| row.len());
    let lanes = isa.lanes();
    for part in evenly(columns.div_ceil(lanes), isa.max_vectors()) {
        let column = part.start * lanes;
        let width = part.len();
        let vectors = vectors.panel(column, width * lanes);
        for part in evenly(rows.len(), isa.max_rows()) {
            let tile = Tile {
                broadcast: broadcast.panel(part.start, part.len()),
                vectors,
                width,
                rows: &mut rows[part],
                column,
                accumulate,
            };
            match isa {
                Isa::Scalar => scalar::tile(tile),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => avx2::tile(tile),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => avx512::tile(tile),
                #[cfg(not(target_arch = "x86_64"))]
                Isa::Avx2 | Isa::Avx512 => scalar::tile(tile),
            }
        }
    }
}

/// One tap of a filter: how far ahead it reads, and its weight.
#[derive(Clone, Copy)]
pub(super) struct Tap {
    pub(super) offset: usize,
    pub(super) weight: u32,
}

/// `out[i] = Σ tap.weight · image[i + tap.offset]`; `out` is a multiple of [`CORRELATE_BLOCK`].
///
/// `isa` must be one that this CPU runs, as every [`Isa::clamped`] is.
pub(super) fn correlate(isa: Isa, taps: &[Tap], image: &[u32], out: &mut [u32]) {
    match isa {
        Isa::Scalar => scalar::correlate(taps, image, out),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::correlate(taps, image, out),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => avx512::correlate(taps, image, out),
        #[cfg(not(target_arch = "x86_64"))]
        Isa::Avx2 | Isa::Avx512 => scalar::correlate(taps, image, out),
    }
}
