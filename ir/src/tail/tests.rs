//! Tails against their definitions, written out plainly; hostile ones.

use super::*;

fn step(op: Op, args: &[usize]) -> Step {
    Step {
        op,
        args: args.to_vec(),
    }
}

fn tail(dims: &[usize], steps: Vec<Step>) -> Tail {
    Tail {
        dims: dims.to_vec(),
        steps,
    }
}

/// One step after another.
fn chain(dims: &[usize], ops: Vec<Op>) -> Tail {
    let steps = ops.into_iter().enumerate().map(|(at, op)| step(op, &[at]));
    tail(dims, steps.collect())
}

fn close(a: &[f64], b: &[f64]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!(a == b || (a - b).abs() <= 1e-6 * b.abs().max(1.0), "{a} and {b}");
    }
}

const X: [f32; 12] = [0.5, -1.0, 2.0, 3.5, -0.25, 0.0, 1.5, -3.0, 4.0, 0.125, 1.0, -2.0];

fn x(at: usize) -> f64 {
    f64::from(X[at])
}

#[test]
fn softmax_runs_over_its_axes() {
    // Every single axis, and all behind the batch as one.
    for (first, last) in [(1, 2), (2, 3), (3, 4), (1, 4), (2, 4)] {
        let dims = [1, 2, 3, 2];
        let lane = |at: usize| {
            let position = [at / 6, at / 2 % 3, at % 2];
            let kept = (0..3).filter(|a| !(first..last).contains(&(a + 1)));
            kept.map(|a| position[a]).collect::<Vec<_>>()
        };
        let expected: Vec<f64> = (0..12)
            .map(|at| {
                let mates = (0..12).filter(|&other| lane(other) == lane(at));
                x(at).exp() / mates.map(|m| x(m).exp()).sum::<f64>()
            })
            .collect();
        for log in [false, true] {
            let run = chain(&dims, vec![Op::Softmax { first, last, log }]).run(&X);
            assert_eq!(run.output.dims, [2, 3, 2]);
            let expected: Vec<f64> = expected.iter().map(|&p| if log { p.ln() } else { p }).collect();
            close(&run.output.values, &expected);
        }
    }
    let huge = chain(
        &[1, 3],
        vec![Op::Softmax {
            first: 1,
            last: 2,
            log: true,
        }],
    )
    .run(&[3e38, 0.0, -3e38]);
    close(&huge.output.values, &[0.0, -3e38, f64::NEG_INFINITY]);
}

#[test]
fn reductions_are_what_they_say() {
    // Over axes 1 and 3 of [1, 2, 3, 2].
    let group = |row: usize| [row * 2, row * 2 + 1, row * 2 + 6, row * 2 + 7].map(x);
    type Plain = fn(&[f64]) -> f64;
    let cases: [(Reduction, Plain); 8] = [
        (Reduction::Sum, |v| v.iter().sum()),
        (Reduction::Mean, |v| v.iter().sum::<f64>() / 4.0),
        (Reduction::Max, |v| v.iter().copied().fold(f64::MIN, f64::max)),
        (Reduction::Min, |v| v.iter().copied().fold(f64::MAX, f64::min)),
        (Reduction::L1, |v| v.iter().map(|v| v.abs()).sum()),
        (Reduction::L2, |v| v.iter().map(|v| v * v).sum::<f64>().sqrt()),
        (Reduction::SumSquare, |v| v.iter().map(|v| v * v).sum()),
        (Reduction::LogSumExp, |v| {
            v.iter().map(|v| v.exp()).sum::<f64>().ln()
        }),
    ];
    for (how, plain) in cases {
        for keep in [false, true] {
            let op = Op::Reduce {
                how,
                axes: vec![1, 3],
                keep,
            };
            let run = chain(&[1, 2, 3, 2], vec![op]).run(&X);
            assert_eq!(run.output.dims, if keep { vec![1, 3, 1] } else { vec![3] });
            close(&run.output.values, &[0, 1, 2].map(|row| plain(&group(row))));
        }
    }
}

#[test]
fn functions_of_elements_are_what_they_say() {
    type Plain = fn(f64) -> f64;
    let cases: [(Unary, Plain); 8] = [
        (Unary::Sigmoid, |v| v.exp() / (v.exp() + 1.0)),
        (Unary::Tanh, |v| (v.exp() - (-v).exp()) / (v.exp() + (-v).exp())),
        (Unary::Exp, f64::exp),
        (Unary::Abs, f64::abs),
        (Unary::Neg, |v| -v),
        (Unary::Softplus, |v| (1.0 + v.exp()).ln()),
        (Unary::Softsign, |v| v / (1.0 + v.abs())),
        (Unary::Floor, f64::floor),
    ];
    for (op, plain) in cases {
        let run = chain(&[1, 12], vec![Op::Unary(op)]).run(&X);
        close(&run.output.values, &X.map(|v| plain(v.into())));
    }
    let run = chain(
        &[1, 4],
        vec![Op::HardSigmoid {
            alpha: 0.25,
            beta: 0.5,
        }],
    )
    .run(&[-9.0, -1.0, 1.0, 9.0]);
    close(&run.output.values, &[0.0, 0.25, 0.75, 1.0]);
}

