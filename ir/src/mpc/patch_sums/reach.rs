//! Box sums: which pixels of a layer's input a patch sum of its output is made of.

use std::iter::StepBy;
use std::ops::Range;

use crate::geometry::{Patch, Shape, Window};

/// Which pixels the box sums of one patch size add up: the pixels that one tap of a window meets
/// while the window takes every place of the patch.
#[derive(Clone, Debug)]
pub struct Reach<'a> {
    window: &'a Window,
    /// Rows and columns of the map that the window slides over.
    input: [usize; 2],
    /// Rows and columns of windows.
    output: [usize; 2],
    /// Rows and columns of windows in a patch that no border cuts.
    patch: [usize; 2],
    /// Rows and columns of patches.
    grid: [usize; 2],
}

impl<'a> Reach<'a> {
    /// The reach of `patch` on the map of `output` that the window makes of one of `input`.
    pub fn new(window: &'a Window, input: Shape, output: Shape, patch: Patch) -> Self {
        let [h, w] = patch.to_pair();
        Self {
            window,
            input: [input.h, input.w],
            output: [output.h, output.w],
            patch: [usize::from(h), usize::from(w)],
            grid: patch.grid(output.h, output.w),
        }
    }

    /// Rows and columns of patches.
    pub fn grid(&self) -> [usize; 2] {
        self.grid
    }

    /// Taps along each axis.
    pub fn taps(&self) -> [usize; 2] {
        self.window.kernel
    }

    /// How far apart the rows and the columns are that one tap meets.
    pub fn step(&self) -> [usize; 2] {
        self.window.step_within(self.input[0], self.input[1])
    }

    /// The rows (`axis` 0) or columns (1) of the input that tap `tap` meets in patch `at`; those in
    /// the padding are left out.
    pub fn sources(&self, axis: usize, at: usize, tap: usize) -> StepBy<Range<usize>> {
        let inside = self
            .window
            .windows_inside(axis, tap, self.input[axis], self.output[axis]);
        let first = inside.start.max(at * self.patch[axis]);
        let last = inside.end.min((at + 1) * self.patch[axis]);
        let step = self.window.stride[axis];
        if first >= last {
            return (0..0).step_by(1);
        }
        let ahead = tap * self.window.dilation[axis];
        let first_row = first * step + ahead - self.window.pads[axis];
        let last_row = (last - 1) * step + ahead - self.window.pads[axis];
        (first_row..last_row + 1).step_by(step)
    }

    /// The box sums of one channel, `[taps, patches]`, in plain integers.
    pub fn box_sums(&self, channel: &[i64]) -> Vec<i64> {
        let width = self.input[1];
        let mut sums = Vec::new();
        for (ky, kx) in self.every_tap() {
            for row in 0..self.grid[0] {
                let mut line = vec![0i64; width];
                for y in self.sources(0, row, ky) {
                    let pixels = &channel[y * width..(y + 1) * width];
                    line.iter_mut().zip(pixels).for_each(|(sum, x)| *sum += x);
                }
                for column in 0..self.grid[1] {
                    sums.push(self.sources(1, column, kx).map(|x| line[x]).sum());
                }
            }
        }
        sums
    }

    fn every_tap(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let [height, width] = self.taps();
        (0..height).flat_map(move |ky| (0..width).map(move |kx| (ky, kx)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn box_sums_are_sums_of_what_each_tap_meets() {
        let window = Window {
            kernel: [3, 2],
            stride: [2, 1],
            dilation: [1, 2],
            pads: [1, 0, 1, 2],
        };
        let input = Shape::new(1, 7, 6);
        let [h, w] = window.output(7, 6).unwrap();
        let output = Shape::new(1, h, w);
        let patch = Patch::Block { h: 3, w: 4 };
        let channel: Vec<i64> = (0..42).map(|i| (i * i * 31) % 101 - 50).collect();
        let reach = Reach::new(&window, input, output, patch);
        let [rows, columns] = reach.grid();
        let sums = reach.box_sums(&channel);
        for (at, sum) in sums.iter().enumerate() {
            let tap = at / (rows * columns);
            let place = at % (rows * columns);
            let mut expected = 0;
            for (y, x) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
                if (y / 3, x / 4) == (place / columns, place % columns)
                    && let Some(r) = window.source(0, y, tap / 2, 7)
                    && let Some(c) = window.source(1, x, tap % 2, 6)
                {
                    expected += channel[r * 6 + c];
                }
            }
            assert_eq!(*sum, expected, "tap {tap} of patch {place}");
        }
    }
}
