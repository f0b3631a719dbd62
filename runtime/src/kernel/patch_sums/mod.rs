//! Patch sums of a convolution: a product of the weights with box sums of the image.
//!
//! Summed over a patch, a tap of a filter multiplies its weight with the sum of all pixels that it
//! meets while the filter takes every place of the patch. These box sums are differences of prefix
//! sums, which are computed once for all patch sizes.
//!
//! A layer has dozens of patch sizes, each with a few channels, so that there are nearly as many box
//! sums as products with them. Entries of one patch are one task: it takes the box sums of one input
//! channel at a time, which stay in the first-level cache, and adds their products up.
//!
//! Where a group of the convolution has many channels, these stand side by side instead, in all of it
//! ([`deep`]).
//!
//! - [`prefix`]: prefix sums of a channel
//! - [`boxes`]: box sums, out of prefix sums
//! - [`pack`]: weights in the order in which the product reads them
//! - [`product`]: box sums times weights
//! - [`pool`]: patch sums of a pooling, whose weights are all one

mod boxes;
mod deep;
mod pack;
mod pool;
mod prefix;
mod product;

use rayon::prelude::*;
use trefoil_ir::mpc::patch_sums::{FEWEST_SIDE_BY_SIDE, Reach, SIDE_BY_SIDE};
use trefoil_ir::{Patch, Shape, Window};

use super::buffer::with_scratch;
use super::isa::Isa;
use super::micro::widened;
use super::shape::ConvShape;
use crate::pool::{recycle, zeroed};
use crate::wipe::wipe;
use boxes::Spans;
use deep::DeepProduct;
use prefix::Prefixes;
use product::Product;

pub use pool::{pool_scratch_bytes, pool_sums};

/// Fewest channels whose prefix sums one task computes.
const CHANNELS: usize = 4;

/// Words of a vector, of the widest instruction set.
const LANES: usize = 16;

const _: () = assert!(
    LANES == SIDE_BY_SIDE,
    "memory is foreseen for as many channels side by side"
);

/// Words of whole vectors for so many values.
fn whole(count: usize) -> usize {
    count.next_multiple_of(LANES)
}

/// Weights of a convolution's patch sums, arranged for one instruction set.
pub struct PackedSums {
    isa: Isa,
    geometry: Geometry,
    /// Number of sums in all.
    len: usize,
    classes: Vec<PatchClass>,
}

/// The convolution, as box sums see it.
struct Geometry {
    window: Window,
    input: Shape,
    output: Shape,
    /// Input channels of a group.
    group_in: usize,
}

/// The entries of the list that have one patch in common.
struct PatchClass {
    spans: Spans,
    /// Taps of a filter in one channel.
    taps: usize,
    /// Patches of one channel.
    patches: usize,
    parts: Vec<GroupEntries>,
}

/// Entries of one patch and one group of the convolution.
struct GroupEntries {
    group: usize,
    /// Where each entry's sums go.
    starts: Vec<usize>,
    /// Whether the patches are the columns of the product, and the entries its rows.
    by_patch: bool,
    /// `[in channels of a group, taps, entries]`; filled up to whole vectors where entries are columns. Of a deep
    /// group as [`deep`] has them.
    weights: Vec<u32>,
}

impl Drop for GroupEntries {
    fn drop(&mut self) {
        wipe(&mut self.weights);
    }
}

impl PackedSums {
    /// Rows and columns of the convolution's map.
    pub fn map(&self) -> [usize; 2] {
        [self.geometry.output.h, self.geometry.output.w]
    }

    /// Memory that the weights take, and where their pixels are.
    pub fn bytes(&self) -> usize {
        self.classes.iter().map(PatchClass::bytes).sum()
    }