#[test]
fn normalisation_is_a_quotient() {
    let norm = Op::Reduce {
        how: Reduction::L2,
        axes: vec![1],
        keep: true,
    };
    let steps = vec![
        step(norm, &[0]),
        step(Op::Number(2.0_f64.powi(-20), DType::F32), &[]),
        step(Op::Binary(Binary::Max), &[1, 2]),
        step(Op::Expand(vec![1, 12]), &[3]),
        step(Op::Binary(Binary::Div), &[0, 4]),
    ];
    let tail = tail(&[1, 12], steps);
    assert!(tail.shows_logits());
    let norm = X.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    close(&tail.run(&X).output.values, &X.map(|v| f64::from(v) / norm));
    assert_eq!(tail.run(&X).class(), Some(8));
    assert_eq!(tail.run(&[0.0; 12]).output.values, [0.0; 12]);
}

#[test]
fn indices_and_the_best_few() {
    let arg = |axis, largest, keep, last| Op::Arg {
        axis,
        largest,
        keep,
        last,
    };
    let run = |op: Op, logits: &[f32]| chain(&[1, 2, logits.len() / 2], vec![op]).run(logits);
    let map = [1.0, 5.0, 5.0, 7.0, 5.0, 0.0];
    let output = run(arg(1, true, true, false), &map).output;
    assert_eq!((output.dims, output.values), (vec![1, 3], vec![1.0, 0.0, 0.0]));
    assert_eq!(output.dtype, DType::I64);
    assert_eq!(run(arg(2, true, false, false), &map).output.values, [1.0, 0.0]);
    assert_eq!(run(arg(2, true, false, true), &map).output.values, [2.0, 0.0]);
    assert_eq!(
        run(arg(1, false, false, true), &map).output.values,
        [0.0, 1.0, 1.0]
    );
    assert_eq!(run(arg(1, true, false, false), &map).class(), None);

    let few = |largest, indices| {
        let op = Op::TopK {
            axis: 1,
            count: 3,
            largest,
            indices,
        };
        chain(&[1, 5], vec![op]).run(&[2.0, 9.0, -1.0, 9.0, 4.0])
    };
    assert_eq!(few(true, false).output.values, [9.0, 9.0, 4.0]);
    assert_eq!(few(true, true).output.values, [1.0, 3.0, 4.0]);
    assert_eq!(few(false, true).output.values, [2.0, 0.0, 4.0]);
    assert_eq!(few(true, false).class(), Some(1));
    assert_eq!(few(false, false).class(), Some(2));
    assert_eq!(few(true, false).scores().unwrap(), [2.0, 9.0, -1.0, 9.0, 4.0]);
}

#[test]
fn axes_change_places_and_the_batch_is_left_out() {
    let run = chain(&[1, 2, 3, 2], vec![Op::Transpose(vec![0, 2, 3, 1])]).run(&X);
    assert_eq!(run.output.dims, [3, 2, 2]);
    let expected = [0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11].map(x);
    assert_eq!(run.output.values, expected);
    assert_eq!(
        (run.logits.dims, run.logits.values),
        (vec![2, 3, 2], X.map(f64::from).to_vec())
    );
    // Without a batch, images are stacked along a new axis.
    let run = chain(&[1, 2, 3, 2], vec![Op::Transpose(vec![2, 1, 0, 3])]).run(&X);
    assert_eq!(run.output.dims, [3, 2, 1, 2]);
    let run = chain(&[1, 12, 1], vec![Op::Reshape(vec![12])]).run(&X);
    assert_eq!((run.output.dims.clone(), run.class()), (vec![12], Some(8)));
    let lost = vec![
        Op::Reshape(vec![12]),
        Op::Arg {
            axis: 0,
            largest: true,
            keep: false,
            last: false,
        },
    ];
    let run = chain(&[1, 12], lost).run(&X);
    assert_eq!(
        (run.output.dims.clone(), run.output.values.clone(), run.class()),
        (vec![], vec![8.0], Some(8))
    );
}

#[test]
fn casts_round_as_their_types_do() {
    let cast = |to, values: &[f32]| {
        chain(&[1, values.len()], vec![Op::Cast(to)])
            .run(values)
            .output
            .values
    };
    assert_eq!(
        cast(DType::U8, &[3.9, -1.0, 300.0, f32::NAN]),
        [3.0, 0.0, 255.0, 0.0]
    );
    assert_eq!(cast(DType::I32, &[-3.9, 1e10]), [-3.0, f64::from(i32::MAX)]);
    assert_eq!(cast(DType::Bool, &[0.0, -0.5]), [0.0, 1.0]);
    assert_eq!(
        cast(DType::F16, &[0.1, 65536.0]),
        [0.0999755859375, f64::INFINITY]
    );
    assert_eq!(cast(DType::I64, &[2.5e9]), [2.5e9]);
}

