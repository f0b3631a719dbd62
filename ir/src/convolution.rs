//! Convolution through matrix products, for the evaluators of both languages.
//!
//! Generic over the numbers: networks are evaluated in f32, and the emulator runs the integer
//! convolutions of programs through f64, which is exact as long as no partial sum reaches 2^53.

use std::num::Wrapping;

use crate::geometry::{Shape, Window};

/// A float type that matrix products exist for.
pub(crate) trait Real: Copy + Default + std::ops::AddAssign + std::ops::Mul<Output = Self> {
    /// `c = a b` for row-major `a` (m x k), `b` (k x n), `c` (m x n).
    fn gemm(m: usize, k: usize, n: usize, a: &[Self], b: &[Self], c: &mut [Self]) {
        Self::gemm_strided(m, k, n, a, [k, 1], b, c);
    }

    /// `c = aᵀ b` for row-major `a` (k x m), `b` (k x n), `c` (m x n).
    fn gemm_transposed(m: usize, k: usize, n: usize, a: &[Self], b: &[Self], c: &mut [Self]) {
        Self::gemm_strided(m, k, n, a, [1, m], b, c);
    }

    /// `c = a b` where the element of `a` in row i, column j lies at `i * step[0] + j * step[1]`:
    /// `[k, 1]` or `[1, m]`.
    fn gemm_strided(m: usize, k: usize, n: usize, a: &[Self], step: [usize; 2], b: &[Self], c: &mut [Self]);
}

macro_rules! real {
    ($t:ty, $gemm:path) => {
        impl Real for $t {
            #[allow(unsafe_code)] // the crate's interface takes raw pointers
            fn gemm_strided(
                m: usize,
                k: usize,
                n: usize,
                a: &[$t],
                step: [usize; 2],
                b: &[$t],
                c: &mut [$t],
            ) {
                assert!(a.len() == m * k && b.len() == k * n && c.len() == m * n);
                assert!(step == [k, 1] || step == [1, m]);
                let rn = n as isize;
                // SAFETY: the lengths above cover every index that the strides reach.
                unsafe {
                    $gemm(
                        m,
                        k,
                        n,
                        1.0,
                        a.as_ptr(),
                        step[0] as isize,
                        step[1] as isize,
                        b.as_ptr(),
                        rn,
                        1,
                        0.0,
                        c.as_mut_ptr(),
                        rn,
                        1,
                    );
                }
            }
        }
    };
}
real!(f32, matrixmultiply::sgemm);
real!(f64, matrixmultiply::dgemm);

/// Exact modulo 2^64 where f64 might not be exact; plain loops, since only pathological weights and
/// values come here.
impl Real for Wrapping<i64> {
    fn gemm_strided(m: usize, k: usize, n: usize, a: &[Self], step: [usize; 2], b: &[Self], c: &mut [Self]) {
        assert!(a.len() == m * k && b.len() == k * n && c.len() == m * n);
        for (row, c) in c.chunks_mut(n).enumerate() {
            c.fill(Wrapping(0));
            for (column, b) in b.chunks(n).enumerate() {
                let factor = a[row * step[0] + column * step[1]];
                c.iter_mut().zip(b).for_each(|(c, b)| *c += factor * b);
            }
        }
    }
}

/// Convolution of `input` of shape `shape` with weights `[out, in / groups, kh, kw]`.
pub(crate) fn convolve<T: Real>(
    input: &[T],
    shape: Shape,
    weight: &[T],
    window: &Window,
    groups: usize,
    output: Shape,
) -> Vec<T> {
    let mut result = vec![T::default(); output.len()];
    let in_c = shape.c / groups;
    let out_c = output.c / groups;
    let rows = in_c * window.kernel[0] * window.kernel[1];
    let pixels = output.plane();
    let plain = *window == Window::dense([1, 1]);
    let mut columns = Vec::new();
    for g in 0..groups {
        let source = &input[g * in_c * shape.plane()..(g + 1) * in_c * shape.plane()];
        let weight = &weight[g * out_c * rows..(g + 1) * out_c * rows];
        let target = &mut result[g * out_c * pixels..(g + 1) * out_c * pixels];
        if out_c * in_c <= 4 {
            direct(source, in_c, shape, weight, window, target, output);
        } else if plain {
            T::gemm(out_c, rows, pixels, weight, source, target);
        } else {
            im2col(source, in_c, shape, window, output, &mut columns);
            T::gemm(out_c, rows, pixels, weight, &columns, target);
        }
    }
    result
}

/// The gradient with respect to a convolution's operand of shape `input`, from that with respect to
/// its output, of shape `output`: `gradient` times the transposed matrix of the convolution.
pub(crate) fn backward(
    gradient: &[f32],
    output: Shape,
    weight: &[f32],
    window: &Window,
    groups: usize,
    input: Shape,
) -> Vec<f32> {
    let mut result = vec![0.0; input.len()];
    let in_c = input.c / groups;
    let out_c = output.c / groups;
    let rows = in_c * window.kernel[0] * window.kernel[1];
    let pixels = output.plane();
    let plain = *window == Window::dense([1, 1]);
    let mut columns = Vec::new();
    for g in 0..groups {
        let source = &gradient[g * out_c * pixels..(g + 1) * out_c * pixels];
        let weight = &weight[g * out_c * rows..(g + 1) * out_c * rows];
        let target = &mut result[g * in_c * input.plane()..(g + 1) * in_c * input.plane()];
        if out_c * in_c <= 4 {
            direct_backward(source, in_c, input, weight, window, target, output);
        } else if plain {
            f32::gemm_transposed(rows, out_c, pixels, weight, source, target);
        } else {
            columns.resize(rows * pixels, 0.0);
            f32::gemm_transposed(rows, out_c, pixels, weight, source, &mut columns);
            col2im(&columns, input, window, output, target);
        }
    }
    result
}

