//! Programs with constants, step by step, and their three plans.

use trefoil_ir::geometry::{Shuffle, ShuffleMode};
use trefoil_ir::mpc::gate::Rounds;
use trefoil_ir::mpc::patch_sums::SumList;
use trefoil_ir::mpc::{ConstKind, Kind, Op, Program, ValueId, op};
use trefoil_ir::plan::{
    ClientPart, ClientPlan, HelperPart, HelperPlan, InputEncoding, LOCAL_CLIENT, OutputDecoding, PairKeys,
    Public, SecretSeed, ServerPart, ServerPlan, plan_id, weight_seed,
};
use trefoil_ir::tail::Tail;
use trefoil_ir::{Patch, Shape, Tensor, Window};

use crate::prg::weight_share;
use crate::protocol::tests::random;

/// A program with constants, as it is built up.
pub(in crate::exec) struct Build {
    pub(in crate::exec) program: Program,
    pub(in crate::exec) constants: Vec<Tensor<i32>>,
    pub(in crate::exec) state: u64,
}

impl Build {
    pub(in crate::exec) fn new(shape: Shape) -> (Self, ValueId) {
        let mut build = Self {
            program: Program::new("test"),
            constants: Vec::new(),
            state: 7,
        };
        let x = build.push(op::Input { shape }, &[]);
        (build, x)
    }

    /// The same, with all signs taken in one round.
    pub(in crate::exec) fn in_one_round(&self) -> Self {
        let mut program = self.program.clone();
        let ops = program.steps.iter_mut().map(|step| &mut step.op);
        let gates = ops.filter_map(|op| op.set_rounds(Rounds::One).then_some(()));
        assert!(gates.count() > 0, "no gate of it takes signs");
        Self {
            program,
            constants: self.constants.clone(),
            state: self.state,
        }
    }

    pub(in crate::exec) fn push(&mut self, op: impl Into<Op>, args: &[ValueId]) -> ValueId {
        self.program.push(op, args, "layer").unwrap()
    }

    pub(in crate::exec) fn constant(
        &mut self,
        kind: ConstKind,
        dims: Vec<usize>,
        limit: i32,
    ) -> trefoil_ir::mpc::ConstId {
        let count = dims.iter().product();
        let limit = i64::from(limit);
        let value = |state: &mut u64| (random(state) % (2 * limit as u64 + 1)) as i64 - limit;
        let values = (0..count).map(|_| value(&mut self.state) as i32).collect();
        self.constants.push(Tensor::new(dims.clone(), values).unwrap());
        self.program.declare(kind, dims)
    }

    pub(in crate::exec) fn fixed(
        &mut self,
        kind: ConstKind,
        dims: Vec<usize>,
        value: i32,
    ) -> trefoil_ir::mpc::ConstId {
        let count = dims.iter().product();
        self.constants
            .push(Tensor::new(dims.clone(), vec![value; count]).unwrap());
        self.program.declare(kind, dims)
    }

    pub(in crate::exec) fn conv(
        &mut self,
        x: ValueId,
        channels: usize,
        window: Window,
        groups: usize,
    ) -> ValueId {
        let [kh, kw] = window.kernel;
        let in_c = self.program.ty(x).shape.c;
        let taps = (in_c / groups * kh * kw) as f64;
        let limit = ((1 << 14) as f64 / taps.sqrt()) as i32;
        let weight = self.constant(ConstKind::Weight, vec![channels, in_c / groups, kh, kw], limit);
        let bias = Some(self.constant(ConstKind::Bias, vec![channels], 1 << 24));
        self.push(
            op::Conv2d {
                weight,
                bias,
                channels,
                window,
                groups,
            },
            &[x],
        )
    }

    pub(in crate::exec) fn truncate(&mut self, z: ValueId, keep: u8) -> ValueId {
        let channels = self.program.ty(z).shape.c;
        self.push(
            op::Truncate {
                keep: vec![keep; channels],
            },
            &[z],
        )
    }

    /// Blocks of two by two pixels as channels, or the way back.
    pub(in crate::exec) fn shuffle(&mut self, x: ValueId, mode: ShuffleMode) -> ValueId {
        let shuffle = Shuffle { block: 2, mode };
        self.push(op::Shuffle { shuffle }, &[x])
    }

    pub(in crate::exec) fn relu(&mut self, z: ValueId) -> ValueId {
        let channels = self.program.ty(z).shape.c;
        let z = self.truncate(z, 15);
        self.push(op::BlockRelu::new(vec![Patch::PIXEL; channels]), &[z])
    }

