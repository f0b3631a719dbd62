//! Random programs of all ops, with constants of any size.

use trefoil_ir::geometry::{Coordinates, ResizeMode, ShuffleMode};
use trefoil_ir::mpc::gate::Rounds;
use trefoil_ir::mpc::patch_sums::SumList;
use trefoil_ir::mpc::{ConstKind, Kind, ValueId, op};
use trefoil_ir::{Axis, Patch, Patches, Shape, Window, nn};

use crate::exec::tests::Build;
use crate::protocol::tests::random;

/// Most steps of a program, more or less.
const STEPS: usize = 18;

/// Most values of a step.
const VALUES: usize = 2000;

struct Dice {
    build: Build,
    state: u64,
}

/// The program of this seed.
pub(super) fn program(seed: u64) -> Build {
    let mut state = seed ^ 0x5eed;
    random(&mut state);
    let mut below = |n: usize| random(&mut state) as usize % n;
    let shape = Shape::new(1 + below(4), 3 + below(7), 3 + below(7));
    let (build, mut last) = Build::new(shape);
    let mut dice = Dice { build, state };
    while dice.build.program.steps.len() < STEPS {
        last = dice.step(last);
    }
    let build = dice.build.reveal(last);
    Build {
        program: build.program.verify().expect("sound").into_inner(),
        ..build
    }
}

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        random(&mut self.state) as usize % n
    }

    fn chance(&mut self) -> bool {
        self.below(2) == 0
    }

    fn shape(&self, x: ValueId) -> Shape {
        self.build.program.ty(x).shape
    }

    /// A constant of up to so many bits.
    fn constant(&mut self, kind: ConstKind, dims: Vec<usize>, bits: usize) -> trefoil_ir::mpc::ConstId {
        let limit = ((1u64 << self.below(bits + 1)) - 1).max(1);
        self.build.constant(kind, dims, limit as i32)
    }

    fn patches(&mut self, shape: Shape) -> Patches {
        let mut patch = |_| match self.below(5) {
            0 => Patch::Identity,
            1 => Patch::PIXEL,
            _ => Patch::Block {
                h: 1 + self.below(shape.h) as u16,
                w: 1 + self.below(shape.w) as u16,
            },
        };
        (0..shape.c).map(&mut patch).collect()
    }

    fn window(&mut self) -> Window {
        let mut pair = |n| [1 + self.below(n), 1 + self.below(n)];
        Window {
            kernel: pair(3),
            stride: pair(2),
            dilation: [1, 1],
            pads: [1; 4],
        }
    }

    /// One step more, or a few that belong together; the value to go on from.
    fn step(&mut self, x: ValueId) -> ValueId {
        match self.build.program.ty(x).kind {
            Kind::Activation => self.on_activation(x),
            _ => self.on_accumulator(x),
        }
    }

    fn on_activation(&mut self, x: ValueId) -> ValueId {
        let shape = self.shape(x);
        match self.below(9) {
            0 => self.moved(x),
            1 => {
                let patches: Patches = self.patches(shape);
                let simple = |p: Patch| if p == Patch::Identity { p } else { Patch::PIXEL };
                let patches = patches.into_iter().map(simple).collect();
                let rounds = self.rounds();
                self.build.push(op::Relu { patches, rounds }, &[x])
            }
            2 => {
                let non_negative = self.chance();
                let index = (0..shape.h).rev().collect();
                let turned = self.build.push(op::Gather { axis: Axis::H, index }, &[x]);
                let rounds = self.rounds();
                self.build.push(op::Max { non_negative, rounds }, &[x, turned])
            }
            3 => {
                let multiplier = self.constant(ConstKind::Multiplier, vec![shape.c], 31);
                self.build.push(op::Lift { multiplier }, &[x])
            }
            4 => {
                let window = self.window();
                let [h, w] = window.output(shape.h, shape.w).unwrap();
                let multiplier = self.constant(ConstKind::Multiplier, vec![shape.c, h, w], 31);
                self.build.push(op::SumPool { window, multiplier }, &[x])
            }
            5 => {
                let size = [shape.h + self.below(3), shape.w + self.below(3)];
                let resize = nn::op::Resize {
                    size,
                    scales: [size[0] as f32 / shape.h as f32, size[1] as f32 / shape.w as f32],
                    mode: ResizeMode::Bilinear,
                    coordinates: Coordinates::HalfPixel,
                };
                self.build.push(op::Interpolate { resize }, &[x])
            }
            6 => self.gate_with_sums(x),
            _ => self.convolved(x),
        }
    }

    fn convolved(&mut self, x: ValueId) -> ValueId {
        let (shape, window) = (self.shape(x), self.window());
        let channels = 1 + self.below(6);
        let dims = vec![channels, shape.c, window.kernel[0], window.kernel[1]];
        let weight = self.constant(ConstKind::Weight, dims, 31);
        let bias = self.constant(ConstKind::Bias, vec![channels], 31);
        let conv = op::Conv2d {
            weight,
            bias: Some(bias),
            channels,
            window,
            groups: 1,
        };
        self.build.push(conv, &[x])
    }

    /// A step that moves values about.
    fn moved(&mut self, x: ValueId) -> ValueId {
        let shape = self.shape(x);
        let fits = |values: usize| values <= VALUES;
        match self.below(5) {
            0 if fits(2 * shape.len()) => self.build.push(op::Concat, &[x, x]),
            1 if fits(shape.c * (shape.h + 1) * (shape.w + 1)) => {
                let pad = nn::op::Pad {
                    before: [0, 1, 0],
                    after: [0, 0, 1],
                };
                self.build.push(op::Pad { pad }, &[x])
            }
            2 if self.below(6) == 0 => self.build.push(op::Reshape, &[x]),
            3 if shape.h.is_multiple_of(2) && shape.w.is_multiple_of(2) => {
                self.build.shuffle(x, ShuffleMode::ToDepth)
            }
            3 if shape.c.is_multiple_of(4) => self.build.shuffle(x, ShuffleMode::ToSpace),
            _ => {
                let axis = [Axis::C, Axis::H, Axis::W][self.below(3)];
                let size = axis.size(shape);
                let index = (0..size).map(|_| self.below(size)).collect();
                self.build.push(op::Gather { axis, index }, &[x])
            }
        }
    }

    fn on_accumulator(&mut self, z: ValueId) -> ValueId {
        match self.below(4) {
            0 => return self.moved(z),
            1 => return self.build.push(op::Add, &[z, z]),
            _ => {}
        }
        let shape = self.shape(z);
        let z = self.build.truncate(z, 16);
        match self.below(3) {
            0 => self.build.push(op::Requant, &[z]),
            1 => {
                let patches = self.patches(shape);
                let rounds = self.rounds();
                self.build.push(op::BlockRelu { patches, rounds }, &[z])
            }
            _ => {
                let clip = self.clip(shape);
                self.build.push(clip, &[z])
            }
        }
    }

    /// A clip whose sums are those of its pixels. Levels are held to their range.
    fn clip(&mut self, shape: Shape) -> op::Clip {
        let (lower, other) = (self.patches(shape), self.patches(shape));
        let pairs = lower.iter().zip(other);
        let upper = pairs.map(|(l, o)| if self.chance() { *l } else { o }).collect();
        let level = 1 + self.below((1 << 14) - 1);
        op::Clip {
            level: self.build.fixed(ConstKind::Level, vec![shape.c], level as i32),
            sum_level: None,
            lower,
            upper,
            rounds: self.rounds(),
        }
    }

    fn rounds(&mut self) -> Rounds {
        if self.chance() { Rounds::One } else { Rounds::Two }
    }

    /// A gate of a convolution, or of a lifted activation, with sums from apart.
    fn gate_with_sums(&mut self, x: ValueId) -> ValueId {
        let shape = self.shape(x);
        if shape.plane() < 16 {
            return self.convolved(x);
        }
        let whole = Patch::Block {
            h: shape.h as u16,
            w: shape.w as u16,
        };
        if self.chance() {
            let mut patches = self.patches(shape);
            patches[0] = whole;
            let list = SumList::of_gate(&patches, None);
            let operands = self.sums(x, list);
            let rounds = self.rounds();
            return self.build.push(op::BlockRelu { patches, rounds }, &operands);
        }
        let mut clip = self.clip(shape);
        (clip.lower[0], clip.upper[0]) = (whole, whole);
        let list = SumList::of_gate(&clip.lower, Some(&clip.upper));
        let operands = self.sums(x, list);
        let level = 1 + self.below(1 << 20);
        let level = self.build.fixed(ConstKind::SumLevel, vec![shape.c], level as i32);
        clip.sum_level = Some(level);
        self.build.push(clip, &operands)
    }

    /// A value of the shape of `x`, truncated, and these sums of it (or of something else).
    fn sums(&mut self, x: ValueId, sums: SumList) -> [ValueId; 2] {
        let (shape, entries) = (self.shape(x), sums.patches.len());
        let multiplier = self.constant(ConstKind::Multiplier, vec![shape.c], 31);
        let z = self.build.push(op::Lift { multiplier }, &[x]);
        let z = self.build.truncate(z, 16);
        let sums = if self.chance() {
            let multiplier = self.constant(ConstKind::Multiplier, vec![entries], 31);
            let window = Window::dense([1, 1]);
            let op = op::PoolSums {
                window,
                multiplier,
                sums,
            };
            self.build.push(op, &[x])
        } else {
            let op = op::Conv2dSums {
                weight: self.constant(ConstKind::Weight, vec![entries, shape.c, 3, 3], 31),
                bias: Some(self.constant(ConstKind::Bias, vec![entries], 31)),
                channels: shape.c,
                window: Window {
                    pads: [1; 4],
                    ..Window::dense([3, 3])
                },
                groups: 1,
                sums,
            };
            self.build.push(op, &[x])
        };
        [z, self.build.push(op::TruncateSums, &[sums])]
    }
}
