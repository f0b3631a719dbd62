//! Activations, and sums of them, times factors that are no secret between client and server.

use std::sync::Arc;

use trefoil_ir::geometry::for_each_window;
use trefoil_ir::mpc::op::{Interpolate, Lift, PoolSums, SumPool};
use trefoil_ir::mpc::patch_sums::SumList;
use trefoil_ir::{Shape, Window};

use crate::exec::prepared::{Site, Step};
use crate::exec::store::Store;
use crate::kernel::{self, Isa};
use crate::pool;

/// What is multiplied. The helper's multipliers are empty, as it has none.
pub(in crate::exec) enum Scaled {
    /// Each channel of an activation.
    Lift { multiplier: Vec<u32> },
    /// The sum of each window.
    SumPool { window: Window, multiplier: Arc<[i32]> },
    /// Patch sums of an activation, or of sums over windows.
    PoolSums {
        window: Window,
        sums: SumList,
        multiplier: Arc<[i32]>,
    },
    /// Neighbouring pixels.
    Interpolate(Interpolate),
}

impl Scaled {
    pub(super) fn lift(op: &Lift, site: &Site<'_>) -> Self {
        let multiplier = site.plain(op.multiplier).unwrap_or_default();
        Scaled::Lift {
            multiplier: multiplier.iter().map(|&m| m as u32).collect(),
        }
    }

    pub(super) fn sum_pool(op: &SumPool, site: &Site<'_>) -> Self {
        Scaled::SumPool {
            window: op.window.clone(),
            multiplier: site.plain(op.multiplier).unwrap_or_default(),
        }
    }

    pub(super) fn pool_sums(op: &PoolSums, site: &Site<'_>) -> Self {
        Scaled::PoolSums {
            window: op.window.clone(),
            sums: op.sums.clone(),
            multiplier: site.plain(op.multiplier).unwrap_or_default(),
        }
    }

    pub(super) fn apply(&self, step: &Step, isa: Isa, store: &mut Store) -> Vec<u32> {
        let input = step.args[0];
        match self {
            Scaled::Lift { multiplier } => {
                let mut values = pool::zeroed(step.shape.len());
                let x = store.ring(input.id);
                kernel::mul_channel(isa, &mut values, x, multiplier, step.shape.plane());
                values
            }
            Scaled::SumPool { window, multiplier } => {
                sum_pool(window, store.ring(input.id), input.shape, step.shape, multiplier)
            }
            Scaled::PoolSums {
                window,
                sums,
                multiplier,
            } => {
                let scratch = kernel::pool_scratch_bytes(window, sums, input.shape);
                store.memory.add(scratch);
                let x = store.ring(input.id);
                let values = kernel::pool_sums(isa, window, sums, x, input.shape, multiplier);
                store.memory.free(scratch);
                values
            }
            Scaled::Interpolate(op) => interpolate(op, store.ring(input.id), input.shape, step.shape),
        }
    }
}

fn sum_pool(window: &Window, x: &[u32], input: Shape, output: Shape, multiplier: &[i32]) -> Vec<u32> {
    let mut values = Vec::with_capacity(output.len());
    for channel in x.chunks(input.plane()) {
        for_each_window(window, input, output, |taps| {
            let sum = taps.iter().fold(0u32, |s, &i| s.wrapping_add(channel[i]));
            values.push(sum.wrapping_mul(multiplier[values.len()] as u32));
        });
    }
    values
}

fn interpolate(op: &Interpolate, x: &[u32], input: Shape, output: Shape) -> Vec<u32> {
    let coefficients = op.coefficients(input);
    let mut values = Vec::with_capacity(output.len());
    for channel in x.chunks(input.plane()) {
        values.extend(coefficients.iter().map(|pixel| {
            pixel.iter().fold(0u32, |s, c| {
                s.wrapping_add(channel[c.pixel].wrapping_mul(c.factor))
            })
        }));
    }
    values
}
