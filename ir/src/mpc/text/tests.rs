//! Programs of all ops, printed and read back; faults of form on their lines.

mod dice;

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::mpc::Op;
use crate::mpc::cost::Cost;
use crate::mpc::emulate::{Emulator, IntMap, Masks, Rounding};
use crate::text::store::random;
use dice::Dice;

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
  //   masked_share client->server offline 32.0 bits x 8
  //   truncation_mask helper->client offline 16.0 bits x 8
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
  lift %0 {multiplier=c1}                ; error: every step defines a value: write %4 = in front
}"#,
    )
    .unwrap();
}

#[test]
fn numbers_are_defined_once() {
    check_filetest(
        r#"program "twice" {
  const c0 : multiplier[1]
  const c0 : multiplier[1]               ; error: `c0` is declared twice
  %0 = input {shape=[1, 2, 2]}
  %0 = lift %0 {multiplier=c0}           ; error: `%0` is defined twice
  %2 = reveal %0
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
    assert_eq!(names.len(), Op::NAMES.len(), "{names:?}");
    let sound = programs.into_iter().filter(|p| p.clone().verify().is_ok());
    assert!(sound.count() > 10);
}

/// Masks of which the low halves, the coins, and the shares come from seeds of their own.
#[derive(Debug)]
struct Shares {
    coins: u64,
    shares: u64,
}

impl Shares {
    fn word(seed: u64, step: ValueId, element: usize) -> u32 {
        let seed = seed ^ u64::from(step.0) << 32 ^ (element as u64) << 8;
        random(seed, i32::MAX).next().unwrap() as u32
    }
}

impl Masks for Shares {
    fn truncation(&self, step: ValueId, element: usize) -> u32 {
        Self::word(self.shares, step, element) << 16 | Self::word(self.coins, step, element) & 0xffff
    }

    fn result(&self, step: ValueId, element: usize) -> u32 {
        Self::word(self.shares, step, element)
    }
}

proptest! {
    #[test]
    fn any_program_reads_back(seed in any::<u64>(), inline in 0usize..20, messages in any::<bool>()) {
        let mut dice = Dice::new(seed);
        let program = dice.program();
        let values = dice.values(&program, i32::MAX).into_iter();
        let values: ConstantValues = values.map(|v| dice.chance().then_some(v)).collect();
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
    fn what_the_verifier_accepts_runs(seed in any::<u64>(), coin in any::<bool>()) {
        let mut dice = Dice::new(seed);
        let Ok(program) = dice.program().verify() else { return Ok(()) };
        let constants: Vec<_> = dice.values(&program, 1 << 16);
        let image = random(seed, 1 << 14).take(program.ty(ValueId(0)).shape.len());
        let image = IntMap::new(program.ty(ValueId(0)).shape, image.map(i64::from).collect());
        let rounding = if coin { Rounding::Coin(seed) } else { Rounding::Nearest };
        let mut shapes = Vec::new();
        let outcome = Emulator::new(&program, &constants).run(&image, rounding, |_, map| shapes.push(map.shape()));
        prop_assert!(shapes.into_iter().eq(program.steps.iter().map(|s| s.ty.shape)));
        prop_assert_eq!(Some(outcome.output.shape()), program.output().map(|id| program.ty(id).shape));
        let cost = Cost::new(&program);
        prop_assert_eq!(cost.bytes().total, cost.steps.iter().map(|s| s.bytes.total).sum::<u64>());
    }

    #[test]
    fn how_values_are_shared_matters_on_images_with_a_breach_alone(seed in any::<u64>(), bits in 0u32..20) {
        let mut dice = Dice::new(seed);
        let Ok(program) = dice.program().verify() else { return Ok(()) };
        let constants: Vec<_> = dice.values(&program, 1 << bits);
        let image = random(seed, 1 << 13).take(program.ty(ValueId(0)).shape.len());
        let image = IntMap::new(program.ty(ValueId(0)).shape, image.map(i64::from).collect());
        let run = |shares| {
            let mut values = Vec::new();
            let masks = Shares { coins: seed, shares };
            let emulator = Emulator::new(&program, &constants);
            let outcome = emulator.run(&image, Rounding::Masks(&masks), |_, map| values.push(map.values().to_vec()));
            (outcome.breaches().count(), values)
        };
        let [(breaches, one), (_, other)] = [run(1), run(2)];
        prop_assert!(breaches > 0 || one == other, "{}", program.to_text());
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
