//! Sums over patches, as values of an opening.

use trefoil_ir::Patch;
use trefoil_ir::mpc::gate::{Group, Opening};

use super::operand::Exact;
use crate::pool;

/// The sums of one of the group's openings in Z_2^32: out of those that were computed apart, or added
/// up from the layer's pixels.
pub fn opened_sums(group: &Group, opening: &Opening, exact: Exact<'_>) -> Vec<u32> {
    let mut sums = pool::zeroed(opening.count());
    let mut rest = &mut sums[..];
    for (at, &c) in group.channels.iter().enumerate() {
        let count = opening.starts[at + 1] - opening.starts[at];
        let (own, behind) = rest.split_at_mut(count);
        rest = behind;
        match opening.sums[at] {
            Some(start) => own.copy_from_slice(&exact.sums[start..start + count]),
            None => {
                let plane = group.map[0] * group.map[1];
                patch_sums(
                    opening.patches[at],
                    group.map[1],
                    &exact.pixels[c * plane..][..plane],
                    own,
                );
            }
        }
    }
    sums
}

/// Adds the pixels of each patch of a channel up.
fn patch_sums(patch: Patch, width: usize, pixels: &[u32], sums: &mut [u32]) {
    let Patch::Block { h, w } = patch else { return };
    let [h, w] = [h, w].map(usize::from);
    let columns = width.div_ceil(w);
    for (y, row) in pixels.chunks(width).enumerate() {
        let sums = &mut sums[y / h * columns..][..columns];
        for (sum, pixels) in sums.iter_mut().zip(row.chunks(w)) {
            *sum = pixels.iter().fold(*sum, |s, &p| s.wrapping_add(p));
        }
    }
}
