//! Random programs that hold every op, well typed but not always sound.

use crate::geometry::{self, Axis, Coordinates, Patch, Patches, ResizeMode, Shape, ShuffleMode, Window};
use crate::mpc::gate::Rounds;
use crate::mpc::op::*;
use crate::mpc::patch_sums::{LARGE_PATCH, SumList};
use crate::mpc::program::{ConstKind, Constant, Note, Program, ValueId};
use crate::mpc::{Kind, Type};
use crate::nn::op::Resize;
use crate::tensor::Tensor;
use crate::text::store::random;

/// A source of small numbers for random programs.
pub(super) struct Dice(Box<dyn Iterator<Item = i32>>);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Dice(Box::new(random(seed, i32::MAX)))
    }

    fn below(&mut self, n: usize) -> usize {
        self.0.next().unwrap().unsigned_abs() as usize % n
    }

    pub(super) fn chance(&mut self) -> bool {
        self.below(2) == 0
    }

    fn pair(&mut self, n: usize) -> [usize; 2] {
        [1 + self.below(n), 1 + self.below(n)]
    }

    fn patches(&mut self, shape: Shape, largest: [usize; 2]) -> Patches {
        let mut patch = || {
            let [h, w] = [shape.h.min(largest[0]), shape.w.min(largest[1])];
            let block = Patch::Block {
                h: 1 + self.below(h) as u16,
                w: 1 + self.below(w) as u16,
            };
            if self.chance() { block } else { Patch::Identity }
        };
        (0..shape.c).map(|_| patch()).collect()
    }

    fn sums(&mut self, map: Shape) -> SumList {
        let mut sums = SumList::default();
        for (channel, patch) in self.patches(map, [9, 9]).into_iter().enumerate() {
            if patch != Patch::Identity {
                sums.push(channel, patch);
            }
        }
        sums
    }

    fn window(&mut self) -> Window {
        Window {
            kernel: self.pair(3),
            stride: self.pair(2),
            dilation: [1, 1 + self.below(2)],
            pads: [0; 4].map(|_| self.below(2)),
        }
    }

    fn shuffle(&mut self) -> geometry::Shuffle {
        const MODES: [ShuffleMode; 3] = [
            ShuffleMode::ToDepth,
            ShuffleMode::ToSpace,
            ShuffleMode::NeighboursToSpace,
        ];
        geometry::Shuffle {
            block: 1 + self.below(3),
            mode: MODES[self.below(3)],
        }
    }

    fn op(&mut self, program: &mut Program, shape: Shape) -> Op {
        let c = shape.c;
        match self.below(20) {
            0 => {
                let (groups, window) = (if self.chance() { c } else { 1 }, self.window());
                let channels = groups * (1 + self.below(3));
                let [kh, kw] = window.kernel;
                let bias = self.chance();
                Conv2d {
                    weight: program.declare(ConstKind::Weight, vec![channels, c / groups, kh, kw]),
                    bias: bias.then(|| program.declare(ConstKind::Bias, vec![channels])),
                    channels,
                    window,
                    groups,
                }
                .into()
            }
            1 => Lift {
                multiplier: program.declare(ConstKind::Multiplier, vec![c]),
            }
            .into(),
            2 => {
                let window = self.window();
                let [h, w] = window.output(shape.h, shape.w).unwrap_or([1, 1]);
                SumPool {
                    window,
                    multiplier: program.declare(ConstKind::Multiplier, vec![c, h, w]),
                }
                .into()
            }
            3 => Interpolate {
                resize: Resize {
                    size: self.pair(9),
                    scales: [0.1, 2.0],
                    mode: ResizeMode::Bilinear,
                    coordinates: [Coordinates::HalfPixel, Coordinates::AlignCorners][self.below(2)],
                },
            }
            .into(),
            4 => Add.into(),
            5 => Concat.into(),
            6 => {
                let axis = [Axis::C, Axis::H, Axis::W][self.below(3)];
                let index = (0..1 + self.below(9))
                    .map(|_| self.below(axis.size(shape)))
                    .collect();
                Gather { axis, index }.into()
            }
            7 => Pad {
                pad: crate::nn::op::Pad {
                    before: [0; 3].map(|_| self.below(2)),
                    after: [0; 3].map(|_| self.below(2)),
                },
            }
            .into(),
            8 => Reshape.into(),
            9 | 10 => Truncate {
                keep: (0..c).map(|_| 15 + self.below(2) as u8).collect(),
            }
            .into(),
            11 => Requant.into(),
            12 => BlockRelu {
                patches: self.patches(shape, [9, 9]),
                rounds: self.rounds(),
            }
            .into(),
            13 => Clip {
                level: program.declare(ConstKind::Level, vec![c]),
                sum_level: None,
                lower: self.patches(shape, [9, 9]),
                upper: self.patches(shape, [2, 2]),
                rounds: self.rounds(),
            }
            .into(),
            14 => Relu {
                patches: self.patches(shape, [1, 1]),
                rounds: self.rounds(),
            }
            .into(),
            15 => {
                let window = self.window();
                let [h, w] = window.output(shape.h, shape.w).unwrap_or([1, 1]);
                let sums = self.sums(Shape::new(c, h, w));
                let entries = sums.patches.len();
                let [kh, kw] = window.kernel;
                Conv2dSums {
                    weight: program.declare(ConstKind::Weight, vec![entries, 1, kh, kw]),
                    bias: self
                        .chance()
                        .then(|| program.declare(ConstKind::Bias, vec![entries])),
                    channels: c,
                    window,
                    groups: c,
                    sums,
                }
                .into()
            }
            16 => {
                let sums = self.sums(shape);
                PoolSums {
                    window: Window::dense([1, 1]),
                    multiplier: program.declare(ConstKind::Multiplier, vec![sums.patches.len()]),
                    sums,
                }
                .into()
            }
            17 => TruncateSums.into(),
            18 => Shuffle {
                shuffle: self.shuffle(),
            }
            .into(),
            _ => Max {
                non_negative: self.chance(),
                rounds: self.rounds(),
            }
            .into(),
        }
    }

    /// A clip of a lifted activation that takes its large patches' sums from a second operand.
    fn gate_with_sums(&mut self, program: &mut Program, x: ValueId) -> ValueId {
        let shape = program.ty(x).shape;
        let whole = Patch::Block {
            h: shape.h as u16,
            w: shape.w as u16,
        };
        let mut some_whole = || -> Patches {
            let mut patches = self.patches(shape, [9, 9]);
            let at = self.below(shape.c);
            patches[at] = whole;
            patches
        };
        let (lower, upper) = (some_whole(), some_whole());
        let rounds = self.rounds();
        let sums = SumList::of_gate(&lower, Some(&upper));
        let multiplier = program.declare(ConstKind::Multiplier, vec![shape.c]);
        let coarse = program.declare(ConstKind::Multiplier, vec![sums.patches.len()]);
        let level = program.declare(ConstKind::Level, vec![shape.c]);
        let sum_level = Some(program.declare(ConstKind::SumLevel, vec![shape.c]));
        let mut push = |op: Op, args: &[ValueId]| program.push(op, args, "gate").unwrap();
        let value = push(Lift { multiplier }.into(), &[x]);
        let keep = vec![16; shape.c];
        let value = push(Truncate { keep }.into(), &[value]);
        let pool = PoolSums {
            window: Window::dense([1, 1]),
            multiplier: coarse,
            sums,
        };
        let sums = push(pool.into(), &[x]);
        let sums = push(TruncateSums.into(), &[sums]);
        let clip = Clip {
            level,
            sum_level,
            lower,
            upper,
            rounds,
        };
        push(clip.into(), &[value, sums])
    }

    fn rounds(&mut self) -> Rounds {
        if self.chance() { Rounds::One } else { Rounds::Two }
    }

    fn origin(&mut self) -> &'static str {
        [
            "",
            "/conv1/Conv",
            "a \"quoted\" \\ name",
            "línea\r\n2\r",
            "\u{202e}x // ; y",
        ][self.below(5)]
    }

    fn note(&mut self) -> Option<Note> {
        self.chance().then(|| Note {
            unit: (0..self.below(4)).map(|i| 1e-9 * i as f64).collect(),
            bound: (0..self.below(4)).map(|i| 1 << (9 * i)).collect(),
            node: self.chance().then_some(3),
        })
    }

    pub(super) fn program(&mut self) -> Program {
        let mut program = Program::new(["", "net", "a \"net\"\n"][self.below(3)]);
        let shape = Shape::new(1 + self.below(9), 1 + self.below(9), 1 + self.below(9));
        let mut last = program.push(Input { shape }, &[], self.origin()).unwrap();
        while program.steps.len() < 16 {
            let from = if self.below(4) == 0 {
                ValueId(self.below(program.steps.len()) as u32)
            } else {
                last
            };
            let declared = program.constants.len();
            let Type { kind, shape } = *program.ty(from);
            if kind == Kind::Activation && shape.plane() >= LARGE_PATCH && self.chance() {
                last = self.gate_with_sums(&mut program, from);
                continue;
            }
            let op = self.op(&mut program, shape);
            let args = match op {
                Op::Add(_) | Op::Max(_) => vec![from; 2],
                Op::Concat(_) => vec![from; 1 + self.below(3)],
                _ => vec![from],
            };
            let small = program
                .infer(&op, &args)
                .is_ok_and(|ty| ty.shape.is_sane() && ty.shape.len() < 10_000);
            if small {
                let id = program.push(op, &args, self.origin()).unwrap();
                program.steps[id.index()].note = self.note();
                // Nothing but a gate goes on from patch sums.
                if program.ty(id).kind != Kind::Sums {
                    last = id;
                }
            } else {
                program.constants.truncate(declared); // what does not fit is left out
            }
        }
        if matches!(program.ty(last).kind, crate::mpc::Kind::Accumulator) {
            let keep = vec![16; program.ty(last).shape.c];
            last = program.push(Truncate { keep }, &[last], "").unwrap();
        }
        program.push(Reveal, &[last], self.origin()).unwrap();
        program
    }

    pub(super) fn values(&mut self, program: &Program, limit: i32) -> Vec<Tensor<i32>> {
        let mut tensor = |constant: &Constant| {
            let values = random(self.below(99) as u64, limit).take(constant.len().unwrap());
            Tensor::new(constant.dims.clone(), values.collect()).unwrap()
        };
        program.constants.iter().map(&mut tensor).collect()
    }
}
