//! Patches and their signs over one channel.

use crate::geometry::{Patch, Shape};

/// Sums of a channel of `h` x `w` pixels over its patches, in row-major order of the patches.
pub fn patch_sums(channel: &[f32], patch: Patch, h: usize, w: usize) -> Vec<f32> {
    let Patch::Block { h: ph, w: pw } = patch else {
        return Vec::new();
    };
    let (ph, pw) = (usize::from(ph), usize::from(pw));
    let columns = w.div_ceil(pw);
    let mut sums = vec![0f32; h.div_ceil(ph) * columns];
    for (i, value) in channel.iter().enumerate() {
        sums[(i / w / ph) * columns + (i % w) / pw] += value;
    }
    sums
}

/// The sign of `x - threshold` for every pixel of a channel of this shape, taken over its patch;
/// `identity` where there is none.
pub fn signs(channel: &[f32], patch: Patch, threshold: f32, identity: bool, shape: Shape) -> Vec<bool> {
    let Patch::Block { h, w } = patch else {
        return vec![identity; channel.len()];
    };
    if patch.is_pixel() {
        return channel.iter().map(|x| x - threshold > 0.0).collect();
    }
    let shifted: Vec<f32> = channel.iter().map(|x| x - threshold).collect();
    let sums = patch_sums(&shifted, patch, shape.h, shape.w);
    let columns = shape.w.div_ceil(usize::from(w));
    let at = |i: usize| (i / shape.w / usize::from(h)) * columns + (i % shape.w) / usize::from(w);
    (0..channel.len()).map(|i| sums[at(i)] > 0.0).collect()
}
