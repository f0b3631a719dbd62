//! What networks make of their logits: one table of the ways in which they end, each at every level
//! (floats as imported, floats after the passes, the emulator, three parties in one process) against
//! its definition, written out plainly on that level's own logits; and what may not end a network.

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use prost::Message;
use support::commands::{LIMIT, party_beside, run};
use support::compiled::{Model, distance, images, lead};
use support::folder::write_images;
use support::onnx::proto::{float, int, ints, node};
use support::onnx::{Conv, Flatten, GlobalPool, Linear, ModelBuilder, Options};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{NodeProto, TensorProto, TypeProto, ValueInfoProto, type_proto};
use trefoil_compiler::import::{ImportOptions, Imported, import_bytes};
use trefoil_ir::nn::{Graph, Op};
use trefoil_ir::tail::{DType, Tail};
use trefoil_runtime::data::ImageTensor;

const INPUT: [usize; 3] = [3, 6, 7];
const CLASSES: usize = 7;
/// Channels, height and width of logits that are a map.
const MAP: [usize; 3] = [3, 6, 7];
const TRUNK: &str = "trunk";
const ANSWER: &str = "answer";

/// What the tail stands behind.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Logits {
    /// `[N, 7]`
    Vector,
    /// `[N, 1]`
    One,
    /// `[N, 7, 1, 1]`
    Pixel,
    /// `[N, 3, 6, 7]`
    Map,
}

/// A way to end a network.
struct Form {
    name: &'static str,
    opset: i64,
    logits: Logits,
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    /// Dimensions of one image's output.
    dims: Vec<usize>,
    dtype: DType,
    /// The output, of one image's logits.
    meaning: fn(&[f64]) -> Vec<f64>,
    /// The class, if there is one.
    class: fn(&[f64]) -> Option<usize>,
}

fn op(op: &str, inputs: &[&str], output: &str, attributes: Vec<tract_onnx::pb::AttributeProto>) -> NodeProto {
    node(op, output, inputs, &[output], attributes)
}

fn last(name: &str, attributes: Vec<tract_onnx::pb::AttributeProto>) -> Vec<NodeProto> {
    vec![op(name, &[TRUNK], ANSWER, attributes)]
}

fn number(name: &str, value: f32) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        data_type: DataType::Float as i32,
        float_data: vec![value],
        ..TensorProto::default()
    }
}

fn sizes(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: vec![values.len() as i64],
        data_type: DataType::Int64 as i32,
        int64_data: values.to_vec(),
        ..TensorProto::default()
    }
}

/// The first of the largest.
fn argmax(x: &[f64]) -> usize {
    (0..x.len()).rev().max_by(|&a, &b| x[a].total_cmp(&x[b])).unwrap()
}

fn ranked(x: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|&a, &b| x[b].total_cmp(&x[a]));
    order
}

fn softmax(x: &[f64]) -> Vec<f64> {
    let sum: f64 = x.iter().map(|v| v.exp()).sum();
    x.iter().map(|v| v.exp() / sum).collect()
}

/// Softmax among the elements of a map that share a key.
fn softmax_among(x: &[f64], key: fn([usize; 3]) -> [usize; 2]) -> Vec<f64> {
    let [_, h, w] = MAP;
    let place = |at: usize| [at / (h * w), at / w % h, at % w];
    let sum = |at: usize| -> f64 {
        let mates = (0..x.len()).filter(|&other| key(place(other)) == key(place(at)));
        mates.map(|other| x[other].exp()).sum()
    };
    (0..x.len()).map(|at| x[at].exp() / sum(at)).collect()
}

/// Elements of a map with the channels last.
fn channels_last(x: &[f64]) -> Vec<f64> {
    let [c, h, w] = MAP;
    (0..h * w)
        .flat_map(|pixel| (0..c).map(move |c| x[c * h * w + pixel]))
        .collect()
}

fn sigmoid(v: f64) -> f64 {
    1.0 / (1.0 + (-v).exp())
}

fn unit(x: &[f64], epsilon: f64) -> Vec<f64> {
    let norm = x.iter().map(|v| v * v).sum::<f64>().sqrt();
    x.iter().map(|v| v / (norm + epsilon)).collect()
}

fn of_vector(name: &'static str, opset: i64, nodes: Vec<NodeProto>, meaning: fn(&[f64]) -> Vec<f64>) -> Form {
    Form {
        name,
        opset,
        logits: Logits::Vector,
        nodes,
        constants: vec![],
        dims: vec![CLASSES],
        dtype: DType::F32,
        meaning,
        class: |x| Some(argmax(x)),
    }
}

fn of_map(name: &'static str, opset: i64, nodes: Vec<NodeProto>, meaning: fn(&[f64]) -> Vec<f64>) -> Form {
    Form {
        logits: Logits::Map,
        dims: MAP.to_vec(),
        class: |_| None,
        ..of_vector(name, opset, nodes, meaning)
    }
}

