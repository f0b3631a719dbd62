//! What a party works out once per plan: constants packed for the kernels, groups, schedule.

use std::collections::BTreeMap;

use trefoil_ir::mpc::gate::Group;
use trefoil_ir::mpc::op::Conv2d;
use trefoil_ir::mpc::schedule::Schedule;
use trefoil_ir::mpc::{ConstId, ConstKind, Message, Op, Program, ValueId};
use trefoil_ir::shape::Shape;
use trefoil_ir::tensor::Tensor;

use crate::kernel::{ConvShape, Isa, PackedWeights};

/// A program with one party's constants, ready to run.
pub(super) struct Prepared {
    pub(super) schedule: Schedule,
    groups: BTreeMap<ValueId, Vec<Group>>,
    packed: Vec<Option<PackedWeights>>,
    plain: Vec<Option<Vec<i32>>>,
    pub(super) isa: Isa,
}

impl Prepared {
    /// `constant` gives this party's values of a constant, if it has any.
    pub(super) fn new(program: &Program, constant: impl Fn(ConstId, usize) -> Option<Tensor<i32>>) -> Self {
        let isa = Isa::detect();
        let count = program.constants.len();
        let (mut packed, mut plain): (Vec<_>, Vec<_>) = (0..count).map(|_| (None, None)).unzip();
        let mut groups = BTreeMap::new();
        for id in program.ids() {
            let step = program.step(id);
            if let Op::Conv2d(conv) = &step.op {
                let shape = conv_shape(conv, program.ty(step.args[0]).shape);
                if let Some(weights) = constant(conv.weight, shape.weight_len()) {
                    let ring: Vec<u32> = weights.values().iter().map(|&w| w as u32).collect();
                    packed[conv.weight.index()] = Some(PackedWeights::pack(isa, &shape, &ring));
                }
            }
            if let Some(arg) = step.args.first()
                && let Some(of_step) = step.op.gate_groups(program.ty(*arg))
            {
                groups.insert(id, of_step);
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
            groups,
            packed,
            plain,
            isa,
        }
    }

    /// Groups of a gate.
    ///
    /// # Panics
    /// If the step is no gate.
    pub(super) fn groups(&self, gate: ValueId) -> &[Group] {
        &self.groups[&gate]
    }

    /// Whether the step is a gate.
    pub(super) fn is_gate(&self, id: ValueId) -> bool {
        self.groups.contains_key(&id)
    }

    /// Packed weights of a convolution.
    pub(super) fn weights(&self, id: ConstId) -> &PackedWeights {
        self.packed[id.index()]
            .as_ref()
            .expect("every party has a part of every weight")
    }

    /// Values of a constant that is no weight, if this party has them.
    pub(super) fn plain(&self, id: ConstId) -> Option<&[i32]> {
        self.plain[id.index()].as_deref()
    }

    /// Levels of a clip; none for any other step.
    pub(super) fn levels(&self, program: &Program, id: ValueId) -> &[i32] {
        match &program.step(id).op {
            Op::Clip(clip) => self.plain(clip.level).unwrap_or_default(),
            _ => &[],
        }
    }

    /// Bytes of the packed weights.
    pub(super) fn bytes(&self) -> usize {
        self.packed.iter().flatten().map(PackedWeights::bytes).sum()
    }
}

/// The kernel's view of a convolution on a map of shape `input`.
pub(super) fn conv_shape(conv: &Conv2d, input: Shape) -> ConvShape {
    ConvShape {
        in_c: input.c,
        in_h: input.h,
        in_w: input.w,
        out_c: conv.channels,
        kernel: conv.window.kernel,
        stride: conv.window.stride,
        dilation: conv.window.dilation,
        groups: conv.groups,
        pads: conv.window.pads,
    }
}

/// Whether any message belongs to this gate (none does if every channel passes).
pub(super) fn has_messages(program: &Program, gate: ValueId) -> bool {
    program.messages(gate).iter().any(|m: &Message| m.bytes() > 0)
}
