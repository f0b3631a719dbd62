//! One filter per channel (with any channel multiplier): no matrix product, a correlation.
//!
//! In a channel's phases, neighbouring output pixels lie next to each other, and the rows of a
//! phase follow each other too. So a filter is one correlation over many rows at once: the few
//! results at the end of each row, where the filter reaches around the edge, are dropped. A 7×7
//! map thus fills 16 lanes nearly as well as a large one.

use super::buffer::with_scratch;
use super::isa::Isa;
use super::micro::{CORRELATE_BLOCK, Tap, correlate};
use super::pack::PackedWeights;
use super::phase::Phases;
use super::split::evenly;
use rayon::prelude::*;

/// Words of a band of rows that is computed at a time: small enough for the first-level cache.
const BAND: usize = 2048;

pub(super) fn conv(phases: &Phases, weights: &PackedWeights, x: &[u32], out: &mut [u32]) {
    let shape = &phases.shape;
    let input_plane = shape.in_h * shape.in_w;
    let offsets = phases.tap_offsets();
    let outputs = shape.group_out() * shape.plane();
    // Small maps are joined into tasks that outweigh the cost of handing them out.
    let at_once = (1 << 15) / (outputs * shape.depth()).max(1) + 1;
    out.par_chunks_mut(outputs)
        .enumerate()
        .with_min_len(at_once)
        .for_each(|(channel, out)| {
            let x = &x[channel * input_plane..(channel + 1) * input_plane];
            let job = Job {
                isa: weights.isa(),
                phases,
                offsets: &offsets,
                weights: weights.group(channel),
            };
            with_scratch(scratch_words(phases), |scratch| {
                job.run(x, scratch, out);
            });
        });
}

/// All filters of one input channel.
struct Job<'a> {
    isa: Isa,
    phases: &'a Phases,
    offsets: &'a [usize],
    weights: &'a [u32],
}

impl Job<'_> {
    fn run(&self, x: &[u32], scratch: &mut [u32], out: &mut [u32]) {
        let shape = &self.phases.shape;
        let (band, image) = scratch.split_at_mut(band_words(self.phases));
        image.fill(0);
        self.phases.fill(self.isa, x, image);
        let filters = self.weights.chunks_exact(shape.depth());
        for (filter, out) in filters.zip(out.chunks_exact_mut(shape.plane())) {
            let taps: Vec<Tap> = self
                .offsets
                .iter()
                .zip(filter)
                .map(|(&offset, &weight)| Tap { offset, weight })
                .collect();
            self.filter(&taps, image, band, out);
        }
    }

    /// One output plane, band by band.
    fn filter(&self, taps: &[Tap], image: &[u32], band: &mut [u32], out: &mut [u32]) {
        let stride = self.phases.row_len();
        let width = self.phases.shape.out_w();
        for rows in evenly(self.phases.shape.out_h(), band_rows(self.phases)) {
            let len = ((rows.len() - 1) * stride + width).next_multiple_of(CORRELATE_BLOCK);
            let band = &mut band[..len];
            correlate(self.isa, taps, &image[rows.start * stride..], band);
            let out = &mut out[rows.start * width..rows.end * width];
            for (out, line) in out.chunks_exact_mut(width).zip(band.chunks(stride)) {
                out.copy_from_slice(&line[..width]);
            }
        }
    }
}

fn band_rows(phases: &Phases) -> usize {
    (BAND / phases.row_len()).max(1)
}

fn band_words(phases: &Phases) -> usize {
    (band_rows(phases) * phases.row_len()).next_multiple_of(CORRELATE_BLOCK)
}

/// The band and one channel's phases; the last block of a band reads beyond them.
fn scratch_words(phases: &Phases) -> usize {
    band_words(phases) + phases.channel_len() + CORRELATE_BLOCK
}

/// Temporary memory of [`conv`].
pub(super) fn scratch_bytes(phases: &Phases, threads: usize) -> usize {
    threads * scratch_words(phases) * size_of::<u32>()
}
