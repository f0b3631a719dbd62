//! The steps without messages. Each party does the same to what it holds, except that only the
//! server adds biases, and that the helper's share of a lifted activation is zero.

use trefoil_ir::mpc::op::{Conv2d, Conv2dSums, Interpolate, SumPool};
use trefoil_ir::mpc::{Op, Party, Program, ValueId};
use trefoil_ir::nn::eval::for_each_window;
use trefoil_ir::patch::patch_area;
use trefoil_ir::shape::Shape;

use super::prepared::{Prepared, conv_shape};
use super::store::{Store, Value};
use crate::kernel;
use crate::pool;

/// Runs a local step and stores its value; `false` if the step is not local.
pub(super) fn run(
    program: &Program,
    prepared: &Prepared,
    party: Party,
    id: ValueId,
    store: &mut Store,
) -> bool {
    let step = program.step(id);
    let shape = step.ty.shape;
    let values = match &step.op {
        Op::Conv2d(conv) => convolve(program, prepared, conv, id, store),
        Op::Conv2dSums(conv) => sum_up(program, prepared, conv, id, store),
        Op::Lift(_) | Op::SumPool(_) | Op::PoolSums(_) | Op::Interpolate(_) if party == Party::Helper => {
            pool::zeroed(shape.len())
        }
        Op::Lift(lift) => {
            let multiplier = prepared.plain(lift.multiplier).unwrap_or_default();
            let multiplier: Vec<u32> = multiplier.iter().map(|&m| m as u32).collect();
            let mut values = pool::zeroed(shape.len());
            kernel::mul_channel(
                prepared.isa,
                &mut values,
                store.ring(step.args[0]),
                &multiplier,
                shape.plane(),
            );
            values
        }
        Op::SumPool(pool) => {
            let multiplier = prepared.plain(pool.multiplier).unwrap_or_default();
            sum_pool(
                pool,
                store.ring(step.args[0]),
                program.ty(step.args[0]).shape,
                shape,
                multiplier,
            )
        }
        Op::PoolSums(op) => {
            let multiplier = prepared.plain(op.multiplier).unwrap_or_default();
            let input = program.ty(step.args[0]).shape;
            let scratch = kernel::pool_scratch_bytes(&op.window, &op.sums, input);
            store.memory.add(scratch);
            let values = kernel::pool_sums(
                prepared.isa,
                &op.window,
                &op.sums,
                store.ring(step.args[0]),
                input,
                multiplier,
            );
            store.memory.free(scratch);
            values
        }
        Op::Interpolate(op) => interpolate(
            op,
            store.ring(step.args[0]),
            program.ty(step.args[0]).shape,
            shape,
        ),
        Op::Add(_) => {
            let mut sum = store.take_ring(step.args[0]);
            // The operand may be added to itself, and then be gone.
            if step.args[0] == step.args[1] {
                sum.iter_mut().for_each(|v| *v = v.wrapping_mul(2));
            } else {
                kernel::add_assign(prepared.isa, &mut sum, store.ring(step.args[1]));
            }
            sum
        }
        Op::Concat(_) => step
            .args
            .iter()
            .flat_map(|a| store.ring(*a).iter().copied())
            .collect(),
        Op::Gather(op) => {
            let mut values = pool::with_capacity(shape.len());
            let input = program.ty(step.args[0]).shape;
            op.axis
                .gather_onto(store.ring(step.args[0]), input, &op.index, &mut values);
            values
        }
        Op::Pad(op) => op
            .pad
            .apply(store.ring(step.args[0]), program.ty(step.args[0]).shape, shape, 0),
        Op::Reshape(_) => store.take_ring(step.args[0]),
        Op::Input(_)
        | Op::Truncate(_)
        | Op::TruncateSums(_)
        | Op::Requant(_)
        | Op::BlockRelu(_)
        | Op::Clip(_)
        | Op::Relu(_)
        | Op::Max(_)
        | Op::Reveal(_) => return false,
    };
    store.put(id, Value::Ring(values));
    store.used(program, id);
    true
}

fn convolve(
    program: &Program,
    prepared: &Prepared,
    conv: &Conv2d,
    id: ValueId,
    store: &mut Store,
) -> Vec<u32> {
    let step = program.step(id);
    let shape = conv_shape(conv, program.ty(step.args[0]).shape);
    let mut values = pool::zeroed(step.ty.shape.len());
    let scratch = kernel::scratch_bytes(&shape);
    store.memory.add(scratch);
    kernel::conv2d(
        &shape,
        prepared.weights(conv.weight),
        store.ring(step.args[0]),
        &mut values,
    );
    store.memory.free(scratch);
    // Only the server's plan has biases.
    if let Some(bias) = conv.bias.and_then(|b| prepared.plain(b)) {
        for (channel, &b) in values.chunks_mut(step.ty.shape.plane()).zip(bias) {
            channel.iter_mut().for_each(|v| *v = v.wrapping_add(b as u32));
        }
    }
    values
}

/// The patch sums of a convolution.
fn sum_up(
    program: &Program,
    prepared: &Prepared,
    conv: &Conv2dSums,
    id: ValueId,
    store: &mut Store,
) -> Vec<u32> {
    let step = program.step(id);
    let weights = prepared.sum_weights(id);
    let scratch = weights.scratch_bytes();
    store.memory.add(scratch);
    let mut values = weights.apply(store.ring(step.args[0]));
    store.memory.free(scratch);
    let Some(bias) = conv.bias.and_then(|b| prepared.plain(b)) else {
        return values;
    };
    let [h, w] = weights.map();
    let mut rest = &mut values[..];
    for (&patch, &b) in conv.sums.patches.iter().zip(bias) {
        let [rows, columns] = patch.grid(h, w);
        let (entry, others) = rest.split_at_mut(rows * columns);
        for (at, v) in entry.iter_mut().enumerate() {
            let area = patch_area(patch, at / columns, at % columns, h, w) as u32;
            *v = v.wrapping_add((b as u32).wrapping_mul(area));
        }
        rest = others;
    }
    values
}

fn sum_pool(pool: &SumPool, x: &[u32], input: Shape, output: Shape, multiplier: &[i32]) -> Vec<u32> {
    let mut values = Vec::with_capacity(output.len());
    for channel in x.chunks(input.plane()) {
        for_each_window(&pool.window, input, output, |taps| {
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
