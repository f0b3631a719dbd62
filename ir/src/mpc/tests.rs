//! Programs written as text, put through the verifier, the emulator, the schedule and the costs.

mod beyond;
mod breach;
mod cost;
mod emulate;
mod op_rules;
mod rounding;
mod rounds;
mod sums;
mod verify;

use std::fmt::Write as _;

use super::emulate::{Emulator, IntMap, Outcome, Rounding};
use super::{Op, Program, ValueId};
use crate::Verified;
use crate::geometry::Shape;
use crate::tensor::Tensor;
use crate::text::TensorStore;

/// A program of these lines, which need not be one that the verifier accepts.
fn parse(body: &str) -> (Program, Vec<Tensor<i32>>) {
    let source = format!("program \"test\" {{\n{body}\n}}");
    let (program, values) =
        Program::parse(&source, &TensorStore::new()).unwrap_or_else(|errors| panic!("{errors}"));
    let values = values.into_iter().map(|v| v.expect("values are written"));
    (program, values.collect())
}

/// A program that the verifier accepts.
pub(super) fn verified(body: &str) -> Verified<Program> {
    let source = format!("program \"test\" {{\n{body}\n}}");
    let parsed = Program::parse_verified(&source, &TensorStore::new());
    parsed.unwrap_or_else(|errors| panic!("{errors}")).0
}

/// `layers` times lift, truncate and ReLU, from value 0, on a map of `side` x `side`.
pub(super) fn chain(layers: usize, side: usize) -> String {
    let mut body = format!("const c0 : multiplier[1]{{1}}\n%0 = input {{shape=[1, {side}, {side}]}}\n");
    for layer in 0..layers {
        let at = 3 * layer;
        let _ = writeln!(
            body,
            "%{} = lift %{at} {{multiplier=c0}}
             %{} = truncate %{} {{keep=[15]}}
             %{} = block_relu %{} {{patches=[1x1]}}",
            at + 1,
            at + 2,
            at + 1,
            at + 3,
            at + 2
        );
    }
    let _ = writeln!(body, "%{} = reveal %{}", 3 * layers + 1, 3 * layers);
    body
}

/// What a run came to, and the values of every step.
struct Run {
    outcome: Outcome,
    values: Vec<Vec<i64>>,
    shapes: Vec<Shape>,
}

impl Run {
    /// Values of the last step.
    fn last(&self) -> &[i64] {
        self.values.last().expect("a step")
    }
}

fn run_with(body: &str, image: &[i64], rounding: Rounding<'_>) -> Run {
    let (program, constants) = parse(body);
    let shape = match &program.steps[0].op {
        Op::Input(input) => input.shape,
        other => panic!("the first step is the input, not {other:?}"),
    };
    let (mut values, mut shapes) = (Vec::new(), Vec::new());
    let outcome = Emulator::new(&program, &constants).run(
        &IntMap::new(shape, image.to_vec()),
        rounding,
        |id: ValueId, map| {
            assert_eq!(id.index(), values.len(), "steps run in order");
            assert_eq!(map.shape(), program.ty(id).shape);
            values.push(map.values().to_vec());
            shapes.push(map.shape());
        },
    );
    Run {
        outcome,
        values,
        shapes,
    }
}

fn run(body: &str, image: &[i64]) -> Run {
    run_with(body, image, Rounding::Nearest)
}
