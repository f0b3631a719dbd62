//! Sums over all patches of a channel, for many patch sizes at once.
//!
//! With integral images a patch's sum is four look-ups, however large it is, so that an option
//! costs as many steps as it has patches. Everything that is wanted of an option is, given the sign
//! of each patch, a sum of such sums: for a quantity q per pixel, the sum of q over the pixels whose
//! bit is set.

use trefoil_ir::{Patch, Shape};

/// Integral images of several quantities of one channel. The first is what signs are taken of.
pub(super) struct Integrals {
    /// For each quantity `(h + 1) * (w + 1)` sums over what lies above and to the left.
    sums: Vec<Vec<f64>>,
    h: usize,
    w: usize,
}

impl Integrals {
    /// Without any quantity yet.
    pub(super) fn new(shape: Shape) -> Self {
        Self {
            sums: Vec::new(),
            h: shape.h,
            w: shape.w,
        }
    }

    /// Adds a quantity, row after row.
    pub(super) fn push(&mut self, values: impl Iterator<Item = f64>) {
        let stride = self.w + 1;
        let mut sums = vec![0.0; (self.h + 1) * stride];
        let (mut row, mut at) = (0.0, stride);
        for value in values {
            at += 1;
            row += value;
            sums[at] = row + sums[at - stride];
            if (at + 1) % stride == 0 {
                (row, at) = (0.0, at + 1);
            }
        }
        self.sums.push(sums);
    }

    /// Sums over the rows `top..bottom` and the columns before each column.
    fn rows(&self, top: usize, bottom: usize, into: &mut [Vec<f64>]) {
        let stride = self.w + 1;
        for (into, sums) in into.iter_mut().zip(&self.sums) {
            let (above, below) = (
                &sums[top * stride..][..stride],
                &sums[bottom * stride..][..stride],
            );
            into.clear();
            into.extend(below.iter().zip(above).map(|(b, a)| b - a));
        }
    }
}

/// What came of one patch size.
#[derive(Clone, Debug, Default)]
pub(super) struct Gated {
    /// For each quantity but the first: its sum over the pixels whose bit is set.
    pub(super) open: Vec<f64>,
    /// The largest magnitude of a patch's sum of the first quantity.
    pub(super) largest: f64,
}

/// The patch sizes of a site by height, so that sizes of one height share their rows.
#[derive(Debug)]
pub(super) struct Sizes {
    /// Height, and the widths with the options that have this size.
    heights: Vec<(usize, Vec<(usize, Vec<usize>)>)>,
    options: usize,
}

impl Sizes {
    /// The sizes of these options on a map of this shape.
    pub(super) fn new(patches: &[Patch], shape: Shape) -> Self {
        let mut sizes: Vec<([usize; 2], usize)> = Vec::new();
        for (option, patch) in patches.iter().enumerate() {
            if let Patch::Block { h, w } = *patch {
                let size = [usize::from(h).min(shape.h), usize::from(w).min(shape.w)];
                sizes.push((size, option));
            }
        }
        sizes.sort_unstable();
        let mut heights: Vec<(usize, Vec<(usize, Vec<usize>)>)> = Vec::new();
        for ([h, w], option) in sizes {
            if heights.last().is_none_or(|last| last.0 != h) {
                heights.push((h, Vec::new()));
            }
            let Some((_, widths)) = heights.last_mut() else {
                continue;
            };
            match widths.last_mut() {
                Some((last, options)) if *last == w => options.push(option),
                _ => widths.push((w, vec![option])),
            }
        }
        Self {
            heights,
            options: patches.len(),
        }
    }

    /// Gates the quantities with the bits of each option. Identities, which have no bits, come out
    /// as nothing.
    pub(super) fn gate(&self, integrals: &Integrals) -> Vec<Gated> {
        let quantities = integrals.sums.len();
        let nothing = Gated {
            open: vec![0.0; quantities - 1],
            largest: 0.0,
        };
        let mut gated = vec![nothing; self.options];
        let mut rows = vec![Vec::new(); quantities];
        let mut mask = Vec::new();
        for (height, widths) in &self.heights {
            for top in (0..integrals.h).step_by(*height) {
                integrals.rows(top, integrals.h.min(top + height), &mut rows);
                for (width, options) in widths {
                    gate_row(&rows, *width, &mut mask, &mut gated[options[0]]);
                }
            }
        }
        for (_, options) in self.heights.iter().flat_map(|(_, widths)| widths) {
            let (first, rest) = (options[0], &options[1..]);
            rest.iter()
                .for_each(|&option| gated[option] = gated[first].clone());
        }
        gated
    }
}

/// One row of patches.
fn gate_row(rows: &[Vec<f64>], width: usize, mask: &mut Vec<f64>, gated: &mut Gated) {
    mask.clear();
    let mut largest = gated.largest;
    mask.extend(patches(&rows[0], width).map(|sum| {
        largest = largest.max(sum.abs());
        if sum > 0.0 { 1.0 } else { 0.0 }
    }));
    gated.largest = largest;
    for (open, row) in gated.open.iter_mut().zip(&rows[1..]) {
        let bits = mask.iter().zip(patches(row, width));
        *open += bits.map(|(bit, sum)| bit * sum).sum::<f64>();
    }
}

/// The sums of the patches of this width, from the sums before each column.
fn patches(row: &[f64], width: usize) -> impl Iterator<Item = f64> + '_ {
    let last = row.len() - 1;
    let whole = last / width;
    let rest = (whole * width < last).then(|| row[last] - row[whole * width]);
    let starts = row.iter().step_by(width).take(whole);
    let ends = row[width.min(last)..].iter().step_by(width);
    starts.zip(ends).map(|(a, b)| b - a).chain(rest)
}
