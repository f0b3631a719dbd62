//! Graphs of all operators, printed and read back; faults shown on their lines.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::geometry::{Axis, Coordinates, Patch, Patches, ResizeMode, ShuffleMode, Window};
use crate::nn::op::*;
use crate::tail::{self, Binary, DType, Reduction, Step, Unary};
use crate::tensor::Tensor;
use crate::text::store::random;

/// A source of small numbers for random graphs.
struct Dice(Box<dyn Iterator<Item = i32>>);

impl Dice {
    fn new(seed: u64) -> Self {
        Dice(Box::new(random(seed, i32::MAX)))
    }

    fn below(&mut self, n: usize) -> usize {
        self.0.next().unwrap().unsigned_abs() as usize % n
    }

    fn chance(&mut self) -> bool {
        self.below(2) == 0
    }

    fn real(&mut self) -> f32 {
        // Any finite bits: -0.0, subnormals and the largest numbers among them.
        let value = f32::from_bits(self.0.next().unwrap() as u32 ^ ((self.below(2) as u32) << 31));
        if value.is_finite() { value } else { 0.1 }
    }

    fn tensor(&mut self, dims: &[usize]) -> Tensor {
        let values = (0..dims.iter().product()).map(|_| self.real()).collect();
        Tensor::new(dims.to_vec(), values).unwrap()
    }

    fn positive(&mut self, n: usize) -> Tensor {
        Tensor::vector((0..n).map(|_| self.real().abs().max(1e-30)).collect())
    }

    fn patches(&mut self, shape: Shape) -> Patches {
        let mut patches = Vec::new();
        while patches.len() < shape.c {
            let h = 1 + self.below(shape.h) as u16;
            let w = 1 + self.below(shape.w) as u16;
            let patch = if self.chance() {
                Patch::Block { h, w }
            } else {
                Patch::Identity
            };
            let run = 1 + self.below(9);
            patches.extend(std::iter::repeat_n(patch, run.min(shape.c - patches.len())));
        }
        patches
    }

    fn window(&mut self) -> Window {
        Window {
            kernel: [1 + self.below(3), 1 + self.below(3)],
            stride: [1 + self.below(2), 1 + self.below(2)],
            dilation: [1, 1 + self.below(2)],
            pads: [0; 4].map(|_| self.below(2)),
        }
    }

    fn origin(&mut self) -> Origin {
        const NAMES: [&str; 5] = [
            "",
            "/conv1/Conv",
            "a \"quoted\" \\ name",
            "línea\n2",
            "\u{202e}x // ; y",
        ];
        let name = format!("{}{}", NAMES[self.below(NAMES.len())], self.below(4));
        let name = if name.starts_with(|c: char| c.is_ascii_digit()) {
            String::new()
        } else {
            name
        };
        let counted_on = self
            .chance()
            .then(|| Shape::new(1 + self.below(9), 1 + self.below(9), 2));
        Origin { name, counted_on }
    }

