//! A stretch of a stream, read block by block.

use trefoil_ir::mpc::gate::BLOCK;

use super::{Bits, Halves, Words};
use crate::prg::Region;

const OTHER_WIDTH: &str = "masks are read as wide as they were drawn";

/// Masks for the values of a segment: of each block so many bytes, which one read takes as a whole.
pub struct Masks {
    region: Region,
    bytes: usize,
}

impl Masks {
    /// Bytes of `planes` bits of each value of a block.
    pub const fn plane_bytes(planes: usize) -> usize {
        planes * size_of::<Bits>()
    }

    /// Bytes of 16 bits of each value of a block.
    pub const HALVES: usize = 2 * BLOCK;

    /// Bytes of 32 bits of each value of a block.
    pub const WORDS: usize = 4 * BLOCK;

    /// A stretch that has `bytes` for each block.
    pub fn new(region: Region, bytes: usize) -> Self {
        Self { region, bytes }
    }

    /// Single bits, plane after plane.
    pub fn planes(&self, block: usize, planes: &mut [Bits]) {
        assert_eq!(self.bytes, Self::plane_bytes(planes.len()), "{OTHER_WIDTH}");
        self.region.fill(block * self.bytes, planes.as_flattened_mut());
    }

    /// One bit of each value.
    pub fn plane(&self, block: usize) -> Bits {
        let mut plane = [Bits::default()];
        self.planes(block, &mut plane);
        plane[0]
    }

    /// 16 bits of each value.
    pub fn halves(&self, block: usize) -> Halves {
        assert_eq!(self.bytes, Self::HALVES, "{OTHER_WIDTH}");
        let mut values = [0; BLOCK];
        self.region.fill(block * self.bytes, &mut values);
        values
    }

    /// 32 bits of each value.
    pub fn words(&self, block: usize) -> Words {
        assert_eq!(self.bytes, Self::WORDS, "{OTHER_WIDTH}");
        let mut values = [0; BLOCK];
        self.region.fill(block * self.bytes, &mut values);
        values
    }
}
