//! Sliding windows: what convolutions and pools read of a map.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::shape::Shape;

/// A sliding window: the geometry that convolutions and pools share. Pairs are (height, width).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Window {
    /// Taps of the window.
    pub kernel: [usize; 2],
    /// Step between windows.
    pub stride: [usize; 2],
    /// Step between taps.
    pub dilation: [usize; 2],
    /// Rows and columns added around the map: top, left, bottom, right.
    pub pads: [usize; 4],
}

/// Why a window does not fit a map.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum WindowError {
    /// A kernel, stride or dilation of zero, or a number beyond anything sensible.
    #[error("kernel, stride and dilation must be positive, and all parameters of a window at most 65536")]
    OutOfRange,
    /// The padded map is smaller than the window.
    #[error("the window of {extent:?} does not fit the padded map of {padded:?}")]
    TooLarge {
        /// Rows and columns that the dilated window spans.
        extent: [usize; 2],
        /// Rows and columns of the padded map.
        padded: [usize; 2],
    },
}

impl Window {
    /// A window with stride and dilation 1 and no padding.
    pub fn dense(kernel: [usize; 2]) -> Self {
        Self {
            kernel,
            stride: [1, 1],
            dilation: [1, 1],
            pads: [0; 4],
        }
    }

    /// Rows and columns that the dilated window spans.
    pub fn extent(&self) -> [usize; 2] {
        [0, 1].map(|i| (self.kernel[i] - 1) * self.dilation[i] + 1)
    }

    /// Height and width of the output for a map of `h` x `w`.
    ///
    /// # Errors
    /// If a parameter is out of range or the window is larger than the padded map.
    pub fn output(&self, h: usize, w: usize) -> Result<[usize; 2], WindowError> {
        self.check()?;
        let extent = self.extent();
        let padded = [h + self.pads[0] + self.pads[2], w + self.pads[1] + self.pads[3]];
        if extent[0] > padded[0] || extent[1] > padded[1] {
            return Err(WindowError::TooLarge { extent, padded });
        }
        Ok([0, 1].map(|i| (padded[i] - extent[i]) / self.stride[i] + 1))
    }

    /// Index of the map's row or column that tap `tap` of window `at` reads, along `axis`
    /// (0 height, 1 width); `None` where it lies in the padding.
    pub fn source(&self, axis: usize, at: usize, tap: usize, size: usize) -> Option<usize> {
        let position = at * self.stride[axis] + tap * self.dilation[axis];
        let index = position.checked_sub(self.pads[axis])?;
        (index < size).then_some(index)
    }

    /// The taps of window `at` that read the map along `axis`, whose size is `size`: those before lie
    /// in the padding in front, those behind in the padding at the end.
    pub fn taps_inside(&self, axis: usize, at: usize, size: usize) -> Range<usize> {
        let start = at * self.stride[axis];
        let step = self.dilation[axis];
        let end = first_from(size + self.pads[axis], start, step).min(self.kernel[axis]);
        first_from(self.pads[axis], start, step).min(end)..end
    }

    /// The rows or columns of a map that window `at` reads along `axis`.
    fn sources(&self, axis: usize, at: usize, size: usize) -> impl Iterator<Item = usize> {
        let start = at * self.stride[axis];
        let step = self.dilation[axis];
        let pad = self.pads[axis];
        let taps = self.taps_inside(axis, at, size);
        taps.map(move |tap| start + tap * step - pad)
    }

    /// How many taps all `out` windows along an axis of `size` have inside together. Takes no longer
    /// for large maps.
    pub fn taps_of_all(&self, axis: usize, size: usize, out: usize) -> u64 {
        let taps = 0..self.kernel[axis];
        taps.map(|tap| self.windows_inside(axis, tap, size, out).len() as u64)
            .sum()
    }

    /// The windows, of `out` along `axis`, whose tap number `tap` reads the map.
    pub fn windows_inside(&self, axis: usize, tap: usize, size: usize, out: usize) -> Range<usize> {
        let start = tap * self.dilation[axis];
        let step = self.stride[axis];
        let end = first_from(size + self.pads[axis], start, step).min(out);
        first_from(self.pads[axis], start, step).min(end)..end
    }

