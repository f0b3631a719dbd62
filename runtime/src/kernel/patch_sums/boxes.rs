//! Box sums: for each tap and patch the sum of the pixels that the tap meets there.

use trefoil_ir::mpc::patch_sums::Reach;

/// Where the prefix sums are that a tap's rows (or columns) in one patch lie between.
#[derive(Clone, Copy)]
struct Span {
    from: usize,
    to: usize,
}

/// The spans of all taps and patches, along both axes: `[taps][patches]`.
pub(super) struct Spans {
    rows: Vec<Vec<Span>>,
    columns: Vec<Vec<Span>>,
}

impl Span {
    /// The span of the pixels that tap `tap` meets along an axis, in the patch at place `at`.
    fn new(reach: &Reach<'_>, axis: usize, at: usize, tap: usize) -> Self {
        let mut sources = reach.sources(axis, at, tap);
        let count = sources.len();
        let from = sources.next().unwrap_or(0);
        Self {
            from,
            to: from + count * reach.step()[axis],
        }
    }
}

impl Spans {
    pub(super) fn new(reach: &Reach<'_>) -> Self {
        Self {
            rows: spans_of_axis(reach, 0),
            columns: spans_of_axis(reach, 1),
        }
    }

    /// Memory that the spans of these sums would take.
    pub(super) fn bytes_of(reach: &Reach<'_>) -> usize {
        let grid = reach.grid();
        let taps = reach.taps();
        let lines = taps[0] + taps[1];
        let spans = taps[0] * grid[0] + taps[1] * grid[1];
        lines * size_of::<Vec<Span>>() + spans * size_of::<Span>()
    }

    /// Memory that these spans take.
    pub(super) fn bytes(&self) -> usize {
        let lines = self.rows.iter().chain(&self.columns);
        lines.map(|line| size_of_val(line) + size_of_val(&line[..])).sum()
    }

    /// Rows, and columns, between which a tap's box lies in a patch: from, to.
    pub(super) fn of(&self, tap: usize, patch: usize) -> ([usize; 2], [usize; 2]) {
        let kernel_columns = self.columns.len();
        let grid_columns = self.columns[0].len();
        let rows = self.rows[tap / kernel_columns][patch / grid_columns];
        let columns = self.columns[tap % kernel_columns][patch % grid_columns];
        ([rows.from, rows.to], [columns.from, columns.to])
    }

    /// Box sums of one channel, `[taps, patches]` in lines of `tap_line` words, out of its prefix sums.
    /// `line` is scratch memory, as wide as a line of prefix sums.
    #[inline(always)]
    pub(super) fn take(&self, prefix: &[u32], line: &mut [u32], sums: &mut [u32], tap_line: usize) {
        let width = line.len();
        let grid_columns = self.columns[0].len();
        for (ky, rows) in self.rows.iter().enumerate() {
            for (row, span) in rows.iter().enumerate() {
                let from = &prefix[span.from * width..][..width];
                let to = &prefix[span.to * width..][..width];
                for ((line, to), from) in line.iter_mut().zip(to).zip(from) {
                    *line = to.wrapping_sub(*from);
                }
                for (kx, columns) in self.columns.iter().enumerate() {
                    let tap = ky * self.columns.len() + kx;
                    let sums = &mut sums[tap * tap_line + row * grid_columns..][..grid_columns];
                    for (sum, span) in sums.iter_mut().zip(columns) {
                        *sum = line[span.to].wrapping_sub(line[span.from]);
                    }
                }
            }
        }
    }
}

/// Along one axis: `[taps][patches]`.
fn spans_of_axis(reach: &Reach<'_>, axis: usize) -> Vec<Vec<Span>> {
    let mut taps = Vec::with_capacity(reach.taps()[axis]);
    for tap in 0..reach.taps()[axis] {
        let places = 0..reach.grid()[axis];
        taps.push(places.map(|at| Span::new(reach, axis, at, tap)).collect());
    }
    taps
}
