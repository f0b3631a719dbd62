//! What a party works out once per plan: constants packed for the kernels, groups, schedule.

use std::collections::BTreeMap;

use trefoil_ir::mpc::op::{Conv2d, Conv2dSums};
use trefoil_ir::mpc::privacy::{Declaration, Draws};
use trefoil_ir::mpc::schedule::Schedule;
use trefoil_ir::mpc::{ConstId, ConstKind, Message, Op, Program, ValueId};
use trefoil_ir::shape::{Shape, Window};
use trefoil_ir::tensor::Tensor;
use zeroize::Zeroizing;

use crate::kernel::{ConvShape, Isa, PackedSums, PackedWeights};
use crate::protocol::gate::Levels;
use crate::protocol::layout::Layer;

/// A program with one party's constants, ready to run.
pub(super) struct Prepared {
    pub(super) schedule: Schedule,
    gates: BTreeMap<ValueId, Layer>,
    /// What each step draws.
    draws: Vec<Draws>,
    packed: Vec<Option<PackedWeights>>,
    sums: BTreeMap<ValueId, PackedSums>,
    plain: Vec<Option<Vec<i32>>>,
    pub(super) isa: Isa,
}

impl Prepared {
    /// `constant` gives this party's values of a constant, if it has any; `isa` runs the kernels.
    pub(super) fn new(
        isa: Isa,
        program: &Program,
        constant: impl Fn(ConstId, usize) -> Option<Tensor<i32>>,
    ) -> Self {
        let count = program.constants.len();
        let (mut packed, mut plain): (Vec<_>, Vec<_>) = (0..count).map(|_| (None, None)).unzip();
        let (mut gates, mut sums) = (BTreeMap::new(), BTreeMap::new());
        for id in program.ids() {
            let step = program.step(id);
            if let Op::Conv2d(conv) = &step.op {
                let shape = conv_shape(conv, program.ty(step.args[0]).shape);
                if let Some(weights) = constant(conv.weight, shape.weight_len()) {
                    let ring = ring_of(weights.values());
                    packed[conv.weight.index()] = Some(PackedWeights::pack(isa, &shape, &ring));
                }
            }
            if let Op::Conv2dSums(conv) = &step.op {
                let shape = sums_shape(conv, program.ty(step.args[0]).shape);
                let len = program.constants[conv.weight.index()].len().unwrap_or(0);
                if let Some(weights) = constant(conv.weight, len) {
                    let ring = ring_of(weights.values());
                    sums.insert(id, PackedSums::pack(isa, &shape, &conv.sums, &ring));
                }
            }
            let types: Vec<_> = step.args.iter().map(|a| program.ty(*a)).collect();
            if let Some(of_step) = step.op.gate_groups(&types) {
                gates.insert(id, Layer::new(isa, of_step));
            }
        }
        for (at, declared) in program.constants.iter().enumerate() {
            if declared.kind != ConstKind::Weight {
                let len = declared.len().unwrap_or(0);
                plain[at] = constant(ConstId(at as u32), len).map(|t| t.values().to_vec());
            }
        }
        Self {
            schedule: Schedule::new(program),
            gates,
            draws: program
                .ids()
                .map(|id| Declaration::of(program, id).draws)
                .collect(),
            packed,
            sums,
            plain,
            isa,
        }
    }

    /// A gate's groups.
    ///
    /// # Panics
    /// If the step is no gate.
    pub(super) fn gate(&self, gate: ValueId) -> &Layer {
        &self.gates[&gate]
    }

    /// What the step draws.
    pub(super) fn draws(&self, step: ValueId) -> &Draws {
        &self.draws[step.index()]
    }

    /// Whether the step is a gate.
    pub(super) fn is_gate(&self, id: ValueId) -> bool {
        self.gates.contains_key(&id)
    }

    /// Packed weights of a convolution.
    pub(super) fn weights(&self, id: ConstId) -> &PackedWeights {
        self.packed[id.index()]
            .as_ref()
            .expect("every party has a part of every weight")
    }

    /// Packed weights of a convolution's patch sums.
    pub(super) fn sum_weights(&self, id: ValueId) -> &PackedSums {
        &self.sums[&id]
    }

    /// Values of a constant that is no weight, if this party has them.
    pub(super) fn plain(&self, id: ConstId) -> Option<&[i32]> {
        self.plain[id.index()].as_deref()
    }

    /// Levels of a clip; none for any other step.
    pub(super) fn levels(&self, program: &Program, id: ValueId) -> Levels<'_> {
        let values = |id: ConstId| self.plain(id).unwrap_or_default();
        match &program.step(id).op {
            Op::Clip(clip) => Levels {
                pixels: values(clip.level),
                sums: clip.sum_level.map(values).unwrap_or_default(),
            },
            _ => Levels::default(),
        }
    }

    /// Bytes of the packed weights.
    pub(super) fn bytes(&self) -> usize {
        let weights: usize = self.packed.iter().flatten().map(PackedWeights::bytes).sum();
        weights + self.sums.values().map(PackedSums::bytes).sum::<usize>()
    }
}

/// Weights as ring elements; packing copies them, and this copy is wiped.
fn ring_of(weights: &[i32]) -> Zeroizing<Vec<u32>> {
    Zeroizing::new(weights.iter().map(|&w| w as u32).collect())
}

/// The kernel's view of a convolution on a map of shape `input`.
pub(super) fn conv_shape(conv: &Conv2d, input: Shape) -> ConvShape {
    kernel_shape(input, conv.channels, &conv.window, conv.groups)
}

/// The kernel's view of the convolution whose patch sums are taken.
fn sums_shape(conv: &Conv2dSums, input: Shape) -> ConvShape {
    kernel_shape(input, conv.channels, &conv.window, conv.groups)
}

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

/// Whether any message belongs to this gate (none does if every channel passes).
pub(super) fn has_messages(program: &Program, gate: ValueId) -> bool {
    program.messages(gate).iter().any(|m: &Message| m.bytes() > 0)
}
