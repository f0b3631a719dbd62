//! Every operator's backward rule against its own forward rule, and gradients through whole graphs.
//!
//! For an affine operator `<f(x + d) - f(x), v>` is `<d, backward(v)>` for any d. Gates and max-pools are
//! affine as long as no mask and no maximum changes; smooth operators for small d.

use super::*;
use crate::geometry::{Axis, Coordinates, Patch, Patches, ResizeMode, Shape, ShuffleMode, Window};
use crate::nn::op::*;
use crate::nn::{Op, Origin};
use crate::tensor::Tensor;
use crate::text::store::random;

struct Dice(Box<dyn Iterator<Item = f32>>);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(Box::new(random(seed, 1.0)))
    }

    fn below(&mut self, n: usize) -> usize {
        ((self.0.next().unwrap().abs() * 4096.0) as usize) % n
    }

    fn values(&mut self, n: usize, scale: f32) -> Vec<f32> {
        self.0.by_ref().take(n).map(|v| v * scale).collect()
    }

    fn map(&mut self, shape: Shape, scale: f32) -> FeatureMap {
        FeatureMap::new(shape, self.values(shape.len(), scale))
    }

    fn tensor(&mut self, dims: &[usize]) -> Tensor {
        Tensor::new(dims.to_vec(), self.values(dims.iter().product(), 1.0)).unwrap()
    }

    fn window(&mut self) -> Window {
        Window {
            kernel: [0; 2].map(|_| 1 + self.below(3)),
            stride: [0; 2].map(|_| 1 + self.below(3)),
            dilation: [0; 2].map(|_| 1 + self.below(2)),
            pads: [0; 4].map(|_| self.below(3)),
        }
    }

    fn patches(&mut self, shape: Shape) -> Patches {
        let patch = |dice: &mut Self| match dice.below(4) {
            0 => Patch::Identity,
            1 => Patch::PIXEL,
            _ => Patch::Block {
                h: 1 + dice.below(shape.h) as u16,
                w: 1 + dice.below(shape.w) as u16,
            },
        };
        (0..shape.c).map(|_| patch(self)).collect()
    }
}

