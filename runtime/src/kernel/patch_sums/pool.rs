//! Patch sums of a pooling: of the sums of windows, times a multiplier.

use trefoil_ir::mpc::patch_sums::{Reach, SumList};
use trefoil_ir::{Shape, Window};

use super::boxes::Spans;
use super::prefix::Prefixes;
use crate::kernel::isa::Isa;

/// Patch sums of windows' sums times one multiplier an entry, modulo 2³².
///
/// # Panics
///
/// If there are fewer multipliers than entries, or `x` is not of shape `input`.
pub fn pool_sums(
    isa: Isa,
    window: &Window,
    list: &SumList,
    x: &[u32],
    input: Shape,
    multiplier: &[i32],
) -> Vec<u32> {
    let isa = isa.clamped();
    let [h, w] = window.output(input.h, input.w).unwrap_or_default();
    let output = Shape::new(input.c, h, w);
    let prefixes = Prefixes::new(input, window);
    let taps = window.kernel[0] * window.kernel[1];
    let mut out = Vec::new();
    for (entry, (channel, patch)) in list.iter().enumerate() {
        let spans = Spans::new(&Reach::new(window, input, output, patch));
        let patches = patch.signs(h, w);
        let mut boxes = vec![0; taps * patches];
        let mut prefix = vec![0; prefixes.len()];
        let mut line = vec![0; prefixes.width()];
        let pixels = &x[channel * input.plane()..(channel + 1) * input.plane()];
        prefixes.fill(isa, pixels, &mut prefix);
        spans.take(&prefix, &mut line, &mut boxes, patches);
        for at in 0..patches {
            let of_taps = boxes.iter().skip(at).step_by(patches);
            let sum = of_taps.fold(0u32, |sum, of_tap| sum.wrapping_add(*of_tap));
            out.push(sum.wrapping_mul(multiplier[entry] as u32));
        }
    }
    out
}

/// An upper bound of the temporary memory that [`pool_sums`] takes.
pub fn pool_scratch_bytes(window: &Window, list: &SumList, input: Shape) -> usize {
    let [h, w] = window.output(input.h, input.w).unwrap_or_default();
    let output = Shape::new(input.c, h, w);
    let prefixes = Prefixes::new(input, window);
    let taps = window.kernel[0] * window.kernel[1];
    let mut largest = 0;
    for patch in &list.patches {
        let boxes = taps * patch.signs(h, w) * size_of::<u32>();
        let spans = Spans::bytes_of(&Reach::new(window, input, output, *patch));
        largest = largest.max(boxes + spans);
    }
    largest + (prefixes.len() + prefixes.width()) * size_of::<u32>()
}
