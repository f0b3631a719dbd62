//! Steps without messages. Each party does the same to what it holds, but for what the protocol says
//! of each kind:
//!
//! - [`linear`]: each party has a part of the weight, and the server alone adds biases
//! - [`scaled`]: client and server know the factors, and the helper's share is zero
//! - [`arranged`]: the same at every party

mod arranged;
mod linear;
mod scaled;

use trefoil_ir::mpc::{Party, op};

use self::arranged::Arranged;
use self::linear::{Convolution, PatchSums};
use self::scaled::Scaled;
use crate::exec::prepared::{Site, Step};
use crate::exec::store::{Store, Value};
use crate::kernel::Isa;
use crate::pool;

/// A local step, with the constants that it takes.
pub(in crate::exec) enum Local {
    Convolution(Box<Convolution>),
    PatchSums(Box<PatchSums>),
    Scaled(Scaled),
    Arranged(Arranged),
}

impl Local {
    pub(super) fn new(local: op::Local<'_>, site: &Site<'_>) -> Self {
        match local {
            op::Local::Conv2d(op) => Local::Convolution(Box::new(Convolution::new(op, site))),
            op::Local::Conv2dSums(op) => Local::PatchSums(Box::new(PatchSums::new(op, site))),
            op::Local::Lift(op) => Local::Scaled(Scaled::lift(op, site)),
            op::Local::SumPool(op) => Local::Scaled(Scaled::sum_pool(op, site)),
            op::Local::PoolSums(op) => Local::Scaled(Scaled::pool_sums(op, site)),
            op::Local::Interpolate(op) => Local::Scaled(Scaled::Interpolate(op.clone())),
            op::Local::Add => Local::Arranged(Arranged::Add),
            op::Local::Concat => Local::Arranged(Arranged::Concat),
            op::Local::Gather(op) => Local::Arranged(Arranged::Gather(op.clone())),
            op::Local::Pad(op) => Local::Arranged(Arranged::Pad(op.clone())),
            op::Local::Reshape => Local::Arranged(Arranged::Reshape),
            op::Local::Shuffle(op) => Local::Arranged(Arranged::Shuffle(op.clone())),
        }
    }

    pub(super) fn packed_bytes(&self) -> usize {
        match self {
            Local::Convolution(convolution) => convolution.packed_bytes(),
            Local::PatchSums(sums) => sums.packed_bytes(),
            Local::Scaled(_) | Local::Arranged(_) => 0,
        }
    }

    /// Stores a party's part of the value.
    pub(super) fn run(&self, step: &Step, party: Party, isa: Isa, store: &mut Store) {
        let values = match self {
            Local::Convolution(convolution) => convolution.apply(step, store),
            Local::PatchSums(sums) => sums.apply(step, store),
            Local::Scaled(_) if party == Party::Helper => pool::zeroed(step.shape.len()),
            Local::Scaled(scaled) => scaled.apply(step, isa, store),
            Local::Arranged(arranged) => arranged.apply(step, isa, store),
        };
        store.put(step.id, Value::Ring(values));
    }
}