    fn op(&mut self, shape: Shape) -> Op {
        let c = shape.c;
        match self.below(18) {
            0 => {
                let groups = if self.chance() { c } else { 1 };
                let out = groups * (1 + self.below(3));
                let window = self.window();
                let [kh, kw] = window.kernel;
                let weight = self.tensor(&[out, c / groups, kh, kw]);
                let bias = self.chance().then(|| self.tensor(&[out]));
                Conv2d {
                    weight,
                    bias,
                    window,
                    groups,
                }
                .into()
            }
            1 => {
                let out = 1 + self.below(4);
                let bias = self.chance().then(|| self.tensor(&[out]));
                Linear {
                    weight: self.tensor(&[out, c]),
                    bias,
                }
                .into()
            }
            2 => BatchNorm {
                gamma: self.tensor(&[c]),
                beta: self.tensor(&[c]),
                mean: self.tensor(&[c]),
                variance: self.positive(c),
                epsilon: 1e-5,
            }
            .into(),
            3 => Affine {
                scale: self.tensor(&[c]),
                bias: self.tensor(&[c]),
            }
            .into(),
            4 => Relu.into(),
            5 => BlockRelu {
                patches: self.patches(shape),
            }
            .into(),
            6 => Clip {
                high: self.real().abs().max(1e-40),
                lower: self.patches(shape),
                upper: self.patches(shape),
            }
            .into(),
            7 => MaxPool {
                window: self.window(),
            }
            .into(),
            8 => {
                let window = self.window();
                let overhang = [window.pads[2], 0];
                AvgPool {
                    window,
                    include_pad: self.chance(),
                    overhang,
                }
                .into()
            }
            9 => GlobalAvgPool.into(),
            10 => Add.into(),
            11 => Concat.into(),
            12 => {
                let axis = [Axis::C, Axis::H, Axis::W][self.below(3)];
                let (start, step) = (self.below(2), 1 + self.below(2));
                Slice {
                    axis,
                    start,
                    step,
                    count: 1 + self.below(3),
                }
                .into()
            }
            13 => Pad {
                before: [0; 3].map(|_| self.below(2)),
                after: [0; 3].map(|_| self.below(2)),
            }
            .into(),
            14 => Flatten.into(),
            15 => Resize {
                size: [1 + self.below(9), 1 + self.below(9)],
                scales: [self.real().abs().max(1e-3), 0.1],
                mode: [
                    ResizeMode::NearestFloorHalf,
                    ResizeMode::NearestCeilHalf,
                    ResizeMode::NearestFloor,
                    ResizeMode::NearestCeil,
                    ResizeMode::Bilinear,
                ][self.below(5)],
                coordinates: [
                    Coordinates::HalfPixel,
                    Coordinates::PytorchHalfPixel,
                    Coordinates::AlignCorners,
                    Coordinates::Asymmetric,
                ][self.below(4)],
            }
            .into(),
            16 => Shuffle {
                block: 1 + self.below(3),
                mode: [
                    ShuffleMode::ToDepth,
                    ShuffleMode::ToSpace,
                    ShuffleMode::NeighboursToSpace,
                ][self.below(3)],
            }
            .into(),
            _ => {
                let low = self.real();
                let high = self.chance().then(|| low + low.abs() + 1.0);
                let upper = match high {
                    Some(_) => self.patches(shape),
                    None => vec![Patch::Identity; c],
                };
                let lower = self.patches(shape);
                Clamp {
                    low,
                    high,
                    lower,
                    upper,
                }
                .into()
            }
        }
    }

    fn output(&mut self, shape: Shape) -> Output {
        let (mut output, step) = (Output::map(shape), |op, args| Step { op, args });
        let (first, flag, real) = (1 + self.below(3), self.chance(), f64::from(self.real()));
        let dims = vec![1, shape.len()];
        let ops = [
            step(tail::Op::Number(real, DType::F32), vec![]),
            step(
                tail::Op::Softmax {
                    first,
                    last: 4,
                    log: flag,
                },
                vec![0],
            ),
            step(tail::Op::Binary(Binary::Mul), vec![2, 1]),
            step(
                tail::Op::HardSigmoid {
                    alpha: real,
                    beta: -real,
                },
                vec![3],
            ),
            step(tail::Op::Transpose(vec![0, 3, 1, 2]), vec![4]),
            step(tail::Op::Reshape(dims.clone()), vec![5]),
            step(
                tail::Op::TopK {
                    axis: 1,
                    count: 1,
                    largest: flag,
                    indices: self.chance(),
                },
                vec![6],
            ),
            step(tail::Op::Expand(dims), vec![7]),
            step(tail::Op::Cast(DType::F16), vec![8]),
            step(
                tail::Op::Reduce {
                    how: Reduction::L2,
                    axes: vec![1],
                    keep: flag,
                },
                vec![9],
            ),
            step(tail::Op::Unary(Unary::Sigmoid), vec![10]),
        ];
        output.tail.steps.extend(ops.into_iter().take(self.below(12)));
        output
    }