    pub(in crate::exec) fn lift(&mut self, x: ValueId) -> ValueId {
        let channels = self.program.ty(x).shape.c;
        let multiplier = self.fixed(ConstKind::Multiplier, vec![channels], 1 << 16);
        self.push(op::Lift { multiplier }, &[x])
    }

    pub(in crate::exec) fn reveal(mut self, z: ValueId) -> Self {
        let value = match self.program.ty(z).kind {
            Kind::Accumulator => self.truncate(z, 16),
            Kind::Activation | Kind::Truncated | Kind::Sums | Kind::Output => z,
        };
        self.push(op::Reveal, &[value]);
        self
    }
}

pub(in crate::exec) struct Plans {
    pub(in crate::exec) client: ClientPlan,
    pub(in crate::exec) server: ServerPlan,
    pub(in crate::exec) helper: HelperPlan,
}

pub(in crate::exec) fn plans(build: &Build) -> Plans {
    let secret = SecretSeed::new([3; 32]);
    let id = plan_id(&secret, &build.program, &build.constants);
    let seed = weight_seed(&secret, &id);
    let keys = PairKeys::new(&secret, &id);
    let public = Public {
        program: build.program.clone(),
        plan_id: id,
    };
    let of_client = |(at, tensor): (usize, &Tensor<i32>)| match build.program.constants[at].kind {
        ConstKind::Bias => None,
        ConstKind::Multiplier | ConstKind::Level | ConstKind::SumLevel => Some(tensor.clone()),
        ConstKind::Weight => {
            let b = weight_share(&seed, trefoil_ir::mpc::ConstId(at as u32), tensor.len());
            let f = tensor
                .values()
                .iter()
                .zip(b)
                .map(|(w, b)| w.wrapping_sub(b as i32))
                .collect();
            Some(Tensor::new(tensor.dims().to_vec(), f).unwrap())
        }
    };
    let revealed = build.program.ty(build.program.output().unwrap()).shape;
    let client = ClientPart {
        constants: build.constants.iter().enumerate().map(of_client).collect(),
        input: InputEncoding {
            unit: vec![1.0; build.program.steps[0].ty.shape.c],
        },
        output: OutputDecoding {
            unit: vec![1.0; revealed.c],
            linear: vec![],
            tail: Tail::map(revealed),
            classes: vec![],
        },
        preprocess: None,
        with_server: keys.client_server.for_client(&LOCAL_CLIENT),
        with_helper: keys.client_helper.for_client(&LOCAL_CLIENT),
    };
    let server = ServerPart {
        constants: build.constants.clone(),
        with_client: keys.client_server,
        with_helper: keys.server_helper.clone(),
    };
    let helper = HelperPart {
        weight_seed: seed,
        with_client: keys.client_helper,
        with_server: keys.server_helper,
    };
    Plans {
        client: ClientPlan::decode(&ClientPlan::encode(&public, &client))
            .ok()
            .unwrap(),
        server: ServerPlan::decode(&ServerPlan::encode(&public, &server))
            .ok()
            .unwrap(),
        helper: HelperPlan::decode(&HelperPlan::encode(&public, &helper))
            .ok()
            .unwrap(),
    }
}

/// Steps that compute patch sums apart.
impl Build {
    pub(in crate::exec) fn conv_sums(
        &mut self,
        x: ValueId,
        channels: usize,
        window: Window,
        groups: usize,
        sums: SumList,
    ) -> ValueId {
        let [kh, kw] = window.kernel;
        let per_group = self.program.ty(x).shape.c / groups;
        let entries = sums.patches.len();
        let weight = self.constant(ConstKind::Weight, vec![entries, per_group, kh, kw], 100);
        let bias = Some(self.constant(ConstKind::Bias, vec![entries], 1 << 20));
        let op = op::Conv2dSums {
            weight,
            bias,
            channels,
            window,
            groups,
            sums,
        };
        self.push(op, &[x])
    }

    pub(in crate::exec) fn lift_sums(&mut self, x: ValueId, window: Window, sums: SumList) -> ValueId {
        let multiplier = self.constant(ConstKind::Multiplier, vec![sums.patches.len()], 1 << 9);
        let op = op::PoolSums {
            window,
            multiplier,
            sums,
        };
        self.push(op, &[x])
    }
}
