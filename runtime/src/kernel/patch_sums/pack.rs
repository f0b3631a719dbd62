//! Weights of patch sums in the order in which the product reads them.

use std::collections::BTreeMap;

use trefoil_ir::mpc::patch_sums::SumList;
use trefoil_ir::{Patch, Shape};

use super::boxes::Spans;
use super::deep;
use super::{Geometry, GroupEntries, LANES, PackedSums, PatchClass, whole};
use crate::kernel::isa::Isa;
use crate::kernel::shape::ConvShape;

impl PackedSums {
    /// Arranges `weights`, `[entries, in_c / groups, kh, kw]`, for the sums in `list` over the map of
    /// the convolution `shape`.
    ///
    /// # Panics
    ///
    /// If `weights` does not have the length that `shape` and `list` tell.
    pub fn pack(isa: Isa, shape: &ConvShape, list: &SumList, weights: &[u32]) -> Self {
        assert_eq!(
            weights.len(),
            list.patches.len() * shape.depth(),
            "weights must fit the list of sums"
        );
        let geometry = Geometry::new(shape);
        let Shape { h, w, .. } = geometry.output;
        let starts = list.starts(h, w);
        let taps = shape.kernel[0] * shape.kernel[1];
        let mut classes = Vec::new();
        for (patch, by_group) in entries_by_patch(shape, list) {
            let patches = patch.signs(h, w);
            let mut parts = Vec::with_capacity(by_group.len());
            for (group, entries) in by_group {
                let by_patch = patches_are_columns(patches, entries.len());
                let line = if by_patch {
                    entries.len()
                } else {
                    whole(entries.len())
                };
                parts.push(GroupEntries {
                    group,
                    starts: entries.iter().map(|&entry| starts[entry]).collect(),
                    by_patch,
                    weights: match geometry.is_deep() {
                        true => deep::arranged(&entries, geometry.group_in, taps, weights),
                        false => transposed(&entries, line, shape.depth(), weights),
                    },
                });
            }
            classes.push(PatchClass {
                spans: Spans::new(&geometry.reach(patch)),
                taps,
                patches,
                parts,
            });
        }
        Self {
            isa: isa.clamped(),
            len: list.patches.iter().map(|patch| patch.signs(h, w)).sum(),
            classes,
            geometry,
        }
    }
}

/// The entries of a list, by their patch and the group of the convolution that their channel is in.
fn entries_by_patch(shape: &ConvShape, list: &SumList) -> BTreeMap<Patch, BTreeMap<usize, Vec<usize>>> {
    let per_group = shape.out_c / shape.groups;
    let mut by_patch: BTreeMap<Patch, BTreeMap<usize, Vec<usize>>> = BTreeMap::new();
    for (entry, (channel, patch)) in list.iter().enumerate() {
        let by_group = by_patch.entry(patch).or_default();
        by_group.entry(channel / per_group).or_default().push(entry);
    }
    by_patch
}

/// Whether so many patches are the columns of a product, and so many entries its rows: columns are
/// whole vectors, and the fewer are better.
fn patches_are_columns(patches: usize, entries: usize) -> bool {
    entries * patches.div_ceil(LANES) <= patches * entries.div_ceil(LANES)
}

/// The weights of some entries, `[depth, entries]`, each line filled up to `line` words.
fn transposed(entries: &[usize], line: usize, depth: usize, weights: &[u32]) -> Vec<u32> {
    let mut lines = vec![0; depth * line];
    for (at, entry) in entries.iter().enumerate() {
        let row = &weights[entry * depth..][..depth];
        let places = lines[at..].iter_mut().step_by(line);
        places.zip(row).for_each(|(to, from)| *to = *from);
    }
    lines
}
