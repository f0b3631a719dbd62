//! Matrix product for large maps: pixels in the vectors, weights broadcast.
//!
//! A task takes some pixels and some output channels. Per block of the inner dimension it gathers
//! its pixels into panels (which stay in the second-level cache) and multiplies all its channels
//! with them. Tasks share nothing but inputs; two that have the same pixels gather them twice,
//! which costs little beside the products.

use super::block::{Block, all_lines, blocks, most_lines};
use super::buffer::with_scratch;
use super::isa::Isa;
use super::micro::{Panels, multiply, widened};
use super::pack::{PackPixels, PackedWeights, ROW_BLOCK, Source};
use super::phase::View;
use super::shape::ConvShape;
use super::split::evenly;
use rayon::prelude::*;
use std::ops::Range;

/// Most register tiles side by side in the pixels of one task: weights are read once for them.
const MAX_PANELS: usize = 4;

/// Tasks per thread that even out threads of different speed.
const TASKS_PER_THREAD: usize = 4;

/// Fewer multiply-adds than this are not worth waking other threads.
const WORTH_SHARING: u64 = 1 << 17;

pub(super) fn conv(view: &View<'_>, weights: &PackedWeights, out: &mut [u32]) {
    let shape = weights.shape();
    let cut = Cut::choose(weights.isa(), shape, rayon::current_num_threads());
    let offsets = view.phases.weight_offsets();
    let tasks = cut.tasks(shape, out);
    if shape.macs() < WORTH_SHARING {
        for task in tasks {
            task.run(view, weights, &offsets);
        }
    } else {
        let tasks = tasks.into_par_iter().with_max_len(1);
        tasks.for_each(|task| task.run(view, weights, &offsets));
    }
}

/// Temporary memory of [`conv`].
pub(super) fn scratch_bytes(isa: Isa, shape: &ConvShape, threads: usize) -> usize {
    let cut = Cut::choose(isa, shape, threads);
    let widest = cut.pixels.iter().map(Range::len).max().unwrap_or(0);
    let panels = scratch_words(isa, shape, widest) * size_of::<u32>();
    let rows = shape.out_c * cut.pixels.len() * size_of::<&mut [u32]>();
    threads * panels + rows + shape.depth() * size_of::<usize>()
}

fn scratch_words(isa: Isa, shape: &ConvShape, pixels: usize) -> usize {
    most_lines(shape.depth()) * pixels.next_multiple_of(isa.lanes())
}

/// How one convolution is cut into tasks.
struct Cut {
    pixels: Vec<Range<usize>>,
    /// Output channels of a group, at bounds of the blocks in which they are packed.
    rows: Vec<Range<usize>>,
}

impl Cut {
    /// Pixels are cut first, down to single register tiles, then the channels.
    fn choose(isa: Isa, shape: &ConvShape, threads: usize) -> Cut {
        let lanes = isa.lanes();
        let vectors = shape.plane().div_ceil(lanes);
        let wanted = if threads == 1 {
            1
        } else {
            (threads * TASKS_PER_THREAD).div_ceil(shape.groups)
        };
        let narrowest = if vectors >= 2 * isa.max_vectors() {
            isa.max_vectors()
        } else {
            2
        };
        let most = vectors
            .div_ceil(wanted)
            .clamp(narrowest, MAX_PANELS * isa.max_vectors());
        let pixels: Vec<_> = evenly(vectors, most)
            .map(|part| part.start * lanes..(part.end * lanes).min(shape.plane()))
            .collect();
        let blocks: Vec<_> = evenly(shape.group_out(), ROW_BLOCK).collect();
        let parts = wanted.div_ceil(pixels.len()).clamp(1, blocks.len());
        let rows = evenly(blocks.len(), blocks.len().div_ceil(parts))
            .map(|part| blocks[part.start].start..blocks[part.end - 1].end)
            .collect();
        Cut { pixels, rows }
    }

    /// Hands each task the parts of the output rows that it writes.
    fn tasks<'a>(&self, shape: &ConvShape, out: &'a mut [u32]) -> Vec<Task<'a>> {
        let plane = shape.plane();
        let mut lines = out.chunks_exact_mut(plane);
        let mut tasks = Vec::with_capacity(shape.groups * self.rows.len() * self.pixels.len());
        for group in 0..shape.groups {
            for rows in &self.rows {
                let first = tasks.len();
                tasks.extend(self.pixels.iter().map(|pixels| Task {
                    group,
                    rows: rows.clone(),
                    pixels: pixels.clone(),
                    out: Vec::with_capacity(rows.len()),
                }));
                for mut line in lines.by_ref().take(rows.len()) {
                    for task in &mut tasks[first..] {
                        task.out.extend(line.split_off_mut(..task.pixels.len()));
                    }
                }
            }
        }
        tasks
    }
}

struct Task<'a> {
    group: usize,
    rows: Range<usize>,
    pixels: Range<usize>,
    out: Vec<&'a mut [u32]>,
}

impl Task<'_> {
    fn run(mut self, view: &View<'_>, weights: &PackedWeights, offsets: &[usize]) {
        let shape = weights.shape();
        let isa = weights.isa();
        let panels = self.panels(view, isa);
        let image = view.group(self.group);
        let words = scratch_words(isa, shape, self.pixels.len());
        with_scratch(words, |scratch| {
            for block in blocks(shape.depth()) {
                let packing = PackPixels::<16> {
                    image,
                    offsets,
                    sources: &panels,
                    block: &block,
                    panels: scratch,
                };
                widened(isa, packing);
                self.multiply(weights, &block, scratch);
            }
        });
    }

    fn panels(&self, view: &View<'_>, isa: Isa) -> Vec<Source> {
        let lanes = isa.lanes();
        evenly(self.pixels.len().div_ceil(lanes), isa.max_vectors())
            .map(|part| {
                let columns = part.start * lanes..part.end * lanes;
                let from = self.pixels.start + columns.start;
                let to = self.pixels.end.min(self.pixels.start + columns.end);
                let runs = view.phases.runs(from..to);
                let width = columns.len();
                Source { width, runs }
            })
            .collect()
    }

    fn multiply(&mut self, weights: &PackedWeights, block: &Block, pixels: &[u32]) {
        let all_lines = all_lines(weights.shape().depth());
        for rows in evenly(weights.shape().group_out(), ROW_BLOCK) {
            if rows.start < self.rows.start || rows.end > self.rows.end {
                continue;
            }
            let broadcast = Panels {
                words: &weights.group(self.group)[rows.start * all_lines..rows.end * all_lines],
                all_lines,
                lines: block.lines.clone(),
            };
            let vectors = Panels {
                words: pixels,
                all_lines: block.lines.len(),
                lines: 0..block.lines.len(),
            };
            let out = &mut self.out[rows.start - self.rows.start..rows.end - self.rows.start];
            multiply(weights.isa(), broadcast, vectors, out, block.values.start > 0);
        }
    }
}
