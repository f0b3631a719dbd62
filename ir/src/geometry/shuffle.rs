//! Shuffles: blocks of pixels become channels, or channels blocks of pixels.

use serde::{Deserialize, Serialize};

use super::shape::Shape;

/// An exchange of pixels and channels: the `block * block` pixels of each block of a map are as many
/// channels of one pixel of a smaller map.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shuffle {
    /// Rows and columns of a block.
    pub block: usize,
    /// Which way, and in which order the channels stand.
    pub mode: ShuffleMode,
}

/// Where a shuffle takes its elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ShuffleMode {
    /// Pixels become channels: of all channels the first pixels of the blocks, then of all the second
    /// (ONNX's SpaceToDepth).
    ToDepth,
    /// The way back (ONNX's DepthToSpace, depth first).
    ToSpace,
    /// Channels become pixels, and those of one block are neighbours (PyTorch's PixelShuffle; ONNX's
    /// DepthToSpace, columns and rows first).
    NeighboursToSpace,
}

impl Shuffle {
    /// Shape of the result, if the block divides what it takes apart.
    pub fn output(&self, input: Shape) -> Option<Shape> {
        let Shape { c, h, w } = input;
        let block = self.block;
        let pixels = block.checked_mul(block).filter(|&pixels| pixels > 0)?;
        let shape = match self.mode {
            ShuffleMode::ToDepth => {
                let is_whole = h % block == 0 && w % block == 0;
                is_whole.then_some(Shape::new(c.checked_mul(pixels)?, h / block, w / block))?
            }
            ShuffleMode::ToSpace | ShuffleMode::NeighboursToSpace => {
                let is_whole = c % pixels == 0;
                is_whole.then_some(Shape::new(
                    c / pixels,
                    h.checked_mul(block)?,
                    w.checked_mul(block)?,
                ))?
            }
        };
        shape.is_sane().then_some(shape)
    }

    /// Whether channels become pixels.
    pub fn to_space(&self) -> bool {
        match self.mode {
            ShuffleMode::ToDepth => false,
            ShuffleMode::ToSpace | ShuffleMode::NeighboursToSpace => true,
        }
    }

    /// The channel of the larger map, which has so many, whose elements a channel of the smaller one
    /// holds.
    pub fn channel_of_large(&self, small: usize, channels: usize) -> usize {
        match self.mode {
            ShuffleMode::ToDepth | ShuffleMode::ToSpace => small % channels,
            ShuffleMode::NeighboursToSpace => small / (self.block * self.block),
        }
    }

    /// The shuffled elements of a value of shape `input`, put behind what `result` holds.
    pub fn apply_onto<T: Copy>(&self, values: &[T], input: Shape, output: Shape, result: &mut Vec<T>) {
        match self.to_space() {
            true => self.to_large(values, input, output, result),
            false => self.to_small(values, input, output, result),
        }
    }

    /// The same elements.
    pub fn apply<T: Copy>(&self, values: &[T], input: Shape, output: Shape) -> Vec<T> {
        let mut result = Vec::with_capacity(output.len());
        self.apply_onto(values, input, output, &mut result);
        result
    }

    /// The elements of a value of shape `input` from those of the shuffled one.
    pub fn undo<T: Copy>(&self, values: &[T], input: Shape, output: Shape) -> Vec<T> {
        let mut result = Vec::with_capacity(input.len());
        match self.to_space() {
            true => self.to_small(values, output, input, &mut result),
            false => self.to_large(values, output, input, &mut result),
        }
        result
    }

    fn to_large<T: Copy>(&self, values: &[T], small: Shape, large: Shape, result: &mut Vec<T>) {
        for row in 0..large.c * large.h {
            let c = row / large.h;
            let y = row % large.h;
            for x in 0..large.w {
                let channel = self.channel_of_small(c, [y, x], large.c);
                result.push(values[(channel * small.h + y / self.block) * small.w + x / self.block]);
            }
        }
    }

    fn to_small<T: Copy>(&self, values: &[T], large: Shape, small: Shape, result: &mut Vec<T>) {
        for row in 0..small.c * small.h {
            let channel = row / small.h;
            let y = row % small.h * self.block;
            let c = self.channel_of_large(channel, large.c);
            let [down, across] = self.place_in_block(channel, large.c);
            let start = (c * large.h + y + down) * large.w;
            let line = &values[start..start + large.w];
            result.extend(line[across..].iter().step_by(self.block));
        }
    }

    /// The channel of the smaller map that holds pixels of this place of a channel of the larger one.
    fn channel_of_small(&self, c: usize, [y, x]: [usize; 2], channels: usize) -> usize {
        let place = y % self.block * self.block + x % self.block;
        match self.mode {
            ShuffleMode::ToDepth | ShuffleMode::ToSpace => place * channels + c,
            ShuffleMode::NeighboursToSpace => c * self.block * self.block + place,
        }
    }

    /// The place in each block that a channel of the smaller map holds.
    fn place_in_block(&self, small: usize, channels: usize) -> [usize; 2] {
        let place = match self.mode {
            ShuffleMode::ToDepth | ShuffleMode::ToSpace => small / channels,
            ShuffleMode::NeighboursToSpace => small % (self.block * self.block),
        };
        [place / self.block, place % self.block]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODES: [ShuffleMode; 3] = [
        ShuffleMode::ToDepth,
        ShuffleMode::ToSpace,
        ShuffleMode::NeighboursToSpace,
    ];

    fn shuffled(mode: ShuffleMode, input: Shape) -> Vec<usize> {
        let shuffle = Shuffle { block: 2, mode };
        let values: Vec<usize> = (0..input.len()).collect();
        shuffle.apply(&values, input, shuffle.output(input).unwrap())
    }

    #[test]
    fn elements_go_where_onnx_says() {
        // Eight channels of one row of two pixels.
        let deep = Shape::new(8, 1, 2);
        let depth_first = [0, 4, 1, 5, 8, 12, 9, 13, 2, 6, 3, 7, 10, 14, 11, 15];
        assert_eq!(shuffled(ShuffleMode::ToSpace, deep), depth_first);
        let neighbours = [0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15];
        assert_eq!(shuffled(ShuffleMode::NeighboursToSpace, deep), neighbours);
        let wide = Shape::new(2, 2, 4);
        let to_depth = [0, 2, 8, 10, 1, 3, 9, 11, 4, 6, 12, 14, 5, 7, 13, 15];
        assert_eq!(shuffled(ShuffleMode::ToDepth, wide), to_depth);
    }

    #[test]
    fn every_shuffle_can_be_undone() {
        let input = Shape::new(18, 6, 3);
        let values: Vec<usize> = (0..input.len()).collect();
        for mode in MODES {
            let shuffle = Shuffle { block: 3, mode };
            let output = shuffle.output(input).unwrap();
            let there = shuffle.apply(&values, input, output);
            assert_eq!(shuffle.undo(&there, input, output), values, "{mode:?}");
        }
    }

    #[test]
    fn blocks_that_do_not_fit_are_refused() {
        let input = Shape::new(8, 4, 6);
        for mode in MODES {
            for block in [0, 3, 5, 1 << 32, usize::MAX] {
                assert_eq!(Shuffle { block, mode }.output(input), None, "{mode:?} {block}");
            }
        }
    }
}