    fn graph(&mut self) -> Graph {
        let mut graph = Graph::new(["", "net", "a \"net\"\n"][self.below(3)]);
        let shape = Shape::new(1 + self.below(12), 1 + self.below(9), 1 + self.below(9));
        let mut last = graph.add(Input { shape }, &[], self.origin()).unwrap();
        for _ in 0..12 {
            let ids = graph.ids();
            let from = if self.below(4) == 0 {
                ids[self.below(ids.len())]
            } else {
                last
            };
            let op = self.op(graph.node(from).shape);
            let inputs = match op {
                Op::Add(_) => vec![from, from],
                Op::Concat(_) => vec![from; 1 + self.below(3)],
                _ => vec![from],
            };
            // Nor may maps and lists outgrow what a line can hold.
            let size = |op: &Op| op.infer(&inputs.iter().map(|i| graph.node(*i).shape).collect::<Vec<_>>());
            if size(&op).is_ok_and(|s| s.len() > 10_000) {
                continue;
            }
            // What does not fit, such as a fully connected layer on a map, is left out.
            if let Ok(id) = graph.add(op, &inputs, self.origin()) {
                let channels = graph.node(id).shape.c;
                graph.node_mut(id).range = self
                    .chance()
                    .then(|| (0..channels).map(|_| self.real()).collect());
                last = id;
            }
        }
        let output = self.output(graph.node(last).shape);
        graph.add(output, &[last], Origin::named("y")).unwrap();
        graph
    }
}

/// Everything that a graph holds, with the bits of its numbers.
fn content(graph: &Graph) -> Vec<String> {
    let bits = |attrs: &Attrs| {
        let hashes = attrs.iter().map(|(name, attr)| match attr {
            crate::text::Attr::Tensor(t) => format!("{name} {}", t.content_hash()),
            other => format!("{name} {other:?}"),
        });
        hashes.collect::<Vec<_>>()
    };
    let node = |id: NodeId| {
        let node = graph.node(id);
        let (inputs, op) = (graph.inputs(id), bits(&node.op.attrs()));
        format!(
            "{id} {} {inputs:?} {op:?} {:?} {:?} {:?}",
            node.op.name(),
            node.shape,
            node.origin,
            node.range
        )
    };
    graph.ids().into_iter().map(node).collect()
}

proptest! {
    #[test]
    fn any_graph_reads_back_to_the_bit(seed in any::<u64>(), inline in 0usize..20) {
        let graph = Dice::new(seed).graph();
        let text = graph.to_text_with(&TextOptions { inline_values: inline });
        let read = Graph::parse(&text, &graph.tensors());
        let read = read.map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
        prop_assert_eq!(&read.name, &graph.name);
        prop_assert_eq!(content(&read), content(&graph));
        prop_assert_eq!(read.to_text_with(&TextOptions { inline_values: inline }), text);
    }

    #[test]
    fn no_change_of_a_valid_graph_makes_the_reader_panic(
        seed in any::<u64>(),
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), "[0-9x%{}, :*.@\"a-f\n-]{0,3}"), 1..6),
    ) {
        let graph = Dice::new(seed).graph();
        let mut chars: Vec<char> = graph.to_text().chars().collect();
        for (at, text) in edits {
            let at = at.index(chars.len());
            chars.splice(at..(at + 1).min(chars.len()), text.chars());
        }
        let text: String = chars.into_iter().collect();
        match Graph::parse_verified(&text, &graph.tensors()) {
            Ok(read) => prop_assert!(Graph::parse(&read.to_text(), &read.tensors()).is_ok()),
            Err(errors) => prop_assert!(!errors.to_string().is_empty()),
        }
    }
}

#[test]
fn random_graphs_hold_every_operator() {
    let graphs = (0..100).map(|seed| Dice::new(seed).graph());
    let names: BTreeSet<&str> = graphs.flat_map(|g| content_names(&g)).collect();
    assert_eq!(names, Op::NAMES.iter().copied().collect());
}