/// Depthwise and other narrow groups: a matrix product would be all overhead.
fn direct<T: Real>(
    source: &[T],
    in_c: usize,
    shape: Shape,
    weight: &[T],
    window: &Window,
    target: &mut [T],
    output: Shape,
) {
    let [kh, kw] = window.kernel;
    for (o, out) in target.chunks_mut(output.plane()).enumerate() {
        for tap in 0..in_c * kh * kw {
            let factor = weight[o * in_c * kh * kw + tap];
            let [c, ky, kx] = place_of_tap(tap, window.kernel);
            let columns = window.windows_inside(1, kx, shape.w, output.w);
            for y in window.windows_inside(0, ky, shape.h, output.h) {
                let row = y * window.stride[0] + ky * window.dilation[0] - window.pads[0];
                let from = &source[(c * shape.h + row) * shape.w..][..shape.w];
                let to = &mut out[y * output.w..][..output.w];
                for x in columns.clone() {
                    to[x] += factor * from[x * window.stride[1] + kx * window.dilation[1] - window.pads[1]];
                }
            }
        }
    }
}

/// Channel, row and column of a tap's number.
fn place_of_tap(tap: usize, [kh, kw]: [usize; 2]) -> [usize; 3] {
    [tap / (kh * kw), tap / kw % kh, tap % kw]
}

/// Writes the matrix of taps, `[in_c * kh * kw, pixels of the output]`: for each tap the pixels that
/// it reads, zero in the padding.
fn im2col<T: Real>(
    source: &[T],
    in_c: usize,
    shape: Shape,
    window: &Window,
    output: Shape,
    columns: &mut Vec<T>,
) {
    let [kh, kw] = window.kernel;
    columns.clear();
    columns.resize(in_c * kh * kw * output.plane(), T::default());
    for (tap, row_of_taps) in columns.chunks_mut(output.plane()).enumerate() {
        let [c, ky, kx] = place_of_tap(tap, window.kernel);
        let inside = window.windows_inside(1, kx, shape.w, output.w);
        for y in window.windows_inside(0, ky, shape.h, output.h) {
            let row = y * window.stride[0] + ky * window.dilation[0] - window.pads[0];
            let from = &source[(c * shape.h + row) * shape.w..][..shape.w];
            let to = &mut row_of_taps[y * output.w..][..output.w];
            for x in inside.clone() {
                to[x] = from[x * window.stride[1] + kx * window.dilation[1] - window.pads[1]];
            }
        }
    }
}

/// The transpose of [`direct`].
fn direct_backward(
    source: &[f32],
    in_c: usize,
    input: Shape,
    weight: &[f32],
    window: &Window,
    target: &mut [f32],
    output: Shape,
) {
    let taps = in_c * window.kernel[0] * window.kernel[1];
    for (from, weight) in source.chunks(output.plane()).zip(weight.chunks(taps)) {
        for (tap, &factor) in weight.iter().enumerate() {
            scatter(tap, from, factor, input, window, output, target);
        }
    }
}

/// The transpose of [`im2col`]: adds each tap's row to the pixels that it was read from.
fn col2im(columns: &[f32], input: Shape, window: &Window, output: Shape, target: &mut [f32]) {
    for (tap, row_of_taps) in columns.chunks(output.plane()).enumerate() {
        scatter(tap, row_of_taps, 1.0, input, window, output, target);
    }
}

/// Adds `factor` times a map of the output to the pixels that tap number `tap` (channel, row,
/// column) reads for it.
fn scatter(
    tap: usize,
    from: &[f32],
    factor: f32,
    input: Shape,
    window: &Window,
    output: Shape,
    target: &mut [f32],
) {
    let [c, ky, kx] = place_of_tap(tap, window.kernel);
    let columns = window.windows_inside(1, kx, input.w, output.w);
    if columns.is_empty() {
        return;
    }
    let first = columns.start * window.stride[1] + kx * window.dilation[1] - window.pads[1];
    for y in window.windows_inside(0, ky, input.h, output.h) {
        let row = y * window.stride[0] + ky * window.dilation[0] - window.pads[0];
        let to = &mut target[(c * input.h + row) * input.w..][first..input.w];
        let from = &from[y * output.w..][columns.clone()];
        if window.stride[1] == 1 {
            // This one is vectorised.
            to.iter_mut()
                .zip(from)
                .for_each(|(to, from)| *to += factor * from);
        } else {
            let to = to.iter_mut().step_by(window.stride[1]);
            to.zip(from).for_each(|(to, from)| *to += factor * from);
        }
    }
}
