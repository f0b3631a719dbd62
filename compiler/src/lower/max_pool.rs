//! Max-pools as tournaments of maxima of two.
//!
//! The maximum over a window is that over its columns of that over its rows, or the other way
//! round, whichever takes fewer comparisons. Along one axis, a run of `m` taps is the union of two
//! shorter runs, and since a maximum may count a tap twice, these may overlap: either the first
//! `h` and the last `h` taps (`h` the power of two below `m`), or the first `h` and the rest. The
//! former wins where neighbouring windows share runs (stride 1), the latter where they do not
//! (kernel 3, stride 2); every size's choice is tried. Both need ceil(log2 m) levels, each of which
//! costs two round trips.
//!
//! Taps in the padding are moved to the nearest tap of the window that is inside, so padding is
//! never the maximum.

use std::collections::{BTreeMap, BTreeSet};

use trefoil_ir::{Shape, Window};

/// One maximum of two: run `i` of the result is the larger of `left[i]` and `right[i]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Level {
    /// Which earlier value the left operand is taken from: 0 is the pool's operand, `n` the result
    /// of level `n - 1`.
    pub(super) left: usize,
    /// Index of each left operand.
    pub(super) left_index: Vec<usize>,
    /// Which earlier value the right operand is taken from.
    pub(super) right: usize,
    /// Index of each right operand.
    pub(super) right_index: Vec<usize>,
}

/// The maxima along one axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AxisPlan {
    /// The levels in order.
    pub(super) levels: Vec<Level>,
    /// The run of the last value (the pool's operand, if there is no level) that each output is.
    pub(super) outputs: Vec<usize>,
}

impl AxisPlan {
    /// Comparisons for one line of pixels.
    pub(super) fn comparisons(&self) -> usize {
        self.levels.iter().map(|l| l.left_index.len()).sum()
    }
}

/// The plan for axis 0 (rows) or 1 (columns) of an operand of `size` and a result of `out`.
pub(super) fn plan(window: &Window, axis: usize, size: usize, out: usize) -> AxisPlan {
    let line = Line {
        size: size as isize,
        dilation: window.dilation[axis] as isize,
    };
    let mut starts = Vec::with_capacity(out);
    for at in 0..out {
        starts.push((at * window.stride[axis]) as isize - window.pads[axis] as isize);
    }
    let kernel = window.kernel[axis];
    let choices = 1u32 << splits(kernel).min(MAX_TRIED);
    (0..choices)
        .map(|choice| line.plan(kernel, &starts, choice))
        .min_by_key(AxisPlan::comparisons)
        .expect("there is at least one choice")
}

/// Whether the columns' maxima should come first.
pub(super) fn columns_first(rows: &AxisPlan, columns: &AxisPlan, input: Shape, output: Shape) -> bool {
    let columns_then_rows = input.h * columns.comparisons() + output.w * rows.comparisons();
    let rows_then_columns = input.w * rows.comparisons() + output.h * columns.comparisons();
    columns_then_rows <= rows_then_columns
}

/// Sizes beyond this many take the first choice: windows have at most a few.
const MAX_TRIED: u32 = 6;

/// An upper limit of how many different sizes a run of `kernel` falls into.
fn splits(kernel: usize) -> u32 {
    2 * kernel.ilog2()
}

/// A run of taps: where it begins, its taps inside (first and last), by which it is known.
type Runs = BTreeMap<(isize, isize), isize>;

struct Line {
    size: isize,
    dilation: isize,
}

impl Line {
    /// The nearest position of the same residue that is inside. It belongs to every window that
    /// has the position and any tap inside.
    fn inside(&self, position: isize) -> isize {
        let last = self.size - 1;
        if position < 0 {
            position.rem_euclid(self.dilation).min(last)
        } else if position > last {
            let beyond = (position - last).div_euclid(self.dilation);
            let nearest = position - beyond * self.dilation;
            let nearest = if nearest > last {
                nearest - self.dilation
            } else {
                nearest
            };
            nearest.max(0)
        } else {
            position
        }
    }

    fn key(&self, start: isize, taps: usize) -> (isize, isize) {
        let last = start + (taps as isize - 1) * self.dilation;
        (self.inside(start), self.inside(last))
    }

    /// `choice` has a bit for each size that is split, the largest first: 0 the first `h` taps and
    /// the rest, 1 the first and the last `h`.
    fn plan(&self, kernel: usize, starts: &[isize], choice: u32) -> AxisPlan {
        let mut needed: BTreeMap<usize, Runs> = BTreeMap::new();
        let mut parts: BTreeMap<usize, [usize; 2]> = BTreeMap::new();
        let mut sizes = BTreeSet::from([kernel]);
        needed.insert(kernel, starts.iter().map(|&s| (self.key(s, kernel), s)).collect());
        let mut at = 0;
        while let Some(size) = sizes.pop_last().filter(|&size| size > 1) {
            let half = 1 << (size - 1).ilog2();
            let overlap = at < MAX_TRIED && choice >> at & 1 == 1;
            let rest = if overlap { half } else { size - half };
            at += 1;
            parts.insert(size, [half, rest]);
            let runs: Vec<isize> = needed[&size].values().copied().collect();
            for (part, shift) in [(half, 0), (rest, size - rest)] {
                let shifted = runs.iter().map(|s| s + shift as isize * self.dilation);
                let entry = needed.entry(part).or_default();
                entry.extend(shifted.map(|s| (self.key(s, part), s)));
                sizes.insert(part);
            }
        }
        self.levels(kernel, starts, &needed, &parts)
    }

