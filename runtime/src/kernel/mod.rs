//! Convolutions of 32-bit integers modulo 2³²: the arithmetic that all three parties share.
//!
//! The server convolves with its weights, the client and the helper with uniformly random ring
//! elements, so nothing here relies on small values: every product is a full wrapping product.
//! Images are NCHW with N = 1.
//!
//! | file | what it does |
//! | --- | --- |
//! | `shape` | sizes of a convolution |
//! | `isa` | which instruction set this CPU offers |
//! | `phase` | pads the image and splits it by stride, so that patches become plain offsets |
//! | `block` | why an inner product needs half its multiplications, and the blocks it is cut into |
//! | `pack` | operands in the order in which the inner loop reads them |
//! | `pixels`, `channels` | the two blocked matrix products and their parallel tasks |
//! | `depthwise` | one filter per channel, as a correlation of flat rows |
//! | `patch_sums` | patch sums of a convolution: box sums of the image, and a product with them |
//! | `elementwise` | sums and scaling of whole tensors |
//! | `micro` | the inner loops: scalar, AVX2, AVX-512; the only `unsafe` code of the module |
//!
//! Addition modulo 2³² is associative, so every instruction set, thread count and blocking gives
//! the same bits. No branch and no address depends on a value: the time tells nothing about it.

mod block;
mod buffer;
mod channels;
mod depthwise;
mod elementwise;
mod isa;
mod micro;
mod pack;
mod patch_sums;
mod phase;
mod pixels;
mod shape;
mod split;
#[cfg(test)]
mod tests;

pub use elementwise::{add_assign, mul_channel};
pub use isa::{Isa, UnknownIsa};
pub(crate) use micro::{Loop, widened};
pub use pack::PackedWeights;
pub use patch_sums::{PackedSums, pool_scratch_bytes, pool_sums};
pub use shape::ConvShape;

use pack::Layout;
use phase::{Phases, View};

/// Computes `out = W ∗ x` modulo 2³², overwriting `out`, on the threads of rayon's current pool.
///
/// # Panics
///
/// If `weights` were packed for another shape, or a slice does not have the length that `shape`
/// tells. Shapes come from a verified plan and lengths from the shape, never from a peer.
pub fn conv2d(shape: &ConvShape, weights: &PackedWeights, x: &[u32], out: &mut [u32]) {
    assert_eq!(shape, weights.shape(), "weights are packed for one shape");
    assert_eq!(x.len(), shape.input_len(), "x must be [in_c, in_h, in_w]");
    assert_eq!(out.len(), shape.output_len(), "out must be [out_c, out_h, out_w]");
    if out.is_empty() {
        return;
    }
    let phases = Phases::new(shape);
    match weights.layout() {
        Layout::Depthwise => depthwise::conv(&phases, weights, x, out),
        Layout::PixelVectors => pixels::conv(&View::of(weights.isa(), &phases, x), weights, out),
        Layout::ChannelVectors => channels::conv(&View::of(weights.isa(), &phases, x), weights, out),
    }
}

/// An upper bound of the temporary memory that [`conv2d`] takes in the current pool, in bytes.
pub fn scratch_bytes(shape: &ConvShape) -> usize {
    let threads = rayon::current_num_threads();
    let phases = Phases::new(shape);
    Isa::available()
        .into_iter()
        .map(|isa| match Layout::choose(isa, shape) {
            Layout::Depthwise => depthwise::scratch_bytes(&phases, threads),
            Layout::PixelVectors => phases.copy_bytes() + pixels::scratch_bytes(isa, shape, threads),
            Layout::ChannelVectors => phases.copy_bytes() + channels::scratch_bytes(isa, shape, threads),
        })
        .max()
        .unwrap_or(0)
}
