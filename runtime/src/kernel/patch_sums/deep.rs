//! Patch sums where a group of the convolution has many channels: sixteen of them side by side.
//!
//! Prefix sums stand position by position, sixteen channels at each, so that the four corners of a box are
//! four vectors whatever the patches' sizes are. Box sums are taken in registers, for a few patches at a time,
//! and meet the weights of a few entries there; what is left at the end of all channels is added up across.

use super::boxes::Spans;
use super::prefix::Prefixes;
use super::{GroupEntries, LANES, PatchClass};
use crate::kernel::isa::Isa;
use crate::kernel::micro::{Loop, widened};

/// Channels side by side.
pub(super) type Lanes = [u32; LANES];

/// Blocks of channels that a group has; the last one is filled up with zeros.
pub(super) const fn blocks(group_in: usize) -> usize {
    group_in.div_ceil(LANES)
}

/// Weights of some entries, `[blocks, taps, entries]` of sixteen channels each.
pub(super) fn arranged(entries: &[usize], group_in: usize, taps: usize, weights: &[u32]) -> Vec<u32> {
    let mut arranged = vec![0; blocks(group_in) * taps * entries.len() * LANES];
    for (at, entry) in entries.iter().enumerate() {
        let row = &weights[entry * group_in * taps..][..group_in * taps];
        for (channel, row) in row.chunks_exact(taps).enumerate() {
            for (tap, weight) in row.iter().enumerate() {
                let place = (channel / LANES * taps + tap) * entries.len() + at;
                arranged[place * LANES + channel % LANES] = *weight;
            }
        }
    }
    arranged
}

/// Prefix sums of a block of channels, at most sixteen, into memory that is zero.
pub(super) fn fill(isa: Isa, prefixes: Prefixes, pixels: &[u32], words: &mut [u32]) {
    let words = words.as_chunks_mut().0;
    widened(
        isa,
        Fill {
            prefixes,
            pixels,
            words,
        },
    );
}

struct Fill<'a> {
    prefixes: Prefixes,
    pixels: &'a [u32],
    words: &'a mut [Lanes],
}

impl Loop for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let [height, width] = self.prefixes.input();
        let [down, across] = self.prefixes.step();
        let stored = self.prefixes.width();
        for y in 0..height {
            let (above, below) = self.words.split_at_mut((y + down) * stored);
            let line = &mut below[..stored];
            for x in 0..width {
                let mut sum = line[x];
                let channels = self.pixels.chunks_exact(height * width);
                for (lane, channel) in sum.iter_mut().zip(channels) {
                    *lane = lane.wrapping_add(channel[y * width + x]);
                }
                line[x + across] = sum;
            }
            let above = &above[y * stored..][..stored];
            for (sum, above) in line.iter_mut().zip(above) {
                add(sum, above);
            }
        }
    }
}

#[inline(always)]
fn add(sum: &mut Lanes, other: &Lanes) {
    for (sum, other) in sum.iter_mut().zip(other) {
        *sum = sum.wrapping_add(*other);
    }
}

/// Box sums times weights.
pub(super) struct DeepProduct<'a> {
    pub(super) class: &'a PatchClass,
    pub(super) part: &'a GroupEntries,
    pub(super) prefixes: Prefixes,
    /// Prefix sums of the channels that the part's group reads, block by block.
    pub(super) prefix: &'a [u32],
    /// `[entries, patches]`
    pub(super) out: &'a mut [u32],
}

/// Where the corners of a box are: right below, right above, left below, left above.
type Corners = [usize; 4];

impl Loop for DeepProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        let entries = self.part.starts.len();
        let fours = entries / 4 * 4;
        self.patches::<2>(|product, first, corners| {
            (0..fours)
                .step_by(4)
                .for_each(|entry| product.tile::<2, 4>(first, entry, corners));
        });
        self.patches::<4>(|product, first, corners| {
            (fours..entries).for_each(|entry| product.tile::<4, 1>(first, entry, corners));
        });
    }
}

impl DeepProduct<'_> {
    /// Calls `work` for each `P` patches, with the first one's number and the corners of all boxes,
    /// `[taps, P]`. The last ones may be some that had their turn before.
    #[inline(always)]
    fn patches<const P: usize>(&mut self, mut work: impl FnMut(&mut Self, usize, &[[Corners; P]])) {
        let patches = self.class.patches;
        let mut corners = vec![[[0; 4]; P]; self.class.taps];
        for first in (0..patches).step_by(P) {
            for (tap, corners) in corners.iter_mut().enumerate() {
                for (at, corners) in corners.iter_mut().enumerate() {
                    let patch = (first + at).min(patches - 1);
                    *corners = self.class.spans.corners(tap, patch, self.prefixes.width());
                }
            }
            work(self, first, &corners);
        }
    }

    /// The sums of `P` patches for `E` entries.
    #[inline(always)]
    fn tile<const P: usize, const E: usize>(&mut self, first: usize, entry: usize, corners: &[[Corners; P]]) {
        let (patches, entries) = (self.class.patches, self.part.starts.len());
        let prefixes = self.prefix.as_chunks::<LANES>().0;
        let weights = self.part.weights.as_chunks::<LANES>().0;
        let blocks = prefixes.chunks_exact(self.prefixes.len());
        let mut sums = [[[0u32; LANES]; E]; P];
        for (prefix, weights) in blocks.zip(weights.chunks_exact(self.class.taps * entries)) {
            for (corners, weights) in corners.iter().zip(weights.chunks_exact(entries)) {
                let weights: &[Lanes; E] = weights[entry..]
                    .first_chunk()
                    .expect("a tile is within the entries");
                for (sums, corners) in sums.iter_mut().zip(corners) {
                    let [a, b, c, d] = corners.map(|at| &prefix[at]);
                    let mut sum = [0; LANES];
                    for i in 0..LANES {
                        sum[i] = a[i].wrapping_sub(b[i]).wrapping_sub(c[i]).wrapping_add(d[i]);
                    }
                    for (sums, weights) in sums.iter_mut().zip(weights) {
                        for i in 0..LANES {
                            sums[i] = sums[i].wrapping_add(sum[i].wrapping_mul(weights[i]));
                        }
                    }
                }
            }
        }
        for (at, sums) in sums.iter().enumerate().take(patches - first) {
            for (of, sums) in sums.iter().enumerate() {
                let sum = sums.iter().fold(0u32, |sum, lane| sum.wrapping_add(*lane));
                self.out[(entry + of) * patches + first + at] = sum;
            }
        }
    }
}

impl Spans {
    /// The corners of a tap's box in a patch, in prefix sums of so many positions a line.
    fn corners(&self, tap: usize, patch: usize, width: usize) -> Corners {
        let ([top, bottom], [left, right]) = self.of(tap, patch);
        [
            bottom * width + right,
            top * width + right,
            bottom * width + left,
            top * width + left,
        ]
    }
}
