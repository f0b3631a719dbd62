//! What a gate works on, or what is revealed, as each party holds it.

use trefoil_ir::mpc::{Kind, ValueId, op};

use crate::exec::prepared::Site;
use crate::exec::store::Store;
use crate::kernel::{self, Isa};
use crate::protocol::operand::{Exact, Half};

/// The values, and the form in which they are held.
pub(super) enum Operand {
    /// A truncated accumulator, and the sums over its large patches, if they were computed apart.
    Truncated { value: ValueId, sums: Option<ValueId> },
    /// An activation. Channels may pass unchanged.
    Activation(ValueId),
    /// The difference of two activations. The second one is added back to the result.
    Difference(ValueId, ValueId),
}

impl Operand {
    /// The operand of a gate.
    pub(super) fn of_gate(gate: op::Gate<'_>, site: &Site<'_>) -> Self {
        let value = site.args[0].id;
        match gate {
            op::Gate::Truncated(_) => Operand::Truncated {
                value,
                sums: site.args.get(1).map(|sums| sums.id),
            },
            op::Gate::Activation { .. } => Operand::Activation(value),
            op::Gate::Difference { .. } => Operand::Difference(value, site.args[1].id),
        }
    }

    /// The operand of a step that takes no sign and changes nothing.
    pub(super) fn of_value(site: &Site<'_>) -> Self {
        let value = site.args[0].id;
        match site.program.ty(value).kind {
            Kind::Truncated => Operand::Truncated { value, sums: None },
            Kind::Activation | Kind::Accumulator | Kind::Sums | Kind::Output => Operand::Activation(value),
        }
    }

    /// The client's half.
    pub(super) fn client_half<'s>(&self, store: &'s Store) -> Half<'s> {
        match *self {
            Operand::Truncated { value, .. } => Half::Top(store.top(value)),
            Operand::Activation(x) => Half::Activation(store.ring(x)),
            Operand::Difference(x, y) => Half::Difference(store.ring(x), store.ring(y)),
        }
    }

    /// The helper's half, which is the client's.
    pub(super) fn helper_half<'s>(&self, store: &'s Store) -> Half<'s> {
        match *self {
            Operand::Truncated { value, .. } => Half::R(store.ring(value)),
            Operand::Activation(x) => Half::Activation(store.ring(x)),
            Operand::Difference(x, y) => Half::Difference(store.ring(x), store.ring(y)),
        }
    }

    /// The server's half.
    pub(super) fn server_half<'s>(&self, store: &'s Store) -> Half<'s> {
        match *self {
            Operand::Truncated { value, .. } => Half::D(store.ring(value)),
            Operand::Activation(x) => Half::Activation(store.ring(x)),
            Operand::Difference(x, y) => Half::Difference(store.ring(x), store.ring(y)),
        }
    }

    /// What patch sums are taken of: D in the server's store, R in the helper's.
    pub(super) fn exact<'s>(&self, store: &'s Store) -> Exact<'s> {
        match *self {
            Operand::Truncated { value, sums } => Exact {
                pixels: store.ring(value),
                sums: sums.map_or(&[], |sums| store.ring(sums)),
            },
            Operand::Activation(_) | Operand::Difference(..) => Exact::default(),
        }
    }

    /// What channels without a sign are a copy of; empty where there are none.
    pub(super) fn passed<'s>(&self, store: &'s Store) -> &'s [u32] {
        match *self {
            Operand::Activation(x) => store.ring(x),
            Operand::Truncated { .. } | Operand::Difference(..) => &[],
        }
    }

    /// Makes the maximum of a difference's ReLU: x - y, cut off below zero, plus y. Each party does
    /// that to its part, and any other result stays as it is.
    pub(super) fn add_back(&self, isa: Isa, result: &mut [u32], store: &Store) {
        match *self {
            Operand::Difference(_, y) => kernel::add_assign(isa, result, store.ring(y)),
            Operand::Truncated { .. } | Operand::Activation(_) => {}
        }
    }
}