fn content_names(graph: &Graph) -> Vec<&'static str> {
    graph
        .ids()
        .into_iter()
        .map(|id| graph.node(id).op.name())
        .collect()
}

const TINY: &str = r#"graph "tiny" {
  %0 = input {shape=[6, 8, 8]} : 6x8x8 @"image"
  %1 = conv2d %0 {weight=f32[8,1,1,1]{0.5, -0.1, 1e-7, 3.0, 0.0*4}, bias=f32[8]{1.0*8}, groups=2} : 8x8x8 @"/conv/Conv"
}"#;

#[test]
fn a_graph_looks_like_this() {
    let source = r#"graph "tiny" {
  %0 = input {shape=[2, 8, 8]} : 2x8x8 @"image"
  %1 = conv2d %0 {weight=f32[6,1,1,1]{0.5, -0.1, 1e-7, 3.0, -0.0, 0.0}, pads=[0, 0, 1, 1], groups=2} : 6x9x9 @"/conv/Conv"
  %2 = block_relu %1 {patches=[2x2*5, 0x1]} : 6x9x9 @"/relu/Relu" counted 6x18x18 range [1.5*5, 0.1f]
  %3 = clip %2 {high=6.0, lower=[1x1*6], upper=[9x3*6]} : 6x9x9 @"/clip/Clip"
  %4 = batch_norm %3 {gamma=f32[6]{1.0*6}, beta=f32[6]{0.0*6}, mean=f32[6]{0.0*6}, variance=f32[6]{1.0*6}, epsilon=1e-5f} : 6x9x9
  %5 = resize %4 {size=[3, 3], scales=[0.33333334f, 0.33333334f], mode=nearest, coordinates=half_pixel} : 6x3x3
  %6 = slice %5 {axis=c, start=1, step=2, count=3} : 3x3x3
  %7 = concat %6, %5, %6 : 12x3x3
  %8 = avg_pool %7 {kernel=[3, 3], include_pad=false} : 12x1x1
  %9 = linear %8 {weight=f32[10,12]#d01f0b3a5ac7ee56} : 10x1x1 @"/fc/Gemm"
  %10 = output %9 {dims=[1, 10]} : 10x1x1 @"logits"
}
"#;
    let weight = Tensor::new(vec![10, 12], random(1, 1.0).take(120).collect()).unwrap();
    let source = source.replace("d01f0b3a5ac7ee56", &weight.content_hash());
    let mut store = TensorStore::new();
    store.insert(weight);
    let graph = Graph::parse_verified(&source, &store)
        .map_err(|e| e.to_string())
        .unwrap();
    assert_eq!(graph.to_text(), source);
}

#[test]
fn random_weights_and_inferred_types_make_tests_short() {
    let source = "graph \"g\" {\n%5 = input {shape=[3, 8, 8]}\n%2 = conv2d %5 {weight=f32[4,3,3,3] random(7, 0.5)}\n\
                  %3 = output %2 {dims=[1, 4, 6, 6]}\n}";
    let graph = Graph::parse_verified(source, &TensorStore::new()).unwrap();
    let text = graph.to_text();
    assert!(
        text.contains("%1 = conv2d %0 {weight=f32[4,3,3,3]#") && text.contains(": 4x6x6"),
        "{text}"
    );
}

#[test]
fn errors_quote_their_lines() {
    let source = TINY.replace("conv2d", "conv3d") + "\n";
    let errors = Graph::parse(&source, &TensorStore::new())
        .unwrap_err()
        .in_file("tiny.tir");
    let expected = "\
error: unknown operator `conv3d`
  --> tiny.tir:3:8
   3 |   %1 = conv3d %0 {weight=f32[8,1,1,1]{0.5, -0.1, 1e-7, 3.0, 0.0*4}, bias=f32[8]{1.0*8}, groups=2} : 8x8x8 @\"/conv/Conv\"
     |        ^^^^^^ did you mean `conv2d`?";
    assert_eq!(errors.to_string(), expected);
}

