//! Sums over all patches of a channel, for many patch sizes at once.
//!
//! With integral images a patch's sum is four look-ups, however large it is, so that an option
//! costs as many steps as it has patches. Everything that is wanted of an option is, given the sign
//! of each patch, a sum of such sums: for a quantity q per pixel, the sum of q over the pixels whose
//! bit is set. All quantities of a pixel lie side by side, so that one step does them all.

use std::collections::BTreeMap;

use trefoil_ir::{Patch, Shape};

/// Four quantities, which the processor adds as one.
type Lanes = [f64; 4];

fn add(sum: &mut Lanes, value: &Lanes) {
    sum.iter_mut().zip(value).for_each(|(s, v)| *s += v);
}

/// Integral images of several quantities of one channel. The first is what signs are taken of.
pub(super) struct Integrals {
    /// For each of `(h + 1) * (w + 1)` corners the sums over what lies above and to the left.
    sums: Vec<Lanes>,
    /// Lanes at each corner.
    lanes: usize,
    h: usize,
    w: usize,
}

impl Integrals {
    /// The integral images of these quantities, each given row after row.
    pub(super) fn new(quantities: &[Vec<f64>], shape: Shape) -> Self {
        let Shape { h, w, .. } = shape;
        let lanes = quantities.len().div_ceil(4);
        let stride = (w + 1) * lanes;
        let mut sums = vec![[0.0; 4]; (h + 1) * stride];
        for (q, quantity) in quantities.iter().enumerate() {
            let corners = sums.chunks_mut(stride).skip(1);
            for (corners, row) in corners.zip(quantity.chunks(w)) {
                let corners = corners.chunks_mut(lanes).skip(1);
                corners
                    .zip(row)
                    .for_each(|(corner, value)| corner[q / 4][q % 4] = *value);
            }
        }
        for at in stride..sums.len() {
            if at % stride >= lanes {
                let (before, rest) = sums.split_at_mut(at);
                let [left, above, corner] = [at - lanes, at - stride, at - stride - lanes].map(|i| before[i]);
                let around = std::array::from_fn(|i| left[i] + above[i] - corner[i]);
                add(&mut rest[0], &around);
            }
        }
        Self { sums, lanes, h, w }
    }

    /// Sums over the rows `top..bottom` and the columns before each column.
    fn rows(&self, top: usize, bottom: usize, into: &mut Vec<Lanes>) {
        let stride = (self.w + 1) * self.lanes;
        let above = &self.sums[top * stride..][..stride];
        let below = &self.sums[bottom * stride..][..stride];
        into.clear();
        for (below, above) in below.iter().zip(above) {
            into.push(std::array::from_fn(|lane| below[lane] - above[lane]));
        }
    }
}

/// The sums over the open pixels of one patch size.
#[derive(Clone, Debug)]
pub(super) struct Gated {
    open: Vec<Lanes>,
    /// The largest magnitude of a patch's sum of the first quantity.
    pub(super) largest: f64,
}

impl Gated {
    /// The sum of a quantity over the pixels whose bit is set.
    pub(super) fn open(&self, quantity: usize) -> f64 {
        self.open[quantity / 4][quantity % 4]
    }

    /// One row of patches; `row` holds the sums before each column.
    fn add_row(&mut self, row: &[Lanes], width: usize) {
        let lanes = self.open.len();
        let last = row.len() / lanes - 1;
        let mut left = &row[..lanes];
        for column in (0..last).step_by(width) {
            let right = &row[last.min(column + width) * lanes..][..lanes];
            let sum = right[0][0] - left[0][0];
            self.largest = self.largest.max(sum.abs());
            let bit = if sum > 0.0 { 1.0 } else { 0.0 };
            for (open, (right, left)) in self.open.iter_mut().zip(right.iter().zip(left)) {
                let part = std::array::from_fn(|i| bit * (right[i] - left[i]));
                add(open, &part);
            }
            left = right;
        }
    }
}

/// The patch sizes of a site by height, so that sizes of one height share their rows.
#[derive(Debug)]
pub(super) struct Sizes {
    heights: Vec<Height>,
    options: usize,
}

/// The options of one height.
#[derive(Debug)]
struct Height {
    rows: usize,
    /// Widths, with the options that have them.
    widths: Vec<(usize, Vec<usize>)>,
}

impl Sizes {
    /// The sizes of these options on a map of this shape.
    pub(super) fn new(patches: &[Patch], shape: Shape) -> Self {
        let mut sizes: BTreeMap<usize, BTreeMap<usize, Vec<usize>>> = BTreeMap::new();
        for (option, patch) in patches.iter().enumerate() {
            if let Patch::Block { h, w } = *patch {
                let h = usize::from(h).min(shape.h);
                let w = usize::from(w).min(shape.w);
                sizes.entry(h).or_default().entry(w).or_default().push(option);
            }
        }
        let mut heights = Vec::with_capacity(sizes.len());
        for (rows, widths) in sizes {
            heights.push(Height {
                rows,
                widths: widths.into_iter().collect(),
            });
        }
        Self {
            heights,
            options: patches.len(),
        }
    }

    /// Gates the quantities with the bits of each option. Identities, which have no bits, come out
    /// as nothing.
    pub(super) fn gate(&self, integrals: &Integrals) -> Vec<Gated> {
        let nothing = Gated {
            open: vec![[0.0; 4]; integrals.lanes],
            largest: 0.0,
        };
        let mut gated = vec![nothing; self.options];
        let mut row = Vec::new();
        for height in &self.heights {
            for top in (0..integrals.h).step_by(height.rows) {
                integrals.rows(top, integrals.h.min(top + height.rows), &mut row);
                for (width, options) in &height.widths {
                    gated[options[0]].add_row(&row, *width);
                }
            }
        }
        for (_, options) in self.heights.iter().flat_map(|h| &h.widths) {
            for &twin in &options[1..] {
                gated[twin] = gated[options[0]].clone();
            }
        }
        gated
    }
}
