//! What the kernels are measured against: the product of two f32 matrices by crates that are made
//! for it, on one thread.
//!
//! A convolution is the product of its weights, m x k, with its patches, k x n, for m output
//! channels, n pixels and k products a pixel. Here the patches lie ready in memory, which a
//! convolution with a filter beyond 1x1 has to bring about first.
#![allow(unsafe_code)] // both crates' interfaces take raw pointers

use trefoil_runtime::kernel::ConvShape;

use super::random;

/// A product of the sizes that one convolution comes to.
pub(crate) struct Product {
    m: usize,
    k: usize,
    n: usize,
    left: Vec<f32>,
    right: Vec<f32>,
    out: Vec<f32>,
}

impl Product {
    /// The product of this shape; none if it has several groups, which are as many small products.
    pub(crate) fn of(shape: &ConvShape) -> Option<Self> {
        let (m, n) = (shape.out_c, shape.out_h() * shape.out_w());
        let k = shape.weight_len() / m;
        (shape.groups == 1).then(|| Self {
            m,
            k,
            n,
            left: floats(m * k, 1),
            right: floats(k * n, 2),
            out: vec![0.0; m * n],
        })
    }

    /// By the crate `gemm`, which uses AVX-512 where it finds it.
    pub(crate) fn gemm(&mut self) {
        let Self {
            m,
            k,
            n,
            left,
            right,
            out,
        } = self;
        let (m, k, n) = (*m, *k, *n);
        assert_eq!((left.len(), right.len(), out.len()), (m * k, k * n, m * n));
        // SAFETY: the matrices lie row by row in memory of just their sizes, as asserted above.
        unsafe {
            gemm::gemm(
                m,
                n,
                k,
                out.as_mut_ptr(),
                1,
                n as isize,
                false,
                left.as_ptr(),
                1,
                k as isize,
                right.as_ptr(),
                1,
                n as isize,
                0.0,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
    }

    /// By the crate `matrixmultiply`, which uses AVX2.
    pub(crate) fn matrixmultiply(&mut self) {
        let Self {
            m,
            k,
            n,
            left,
            right,
            out,
        } = self;
        let (m, k, n) = (*m, *k, *n);
        assert_eq!((left.len(), right.len(), out.len()), (m * k, k * n, m * n));
        // SAFETY: the matrices lie row by row in memory of just their sizes, as asserted above.
        unsafe {
            matrixmultiply::sgemm(
                m,
                k,
                n,
                1.0,
                left.as_ptr(),
                k as isize,
                1,
                right.as_ptr(),
                n as isize,
                1,
                0.0,
                out.as_mut_ptr(),
                n as isize,
                1,
            );
        }
    }
}

/// Values in [-1, 1).
fn floats(len: usize, seed: u64) -> Vec<f32> {
    let float = |word| word as i32 as f32 / (1u32 << 31) as f32;
    random::words(seed).take(len).map(float).collect()
}
