//! Programs of all ops, printed and read back; faults of form on their lines.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::mpc::cost::Cost;
use crate::mpc::op::*;
use crate::nn::op::{Axis, Coordinates, Resize, ResizeMode};
use crate::patch::{Patch, Patches};
use crate::shape::{Shape, Window};
use crate::text::store::random;

const TINY: &str = r#"program "tiny" {
  const c0 : weight[2,1,1,1]{131072, -65536}
  const c1 : bias[2]{32768, 0}
  const c2 : level[2]{5, 6}
  %0 = input {shape=[1, 2, 2]} : act<1x2x2> @"image"
  %1 = conv2d %0 {weight=c0, bias=c1, channels=2, kernel=[1, 1]} : acc<2x2x2> @"/conv/Conv"
  %2 = truncate %1 {keep=[16, 16]} : tr<2x2x2> @"/clip/Clip"
  %3 = clip %2 {level=c2, lower=[1x1, 2x2], upper=[1x1, 0x1]} : act<2x2x2> @"/clip/Clip"
  %4 = reveal %3 : out<2x2x2> @"features"
}
"#;

fn tiny() -> (Program, ConstantValues) {
    Program::parse(TINY, &TensorStore::new()).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn a_program_reads_back_as_it_was_printed() {
    let (program, values) = tiny();
    let options = ProgramTextOptions {
        constants: &values,
        ..Default::default()
    };
    assert_eq!(program.to_text_with(&options), TINY);
    assert_eq!(values[1].as_ref().unwrap().values(), [32_768, 0]);
    let public = program.to_text();
    assert!(public.contains("const c0 : weight[2,1,1,1]\n"), "{public}");
    let (read, none) = Program::parse(&public, &TensorStore::new()).unwrap();
    assert_eq!((read, none), (program, vec![None; 3]));
}

#[test]
fn values_come_from_the_store_and_from_seeds() {
    let weight = Tensor::new(vec![2, 1, 1, 1], vec![7, 8]).unwrap();
    let mut store = TensorStore::new();
    store.insert(weight.clone());
    let source = TINY
        .replace("{131072, -65536}", &format!("#{}", weight.content_hash()))
        .replace("{32768, 0}", " random(3, 10)")
        .replace("{5, 6}", "");
    let (_, values) = Program::parse_verified(&source, &store).unwrap();
    let seeded = Tensor::vector(random(3, 10).take(2).collect());
    assert_eq!(values, [Some(weight), Some(seeded), None]);
    let unknown = Program::parse(&source, &TensorStore::new()).unwrap_err();
    assert!(unknown.to_string().contains("no tensor of hash"), "{unknown}");
}

#[test]
fn notes_and_messages_are_comments() {
    let (mut program, _) = tiny();
    let plain = program.clone();
    program.steps[1].note = Some(Note {
        unit: vec![1.25e-6, 2.5e-6],
        bound: vec![1 << 20, 3 << 20],
        node: Some(7),
    });
    program.steps[2].note = Some(Note::default());
    program.steps[3].note = Some(Note {
        unit: vec![0.5; 2],
        bound: vec![0; 2],
        node: None,
    });
    let options = ProgramTextOptions {
        messages: true,
        ..Default::default()
    };
    let text = program.to_text_with(&options);
    let expected = r#"  %0 = input {shape=[1, 2, 2]} : act<1x2x2> @"image"
  //   input client->server online 32.0 bits x 4
  %1 = conv2d %0 {weight=c0, bias=c1, channels=2, kernel=[1, 1]} : acc<2x2x2> @"/conv/Conv"  // unit 1.3e-6..2.5e-6, bound 2^20.0..2^21.6, real 1.31..7.86, node 7
  %2 = truncate %1 {keep=[16, 16]} : tr<2x2x2> @"/clip/Clip"
  //   truncation_mask helper->client offline 16.0 bits x 8
  //   masked_share client->server offline 32.0 bits x 8
  %3 = clip %2 {level=c2, lower=[1x1, 2x2], upper=[1x1, 0x1]} : act<2x2x2> @"/clip/Clip"  // unit 0.50, bound 0, real 0.00
"#;
    assert!(text.contains(expected), "{text}");
    assert!(
        text.contains("  //   m4 client->server online 33.0 bits x 8\n"),
        "{text}"
    );
    assert!(
        text.ends_with("  //   reveal server->client online 16.0 bits x 8\n}\n"),
        "{text}"
    );
    let (read, _) = Program::parse(&text, &TensorStore::new()).unwrap();
    assert_eq!(read, plain);
}

#[test]
fn numbers_run_without_gaps() {
    check_filetest(
        r#"program "gaps" {
  const c0 : multiplier[1]
  const c2 : multiplier[1]               ; error: constants are numbered in order, and the next one is `c1`
  const c1 : multiplier[1]
  %0 = input {shape=[1, 2, 2]}
  %2 = lift %0 {multiplier=c0}           ; error: numbered in order, and the next one is `%1`
  %3 = lift %0 {multiplier=c2}
  %1 = lift %0 {multiplier=c1}           ; error: the next one is `%4`
  %2 = lift %0 {multiplier=c1}           ; error: `%2` is defined twice
  lift %0 {multiplier=c1}                ; error: every step defines a value: write %2
}"#,
    )
    .unwrap();
}

