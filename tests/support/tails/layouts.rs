//! Other dimensions, places and element types; maps.

use tract_onnx::pb::tensor_proto::DataType;
use trefoil_ir::tail::DType;

use super::*;
use crate::support::onnx::proto::{int, ints};

pub(super) fn shapes_and_types() -> Vec<Form> {
    let to = |kind: DataType| vec![int("to", kind as i64)];
    vec![
        // With a batch of one, the batch goes too; images are stacked again.
        Form {
            logits: Logits::Pixel,
            ..of_vector(
                "all axes of one squeezed",
                13,
                last("Squeeze", vec![]),
                <[f64]>::to_vec,
            )
        },
        Form {
            logits: Logits::Pixel,
            dims: vec![7, 1, 1],
            constants: vec![sizes("axes", &[0])],
            ..of_vector(
                "the batch squeezed",
                13,
                vec![op("Squeeze", &[TRUNK, "axes"], ANSWER, vec![])],
                <[f64]>::to_vec,
            )
        },
        Form {
            dims: vec![7],
            constants: vec![sizes("flat", &[-1])],
            ..of_vector(
                "softmax of a flat vector",
                13,
                vec![
                    op("Reshape", &[TRUNK, "flat"], "f", vec![]),
                    op("Softmax", &["f"], ANSWER, vec![int("axis", 0)]),
                ],
                softmax,
            )
        },
        Form {
            dims: vec![7, 1, 1],
            constants: vec![sizes("axes", &[2, 3])],
            ..of_vector(
                "axes added",
                13,
                vec![op("Unsqueeze", &[TRUNK, "axes"], ANSWER, vec![])],
                <[f64]>::to_vec,
            )
        },
        Form {
            dtype: DType::F64,
            ..of_vector("doubles", 13, last("Cast", to(DataType::Double)), <[f64]>::to_vec)
        },
        Form {
            dtype: DType::U8,
            constants: vec![number("scale", 255.0)],
            class: |x| {
                Some(argmax(
                    &x.iter()
                        .map(|&v| (255.0 * sigmoid(v)).round_ties_even())
                        .collect::<Vec<_>>(),
                ))
            },
            ..of_vector(
                "bytes",
                13,
                vec![
                    op("Sigmoid", &[TRUNK], "s", vec![]),
                    op("Mul", &["s", "scale"], "m", vec![]),
                    op("Round", &["m"], "r", vec![]),
                    op("Cast", &["r"], ANSWER, to(DataType::Uint8)),
                ],
                |x| {
                    x.iter()
                        .map(|&v| (255.0 * sigmoid(v)).round_ties_even())
                        .collect()
                },
            )
        },
    ]
}

pub(super) fn maps() -> Vec<Form> {
    let [c, h, w] = MAP;
    let transpose =
        |from: &str, to: &str, perm: &[i64]| op("Transpose", &[from], to, vec![ints("perm", perm)]);
    vec![
        of_map(
            "softmax over channels",
            13,
            last("Softmax", vec![int("axis", 1)]),
            |x| softmax_among(x, |[_, y, x]| [y, x]),
        ),
        of_map(
            "softmax over the whole map, of old",
            11,
            last("Softmax", vec![int("axis", 1)]),
            softmax,
        ),
        of_map(
            "softmax over each channel, of old",
            11,
            last("Softmax", vec![int("axis", 2)]),
            |x| softmax_among(x, |[c, _, _]| [c, 0]),
        ),
        of_map("softmax over rows", 13, last("Softmax", vec![]), |x| {
            softmax_among(x, |[c, y, _]| [c, y])
        }),
        of_map(
            "softmax over columns",
            13,
            last("Softmax", vec![int("axis", 2)]),
            |x| softmax_among(x, |[c, _, x]| [c, x]),
        ),
        of_map(
            "log-softmax over channels",
            13,
            last("LogSoftmax", vec![int("axis", -3)]),
            |x| {
                softmax_among(x, |[_, y, x]| [y, x])
                    .iter()
                    .map(|p| p.ln())
                    .collect()
            },
        ),
        Form {
            dims: vec![h, w, c],
            ..of_map(
                "softmax with channels last",
                13,
                vec![
                    transpose(TRUNK, "t", &[0, 2, 3, 1]),
                    op("Softmax", &["t"], ANSWER, vec![]),
                ],
                |x| channels_last(&softmax_among(x, |[_, y, x]| [y, x])),
            )
        },
        Form {
            dims: vec![h * w, c],
            constants: vec![sizes("rows", &[0, 3, -1])],
            ..of_map(
                "a row a pixel",
                13,
                vec![
                    op("Reshape", &[TRUNK, "rows"], "r", vec![]),
                    transpose("r", "t", &[0, 2, 1]),
                    op("Sigmoid", &["t"], ANSWER, vec![]),
                ],
                |x| channels_last(&x.iter().map(|&v| sigmoid(v)).collect::<Vec<_>>()),
            )
        },
        // A detector's head: anchors, rows, columns, numbers.
        Form {
            dims: vec![1, h, w, c],
            constants: vec![sizes("five", &[1, 1, 3, 6, 7])],
            ..of_map(
                "five dimensions",
                13,
                vec![
                    op("Reshape", &[TRUNK, "five"], "r", vec![]),
                    transpose("r", ANSWER, &[0, 1, 3, 4, 2]),
                ],
                channels_last,
            )
        },
        Form {
            dims: vec![h, w],
            dtype: DType::F32,
            ..of_map(
                "a class a pixel",
                11,
                vec![
                    op("ArgMax", &[TRUNK], "i", vec![int("axis", 1), int("keepdims", 0)]),
                    op("Cast", &["i"], ANSWER, vec![int("to", DataType::Float as i64)]),
                ],
                |x| {
                    let lanes = channels_last(x);
                    lanes.chunks(MAP[0]).map(|lane| argmax(lane) as f64).collect()
                },
            )
        },
        Form {
            dims: vec![1, h, w],
            dtype: DType::I64,
            ..of_map(
                "a class a pixel, its axis kept",
                13,
                last("ArgMax", vec![int("axis", 1)]),
                |x| {
                    let lanes = channels_last(x);
                    lanes.chunks(MAP[0]).map(|lane| argmax(lane) as f64).collect()
                },
            )
        },
        of_map("a probability a pixel", 13, last("Sigmoid", vec![]), |x| {
            x.iter().map(|&v| sigmoid(v)).collect()
        }),
    ]
}
