//! Convolutions and their patch sums, with this party's part of the weight: W at the server, F at the
//! client, B at the helper.

use std::sync::Arc;

use trefoil_ir::geometry::patch_area;
use trefoil_ir::mpc::op::{Conv2d, Conv2dSums};
use trefoil_ir::{Patches, Shape, Window};

use crate::exec::prepared::{Site, Step};
use crate::exec::store::Store;
use crate::kernel::{self, ConvShape, PackedSums, PackedWeights};
use crate::pool;

/// A convolution.
pub(in crate::exec) struct Convolution {
    shape: ConvShape,
    weights: PackedWeights,
    /// The server's alone.
    bias: Option<Arc<[i32]>>,
}

impl Convolution {
    pub(super) fn new(op: &Conv2d, site: &Site<'_>) -> Self {
        let shape = kernel_shape(site.args[0].shape, op.channels, &op.window, op.groups);
        Self {
            weights: PackedWeights::pack(site.isa, &shape, &site.weight(op.weight)),
            bias: op.bias.and_then(|bias| site.plain(bias)),
            shape,
        }
    }

    pub(super) fn packed_bytes(&self) -> usize {
        self.weights.bytes()
    }

    pub(super) fn apply(&self, step: &Step, store: &mut Store) -> Vec<u32> {
        let mut values = pool::zeroed(step.shape.len());
        let scratch = kernel::scratch_bytes(&self.shape);
        store.memory.add(scratch);
        kernel::conv2d(
            &self.shape,
            &self.weights,
            store.ring(step.args[0].id),
            &mut values,
        );
        store.memory.free(scratch);
        let channels = values.chunks_mut(step.shape.plane());
        for (channel, &b) in channels.zip(self.bias.iter().flat_map(|bias| bias.iter())) {
            channel.iter_mut().for_each(|v| *v = v.wrapping_add(b as u32));
        }
        values
    }
}

/// The patch sums of a convolution.
pub(in crate::exec) struct PatchSums {
    weights: PackedSums,
    patches: Patches,
    /// The server's alone.
    bias: Option<Arc<[i32]>>,
}

impl PatchSums {
    pub(super) fn new(op: &Conv2dSums, site: &Site<'_>) -> Self {
        let shape = kernel_shape(site.args[0].shape, op.channels, &op.window, op.groups);
        Self {
            weights: PackedSums::pack(site.isa, &shape, &op.sums, &site.weight(op.weight)),
            patches: op.sums.patches.clone(),
            bias: op.bias.and_then(|bias| site.plain(bias)),
        }
    }

    pub(super) fn packed_bytes(&self) -> usize {
        self.weights.bytes()
    }

    pub(super) fn apply(&self, step: &Step, store: &mut Store) -> Vec<u32> {
        let scratch = self.weights.scratch_bytes();
        store.memory.add(scratch);
        let mut values = self.weights.apply(store.ring(step.args[0].id));
        store.memory.free(scratch);
        if let Some(bias) = &self.bias {
            self.add_bias(bias, &mut values);
        }
        values
    }

    /// Every pixel of a patch adds the entry's bias.
    fn add_bias(&self, bias: &[i32], values: &mut [u32]) {
        let [h, w] = self.weights.map();
        let mut rest = values;
        for (&patch, &b) in self.patches.iter().zip(bias) {
            let [rows, columns] = patch.grid(h, w);
            let (entry, behind) = rest.split_at_mut(rows * columns);
            rest = behind;
            for (at, v) in entry.iter_mut().enumerate() {
                let area = patch_area(patch, at / columns, at % columns, h, w) as u32;
                *v = v.wrapping_add((b as u32).wrapping_mul(area));
            }
        }
    }
}

/// The kernel's view of a convolution on a map of shape `input`.
fn kernel_shape(input: Shape, channels: usize, window: &Window, groups: usize) -> ConvShape {
    ConvShape {
        in_c: input.c,
        in_h: input.h,
        in_w: input.w,
        out_c: channels,
        kernel: window.kernel,
        stride: window.stride,
        dilation: window.dilation,
        groups,
        pads: window.pads,
    }
}
