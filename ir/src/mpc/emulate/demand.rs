//! What it takes to emulate a program on one image. A plan can state one whose values come to little,
//! and whose convolutions take terabytes on the way.

use crate::demand::{Demand, Tally, product};
use crate::geometry::{Shape, Window};
use crate::mpc::Kind;
use crate::mpc::cost::Cost;
use crate::mpc::op::{Class, Conv2d, Local};
use crate::mpc::program::{Program, ValueId};

/// Bytes of an element of a value, and of the exact value and the mask of one that is truncated.
const ELEMENT_BYTES: u64 = 8;
const TRUNCATED_BYTES: u64 = 20;

/// Multiply-adds that take as long as passing an element on, and as taking one into a window.
const ELEMENT: u64 = 32;
const TAP: u64 = 32;

impl Demand<ValueId> {
    /// What a verified program takes; none of an empty one.
    pub fn of_program(program: &Program) -> Option<Self> {
        let mut tally = Tally::new(constants(program), program.ids().next()?);
        let cost = Cost::new(program);
        let mut uses = vec![0usize; program.steps.len()];
        for arg in program.steps.iter().flat_map(|step| &step.args) {
            uses[arg.index()] += 1;
        }
        for id in program.ids() {
            let work = cost.steps[id.index()].macs.saturating_add(passing(program, id));
            tally.compute(id, bytes(program, id), scratch(program, id), work);
            for arg in &program.step(id).args {
                uses[arg.index()] -= 1;
                if uses[arg.index()] == 0 {
                    tally.free(bytes(program, *arg));
                }
            }
        }
        Some(tally.finish())
    }
}

/// As integers of 32 bits, and of a convolution's weights as floats of 64.
fn constants(program: &Program) -> u64 {
    let mut bytes = 0u64;
    for constant in &program.constants {
        bytes = bytes.saturating_add(product(&[constant.len().unwrap_or(usize::MAX)]).saturating_mul(4));
    }
    for step in &program.steps {
        if let Class::Local(Local::Conv2d(conv)) = step.op.class() {
            let weight = program.constants[conv.weight.index()].len();
            bytes = bytes.saturating_add(product(&[weight.unwrap_or(usize::MAX)]).saturating_mul(8));
        }
    }
    bytes
}

fn elements(shape: Shape) -> u64 {
    product(&[shape.len()])
}

fn bytes(program: &Program, id: ValueId) -> u64 {
    let ty = program.ty(id);
    let each = match ty.kind {
        Kind::Truncated | Kind::Sums => TRUNCATED_BYTES,
        Kind::Activation | Kind::Accumulator | Kind::Output => ELEMENT_BYTES,
    };
    elements(ty.shape).saturating_mul(each)
}

/// Bytes beside operands and result while a step runs: the residue of an accumulator, lists of a gate,
/// and what is particular to convolutions and patch sums.
fn scratch(program: &Program, id: ValueId) -> u64 {
    let step = program.step(id);
    let mut own = program.scratch_words(id).map_or(u64::MAX, |words| words as u64);
    if let (Class::Local(Local::Conv2d(conv)), [input]) = (step.op.class(), &program.operands(id)[..]) {
        own = own.saturating_add(columns(conv, input.shape, step.ty.shape));
    }
    let copies = elements(step.ty.shape).saturating_mul(2);
    own.saturating_add(copies).saturating_mul(ELEMENT_BYTES)
}

/// Elements of a convolution's operand and result as floats, and of the matrix of its taps, of one
/// group at a time.
fn columns(conv: &Conv2d, input: Shape, output: Shape) -> u64 {
    let floats = elements(input).saturating_add(elements(output));
    let in_c = input.c / conv.groups;
    let out_c = output.c / conv.groups;
    if in_c.saturating_mul(out_c) <= 4 || conv.window == Window::dense([1, 1]) {
        return floats;
    }
    let [kh, kw] = conv.window.kernel;
    floats.saturating_add(product(&[in_c, kh, kw, output.plane()]))
}

/// What is done beside multiply-adds.
fn passing(program: &Program, id: ValueId) -> u64 {
    let step = program.step(id);
    let operands = step.args.iter().map(|arg| elements(program.ty(*arg).shape));
    let passed = operands.fold(elements(step.ty.shape), u64::saturating_add);
    let on_the_way = program.scratch_words(id).map_or(u64::MAX, |words| words as u64);
    let passed = passed.saturating_add(on_the_way).saturating_mul(ELEMENT);
    if let (Class::Local(Local::SumPool(pool)), [input]) = (step.op.class(), &program.operands(id)[..]) {
        return passed.saturating_add(taps(&pool.window, input.shape, step.ty.shape));
    }
    passed
}

fn taps(window: &Window, input: Shape, output: Shape) -> u64 {
    let rows = window.taps_of_all(0, input.h, output.h);
    let taps = rows.saturating_mul(window.taps_of_all(1, input.w, output.w));
    taps.saturating_mul(TAP).saturating_mul(output.c as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mpc::op;
    use crate::mpc::program::ConstKind;

    fn program(map: Shape, window: Window, channels: usize) -> Program {
        let mut program = Program::new("p");
        let x = program.push(op::Input { shape: map }, &[], "x").unwrap();
        let [kh, kw] = window.kernel;
        let conv = op::Conv2d {
            weight: program.declare(ConstKind::Weight, vec![channels, map.c, kh, kw]),
            bias: None,
            channels,
            window,
            groups: 1,
        };
        let z = program.push(conv, &[x], "z").unwrap();
        let keep = vec![16; channels];
        let z = program.push(op::Truncate { keep }, &[z], "z").unwrap();
        program.push(op::Reveal, &[z], "y").unwrap();
        program
    }

    #[test]
    fn what_is_alive_at_the_peak_is_counted_by_hand() {
        let window = Window {
            pads: [1; 4],
            ..Window::dense([3, 3])
        };
        let demand = Demand::of_program(&program(Shape::new(4, 8, 8), window, 5)).unwrap();
        let weights = 5 * 4 * 9;
        assert_eq!(demand.constants, weights * (4 + 8));
        // Operand and result, both as floats, the matrix of taps, and two copies of the result.
        let elements = (4 + 5) * 64 + (4 + 5) * 64 + 4 * 9 * 64 + 2 * 5 * 64;
        assert_eq!(demand.peak, elements * 8);
        assert_eq!(demand.peak_at, ValueId(1));
        assert!(demand.work > weights * 64);
        assert_eq!(demand.work_at, ValueId(1));
    }

    /// Its values come to little.
    #[test]
    fn terabytes_on_the_way_are_foreseen() {
        let window = Window {
            pads: [31; 4],
            ..Window::dense([64, 64])
        };
        let greedy = program(Shape::new(2, 4096, 4096), window, 8).verify().unwrap();
        assert!(Demand::of_program(&greedy).unwrap().peak > 1 << 40);
    }
}