    /// Whether every one of `out` windows along `axis` has a tap inside a map of `size`. Takes no
    /// longer for large maps: a window that begins inside the map has its first tap there.
    pub fn every_window_sees(&self, axis: usize, size: usize, out: usize) -> bool {
        let stride = self.stride[axis];
        let pad = self.pads[axis];
        // The last window is the last to begin, at the end of the map or behind it.
        let last_begins_inside = (out - 1) * stride < size + pad;
        // Taps no farther apart than the map is large do not pass over it: of the windows that begin in
        // front of it the first has the least of it.
        let begin_before = match self.dilation[axis] <= size {
            true => pad.min(1),
            false => pad.div_ceil(stride).min(out),
        };
        last_begins_inside && (0..begin_before).all(|at| !self.taps_inside(axis, at, size).is_empty())
    }

    /// How far apart the rows and columns of a map of `h` x `w` are that one tap reads. A stride
    /// beyond the map, with which it reads but one, counts as the map's size.
    pub fn step_within(&self, h: usize, w: usize) -> [usize; 2] {
        [self.stride[0].min(h), self.stride[1].min(w)]
    }

    fn check(&self) -> Result<(), WindowError> {
        const LIMIT: usize = 1 << 16;
        let positive = [self.kernel, self.stride, self.dilation];
        let sane = positive.iter().flatten().all(|size| (1..=LIMIT).contains(size))
            && self.pads.iter().all(|&p| p <= LIMIT);
        if sane {
            Ok(())
        } else {
            Err(WindowError::OutOfRange)
        }
    }
}

/// The first of a row of positions, `step` apart from `start` on, that is `position` or behind it.
fn first_from(position: usize, start: usize, step: usize) -> usize {
    position.saturating_sub(start).div_ceil(step)
}

/// Calls `visit` with the indices (into one channel) that each window of the output reads, in
/// row-major order; padding is left out.
pub fn for_each_window(window: &Window, input: Shape, output: Shape, mut visit: impl FnMut(&[usize])) {
    let mut taps = Vec::new();
    for y in 0..output.h {
        for x in 0..output.w {
            taps.clear();
            for row in window.sources(0, y, input.h) {
                taps.extend(window.sources(1, x, input.w).map(|column| row * input.w + column));
            }
            visit(&taps);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_follows_the_floor_formula() {
        let window = Window {
            kernel: [3, 3],
            stride: [2, 2],
            dilation: [1, 1],
            pads: [0, 0, 1, 1],
        };
        assert_eq!(window.output(7, 8), Ok([3, 4]));
        assert!(window.output(1, 1).is_err());
    }

    /// All windows over short axes, against one tap after another.
    #[test]
    fn taps_inside_are_those_that_have_a_source() {
        let each = |check: &dyn Fn(Window, usize)| {
            for all in 0..4 * 4 * 4 * 9 * 5 * 6 {
                // The digits of a number in mixed radix.
                let mut rest = all;
                let mut next = |radix: usize| {
                    let digit = rest % radix;
                    rest /= radix;
                    digit
                };
                let [kernel, stride, dilation] = [next(4) + 1, next(4) + 1, next(4) + 1];
                let [before, after, size] = [next(9), next(5), next(6) + 1];
                let window = Window {
                    kernel: [kernel; 2],
                    stride: [stride; 2],
                    dilation: [dilation; 2],
                    pads: [before, before, after, after],
                };
                check(window, size);
            }
        };
        each(&|window, size| {
            let Ok([out, _]) = window.output(size, size) else {
                return;
            };
            let inside = |at: usize| -> Vec<usize> {
                (0..window.kernel[0])
                    .filter(|&tap| window.source(0, at, tap, size).is_some())
                    .collect()
            };
            let all: Vec<Vec<usize>> = (0..out).map(inside).collect();
            for (at, taps) in all.iter().enumerate() {
                assert!(
                    window.taps_inside(0, at, size).eq(taps.iter().copied()),
                    "{window:?} {size} {at}"
                );
            }
            let count: usize = all.iter().map(Vec::len).sum();
            assert_eq!(
                window.taps_of_all(0, size, out),
                count as u64,
                "{window:?} {size}"
            );
            let seen = all.iter().all(|taps| !taps.is_empty());
            assert_eq!(window.every_window_sees(0, size, out), seen, "{window:?} {size}");
            for tap in 0..window.kernel[0] {
                let reads = (0..out).filter(|&at| all[at].contains(&tap));
                assert!(
                    window.windows_inside(0, tap, size, out).eq(reads),
                    "{window:?} {size} {tap}"
                );
            }
        });
    }
}