#[test]
fn a_single_probability_has_two_classes() {
    for (logit, class) in [(-0.1, 0), (0.1, 1)] {
        let sigmoid = Op::Unary(Unary::Sigmoid);
        let plain = chain(&[1, 1], vec![sigmoid.clone()]);
        let rounded = chain(
            &[1, 1],
            vec![sigmoid, Op::Unary(Unary::Round), Op::Cast(DType::I64)],
        );
        for tail in [plain, rounded] {
            assert_eq!(tail.scores(), Scores::Probability);
            assert_eq!(tail.run(&[logit]).class(), Some(class));
        }
    }
    assert_eq!(chain(&[1, 1], vec![]).scores().classes(), Some(1));
    assert_eq!(
        chain(&[1, 3, 4, 4], vec![Op::Unary(Unary::Sigmoid)])
            .scores()
            .classes(),
        None
    );
}

#[test]
fn the_last_among_equals_is_the_class_where_the_network_says_so() {
    for (last, class) in [(false, 1), (true, 2)] {
        let op = Op::Arg {
            axis: 1,
            largest: true,
            keep: false,
            last,
        };
        let run = chain(&[1, 4], vec![op]).run(&[0.0, 3.0, 3.0, 1.0]);
        assert_eq!(
            (run.class(), run.output.values),
            (Some(class), vec![class as f64])
        );
    }
}

#[test]
fn reductions_alone_hide_the_logits() {
    let sum = || Op::Reduce {
        how: Reduction::Sum,
        axes: vec![1],
        keep: true,
    };
    assert!(!chain(&[1, 4], vec![sum()]).shows_logits());
    assert!(!chain(&[1, 4], vec![sum(), Op::Expand(vec![1, 4])]).shows_logits());
    let quotient = vec![step(sum(), &[0]), step(Op::Binary(Binary::Div), &[0, 1])];
    assert!(tail(&[1, 4], quotient).shows_logits());
    let arg = Op::Arg {
        axis: 1,
        largest: true,
        keep: false,
        last: false,
    };
    assert!(chain(&[1, 4], vec![arg]).shows_logits());
}

#[test]
fn hostile_tails_are_refused() {
    let shape = Shape::new(4, 1, 1);
    let refused = |tail: Tail, why: &str| {
        let error = tail.check(shape).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    };
    let one = |op: Op| chain(&[1, 4], vec![op]);
    refused(chain(&[4], vec![]), "cannot hold");
    refused(chain(&[2, 2], vec![]), "cannot hold");
    refused(chain(&[1, 4, 0, usize::MAX], vec![]), "cannot hold");
    refused(
        one(Op::Softmax {
            first: 0,
            last: 2,
            log: false,
        }),
        "images of a batch",
    );
    for (first, last) in [(1, usize::MAX), (1, 3), (5, 6), (usize::MAX - 1, usize::MAX)] {
        let log = false;
        refused(one(Op::Softmax { first, last, log }), "does not exist");
    }
    refused(
        one(Op::Softmax {
            first: 1,
            last: 1,
            log: false,
        }),
        "at least one axis",
    );
    refused(
        one(Op::Arg {
            axis: 2,
            largest: true,
            keep: true,
            last: false,
        }),
        "does not exist",
    );
    refused(
        one(Op::TopK {
            axis: 1,
            count: 5,
            largest: true,
            indices: true,
        }),
        "of 4 it cannot take 5",
    );
    refused(
        one(Op::TopK {
            axis: 1,
            count: 0,
            largest: true,
            indices: true,
        }),
        "cannot take 0",
    );
    refused(one(Op::Reshape(vec![1, 5])), "number of elements");
    refused(one(Op::Reshape(vec![usize::MAX, 4])), "number of elements");
    refused(one(Op::Expand(vec![1 << 20, 1, 4])), "larger than the logits");
    refused(one(Op::Expand(vec![7, 4])), "do not go together");
    refused(one(Op::Transpose(vec![0, 0])), "every axis once");
    refused(one(Op::Transpose(vec![usize::MAX])), "every axis once");
    refused(
        one(Op::Reduce {
            how: Reduction::Sum,
            axes: vec![1, 1],
            keep: true,
        }),
        "ascend",
    );
    refused(
        one(Op::Reduce {
            how: Reduction::L1,
            axes: vec![],
            keep: true,
        }),
        "over no axis",
    );
    refused(one(Op::Binary(Binary::Add)), "2 operands");
    refused(tail(&[1, 4], vec![step(Op::Cast(DType::U8), &[1])]), "behind it");
    refused(
        tail(&[1, 4], vec![step(Op::Number(f64::NAN, DType::F32), &[])]),
        "no number",
    );
    refused(
        tail(&[1, 4], vec![step(Op::Number(0.1, DType::F32), &[])]),
        "no number",
    );
    refused(
        chain(&[1, 4], vec![Op::Unary(Unary::Exp); MAX_STEPS + 1]),
        "at most 64",
    );
    assert!(
        chain(&[1, 4], vec![Op::Unary(Unary::Exp); MAX_STEPS])
            .check(shape)
            .is_ok()
    );
    // All values together, however few the steps.
    let large = Shape::new(1 << 24, 1, 1);
    let many = chain(&[1, 1 << 24], vec![Op::Unary(Unary::Exp); 20]);
    assert!(many.check(large).is_err());
}