    /// An upper bound of the temporary memory that [`apply`](Self::apply) takes in the current pool.
    pub fn scratch_bytes(&self) -> usize {
        let prefixes = self.geometry.prefixes();
        let largest = self.classes.iter().map(|class| match self.geometry.is_deep() {
            true => 0,
            false => class.scratch_words(&prefixes),
        });
        let threads = rayon::current_num_threads() * largest.max().unwrap_or(0);
        (self.geometry.groups() * self.geometry.group_words() + threads + self.len) * size_of::<u32>()
    }

    /// The patch sums modulo 2³², entry after entry.
    pub fn apply(&self, x: &[u32]) -> Vec<u32> {
        let mut out = zeroed(self.len);
        let prefix = self.geometry.prefix_sums(self.isa, x);
        let classes = self.classes.par_iter().with_max_len(1);
        let of_classes: Vec<Vec<u32>> = classes.map(|class| self.of_class(class, &prefix)).collect();
        for (class, mut sums) in self.classes.iter().zip(of_classes) {
            let starts = class.parts.iter().flat_map(|part| &part.starts);
            for (sums, &start) in sums.chunks(class.patches).zip(starts) {
                out[start..start + sums.len()].copy_from_slice(sums);
            }
            wipe(&mut sums);
        }
        recycle(prefix);
        out
    }

    /// The sums of one class, `[entries, patches]`.
    fn of_class(&self, class: &PatchClass, prefix: &[u32]) -> Vec<u32> {
        let prefixes = self.geometry.prefixes();
        let entries: usize = class.parts.iter().map(|part| part.starts.len()).sum();
        let mut out = vec![0; entries * class.patches];
        if self.geometry.is_deep() {
            self.of_deep_class(class, prefix, &mut out);
            return out;
        }
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

impl PackedSums {
    fn of_deep_class(&self, class: &PatchClass, prefix: &[u32], out: &mut [u32]) {
        let mut rest = out;
        for part in &class.parts {
            let (out, behind) = std::mem::take(&mut rest).split_at_mut(part.starts.len() * class.patches);
            rest = behind;
            let words = self.geometry.group_words();
            let product = DeepProduct {
                class,
                part,
                prefixes: self.geometry.prefixes(),
                prefix: &prefix[part.group * words..][..words],
                out,
            };
            widened(self.isa, product);
        }
    }
}

impl PatchClass {
    fn bytes(&self) -> usize {
        let weights: usize = self.parts.iter().map(|part| size_of_val(&part.weights[..])).sum();
        weights + self.spans.bytes()
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

    fn groups(&self) -> usize {
        self.input.c / self.group_in
    }

    /// Whether channels stand side by side.
    fn is_deep(&self) -> bool {
        self.group_in >= FEWEST_SIDE_BY_SIDE
    }

    /// Words of the prefix sums of a group.
    fn group_words(&self) -> usize {
        let channels = match self.is_deep() {
            true => deep::blocks(self.group_in) * LANES,
            false => self.group_in,
        };
        channels * self.prefixes().len()
    }

    /// The prefix sums of all channels, group by group.
    fn prefix_sums(&self, isa: Isa, x: &[u32]) -> Vec<u32> {
        let prefixes = self.prefixes();
        if self.is_deep() {
            let mut words = zeroed(self.groups() * self.group_words());
            let groups = x.chunks(self.group_in * self.input.plane());
            let blocks = groups.flat_map(|group| group.chunks(LANES * self.input.plane()));
            let pairs: Vec<_> = words
                .chunks_exact_mut(LANES * prefixes.len())
                .zip(blocks)
                .collect();
            let pairs = pairs.into_par_iter();
            pairs.for_each(|(words, pixels)| deep::fill(isa, prefixes, pixels, words));
            return words;
        }
        let mut words = zeroed(self.input.c * prefixes.len());
        words
            .par_chunks_mut(prefixes.len())
            .zip(x.par_chunks(self.input.plane()))
            .with_min_len(CHANNELS)
            .for_each(|(words, pixels)| prefixes.fill(isa, pixels, words));
        words
    }
}
