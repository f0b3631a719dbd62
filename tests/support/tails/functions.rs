//! Softmax, sigmoids and the like, and norms.

use super::*;
use crate::support::onnx::proto::{float, int, ints};

pub(super) fn vectors() -> Vec<Form> {
    vec![
        of_vector("nothing", 13, last("Identity", vec![]), <[f64]>::to_vec),
        of_vector("softmax, its axis left out", 13, last("Softmax", vec![]), softmax),
        of_vector(
            "softmax of old",
            9,
            last("Softmax", vec![int("axis", 1)]),
            softmax,
        ),
        Form {
            logits: Logits::Pixel,
            constants: vec![sizes("flat", &[-1, 7])],
            ..of_vector(
                "softmax of old over all axes behind the first",
                11,
                vec![
                    op("Softmax", &[TRUNK], "s", vec![int("axis", 1)]),
                    op("Reshape", &["s", "flat"], ANSWER, vec![]),
                ],
                softmax,
            )
        },
        of_vector(
            "log-softmax",
            13,
            last("LogSoftmax", vec![int("axis", -1)]),
            |x| softmax(x).iter().map(|p| p.ln()).collect(),
        ),
        of_vector(
            "logarithm of a softmax",
            13,
            vec![
                op("Softmax", &[TRUNK], "s", vec![]),
                op("Log", &["s"], ANSWER, vec![]),
            ],
            |x| softmax(x).iter().map(|p| p.ln()).collect(),
        ),
        Form {
            constants: vec![number("t", 2.5)],
            ..of_vector(
                "softmax with a temperature",
                13,
                vec![
                    op("Div", &[TRUNK, "t"], "d", vec![]),
                    op("Softmax", &["d"], ANSWER, vec![]),
                ],
                // The temperature is in the layer before.
                softmax,
            )
        },
        Form {
            constants: vec![number("scale", 100.0)],
            ..of_vector(
                "percent",
                13,
                vec![
                    op("Softmax", &[TRUNK], "s", vec![]),
                    op("Mul", &["s", "scale"], ANSWER, vec![]),
                ],
                |x| softmax(x).iter().map(|p| 100.0 * p).collect(),
            )
        },
        Form {
            constants: vec![sizes("axes", &[1])],
            ..of_vector(
                "softmax by hand",
                18,
                vec![
                    op("ReduceMax", &[TRUNK, "axes"], "m", vec![]),
                    op("Sub", &[TRUNK, "m"], "d", vec![]),
                    op("Exp", &["d"], "e", vec![]),
                    op("ReduceSum", &["e", "axes"], "s", vec![]),
                    op("Div", &["e", "s"], ANSWER, vec![]),
                ],
                softmax,
            )
        },
        of_vector("sigmoids", 13, last("Sigmoid", vec![]), |x| {
            x.iter().map(|&v| sigmoid(v)).collect()
        }),
        of_vector(
            "hard sigmoids",
            13,
            last("HardSigmoid", vec![float("alpha", 0.25)]),
            |x| x.iter().map(|v| (0.25 * v + 0.5).clamp(0.0, 1.0)).collect(),
        ),
        of_vector("tanh", 13, last("Tanh", vec![]), |x| {
            x.iter().map(|v| v.tanh()).collect()
        }),
        of_vector("softplus", 13, last("Softplus", vec![]), |x| {
            x.iter().map(|v| (1.0 + v.exp()).ln()).collect()
        }),
        of_vector(
            "swish",
            13,
            vec![
                op("Sigmoid", &[TRUNK], "s", vec![]),
                op("Mul", &[TRUNK, "s"], ANSWER, vec![]),
            ],
            |x| x.iter().map(|&v| v * sigmoid(v)).collect(),
        ),
    ]
    .into_iter()
    // Of functions that do not keep the order, the class is the output's.
    .map(|form| match form.name {
        "swish" => Form {
            class: |x| Some(argmax(&x.iter().map(|&v| v * sigmoid(v)).collect::<Vec<_>>())),
            ..form
        },
        "hard sigmoids" => Form {
            class: |x| {
                Some(argmax(
                    &x.iter()
                        .map(|&v| (0.25 * v + 0.5).clamp(0.0, 1.0))
                        .collect::<Vec<_>>(),
                ))
            },
            ..form
        },
        _ => form,
    })
    .collect()
}

pub(super) fn norms() -> Vec<Form> {
    vec![
        of_vector(
            "norm",
            13,
            last("LpNormalization", vec![int("axis", 1), int("p", 2)]),
            |x| unit(x, 0.0),
        ),
        of_vector(
            "sum of magnitudes",
            13,
            last("LpNormalization", vec![int("axis", -1), int("p", 1)]),
            |x| {
                let norm: f64 = x.iter().map(|v| v.abs()).sum();
                x.iter().map(|v| v / norm).collect()
            },
        ),
        // torch.nn.functional.normalize
        Form {
            constants: vec![number("least", 1e-12)],
            ..of_vector(
                "norm, clipped and expanded",
                13,
                vec![
                    op(
                        "ReduceL2",
                        &[TRUNK],
                        "n",
                        vec![ints("axes", &[1]), int("keepdims", 1)],
                    ),
                    op("Clip", &["n", "least"], "c", vec![]),
                    op("Shape", &[TRUNK], "shape", vec![]),
                    op("Expand", &["c", "shape"], "e", vec![]),
                    op("Div", &[TRUNK, "e"], ANSWER, vec![]),
                ],
                |x| unit(x, 0.0),
            )
        },
        Form {
            constants: vec![number("eps", 0.5), number("two", 2.0), sizes("axes", &[-1])],
            ..of_vector(
                "norm by hand",
                13,
                vec![
                    op("Pow", &[TRUNK, "two"], "p", vec![]),
                    op("ReduceSum", &["p", "axes"], "s", vec![int("keepdims", 1)]),
                    op("Sqrt", &["s"], "n", vec![]),
                    op("Add", &["n", "eps"], "a", vec![]),
                    op("Div", &[TRUNK, "a"], ANSWER, vec![]),
                ],
                |x| unit(x, 0.5),
            )
        },
        // tf.nn.l2_normalize
        Form {
            constants: vec![number("eps", 1e-12)],
            ..of_vector(
                "norm by squares and reciprocals",
                13,
                vec![
                    op("Mul", &[TRUNK, TRUNK], "p", vec![]),
                    op(
                        "ReduceSumSquare",
                        &[TRUNK],
                        "s",
                        vec![ints("axes", &[1]), int("keepdims", 1)],
                    ),
                    op("Max", &["s", "eps"], "m", vec![]),
                    op("Sqrt", &["m"], "n", vec![]),
                    op("Reciprocal", &["n"], "r", vec![]),
                    op("Mul", &[TRUNK, "r"], ANSWER, vec![]),
                ],
                |x| unit(x, 0.0),
            )
        },
    ]
}