#[test]
fn a_broken_line_says_nothing_about_the_next() {
    check_filetest(
        r#"program "broken" {
  scale = 3                              ; error: a program has no property `scale`
  const c0 : wieght[1,1,1,1]             ; error: unknown kind of constant `wieght`
  const c1 : bias[1]{1, 2}               ; error: 2 values are given
  const c2 : bias[1}                     ; error: `,` or `]`
  const c3 : level[1]{0.5}               ; error: index 0
  %0 = input {shape=[1, 2, 2]} : act<1x2x3> ; error: stated as act<1x2x3> and must be act<1x2x2>
  %1 = conv2d %0 {weight=c0, bias=c1, channels=1, kernel=[1, 1]}
  %2 = truncate %1 {keep=[16]}
  %3 = clop %2                           ; error: unknown op `clop`
  %4 = clip %2 {level=c3                 ; error: before the end of the line
  %5 = reveal %4 counted 3               ; error: no attribute `counted`
  %6 = reveal %0 : 1x2x2                 ; error: stated as 1x2x2
  %9 = reveal %8                         ; error: `%8` is not defined above
}"#,
    )
    .unwrap();
    check_filetest("graph \"x\" {              ; error: this is a graph\n}").unwrap();
    let source = TINY.replace("weight[", "wieght[");
    let errors = Program::parse(&source, &TensorStore::new()).unwrap_err();
    assert!(errors.to_string().contains("did you mean `weight`?"), "{errors}");
}

/// A source of small numbers for random programs.
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

    fn window(&mut self) -> Window {
        Window {
            kernel: self.pair(3),
            stride: self.pair(2),
            dilation: [1, 1 + self.below(2)],
            pads: [0; 4].map(|_| self.below(2)),
        }
    }

    fn op(&mut self, program: &mut Program, shape: Shape) -> Op {
        let c = shape.c;
        match self.below(16) {
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
            }
            .into(),
            13 => Clip {
                level: program.declare(ConstKind::Level, vec![c]),
                lower: self.patches(shape, [9, 9]),
                upper: self.patches(shape, [2, 2]),
            }
            .into(),
            14 => Relu {
                patches: self.patches(shape, [1, 1]),
            }
            .into(),
            _ => Max {
                non_negative: self.chance(),
            }
            .into(),
        }
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

    fn program(&mut self) -> Program {
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
            let shape = program.ty(from).shape;
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
                last = program.push(op, &args, self.origin()).unwrap();
                program.steps[last.index()].note = self.note();
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

    fn values(&mut self, program: &Program) -> ConstantValues {
        let mut tensor = |constant: &Constant| {
            let values = random(self.below(99) as u64, i32::MAX).take(constant.len().unwrap());
            Tensor::new(constant.dims.clone(), values.collect()).unwrap()
        };
        let tensors: Vec<_> = program.constants.iter().map(&mut tensor).collect();
        tensors.into_iter().map(|t| self.chance().then_some(t)).collect()
    }
}

fn store_of(values: &ConstantValues) -> TensorStore {
    let mut store = TensorStore::new();
    for tensor in values.iter().flatten() {
        store.insert(tensor.clone());
    }
    store
}

#[test]
fn random_programs_hold_every_op_and_some_are_sound() {
    let programs: Vec<Program> = (0..300).map(|seed| Dice::new(seed).program()).collect();
    let names: BTreeSet<&str> = programs
        .iter()
        .flat_map(|p| &p.steps)
        .map(|s| s.op.name())
        .collect();
    assert_eq!(names.len(), 17, "{names:?}");
    let sound = programs.into_iter().filter(|p| p.clone().verify().is_ok());
    assert!(sound.count() > 10);
}

proptest! {
    #[test]
    fn any_program_reads_back(seed in any::<u64>(), inline in 0usize..20, messages in any::<bool>()) {
        let mut dice = Dice::new(seed);
        let program = dice.program();
        let values = dice.values(&program);
        let text = TextOptions { inline_values: inline };
        let options = ProgramTextOptions { text, constants: &values, messages };
        let printed = program.to_text_with(&options);
        let read = Program::parse(&printed, &store_of(&values));
        let (read, back) = read.map_err(|e| TestCaseError::fail(format!("{e}\n{printed}")))?;
        prop_assert_eq!(&read, &program.public(), "{}", printed);
        prop_assert_eq!(&back, &values);
        prop_assert_eq!(read.to_text_with(&options), program.public().to_text_with(&options));
    }

    #[test]
    fn no_change_of_a_valid_program_makes_anything_panic(
        seed in any::<u64>(),
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), "[0-9x%c{}, :*.@\"a-f\n-]{0,3}"), 1..4),
    ) {
        let text = Dice::new(seed).program().to_text();
        let mut chars: Vec<char> = text.chars().collect();
        for (at, edit) in edits {
            let at = at.index(chars.len());
            chars.splice(at..(at + 1).min(chars.len()), edit.chars());
        }
        let text: String = chars.into_iter().collect();
        let options = ProgramTextOptions { messages: true, ..Default::default() };
        if let Ok((program, _)) = Program::parse(&text, &TensorStore::new()) {
            let printed = program.to_text_with(&options);
            let again = Program::parse(&printed, &TensorStore::new());
            prop_assert_eq!(again.map(|(p, _)| p), Ok(program));
        }
        match Program::parse_verified(&text, &TensorStore::new()) {
            Ok((program, _)) => prop_assert!(Cost::new(&program).round_trips > 0),
            Err(errors) => prop_assert!(!errors.to_string().is_empty()),
        }
    }
}
