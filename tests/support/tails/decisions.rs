//! Indices, the best few, and single probabilities.

use tract_onnx::pb::tensor_proto::DataType;
use trefoil_ir::tail::DType;

use super::*;
use crate::support::onnx::proto::{int, node};

pub(super) fn decisions() -> Vec<Form> {
    let argmax_at = |keep: i64| last("ArgMax", vec![int("axis", 1), int("keepdims", keep)]);
    let index = |form: Form| Form {
        dims: vec![],
        dtype: DType::I64,
        ..form
    };
    let top = |outputs: [&str; 2], attributes| node("TopK", "top", &[TRUNK, "k"], &outputs, attributes);
    let few = |form: Form| Form {
        dims: vec![3],
        constants: vec![sizes("k", &[3])],
        ..form
    };
    vec![
        index(of_vector("index", 13, argmax_at(0), |x| vec![argmax(x) as f64])),
        Form {
            dims: vec![1],
            ..index(of_vector("index, its axis kept", 11, argmax_at(1), |x| {
                vec![argmax(x) as f64]
            }))
        },
        index(of_vector(
            "index of the last",
            13,
            last(
                "ArgMax",
                vec![int("axis", -1), int("keepdims", 0), int("select_last_index", 1)],
            ),
            |x| vec![argmax(x) as f64],
        )),
        Form {
            class: |x| Some(argmax(&x.iter().map(|v| -v).collect::<Vec<_>>())),
            ..index(of_vector(
                "index of the smallest",
                13,
                last("ArgMin", vec![int("axis", 1), int("keepdims", 0)]),
                |x| vec![argmax(&x.iter().map(|v| -v).collect::<Vec<_>>()) as f64],
            ))
        },
        Form {
            dtype: DType::F32,
            ..index(of_vector(
                "index as a float",
                13,
                vec![
                    op("Softmax", &[TRUNK], "s", vec![]),
                    op("ArgMax", &["s"], "i", vec![int("axis", 1), int("keepdims", 0)]),
                    op("Cast", &["i"], ANSWER, vec![int("to", DataType::Float as i64)]),
                ],
                |x| vec![argmax(x) as f64],
            ))
        },
        few(of_vector(
            "best few",
            11,
            vec![top([ANSWER, "rest"], vec![int("axis", 1)])],
            |x| ranked(x)[..3].iter().map(|&i| x[i]).collect(),
        )),
        Form {
            dtype: DType::I64,
            ..few(of_vector(
                "indices of the best few",
                13,
                vec![top(["rest", ANSWER], vec![])],
                |x| ranked(x)[..3].iter().map(|&i| i as f64).collect(),
            ))
        },
        Form {
            class: |x| ranked(x).pop(),
            ..few(of_vector(
                "smallest few",
                13,
                vec![top([ANSWER, ""], vec![int("largest", 0)])],
                |x| ranked(x).iter().rev().take(3).map(|&i| x[i]).collect(),
            ))
        },
        Form {
            dims: vec![2],
            ..of_vector(
                "best few of old",
                9,
                vec![node(
                    "TopK",
                    "top",
                    &[TRUNK],
                    &[ANSWER, "rest"],
                    vec![int("k", 2), int("axis", 1)],
                )],
                |x| ranked(x)[..2].iter().map(|&i| x[i]).collect(),
            )
        },
    ]
}

pub(super) fn probabilities() -> Vec<Form> {
    let one = |form: Form| Form {
        logits: Logits::One,
        dims: vec![1],
        class: |x| Some(usize::from(x[0] > 0.0)),
        ..form
    };
    vec![
        one(of_vector("one probability", 13, last("Sigmoid", vec![]), |x| {
            vec![sigmoid(x[0])]
        })),
        Form {
            dtype: DType::Bool,
            constants: vec![number("half", 0.5)],
            ..one(of_vector(
                "a threshold",
                13,
                vec![
                    op("Sigmoid", &[TRUNK], "s", vec![]),
                    op("Greater", &["s", "half"], ANSWER, vec![]),
                ],
                |x| vec![f64::from(x[0] > 0.0)],
            ))
        },
        Form {
            dims: vec![],
            constants: vec![sizes("axes", &[1])],
            ..one(of_vector(
                "one probability without its axis",
                13,
                vec![
                    op("Sigmoid", &[TRUNK], "s", vec![]),
                    op("Squeeze", &["s", "axes"], ANSWER, vec![]),
                ],
                |x| vec![sigmoid(x[0])],
            ))
        },
    ]
}
