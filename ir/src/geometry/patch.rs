//! Patches: which pixels of a channel share one sign.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::shape::Shape;

/// What a channel's sign is taken over (Gorski et al., section "Block-ReLU").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Patch {
    /// No sign: the channel passes unchanged (or, for the upper sign of a clip, unclipped).
    Identity,
    /// The map is cut from the top left into patches of `h` x `w` pixels, smaller at the border;
    /// the pixels of each share the sign of their sum.
    Block {
        /// Height in pixels.
        h: u16,
        /// Width in pixels.
        w: u16,
    },
}

/// One patch per channel.
pub type Patches = Vec<Patch>;

impl Patch {
    /// The ordinary ReLU: every pixel has a sign of its own.
    pub const PIXEL: Patch = Patch::Block { h: 1, w: 1 };

    /// Rows and columns of patches on a map of `h` x `w` pixels; `[0, 0]` for the identity.
    pub fn grid(&self, h: usize, w: usize) -> [usize; 2] {
        match *self {
            Patch::Identity => [0, 0],
            Patch::Block { h: ph, w: pw } => [h.div_ceil(usize::from(ph)), w.div_ceil(usize::from(pw))],
        }
    }

    /// DReLUs that this patch costs on one channel of `h` x `w` pixels.
    pub fn signs(&self, h: usize, w: usize) -> usize {
        let [rows, columns] = self.grid(h, w);
        rows * columns
    }

    /// Whether every pixel has its own sign.
    pub fn is_pixel(&self) -> bool {
        *self == Patch::PIXEL
    }

    /// Whether the patch has a positive size that a map of this shape can hold.
    pub fn fits(&self, shape: Shape) -> bool {
        match *self {
            Patch::Identity => true,
            Patch::Block { h, w } => {
                (1..=shape.h).contains(&usize::from(h)) && (1..=shape.w).contains(&usize::from(w))
            }
        }
    }

    /// The patch as `[h, w]`, `[0, 1]` being the identity (the form of assignment files).
    pub fn to_pair(self) -> [u16; 2] {
        match self {
            Patch::Identity => [0, 1],
            Patch::Block { h, w } => [h, w],
        }
    }

    /// Reads `[h, w]`; `[0, 1]` is the identity, any other zero is refused.
    pub fn from_pair(pair: [u16; 2]) -> Option<Self> {
        match pair {
            [0, 1] => Some(Patch::Identity),
            [0, _] | [_, 0] => None,
            [h, w] => Some(Patch::Block { h, w }),
        }
    }
}

impl fmt::Display for Patch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [h, w] = self.to_pair();
        write!(f, "{h}x{w}")
    }
}

/// Whether no sign is taken of any channel.
pub fn all_identities(patches: &[Patch]) -> bool {
    patches.iter().all(|patch| *patch == Patch::Identity)
}

/// Whether every pixel of every channel has its own sign.
pub fn all_pixels(patches: &[Patch]) -> bool {
    patches.iter().all(Patch::is_pixel)
}

/// Number of pixels in patch (`row`, `column`) of a map of `h` x `w`: fewer at the border.
pub fn patch_area(patch: Patch, row: usize, column: usize, h: usize, w: usize) -> usize {
    match patch {
        Patch::Identity => 0,
        Patch::Block { h: ph, w: pw } => {
            side_of_patch(row, usize::from(ph), h) * side_of_patch(column, usize::from(pw), w)
        }
    }
}

/// Rows or columns of patch number `at`, `size` of them but for the last one of the `whole` axis.
fn side_of_patch(at: usize, size: usize, whole: usize) -> usize {
    size.min(whole.saturating_sub(at * size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn border_patches_are_smaller() {
        let patch = Patch::Block { h: 3, w: 2 };
        assert_eq!(patch.grid(7, 5), [3, 3]);
        let areas: usize = (0..3)
            .flat_map(|r| (0..3).map(move |c| patch_area(patch, r, c, 7, 5)))
            .sum();
        assert_eq!(areas, 35);
        assert_eq!(patch_area(patch, 2, 2, 7, 5), 1);
        assert_eq!(Patch::Identity.signs(7, 5), 0);
    }

    #[test]
    fn pairs_read_back_and_zeros_are_refused() {
        for patch in [Patch::Identity, Patch::PIXEL, Patch::Block { h: 7, w: 14 }] {
            assert_eq!(Patch::from_pair(patch.to_pair()), Some(patch));
        }
        for bad in [[0, 0], [0, 2], [3, 0]] {
            assert_eq!(Patch::from_pair(bad), None);
        }
    }
}