fn vectors() -> Vec<Form> {
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

fn norms() -> Vec<Form> {
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

fn decisions() -> Vec<Form> {
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

fn probabilities() -> Vec<Form> {
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

fn shapes_and_types() -> Vec<Form> {
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

fn maps() -> Vec<Form> {
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

fn forms() -> Vec<Form> {
    let all = [
        vectors(),
        norms(),
        decisions(),
        probabilities(),
        shapes_and_types(),
        maps(),
    ];
    all.into_iter().flatten().collect()
}

impl Form {
    fn build(&self) -> Vec<u8> {
        let mut b = ModelBuilder::new(
            5,
            Options {
                sprinkle: false,
                ..Options::torchscript(self.opset)
            },
        );
        let x = b.input(INPUT);
        let x = b.conv("conv", &x, Conv::new(6, 3, 1, 1).bias());
        let x = b.relu("relu", &x);
        let pooled = |b: &mut ModelBuilder, count: usize| {
            let x = b.gap("pool", &x, GlobalPool::Native);
            let x = b.flatten("", &x, Flatten::Native);
            b.linear("fc", &x, count, Linear::Gemm, 2.0)
        };
        let y = match self.logits {
            Logits::Vector => pooled(&mut b, CLASSES),
            Logits::One => pooled(&mut b, 1),
            Logits::Pixel => {
                let x = b.gap("pool", &x, GlobalPool::Native);
                b.conv("fc", &x, Conv::new(CLASSES, 1, 1, 0).bias())
            }
            Logits::Map => b.conv("fc", &x, Conv::new(MAP[0], 1, 1, 0).bias()),
        };
        let mut model = b.finish_model(&y);
        let graph = model.graph.as_mut().unwrap();
        let name = graph.output[0].name.clone();
        let rename = |names: &mut Vec<String>| {
            names
                .iter_mut()
                .filter(|n| **n == name)
                .for_each(|n| *n = TRUNK.to_owned());
        };
        graph.node.iter_mut().for_each(|node| rename(&mut node.output));
        graph.node.extend(self.nodes.iter().cloned());
        graph.initializer.extend(self.constants.iter().cloned());
        graph.output = vec![declared(ANSWER, None)];
        model.encode_to_vec()
    }

    fn faults(&self) -> Result<(), String> {
        let mut model = Model::of_bytes(&self.build(), INPUT, 32, None, false)?;
        let owner = &model.compiled.owner;
        let tails = [
            tail_of(&owner.imported),
            tail_of(&owner.graph),
            owner.output.tail.clone(),
            model.parties.plan().part.output.tail.clone(),
        ];
        let [channels, height, width] = INPUT;
        for values in images(3, 2, INPUT).chunks(channels * height * width) {
            let image = ImageTensor {
                channels,
                height,
                width,
                values: values.to_vec(),
            };
            let levels = model.run(image)?;
            let (_, error) = distance(&levels.imported, &levels.secure);
            let logits = [&levels.imported, &levels.float, &levels.fixed, &levels.secure];
            let classes = logits
                .iter()
                .zip(&tails)
                .map(|(logits, tail)| self.check(tail, logits));
            let classes: Vec<_> = classes.collect::<Result<_, _>>()?;
            let is_clear = f64::from(lead(&levels.imported)) > 4.0 * error;
            if is_clear && self.logits == Logits::Vector && !classes.iter().all(|class| *class == classes[0])
            {
                return Err(format!("the classes of the levels are {classes:?}"));
            }
        }
        Ok(())
    }

    /// Holds one level's output to its definition; returns the class.
    fn check(&self, tail: &Tail, logits: &[f32]) -> Result<Option<usize>, String> {
        let run = tail.run(logits);
        let x: Vec<f64> = logits.iter().map(|&v| f64::from(v)).collect();
        let (output, expected) = (&run.output, (self.meaning)(&x));
        if (&output.dims, output.dtype) != (&self.dims, self.dtype) {
            return Err(format!("the output is {:?} {:?}", output.dims, output.dtype));
        }
        if output.values.len() != expected.len() {
            return Err(format!("{} values, not {}", output.values.len(), expected.len()));
        }
        for (at, (got, wanted)) in output.values.iter().zip(&expected).enumerate() {
            if (got - wanted).abs() > 2e-6 * wanted.abs().max(1.0) {
                return Err(format!("value {at} is {got}, not {wanted}"));
            }
        }
        let (class, wanted) = (run.class(), (self.class)(&x));
        if class != wanted {
            return Err(format!("the class is {class:?}, not {wanted:?}"));
        }
        Ok(class)
    }
}

fn tail_of(graph: &Graph) -> Tail {
    match &graph.node(graph.output().unwrap()).op {
        Op::Output(output) => output.tail.clone(),
        _ => unreachable!("it is the output"),
    }
}

/// An output whose type and shape the file leaves open, or states.
fn declared(name: &str, kind: Option<DataType>) -> ValueInfoProto {
    let tensor = type_proto::Tensor {
        elem_type: kind.unwrap_or(DataType::Undefined) as i32,
        shape: None,
    };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}

#[test]
fn every_tail_is_what_it_says_at_every_level() {
    let faults: Vec<String> = forms()
        .iter()
        .filter_map(|form| Some(format!("{}: {}", form.name, form.faults().err()?)))
        .collect();
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

fn import(form: &Form, options: &ImportOptions) -> Result<Imported, String> {
    import_bytes(&form.build(), None, options).map_err(|error| error.to_string())
}

#[test]
fn a_declared_type_is_kept() {
    for (kind, dtype) in [(DataType::Float16, DType::F16), (DataType::Double, DType::F64)] {
        let form = of_vector("plain", 13, last("Softmax", vec![]), softmax);
        let mut model = tract_onnx::pb::ModelProto::decode(&*form.build()).unwrap();
        model.graph.as_mut().unwrap().output = vec![declared(ANSWER, Some(kind))];
        let imported = import_bytes(&model.encode_to_vec(), None, &ImportOptions::default()).unwrap();
        assert_eq!(tail_of(&imported.graph).output().dtype, dtype);
    }
}

/// What a network does with a value of the tail, and the words of the refusal.
#[test]
fn what_belongs_at_the_end_is_refused_by_name_elsewhere() {
    let middle = |nodes: Vec<NodeProto>| {
        let mut nodes = nodes;
        nodes.push(op("GlobalMaxPool", &["inner"], ANSWER, vec![]));
        of_map("inside", 13, nodes, <[f64]>::to_vec)
    };
    let cases = [
        (
            middle(vec![op("Softmax", &[TRUNK], "inner", vec![int("axis", 1)])]),
            "\"inner\" (Softmax)",
            "end of a network",
        ),
        (
            middle(vec![op("Sigmoid", &[TRUNK], "inner", vec![])]),
            "\"inner\" (Sigmoid)",
            "fine-tune",
        ),
        (
            middle(vec![op("ArgMax", &[TRUNK], "inner", vec![int("axis", 1)])]),
            "\"inner\" (ArgMax)",
            "remove it",
        ),
        (
            of_vector("batch", 13, last("Softmax", vec![int("axis", 0)]), softmax),
            "\"answer\" (Softmax)",
            "images of a batch",
        ),
        (
            of_map(
                "reduced",
                13,
                last("ReduceL2", vec![ints("axes", &[1])]),
                <[f64]>::to_vec,
            ),
            "the output \"answer\"",
            "end the network before",
        ),
        (
            Form {
                constants: vec![TensorProto {
                    dims: vec![7],
                    float_data: (0..7).map(|v| v as f32).collect(),
                    ..number("weights", 0.0)
                }],
                ..of_vector(
                    "weights",
                    13,
                    vec![
                        op("Softmax", &[TRUNK], "s", vec![]),
                        op("Mul", &["s", "weights"], ANSWER, vec![]),
                    ],
                    softmax,
                )
            },
            "\"answer\" (Mul)",
            "every client could read",
        ),
        (
            Form {
                constants: vec![sizes("k", &[8])],
                ..of_vector(
                    "too many",
                    13,
                    vec![node("TopK", "top", &[TRUNK, "k"], &[ANSWER], vec![])],
                    softmax,
                )
            },
            "\"top\" (TopK)",
            "of 7 it cannot take 8",
        ),
    ];
    for (form, name, word) in cases {
        let error = import(&form, &ImportOptions::default()).expect_err(form.name);
        assert!(
            error.contains(name) && error.contains(word),
            "{}: {error}",
            form.name
        );
    }
}

/// A classifier with a label and a map of probabilities, as classical tools write it: any tensor of it
/// can be the output.
#[test]
fn one_of_several_outputs_is_chosen_by_name() {
    let mut zip = node(
        "ZipMap",
        "zip",
        &["probabilities"],
        &["loss"],
        vec![ints("classlabels_int64s", &[0, 1, 2])],
    );
    zip.domain = "ai.onnx.ml".to_owned();
    let nodes = vec![
        op("Softmax", &[TRUNK], "probabilities", vec![int("axis", 1)]),
        op(
            "ArgMax",
            &["probabilities"],
            ANSWER,
            vec![int("axis", 1), int("keepdims", 0)],
        ),
        zip,
    ];
    let form = of_vector("zipped", 11, nodes, softmax);
    let mut model = tract_onnx::pb::ModelProto::decode(&*form.build()).unwrap();
    model.graph.as_mut().unwrap().output = vec![declared(ANSWER, None), declared("loss", None)];
    let bytes = model.encode_to_vec();
    let import = |name: Option<&str>| {
        let output = name.map(str::to_owned);
        import_bytes(
            &bytes,
            None,
            &ImportOptions {
                output,
                ..ImportOptions::default()
            },
        )
    };
    let several = import(None).unwrap_err().to_string();
    assert!(
        several.contains("choose one with --output-name NAME"),
        "{several}"
    );
    let zipped = import(Some("loss")).unwrap_err().to_string();
    assert!(
        zipped.contains("\"zip\" (ZipMap)") && zipped.contains("ai.onnx.ml"),
        "{zipped}"
    );
    for (name, dtype) in [(ANSWER, DType::I64), ("probabilities", DType::F32)] {
        assert_eq!(tail_of(&import(Some(name)).unwrap().graph).output().dtype, dtype);
    }
}

/// The files that both commands write, as NumPy would read them: type, shape, elements.
fn read(path: &Path) -> (String, Vec<f64>) {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8_lossy(&bytes[10..start]).trim_end().to_owned();
    let body = &bytes[start..];
    let values = if header.contains("<i8") {
        body.chunks(8)
            .map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f64)
            .collect()
    } else {
        body.chunks(4)
            .map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap())))
            .collect()
    };
    (header, values)
}

#[test]
fn both_commands_write_the_models_own_output() {
    let trefoil = env!("CARGO_BIN_EXE_trefoil");
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let form = of_map(
        "two",
        13,
        vec![
            op("Softmax", &[TRUNK], "probabilities", vec![int("axis", 1)]),
            op(
                "ArgMax",
                &["probabilities"],
                ANSWER,
                vec![int("axis", 1), int("keepdims", 0)],
            ),
        ],
        <[f64]>::to_vec,
    );
    let mut model = tract_onnx::pb::ModelProto::decode(&*form.build()).unwrap();
    model
        .graph
        .as_mut()
        .unwrap()
        .output
        .push(declared("probabilities", None));
    fs::write(path("two.onnx"), model.encode_to_vec()).unwrap();
    write_images(&path("x.npy"), INPUT, images(1, 8, INPUT));
    let ended = |program: &Path, line: &str| {
        let words = line.split(' ').map(|word| match word.strip_prefix('@') {
            Some(file) => path(file).into_os_string(),
            None => word.into(),
        });
        run(Command::new(program).args(words), LIMIT)
    };
    let (trefoil, party) = (Path::new(trefoil), party_beside(trefoil));
    // The flag that the message names is there.
    for line in [
        "check @two.onnx",
        "inspect @two.onnx",
        "evaluate @two.onnx --data @x.npy",
    ] {
        let words = ended(trefoil, line).refused();
        assert!(
            words.contains("choose one with --output-name NAME"),
            "{line}: {words}"
        );
        ended(trefoil, &format!("{line} --output-name {ANSWER}")).succeeded();
    }
    ended(
        trefoil,
        &format!("compile @two.onnx --calibration @x.npy -o @plans --output-name {ANSWER}"),
    )
    .succeeded();
    let runs = [
        (
            trefoil,
            format!("evaluate @two.onnx --data @x.npy --output-name {ANSWER}"),
        ),
        (trefoil, "evaluate @plans --level f32 --data @x.npy".to_owned()),
        (trefoil, "evaluate @plans --data @x.npy".to_owned()),
        (&party, "local --plans @plans --data @x.npy".to_owned()),
    ];
    let mut seen = Vec::new();
    for (program, line) in runs {
        ended(program, &format!("{line} --output @o.npy --logits @l.npy")).succeeded();
        let (header, classes) = read(&path("o.npy"));
        assert!(
            header.contains("'<i8'") && header.contains("(8, 6, 7, )"),
            "{line}: {header}"
        );
        let (header, logits) = read(&path("l.npy"));
        assert!(
            header.contains("'<f4'") && header.contains("(8, 3, 6, 7, )"),
            "{line}: {header}"
        );
        let best: Vec<f64> = logits
            .chunks(MAP.iter().product())
            .flat_map(|image| {
                channels_last(image)
                    .chunks(MAP[0])
                    .map(|lane| argmax(lane) as f64)
                    .collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(classes, best, "{line}");
        ended(program, &format!("{line} --output @o.npy --logits")).succeeded();
        assert!(read(&path("o.npy")).0.contains("(8, 3, 6, 7, )"));
        let words = ended(program, &format!("{line} --logits")).refused();
        assert!(words.contains("--output"), "{words}");
        seen.push(classes);
    }
    let same = |a: &[f64], b: &[f64]| a.iter().zip(b).filter(|(a, b)| a == b).count() as f64 / a.len() as f64;
    assert!(
        seen.iter().all(|classes| same(classes, &seen[0]) > 0.98),
        "the levels agree"
    );
}
