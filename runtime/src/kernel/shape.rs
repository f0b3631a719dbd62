//! The sizes of one convolution.

/// A two-dimensional convolution of one NCHW image: everything about it but the values.
///
/// A fully connected layer is a 1×1 convolution of a 1×1 map.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConvShape {
    /// Input channels.
    pub in_c: usize,
    /// Height of the input map.
    pub in_h: usize,
    /// Width of the input map.
    pub in_w: usize,
    /// Output channels.
    pub out_c: usize,
    /// Height and width of the filter.
    pub kernel: [usize; 2],
    /// Step of the filter, down and right; at least 1.
    pub stride: [usize; 2],
    /// Distance of neighbouring taps, down and right; at least 1.
    pub dilation: [usize; 2],
    /// Number of independent channel groups; divides `in_c` and `out_c`.
    pub groups: usize,
    /// Zeros around the map: top, left, bottom, right.
    pub pads: [usize; 4],
}

impl ConvShape {
    /// Height of the output map; 0 if the filter does not fit.
    pub fn out_h(&self) -> usize {
        let padded = self.in_h + self.pads[0] + self.pads[2];
        extent(padded, self.kernel[0], self.stride[0], self.dilation[0])
    }

    /// Width of the output map; 0 if the filter does not fit.
    pub fn out_w(&self) -> usize {
        let padded = self.in_w + self.pads[1] + self.pads[3];
        extent(padded, self.kernel[1], self.stride[1], self.dilation[1])
    }

    /// Elements of the input, `[in_c, in_h, in_w]`.
    pub fn input_len(&self) -> usize {
        self.in_c * self.in_h * self.in_w
    }

    /// Elements of the output, `[out_c, out_h, out_w]`.
    pub fn output_len(&self) -> usize {
        self.out_c * self.plane()
    }

    /// Elements of the weights, `[out_c, in_c / groups, kh, kw]`.
    pub fn weight_len(&self) -> usize {
        self.out_c * self.depth()
    }

    /// Multiply-adds of one image; those that meet padding are counted.
    pub fn macs(&self) -> u64 {
        self.output_len() as u64 * self.depth() as u64
    }

    /// Pixels of one output channel.
    pub(super) fn plane(&self) -> usize {
        self.out_h() * self.out_w()
    }

    /// Products that make up one output: the inner dimension of the matrix product.
    pub(super) fn depth(&self) -> usize {
        self.group_in() * self.kernel[0] * self.kernel[1]
    }

    /// Input channels of one group.
    pub(super) fn group_in(&self) -> usize {
        self.in_c / self.groups
    }

    /// Output channels of one group.
    pub(super) fn group_out(&self) -> usize {
        self.out_c / self.groups
    }
}

fn extent(padded: usize, kernel: usize, stride: usize, dilation: usize) -> usize {
    let reach = kernel.saturating_sub(1) * dilation + 1;
    padded.checked_sub(reach).map_or(0, |rest| rest / stride + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_a_strided_stem() {
        let stem = ConvShape {
            in_c: 3,
            in_h: 224,
            in_w: 224,
            out_c: 64,
            kernel: [7, 7],
            stride: [2, 2],
            dilation: [1, 1],
            groups: 1,
            pads: [3, 3, 3, 3],
        };
        assert_eq!((stem.out_h(), stem.out_w()), (112, 112));
        assert_eq!(stem.weight_len(), 64 * 147);
        assert_eq!(stem.macs(), 118_013_952);
    }

    #[test]
    fn a_filter_that_does_not_fit_has_no_output() {
        let shape = ConvShape {
            in_c: 1,
            in_h: 4,
            in_w: 4,
            out_c: 1,
            kernel: [3, 3],
            stride: [1, 1],
            dilation: [2, 2],
            groups: 1,
            pads: [0; 4],
        };
        assert_eq!(shape.output_len(), 0);
    }
}