    fn levels(
        &self,
        kernel: usize,
        starts: &[isize],
        needed: &BTreeMap<usize, Runs>,
        parts: &BTreeMap<usize, [usize; 2]>,
    ) -> AxisPlan {
        // The order of the levels is that of the sizes, of which 1 is the pool's operand itself.
        let values: BTreeMap<usize, usize> = std::iter::once(&1)
            .chain(parts.keys())
            .copied()
            .zip(0..)
            .collect();
        let mut positions: BTreeMap<usize, BTreeMap<_, usize>> = BTreeMap::new();
        for (&size, runs) in needed {
            positions.insert(size, runs.keys().copied().zip(0..).collect());
        }
        let mut levels = Vec::with_capacity(parts.len());
        for (&size, &[half, rest]) in parts {
            let shift = (size - rest) as isize * self.dilation;
            let runs: Vec<isize> = needed[&size].values().copied().collect();
            let shifted: Vec<isize> = runs.iter().map(|start| start + shift).collect();
            levels.push(Level {
                left: values[&half],
                left_index: self.index(&positions, half, &runs),
                right: values[&rest],
                right_index: self.index(&positions, rest, &shifted),
            });
        }
        AxisPlan {
            levels,
            outputs: self.index(&positions, kernel, starts),
        }
    }

    /// Where the runs of `size` that begin at `starts` lie in the value of that size.
    fn index(
        &self,
        positions: &BTreeMap<usize, BTreeMap<(isize, isize), usize>>,
        size: usize,
        starts: &[isize],
    ) -> Vec<usize> {
        let keys = starts.iter().map(|&start| self.key(start, size));
        match size {
            1 => keys.map(|key| key.0 as usize).collect(),
            _ => keys.map(|key| positions[&size][&key]).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(plan: &AxisPlan, line: &[i64]) -> Vec<i64> {
        let mut values = vec![line.to_vec()];
        for level in &plan.levels {
            let pairs = level.left_index.iter().zip(&level.right_index);
            let next = pairs.map(|(&l, &r)| values[level.left][l].max(values[level.right][r]));
            values.push(next.collect());
        }
        let last = values.last().unwrap();
        plan.outputs.iter().map(|&at| last[at]).collect()
    }

    fn square(kernel: usize, stride: usize, dilation: usize, pads: [usize; 2]) -> Window {
        Window {
            kernel: [kernel; 2],
            stride: [stride; 2],
            dilation: [dilation; 2],
            pads: [pads[0], pads[0], pads[1], pads[1]],
        }
    }

    proptest! {
        #[test]
        fn a_plan_computes_the_maximum(
            kernel in 1usize..12, stride in 1usize..4, dilation in 1usize..4, before in 0usize..8,
            after in 0usize..8, line in prop::collection::vec(-99i64..99, 1..30),
        ) {
            let window = square(kernel, stride, dilation, [before, after]);
            let Ok([out, _]) = window.output(line.len(), line.len()) else { return Ok(()) };
            let inside = |at: usize| -> Vec<i64> {
                (0..kernel).filter_map(|t| window.source(0, at, t, line.len())).map(|i| line[i]).collect()
            };
            prop_assume!((0..out).all(|at| !inside(at).is_empty()));
            let plan = plan(&window, 0, line.len(), out);
            let expected: Vec<i64> = (0..out).map(|at| *inside(at).iter().max().unwrap()).collect();
            prop_assert_eq!(run(&plan, &line), expected);
            prop_assert_eq!(depth(&plan), if kernel == 1 { 0 } else { (kernel - 1).ilog2() as usize + 1 });
        }
    }

    fn depth(plan: &AxisPlan) -> usize {
        let mut depths = vec![0];
        for level in &plan.levels {
            depths.push(1 + depths[level.left].max(depths[level.right]));
        }
        *depths.last().unwrap()
    }

    #[test]
    fn comparisons_are_few() {
        let count = |kernel, stride, pads, size: usize| {
            let window = square(kernel, stride, 1, pads);
            let [out, _] = window.output(size, size).unwrap();
            (out, plan(&window, 0, size, out).comparisons())
        };
        assert_eq!(count(2, 2, [0, 0], 8), (4, 4));
        assert_eq!(count(3, 2, [1, 1], 112), (56, 2 * 56));
        assert_eq!(count(3, 1, [1, 1], 16), (16, 2 * 16));
        let (out, all) = count(13, 1, [6, 6], 13);
        assert!(all < 5 * out, "{all}"); // 12 a pixel if each window were on its own
    }
}
