//! The verifier's own rules, on texts whose guilty lines say what is wrong with them and on
//! programs that no text can hold.

use super::*;
use crate::geometry::Shape;
use crate::mpc::op::{Input, Reshape, Reveal};
use crate::mpc::text::check_filetest;
use crate::mpc::{Step, Type};

fn check(source: &str) {
    check_filetest(source).unwrap_or_else(|differences| panic!("{differences}"));
}

#[test]
fn a_program_without_fault_is_accepted() {
    check(
        r#"program "sound" {
  const c0 : weight[2,1,1,1]
  const c1 : bias[2]
  %0 = input {shape=[1, 4, 4]}
  %1 = conv2d %0 {weight=c0, bias=c1, channels=2, kernel=[1, 1]}
  %2 = truncate %1 {keep=[15, 16]}
  %3 = block_relu %2 {patches=[1x1, 2x2]}
  %4 = reveal %3
}"#,
    );
}

#[test]
fn an_accumulator_is_truncated_once() {
    check(
        r#"program "twice" {
  const c0 : multiplier[1]
  %0 = input {shape=[1, 4, 4]}
  %1 = lift %0 {multiplier=c0}
  %2 = truncate %1 {keep=[16]}
  %3 = truncate %1 {keep=[16]}           ; error: the accumulator is truncated already at %2; share that
  %4 = truncate %1 {keep=[15]}           ; error: truncated already at %3
  %5 = requant %2
  %6 = requant %3
  %7 = concat %5, %6
  %8 = reveal %7
}"#,
    );
}

#[test]
fn a_truncation_keeps_what_its_gates_need() {
    let program = |keep: &str, gate: &str, fault: &str| {
        format!(
            "program \"kept\" {{
  const c0 : multiplier[2]
  const c1 : level[2]
  %0 = input {{shape=[2, 4, 4]}}
  %1 = lift %0 {{multiplier=c0}}
  %2 = truncate %1 {{keep=[{keep}]}}
  %3 = clip %2 {{level=c1, lower=[1x1*2], upper=[0x1*2]}}
  %4 = {gate} {fault}
  %5 = concat %3, %4
  %6 = reveal %5
}}"
        )
    };
    const FAULT: &str = "; error: %2 keeps fewer bits of a channel than this step needs";
    for (gate, channel_of_15_bits) in [
        ("requant %2", false),
        ("block_relu %2 {patches=[1x1, 1x1]}", true),
        ("block_relu %2 {patches=[1x1, 2x1]}", false),
        ("block_relu %2 {patches=[1x1, 0x1]}", false),
        ("clip %2 {level=c1, lower=[1x1*2], upper=[1x1*2]}", false),
        ("clip %2 {level=c1, lower=[1x1*2], upper=[0x1*2]}", true),
        ("clip %2 {level=c1, lower=[0x1*2], upper=[1x1*2]}", false),
    ] {
        check(&program("16, 16", gate, ""));
        check(&program(
            "15, 15",
            gate,
            if channel_of_15_bits { "" } else { FAULT },
        ));
    }
    // Only the channel counts that lacks a bit.
    check(&program("15, 16", "block_relu %2 {patches=[1x1, 2x1]}", ""));
    check(&program("16, 15", "block_relu %2 {patches=[1x1, 2x1]}", FAULT));
    check(
        r#"program "revealed" {
  const c0 : multiplier[1]
  %0 = input {shape=[1, 4, 4]}
  %1 = lift %0 {multiplier=c0}
  %2 = truncate %1 {keep=[15]}
  %3 = reveal %2                         ; error: keeps fewer bits
}"#,
    );
}

#[test]
fn there_is_one_input_and_one_output() {
    check(
        r#"program "two inputs" {        ; error: exactly one input
  %0 = input {shape=[1, 4, 4]}
  %1 = input {shape=[1, 4, 4]}
  %2 = max %0, %1 {non_negative=false}
  %3 = reveal %2
}"#,
    );
    check(
        r#"program "two outputs" {       ; error: reveals exactly one value
  %0 = input {shape=[1, 4, 4]}
  %1 = reveal %0
  %2 = reveal %0
}"#,
    );
    check(
        "program \"silent\" {          ; error: reveals exactly one value\n%0 = input {shape=[1, 4, 4]}\n}",
    );
    check("program \"empty\" {           ; error: one input ; error: reveals exactly one\n}");
}