#[test]
fn faults_of_form_and_type_stand_on_their_lines() {
    check_filetest(
        r#"graph "faulty" {
  const c0 : weight[2]{1, 2}                    ; error: declares no constants
  %0 = input {shape=[2, 8, 8]} : 2x8x8
  %1 = relu %0 : 2x8x9                          ; error: stated as 2x8x9 and must be 2x8x8
  %2 = relu %0, %1                              ; error: 2 operands are given
  %3 = add %2, %2                               // its operand is at fault, not this line
  %4 = reul %9                                  ; error: unknown operator ; error: `%9` is not defined
  %5 = output %1                                ; error: the attribute `dims` is missing
  %6 = output %1 {dims=[1, 2, 8, 8], axis=c}    ; error: no attribute `axis`
  %7 = output %1 {dims=[1, 2]}                  ; error: cannot hold a value of shape 2x8x8
  %8 = relu %1 : act<2x8x8>                     ; error: stated as act<2x8x8>
  %10 = relu %1 counted 3                       ; error: `counted` must be a shape
  %11 = relu %1 colour 3                        ; error: no attribute `colour`
  relu %1                                       ; error: every operator defines a value
  %12 = max_pool %1 {kernel=[99, 1]}            ; error: does not fit the padded map
  %13 = affine %1 {scale=f32[3]{1.0*3}, bias=f32[2]{0.0, 0.0}} ; error: must hold 2 values
  %14 = block_relu %1 {patches=[9x9, 1x1]}      ; error: does not fit a map of 8x8
  %15 = clip %1 {high=1e39, lower=[1x1*2], upper=[1x1*2]}      ; error: `high` must be a number
}
"#,
    )
    .unwrap();
}

#[test]
fn the_verifier_speaks_of_lines() {
    check_filetest(
        r#"graph "unsound" {                            ; error: exactly one output
  %7 = input {shape=[2, 8, 8]}
  %3 = relu %7 @"a"
  %1 = relu %3 @"a"                             ; error: the ReLU's name "a"
  %2 = relu %1 range [1.0]                      ; error: the range does not hold
}
"#,
    )
    .unwrap();
    check_filetest("program \"x\" {              ; error: this is a program\n}").unwrap();
    check_filetest("graph \"x\" {\n}").unwrap_err();
}

#[test]
fn a_graph_with_gaps_keeps_its_numbers_in_print() {
    let mut graph = Graph::new("gaps");
    let x = graph
        .add(
            Input {
                shape: Shape::new(1, 2, 2),
            },
            &[],
            Origin::default(),
        )
        .unwrap();
    let dead = graph.add(Relu, &[x], Origin::default()).unwrap();
    let y = graph.add(Relu, &[x], Origin::named("r")).unwrap();
    graph
        .add(Output::map(Shape::new(1, 2, 2)), &[y], Origin::named("y"))
        .unwrap();
    graph.remove(dead);
    let text = graph.to_text();
    assert!(text.contains("%2 = relu %0 : 1x2x2 @\"r\""), "{text}");
    let read = Graph::parse(&text, &TensorStore::new()).unwrap();
    assert_eq!(read.to_text(), graph.compacted().to_text());
}

#[test]
fn a_cycle_is_shown_and_does_not_read_back() {
    let mut graph = Graph::new("cycle");
    let x = graph
        .add(
            Input {
                shape: Shape::new(1, 2, 2),
            },
            &[],
            Origin::default(),
        )
        .unwrap();
    let a = graph.add(Relu, &[x], Origin::named("a")).unwrap();
    let b = graph.add(Relu, &[a], Origin::named("b")).unwrap();
    graph.replace(a, Relu, &[b]).unwrap();
    let text = graph.to_text();
    assert_eq!(text.lines().count(), 5);
    assert!(
        Graph::parse(&text, &TensorStore::new())
            .unwrap_err()
            .to_string()
            .contains("not defined above")
    );
}
