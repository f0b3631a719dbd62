//! Padding.

use serde::{Deserialize, Serialize};

use super::shape::{MAX_ELEMENTS, Shape};

/// Padding with zeros, of maps and of channels (as in ResNet's option-A shortcut).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pad {
    /// Channels, rows, columns put before.
    pub before: [usize; 3],
    /// Channels, rows, columns put behind.
    pub after: [usize; 3],
}

impl Pad {
    /// Shape of the padded value; `None` if it has more than [`MAX_ELEMENTS`].
    pub fn output(&self, input: Shape) -> Option<Shape> {
        let shape = Shape {
            c: self.padded(0, input.c)?,
            h: self.padded(1, input.h)?,
            w: self.padded(2, input.w)?,
        };
        shape.is_sane().then_some(shape)
    }

    /// Size of one side of the padded value: channels, rows, columns.
    fn padded(&self, side: usize, size: usize) -> Option<usize> {
        let padded = size
            .checked_add(self.before[side])?
            .checked_add(self.after[side])?;
        (padded <= MAX_ELEMENTS).then_some(padded)
    }

    /// Pads `values` of shape `input` with `fill`.
    pub fn apply<T: Copy>(&self, values: &[T], input: Shape, output: Shape, fill: T) -> Vec<T> {
        let mut result = vec![fill; output.len()];
        let [pc, ph, pw] = self.before;
        for (row, source) in values.chunks_exact(input.w).enumerate() {
            let c = row / input.h;
            let y = row % input.h;
            let start = ((c + pc) * output.h + y + ph) * output.w + pw;
            result[start..start + input.w].copy_from_slice(source);
        }
        result
    }
}