#[test]
fn a_weight_belongs_to_one_convolution_and_no_constant_is_idle() {
    check(
        r#"program "shared" {
  const c0 : weight[1,1,1,1]
  const c1 : bias[1]
  const c2 : level[1]                    ; error: the constant c2 is used by no step
  const c3 : multiplier[1]
  const c4 : weight[7]                   ; error: the constant c4 is used by no step
  %0 = input {shape=[1, 4, 4]}
  %1 = conv2d %0 {weight=c0, bias=c1, channels=1, kernel=[1, 1]}
  %2 = conv2d %0 {weight=c0, bias=c1, channels=1, kernel=[1, 1]}  ; error: c0 is the weight of %1 already
  %3 = lift %0 {multiplier=c3}
  %4 = lift %0 {multiplier=c3}
  %5 = add %1, %2
  %6 = add %3, %4
  %7 = add %5, %6
  %8 = truncate %7 {keep=[16]}
  %9 = reveal %8
}"#,
    );
}

#[test]
fn sizes_are_bounded_one_by_one_and_together() {
    check(
        r#"program "empty" {
  const c0 : multiplier[0]               ; error: the constant c0 is empty
  const c1 : level[3,0]                  ; error: the constant c1 is empty
  %0 = input {shape=[1, 4, 4]}
  %1 = reveal %0
}"#,
    );
    check(
        r#"program "large" {              ; error: the program's values are beyond all measure
  %0 = input {shape=[1, 16384, 16384]}
  %1 = max %0, %0 {non_negative=false}
  %2 = max %1, %0 {non_negative=false}
  %3 = max %2, %0 {non_negative=false}
  %4 = reveal %3
}"#,
    );
}

fn step(op: impl Into<Op>, args: &[u32], ty: Type) -> Step {
    Step {
        op: op.into(),
        args: args.iter().map(|&a| ValueId(a)).collect(),
        ty,
        origin: String::new(),
        note: None,
    }
}

fn faults(steps: Vec<Step>) -> Vec<String> {
    let program = Program {
        steps,
        ..Program::new("decoded")
    };
    // A program that is decoded from a file is shown before it is verified, too.
    let options = crate::mpc::text::ProgramTextOptions {
        messages: true,
        ..Default::default()
    };
    assert!(!program.to_text_with(&options).is_empty());
    let faults = program.verify().map(|_| ()).unwrap_err();
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn operands_that_are_not_there_yet_are_refused() {
    let shape = Shape::new(1, 2, 2);
    let input = || step(Input { shape }, &[], Type::activation(shape));
    for late in [1, 2, u32::MAX] {
        let reveal = step(Reveal, &[late], Type::output(shape));
        assert_eq!(
            faults(vec![input(), reveal]),
            ["%1: an operand is not defined before it is used"]
        );
    }
}

#[test]
fn stated_types_are_checked_even_if_they_overflow() {
    let shape = Shape::new(1, 2, 2);
    let input = |ty| step(Input { shape }, &[], ty);
    let wrong = faults(vec![
        input(Type::accumulator(shape)),
        step(Reveal, &[0], Type::output(shape)),
    ]);
    assert_eq!(
        wrong,
        [
            "%0: the type is stated as acc<1x2x2> and must be act<1x2x2>",
            "%1: the operand must be tr or act, and it is acc<1x2x2>"
        ]
    );
    let huge = Type::activation(Shape::new(usize::MAX, usize::MAX, 2));
    let hostile = faults(vec![
        input(huge.clone()),
        step(Reshape, &[0], huge.clone()),
        step(Reveal, &[1], Type::output(huge.shape)),
    ]);
    assert!(
        hostile[0].contains("must be act<1x2x2>") && hostile[1].contains("beyond all measure"),
        "{hostile:?}"
    );
}
