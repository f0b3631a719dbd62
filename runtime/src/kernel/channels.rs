//! Matrix product for small maps: output channels in the vectors, pixels broadcast.
//!
//! All pixels are gathered first, for everybody. A task then takes one panel of weights, which
//! is read once and stays in cache block by block while all pixels meet it, and transposes its
//! result into the output. A fully connected layer is the case of one pixel: nothing but the
//! stream of the weights.

use super::block::{all_lines, blocks};
use super::buffer::Aligned;
use super::isa::Isa;
use super::micro::{Panels, multiply, widened};
use super::pack::{PackPixels, PackedWeights, Source};
use super::phase::View;
use super::shape::ConvShape;
use super::split::evenly;
use rayon::prelude::*;
use std::ops::Range;

/// Fewer multiply-adds than this are not worth waking other threads.
const WORTH_SHARING: u64 = 1 << 17;

pub(super) fn conv(view: &View<'_>, weights: &PackedWeights, out: &mut [u32]) {
    let shape = weights.shape();
    let pixels = gather(weights.isa(), view);
    let tasks = tasks(weights.isa(), shape, out);
    if shape.macs() < WORTH_SHARING {
        for task in tasks {
            task.run(weights, &pixels);
        }
    } else {
        let tasks = tasks.into_par_iter().with_max_len(1);
        tasks.for_each(|task| task.run(weights, &pixels));
    }
}

/// Temporary memory of [`conv`].
pub(super) fn scratch_bytes(isa: Isa, shape: &ConvShape, threads: usize) -> usize {
    let pixels = shape.groups * all_lines(shape.depth()) * shape.plane();
    let sums = shape.plane() * isa.max_vectors() * isa.lanes();
    (pixels + threads * sums) * size_of::<u32>() + shape.depth() * size_of::<usize>()
}

/// All pixels: per group and block, panels of up to [`Isa::max_rows`] pixels, `[lines][pixels]`.
fn gather(isa: Isa, view: &View<'_>) -> Aligned {
    let shape = &view.phases.shape;
    let plane = shape.plane();
    let offsets = view.phases.weight_offsets();
    let panels: Vec<_> = evenly(plane, isa.max_rows())
        .map(|columns| Source {
            width: columns.len(),
            runs: view.phases.runs(columns),
        })
        .collect();
    let mut words = Aligned::zeroed(shape.groups * all_lines(shape.depth()) * plane);
    let mut rest = &mut words[..];
    let mut parts = Vec::new();
    for group in 0..shape.groups {
        for block in blocks(shape.depth()) {
            let part = rest.split_off_mut(..block.lines.len() * plane);
            parts.extend(part.map(|part| (group, block, part)));
        }
    }
    parts.into_par_iter().for_each(|(group, block, part)| {
        let packing = PackPixels::<8> {
            image: view.group(group),
            offsets: &offsets,
            sources: &panels,
            block: &block,
            panels: part,
        };
        widened(isa, packing);
    });
    words
}

/// One panel of weights, and the output rows that come from it.
struct Task<'a> {
    group: usize,
    columns: Range<usize>,
    out: &'a mut [u32],
}

fn tasks<'a>(isa: Isa, shape: &ConvShape, out: &'a mut [u32]) -> Vec<Task<'a>> {
    let lanes = isa.lanes();
    let channels = shape.group_out();
    let mut tasks = Vec::new();
    for (group, mut out) in out.chunks_exact_mut(channels * shape.plane()).enumerate() {
        for vectors in evenly(channels.div_ceil(lanes), isa.max_vectors()) {
            let columns = vectors.start * lanes..vectors.end * lanes;
            let real = columns.end.min(channels) - columns.start;
            let rows = out.split_off_mut(..real * shape.plane());
            tasks.extend(rows.map(|out| Task { group, columns, out }));
        }
    }
    tasks
}

impl Task<'_> {
    fn run(self, weights: &PackedWeights, pixels: &[u32]) {
        let depth = weights.shape().depth();
        let plane = weights.shape().plane();
        let all_lines = all_lines(depth);
        let width = self.columns.len();
        let mut sums = Aligned::zeroed(plane * width);
        let mut rows: Vec<_> = sums.chunks_exact_mut(width).collect();
        let columns = self.columns.start * all_lines..self.columns.end * all_lines;
        let mut pixels = &pixels[self.group * all_lines * plane..];
        for block in blocks(depth) {
            let (part, rest) = pixels.split_at(block.lines.len() * plane);
            pixels = rest;
            let vectors = Panels {
                words: &weights.group(self.group)[columns.clone()],
                all_lines,
                lines: block.lines.clone(),
            };
            let broadcast = Panels {
                words: part,
                all_lines: block.lines.len(),
                lines: 0..block.lines.len(),
            };
            let accumulate = block.values.start > 0;
            multiply(weights.isa(), broadcast, vectors, &mut rows, accumulate);
        }
        transpose(&sums, width, plane, self.out);
    }
}

/// Writes `sums`, which are `[plane][width]`, to the first channels of `[width][plane]`.
fn transpose(sums: &[u32], width: usize, plane: usize, out: &mut [u32]) {
    for (channel, out) in out.chunks_exact_mut(plane).enumerate() {
        let column = sums.iter().skip(channel).step_by(width);
        out.iter_mut().zip(column).for_each(|(to, from)| *to = *from);
    }
}