fn dot(a: &FeatureMap, b: &FeatureMap) -> f64 {
    let pairs = a.values().iter().zip(b.values());
    pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

#[derive(PartialEq)]
enum Kind {
    Affine,
    Piecewise,
}
use Kind::{Affine as Straight, Piecewise};

/// Checks one operator on random operands of these shapes; `false` if it does not fit them, or a
/// mask has changed on the way.
fn check(op: impl Into<Op>, shapes: &[Shape], kind: Kind, dice: &mut Dice) -> bool {
    let op = op.into();
    let Ok(output) = op.infer(shapes) else {
        return false;
    };
    let (step, tolerance) = match kind {
        Straight => (1.0, 1e-5),
        Piecewise => (1e-3, 3e-3),
    };
    let x: Vec<FeatureMap> = shapes.iter().map(|s| dice.map(*s, 1.0)).collect();
    let d: Vec<FeatureMap> = shapes.iter().map(|s| dice.map(*s, step)).collect();
    let moved: Vec<FeatureMap> = x.iter().zip(&d).map(|(x, d)| sum(x, d, 1.0)).collect();
    let refs = |maps: &'_ [FeatureMap]| -> FeatureMap { op.eval(&maps.iter().collect::<Vec<_>>(), output) };
    let (y, beyond) = (refs(&x), refs(&moved));
    let v = dice.map(output, 1.0);
    let forward = dot(&sum(&beyond, &y, -1.0), &v);
    let backward = |x: &[FeatureMap], y| op.backward(&x.iter().collect::<Vec<_>>(), y, &v);
    let gradients = backward(&x, &y);
    if kind == Piecewise && gradients != backward(&moved, &beyond) {
        return false;
    }
    assert_eq!(gradients.len(), x.len());
    let backward: f64 = gradients.iter().zip(&d).map(|(g, d)| dot(g, d)).sum();
    let size = (dot(&v, &v) * d.iter().map(|d| dot(d, d)).sum::<f64>()).sqrt() + 1e-9;
    assert!(
        (forward - backward).abs() < tolerance * size,
        "{} on {shapes:?}: {forward} forward, {backward} backward (of {size})\n{op:?}",
        op.name()
    );
    true
}

fn sum(a: &FeatureMap, b: &FeatureMap, factor: f32) -> FeatureMap {
    let pairs = a.values().iter().zip(b.values());
    FeatureMap::new(a.shape(), pairs.map(|(a, b)| a + factor * b).collect())
}

fn shape(dice: &mut Dice) -> Shape {
    Shape::new(1 + dice.below(7), 1 + dice.below(9), 1 + dice.below(9))
}

/// Runs `case` with many dice, and insists that enough of them fit.
fn many(mut case: impl FnMut(&mut Dice, Shape) -> bool) {
    let mut fit = 0;
    for seed in 0..200 {
        let mut dice = Dice::new(seed);
        let shape = shape(&mut dice);
        fit += usize::from(case(&mut dice, shape));
    }
    assert!(fit >= 40, "only {fit} cases fit");
}

#[test]
fn convolutions() {
    many(|dice, shape| {
        let groups = [1, shape.c][dice.below(2)];
        let out = groups * (1 + dice.below(5));
        let window = dice.window();
        let [kh, kw] = window.kernel;
        let op = Conv2d {
            weight: dice.tensor(&[out, shape.c / groups, kh, kw]),
            bias: Some(dice.tensor(&[out])),
            window,
            groups,
        };
        check(op, &[shape], Straight, dice)
    });
    // Wide enough for the matrix product, one pixel a window.
    let mut dice = Dice::new(1);
    let op = Conv2d {
        weight: dice.tensor(&[10, 4, 1, 1]),
        bias: None,
        window: Window::dense([1, 1]),
        groups: 2,
    };
    assert!(check(op, &[Shape::new(8, 5, 3)], Straight, &mut dice));
}

#[test]
fn linear_layers_and_affine_maps() {
    many(|dice, shape| {
        let linear = Linear {
            weight: dice.tensor(&[3, shape.len()]),
            bias: Some(dice.tensor(&[3])),
        };
        let affine = Affine {
            scale: dice.tensor(&[shape.c]),
            bias: dice.tensor(&[shape.c]),
        };
        let [gamma, beta, mean] = [0; 3].map(|_| dice.tensor(&[shape.c]));
        let norm = BatchNorm {
            gamma,
            beta,
            mean,
            variance: Tensor::vector(vec![0.7; shape.c]),
            epsilon: 1e-3,
        };
        check(linear, &[Shape::vector(shape.len())], Straight, dice)
            && check(affine, &[shape], Straight, dice)
            && check(norm, &[shape], Straight, dice)
    });
}

#[test]
fn pools() {
    many(|dice, shape| {
        check(
            MaxPool {
                window: dice.window(),
            },
            &[shape],
            Piecewise,
            dice,
        )
    });
    many(|dice, shape| {
        let window = dice.window();
        let op = AvgPool {
            overhang: [0, 1].map(|axis| dice.below(window.pads[axis + 2] + 1)),
            include_pad: dice.below(2) == 0,
            window,
        };
        check(op, &[shape], Straight, dice)
    });
    many(|dice, shape| check(GlobalAvgPool, &[shape], Straight, dice));
}

#[test]
fn a_tie_goes_to_the_first_maximum() {
    let op = MaxPool {
        window: Window::dense([1, 3]),
    };
    let x = FeatureMap::new(Shape::new(1, 1, 4), vec![2.0, 2.0, 1.0, 2.0]);
    let y = op.eval(&[&x], Shape::new(1, 1, 2));
    let g = FeatureMap::new(Shape::new(1, 1, 2), vec![1.0, 10.0]);
    assert_eq!(op.backward(&[&x], &y, &g)[0].values(), [1.0, 10.0, 0.0, 0.0]);
}

#[test]
fn gates() {
    many(|dice, shape| {
        let block = BlockRelu {
            patches: dice.patches(shape),
        };
        let clip = Clip {
            high: 0.4,
            lower: dice.patches(shape),
            upper: dice.patches(shape),
        };
        let is_limited = dice.below(2) == 0;
        let clamp = Clamp {
            low: -0.3,
            high: is_limited.then_some(0.5),
            lower: dice.patches(shape),
            upper: match is_limited {
                true => dice.patches(shape),
                false => vec![Patch::Identity; shape.c],
            },
        };
        check(Relu, &[shape], Piecewise, dice)
            && check(block, &[shape], Piecewise, dice)
            && check(clip, &[shape], Piecewise, dice)
            && check(clamp, &[shape], Piecewise, dice)
    });
}

#[test]
fn what_moves_values_about() {
    many(|dice, shape| check(Add, &[shape, shape], Straight, dice));
    many(|dice, shape| {
        let parts = [1, 2, 3].map(|c| Shape { c, ..shape });
        check(Concat, &parts, Straight, dice) && check(Flatten, &[shape], Straight, dice)
    });
    many(|dice, shape| {
        let slice = Slice {
            axis: [Axis::C, Axis::H, Axis::W][dice.below(3)],
            start: dice.below(2),
            step: 1 + dice.below(3),
            count: 1 + dice.below(3),
        };
        check(slice, &[shape], Straight, dice)
    });
    many(|dice, shape| {
        let pad = Pad {
            before: [0; 3].map(|_| dice.below(3)),
            after: [0; 3].map(|_| dice.below(3)),
        };
        check(pad, &[shape], Straight, dice) && check(Output::map(shape), &[shape], Straight, dice)
    });
    many(|dice, shape| {
        let block = 1 + dice.below(3);
        let fitting = Shape::new(shape.c * block * block, shape.h * block, shape.w * block);
        let modes = [
            ShuffleMode::ToDepth,
            ShuffleMode::ToSpace,
            ShuffleMode::NeighboursToSpace,
        ];
        let mode = modes[dice.below(3)];
        check(Shuffle { block, mode }, &[fitting], Straight, dice)
    });
}

#[test]
fn interpolation() {
    many(|dice, shape| {
        let size = [0; 2].map(|_| 1 + dice.below(9));
        let modes = [
            ResizeMode::Bilinear,
            ResizeMode::NearestFloorHalf,
            ResizeMode::NearestCeil,
        ];
        let coordinates = [
            Coordinates::HalfPixel,
            Coordinates::AlignCorners,
            Coordinates::Asymmetric,
        ];
        let op = Resize {
            size,
            scales: [size[0] as f32 / shape.h as f32, size[1] as f32 / shape.w as f32],
            mode: modes[dice.below(3)],
            coordinates: coordinates[dice.below(3)],
        };
        check(op, &[shape], Straight, dice)
    });
}

/// Two branches of one value, both used twice.
fn branches(dice: &mut Dice) -> (Graph, NodeId) {
    let mut graph = Graph::new("branches");
    let shape = Shape::new(3, 5, 4);
    let mut add = |op: Op, inputs: &[NodeId]| graph.add(op, inputs, Origin::default()).unwrap();
    let x = add(Input { shape }.into(), &[]);
    let gate = add(Relu.into(), &[x]);
    let mut window = Window::dense([3, 3]);
    window.pads = [1; 4];
    let weight = dice.tensor(&[3, 3, 3, 3]);
    let conv = Conv2d {
        weight,
        bias: None,
        window,
        groups: 1,
    };
    let conv = add(conv.into(), &[gate]);
    let sum = add(Add.into(), &[conv, gate]);
    let both = add(Concat.into(), &[sum, conv, sum]);
    let mean = add(GlobalAvgPool.into(), &[both]);
    let channels = 3 * shape.c;
    let end = add(Output::vector(channels).into(), &[mean]);
    (graph, end)
}

#[test]
fn gradients_of_several_users_add_up() {
    for seed in 0..20 {
        let mut dice = Dice::new(seed);
        let (graph, end) = branches(&mut dice);
        let input = graph.input().unwrap();
        let x = dice.map(graph.node(input).shape, 1.0);
        let d = dice.map(x.shape(), 1e-3);
        let v = dice.map(graph.node(end).shape, 1.0);
        let tape = Tape::run(&graph, &x).unwrap();
        let beyond = super::super::run(&graph, &sum(&x, &d, 1.0)).unwrap();
        let mut seen = Vec::new();
        let mut backward = 0.0;
        tape.backward(end, &v, |id, gradient| {
            assert_eq!(gradient.shape(), graph.node(id).shape);
            seen.push(id);
            if id == input {
                backward = dot(gradient, &d);
            }
        });
        let forward = dot(&sum(&beyond, tape.value(end), -1.0), &v);
        assert!((forward - backward).abs() < 1e-5, "{forward} {backward}");
        let reversed: Vec<NodeId> = graph.order().into_iter().rev().collect();
        assert_eq!(seen, reversed);
    }
}

#[test]
fn several_seeds_are_several_passes() {
    let mut dice = Dice::new(7);
    let (graph, end) = branches(&mut dice);
    let x = dice.map(graph.node(graph.input().unwrap()).shape, 1.0);
    let tape = Tape::run(&graph, &x).unwrap();
    let seeds: Vec<FeatureMap> = (0..3).map(|_| dice.map(graph.node(end).shape, 1.0)).collect();
    let mut together = Vec::new();
    tape.backward_all(end, seeds.clone(), |id, gradients| {
        together.push((id, gradients.to_vec()))
    });
    for (number, seed) in seeds.iter().enumerate() {
        let mut together = together.iter();
        tape.backward(end, seed, |id, gradient| {
            let (other, gradients) = together.next().unwrap();
            assert_eq!((id, gradient), (*other, &gradients[number]));
        });
    }
}

#[test]
fn a_wrong_image_is_refused() {
    let (graph, _) = branches(&mut Dice::new(1));
    assert!(Tape::run(&graph, &FeatureMap::zeros(Shape::new(3, 4, 5))).is_err());
}
