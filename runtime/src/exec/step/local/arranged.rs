//! Elements added, moved or repeated: the same at every party, whatever it holds.

use trefoil_ir::mpc::op::{Gather, Pad, Shuffle};

use crate::exec::prepared::Step;
use crate::exec::store::Store;
use crate::kernel::{self, Isa};
use crate::pool;

/// What becomes of the elements.
pub(in crate::exec) enum Arranged {
    /// The elements of two operands are added up.
    Add,
    /// The elements of all operands stand one behind the other.
    Concat,
    /// Some are chosen.
    Gather(Gather),
    /// Zeros are put around them.
    Pad(Pad),
    /// They stay as they are.
    Reshape,
    /// Pixels change places with channels.
    Shuffle(Shuffle),
}

impl Arranged {
    pub(super) fn apply(&self, step: &Step, isa: Isa, store: &mut Store) -> Vec<u32> {
        match self {
            Arranged::Add => add(step, isa, store),
            Arranged::Concat => {
                let parts = step.args.iter().map(|arg| store.ring(arg.id));
                parts.flat_map(|part| part.iter().copied()).collect()
            }
            Arranged::Gather(op) => {
                let input = step.args[0];
                let mut values = pool::with_capacity(step.shape.len());
                op.axis
                    .gather_onto(store.ring(input.id), input.shape, &op.index, &mut values);
                values
            }
            Arranged::Pad(op) => {
                let input = step.args[0];
                op.pad.apply(store.ring(input.id), input.shape, step.shape, 0)
            }
            Arranged::Shuffle(op) => {
                let input = step.args[0];
                let mut values = pool::with_capacity(step.shape.len());
                let elements = store.ring(input.id);
                op.shuffle
                    .apply_onto(elements, input.shape, step.shape, &mut values);
                values
            }
            Arranged::Reshape => store.take_ring(step.args[0].id),
        }
    }
}

fn add(step: &Step, isa: Isa, store: &mut Store) -> Vec<u32> {
    let [x, y] = [0, 1].map(|arg| step.args[arg].id);
    let mut sum = store.take_ring(x);
    // The operand may be added to itself, and then be gone.
    if x == y {
        sum.iter_mut().for_each(|v| *v = v.wrapping_mul(2));
    } else {
        kernel::add_assign(isa, &mut sum, store.ring(y));
    }
    sum
}
