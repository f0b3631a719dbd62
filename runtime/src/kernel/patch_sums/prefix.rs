//! Prefix sums of the image.

use trefoil_ir::{Shape, Window};

use crate::kernel::isa::Isa;
use crate::kernel::micro::{Loop, widened};

/// Prefix sums of a channel: at `(y + step, x + step)` the sum of all pixels that are above and to
/// the left of `(y, x)`, or there, in whole steps of a window. Rows and columns below `step` are zero.
#[derive(Clone, Copy)]
pub(super) struct Prefixes {
    input: [usize; 2],
    step: [usize; 2],
}

impl Prefixes {
    pub(super) fn new(input: Shape, window: &Window) -> Self {
        Self {
            input: [input.h, input.w],
            step: window.step_within(input.h, input.w),
        }
    }

    /// Rows and columns of pixels.
    pub(super) fn input(&self) -> [usize; 2] {
        self.input
    }

    /// How far apart the rows and the columns are that are added up.
    pub(super) fn step(&self) -> [usize; 2] {
        self.step
    }

    /// Words of a line.
    pub(super) fn width(&self) -> usize {
        self.input[1] + self.step[1]
    }

    /// Words of one channel.
    pub(super) fn len(&self) -> usize {
        (self.input[0] + self.step[0]) * self.width()
    }

    /// The prefix sums of one channel, into memory that is zero.
    pub(super) fn fill(self, isa: Isa, pixels: &[u32], words: &mut [u32]) {
        let work = Fill {
            prefixes: self,
            pixels,
            words,
        };
        widened(isa, work);
    }
}

struct Fill<'a> {
    prefixes: Prefixes,
    pixels: &'a [u32],
    words: &'a mut [u32],
}

impl Loop for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Prefixes {
            input: [_, width],
            step: [down, across],
        } = self.prefixes;
        let stored = self.prefixes.width();
        for (y, row) in self.pixels.chunks_exact(width).enumerate() {
            let (above, below) = self.words.split_at_mut((y + down) * stored);
            let line = &mut below[..stored];
            line[across..].copy_from_slice(row);
            for first in across..(2 * across).min(stored) {
                let mut sum = 0u32;
                for pixel in line[first..].iter_mut().step_by(across) {
                    sum = sum.wrapping_add(*pixel);
                    *pixel = sum;
                }
            }
            let above = &above[y * stored..][..stored];
            for (sum, above) in line.iter_mut().zip(above) {
                *sum = sum.wrapping_add(*above);
            }
        }
    }
}
