//! The order of elements within a group: channel after channel, row after row; patches likewise.

use std::borrow::Cow;

use trefoil_ir::mpc::gate::{Group, Opening};
use trefoil_ir::mpc::sums::sum_threshold;
use trefoil_ir::patch::{Patch, patch_area};

use super::gate::{Exact, Levels};

/// Whether the group is the whole layer, in order, so that nothing need be copied.
fn is_everything(group: &Group, values: usize) -> bool {
    group.pixels() == values
}

fn plane(group: &Group) -> usize {
    group.map[0] * group.map[1]
}

/// The group's elements out of a layer's.
pub fn gather<'a, T: Copy>(group: &Group, values: &'a [T]) -> Cow<'a, [T]> {
    if is_everything(group, values.len()) {
        return Cow::Borrowed(values);
    }
    let plane = plane(group);
    let mut result = Vec::with_capacity(group.pixels());
    for &c in &group.channels {
        result.extend_from_slice(&values[c * plane..(c + 1) * plane]);
    }
    Cow::Owned(result)
}

/// Puts the group's elements into a layer's.
pub fn scatter<T: Copy>(group: &Group, part: &[T], values: &mut [T]) {
    let plane = plane(group);
    for (&c, channel) in group.channels.iter().zip(part.chunks(plane)) {
        values[c * plane..(c + 1) * plane].copy_from_slice(channel);
    }
}

/// The sums of one of the group's openings in Z_2^32: out of those that were computed apart, or added
/// up from the layer's pixels.
pub fn opened_sums(group: &Group, opening: &Opening, exact: Exact<'_>) -> Vec<u32> {
    let Some(starts) = &opening.starts else {
        return patch_sums(group, opening.patch, exact.pixels);
    };
    let count = opening.patch.signs(group.map[0], group.map[1]);
    let sums = starts.iter().flat_map(|&start| &exact.sums[start..start + count]);
    sums.copied().collect()
}

/// Sums over the patches of the group's channels in Z_2^32, out of a layer's values.
pub fn patch_sums(group: &Group, patch: Patch, values: &[u32]) -> Vec<u32> {
    let [h, w] = group.map;
    let Patch::Block { h: ph, w: pw } = patch else {
        return Vec::new();
    };
    let (ph, pw) = (usize::from(ph), usize::from(pw));
    let [rows, columns] = patch.grid(h, w);
    let mut sums = vec![0u32; group.channels.len() * rows * columns];
    for (&c, sums) in group.channels.iter().zip(sums.chunks_mut(rows * columns)) {
        for (y, row) in values[c * h * w..(c + 1) * h * w].chunks(w).enumerate() {
            let sums = &mut sums[y / ph * columns..][..columns];
            for (sum, pixels) in sums.iter_mut().zip(row.chunks(pw)) {
                *sum = pixels.iter().fold(*sum, |s, &p| s.wrapping_add(p));
            }
        }
    }
    sums
}

/// One value per patch, as one per pixel.
pub fn spread<'a, T: Copy>(group: &Group, patch: Patch, per_patch: &'a [T]) -> Cow<'a, [T]> {
    if patch.is_pixel() {
        return Cow::Borrowed(per_patch);
    }
    let [h, w] = group.map;
    let Patch::Block { h: ph, w: pw } = patch else {
        return Cow::Borrowed(per_patch);
    };
    let (ph, pw) = (usize::from(ph), usize::from(pw));
    let [rows, columns] = patch.grid(h, w);
    let mut pixels = Vec::with_capacity(group.pixels());
    for channel in per_patch.chunks(rows * columns) {
        for y in 0..h {
            let row = &channel[y / ph * columns..][..columns];
            for (at, &value) in row.iter().enumerate() {
                pixels.extend(std::iter::repeat_n(value, pw.min(w - at * pw)));
            }
        }
    }
    Cow::Owned(pixels)
}

/// The threshold of an upper sign for each value of an opening: the channel's level times the
/// number of pixels that the value sums up, modulo 2^16.
pub fn thresholds(group: &Group, opening: &Opening, levels: Levels<'_>) -> Vec<u16> {
    let [h, w] = group.map;
    let patch = opening.patch;
    let threshold = |c: usize, area: usize| match opening.starts {
        None => (levels.pixels[c] as u32).wrapping_mul(area as u32) as u16,
        Some(_) => sum_threshold(i64::from(levels.sums[c]), area as i64) as u16,
    };
    let [rows, columns] = patch.grid(h, w);
    let mut result = Vec::with_capacity(group.channels.len() * rows * columns);
    for &c in &group.channels {
        for at in 0..rows * columns {
            let area = patch_area(patch, at / columns, at % columns, h, w);
            result.push(threshold(c, area));
        }
    }
    result
}

/// The channel's level for each pixel of the group, modulo 2^16.
pub fn pixel_levels(group: &Group, levels: &[i32]) -> Vec<u16> {
    let plane = plane(group);
    group
        .channels
        .iter()
        .flat_map(|&c| std::iter::repeat_n(levels[c] as u16, plane))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use trefoil_ir::Shape;
    use trefoil_ir::mpc::gate::groups;

    #[test]
    fn sums_and_spreading_agree_on_patches_that_do_not_divide_the_map() {
        let patch = Patch::Block { h: 2, w: 3 };
        let shape = Shape::new(3, 5, 7);
        let all = groups(&vec![Patch::Identity, patch, patch], None, shape, false);
        let group = &all[1];
        assert_eq!(group.channels, [1, 2]);
        let ones = vec![1u32; shape.len()];
        let sums = patch_sums(group, patch, &ones);
        let one = Levels {
            pixels: &[1; 3],
            sums: &[],
        };
        let level_one = thresholds(group, &group.openings[1], one);
        assert!(sums.iter().zip(&level_one).all(|(s, t)| *s == u32::from(*t)));
        let spread = spread(group, patch, &sums);
        assert_eq!(spread.len(), group.pixels());
        assert_eq!(spread[7 * 5 - 1], 1); // bottom right corner: one row, one column
        assert_eq!(spread[0], 6);
    }

    #[test]
    fn gathering_and_scattering_are_inverse() {
        let shape = Shape::new(3, 2, 2);
        let all = groups(
            &vec![Patch::PIXEL, Patch::Identity, Patch::PIXEL],
            None,
            shape,
            false,
        );
        let values: Vec<u32> = (0..12).collect();
        let mut back = vec![99; 12];
        for group in &all {
            scatter(group, &gather(group, &values), &mut back);
        }
        assert_eq!(back, values);
    }
}
