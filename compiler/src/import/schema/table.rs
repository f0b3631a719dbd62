//! The operators, from opset 9 to 21.

use tract_onnx::pb::attribute_proto::AttributeType;

use super::{Attribute, Kind, Operands, Operator};

const fn op(
    name: &'static str,
    operands: &'static [Operands],
    results: usize,
    attributes: &'static [Attribute],
) -> Operator {
    Operator {
        name,
        operands,
        results,
        attributes,
    }
}

/// From operator set `since` on, `least` to `most` operands.
const fn takes(since: i64, least: usize, most: usize) -> Operands {
    Operands { since, least, most }
}

const fn int(name: &'static str) -> Attribute {
    Attribute::new(name, Kind::Int)
}

const fn flag(name: &'static str) -> Attribute {
    Attribute::new(name, Kind::Flag)
}

const fn float(name: &'static str) -> Attribute {
    Attribute::new(name, Kind::Float)
}

const fn ints(name: &'static str) -> Attribute {
    Attribute::new(name, Kind::Ints)
}

const fn floats(name: &'static str) -> Attribute {
    Attribute::new(name, Kind::Floats)
}

const fn tensor(name: &'static str) -> Attribute {
    Attribute::new(name, Kind::Tensor)
}

const fn word(name: &'static str, words: &'static [&'static str]) -> Attribute {
    Attribute::new(name, Kind::Word(words))
}

const fn other(name: &'static str, kind: AttributeType) -> Attribute {
    Attribute::new(name, Kind::Other(kind))
}

const MANY: usize = usize::MAX;

/// The oldest operator set that is read.
const OLDEST: i64 = 9;

const ONE: &[Operands] = &[takes(OLDEST, 1, 1)];
const TWO: &[Operands] = &[takes(OLDEST, 2, 2)];
const THREE: &[Operands] = &[takes(OLDEST, 3, 3)];
const ANY: &[Operands] = &[takes(OLDEST, 1, MANY)];
const PLAIN: &[Attribute] = &[];
const AXIS: &[Attribute] = &[int("axis")];

/// Index of the largest or smallest.
const BEST: &[Attribute] = &[int("axis"), flag("keepdims"), flag("select_last_index").since(12)];

/// A reduction, whose axes are an attribute and later an operand.
const fn reduction(name: &'static str) -> Operator {
    const OPERANDS: &[Operands] = &[takes(OLDEST, 1, 1), takes(18, 1, 2)];
    const ATTRIBUTES: &[Attribute] = &[
        ints("axes").until(18),
        flag("keepdims"),
        flag("noop_with_empty_axes").since(18),
    ];
    op(name, OPERANDS, 1, ATTRIBUTES)
}

const AUTO_PAD: Attribute = word("auto_pad", &["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID", ""]);
const KERNEL: Attribute = ints("kernel_shape").required();
const BLOCK_SIZE: Attribute = int("blocksize").required();

const RESIZE: &[Attribute] = &[
    flag("antialias").since(18),
    ints("axes").since(18),
    word(
        "coordinate_transformation_mode",
        &[
            "half_pixel",
            "half_pixel_symmetric",
            "pytorch_half_pixel",
            "align_corners",
            "asymmetric",
            "tf_crop_and_resize",
            "tf_half_pixel_for_nn",
        ],
    )
    .since(11),
    float("cubic_coeff_a").since(11),
    flag("exclude_outside").since(11),
    float("extrapolation_value").since(11),
    word(
        "keep_aspect_ratio_policy",
        &["stretch", "not_larger", "not_smaller"],
    )
    .since(18),
    word("mode", &["nearest", "linear", "cubic"]),
    word(
        "nearest_mode",
        &["round_prefer_floor", "round_prefer_ceil", "floor", "ceil", ""],
    )
    .since(11),
];

/// All of them, by name.
pub(super) static TABLE: &[Operator] = &[
    op("Abs", ONE, 1, PLAIN),
    op("Add", TWO, 1, PLAIN),
    op("And", TWO, 1, PLAIN),
    op("ArgMax", ONE, 1, BEST),
    op("ArgMin", ONE, 1, BEST),
    op(
        "AveragePool",
        ONE,
        1,
        &[
            AUTO_PAD,
            flag("ceil_mode").since(10),
            flag("count_include_pad"),
            ints("dilations").since(19),
            KERNEL,
            ints("pads"),
            ints("strides"),
        ],
    ),
    op(
        "BatchNormalization",
        &[takes(OLDEST, 5, 5)],
        5,
        &[
            float("epsilon"),
            float("momentum"),
            flag("training_mode").since(14),
        ],
    ),
    op(
        "Cast",
        ONE,
        1,
        &[flag("saturate").since(19), int("to").required()],
    ),
    op("Ceil", ONE, 1, PLAIN),
    op(
        "Clip",
        &[takes(OLDEST, 1, 1), takes(11, 1, 3)],
        1,
        &[float("max").until(11), float("min").until(11)],
    ),
    op("Concat", ANY, 1, &[int("axis").required()]),
    op(
        "Constant",
        &[takes(OLDEST, 0, 0)],
        1,
        &[
            other("sparse_value", AttributeType::SparseTensor).since(11),
            tensor("value"),
            float("value_float").since(12),
            floats("value_floats").since(12),
            int("value_int").since(12),
            ints("value_ints").since(12),
            other("value_string", AttributeType::String).since(12),
            other("value_strings", AttributeType::Strings).since(12),
        ],
    ),
    op("ConstantOfShape", ONE, 1, &[tensor("value")]),
    op(
        "Conv",
        &[takes(OLDEST, 2, 3)],
        1,
        &[
            AUTO_PAD,
            ints("dilations"),
            int("group"),
            ints("kernel_shape"),
            ints("pads"),
            ints("strides"),
        ],
    ),
    op(
        "DepthToSpace",
        ONE,
        1,
        &[BLOCK_SIZE, word("mode", &["DCR", "CRD"]).since(11)],
    ),
    op("Div", TWO, 1, PLAIN),
    op(
        "Dropout",
        &[takes(OLDEST, 1, 1), takes(12, 1, 3)],
        2,
        &[float("ratio").until(12), int("seed").since(12)],
    ),
    op("Equal", TWO, 1, PLAIN),
    op("Exp", ONE, 1, PLAIN),
    op("Expand", TWO, 1, PLAIN),
    op("Flatten", ONE, 1, AXIS),
    op("Floor", ONE, 1, PLAIN),
    op("Gather", TWO, 1, AXIS),
    op("GatherElements", &[takes(11, 2, 2)], 1, AXIS),
    op(
        "Gemm",
        &[takes(OLDEST, 3, 3), takes(11, 2, 3)],
        1,
        &[float("alpha"), float("beta"), int("transA"), int("transB")],
    ),
    op("GlobalAveragePool", ONE, 1, PLAIN),
    op("GlobalMaxPool", ONE, 1, PLAIN),
    op("Greater", TWO, 1, PLAIN),
    op("GreaterOrEqual", &[takes(12, 2, 2)], 1, PLAIN),
    op("HardSigmoid", ONE, 1, &[float("alpha"), float("beta")]),
    op("Identity", ONE, 1, PLAIN),
    op("Less", TWO, 1, PLAIN),
    op("LessOrEqual", &[takes(12, 2, 2)], 1, PLAIN),
    op("Log", ONE, 1, PLAIN),
    op("LogSoftmax", ONE, 1, AXIS),
    op("LpNormalization", ONE, 1, &[int("axis"), int("p")]),
    op("MatMul", TWO, 1, PLAIN),
    op("Max", ANY, 1, PLAIN),
    op(
        "MaxPool",
        ONE,
        2,
        &[
            AUTO_PAD,
            flag("ceil_mode").since(10),
            ints("dilations").since(10),
            KERNEL,
            ints("pads"),
            flag("storage_order"),
            ints("strides"),
        ],
    ),
    op("Min", ANY, 1, PLAIN),
    op("Mod", &[takes(10, 2, 2)], 1, &[flag("fmod")]),
    op("Mul", TWO, 1, PLAIN),
    op("Neg", ONE, 1, PLAIN),
    op("Not", ONE, 1, PLAIN),
    op("Or", TWO, 1, PLAIN),
    op(
        "Pad",
        &[takes(OLDEST, 1, 1), takes(11, 2, 3), takes(18, 2, 4)],
        1,
        &[
            word("mode", &["constant", "reflect", "edge", "wrap"]),
            ints("pads").until(11).required(),
            float("value").until(11),
        ],
    ),
    op("Pow", TWO, 1, PLAIN),
    op("Range", &[takes(11, 3, 3)], 1, PLAIN),
    op("Reciprocal", ONE, 1, PLAIN),
    reduction("ReduceL1"),
    reduction("ReduceL2"),
    reduction("ReduceLogSumExp"),
    reduction("ReduceMax"),
    reduction("ReduceMean"),
    reduction("ReduceMin"),
    reduction("ReduceProd"),
    op(
        "ReduceSum",
        &[takes(OLDEST, 1, 1), takes(13, 1, 2)],
        1,
        &[
            ints("axes").until(13),
            flag("keepdims"),
            flag("noop_with_empty_axes").since(13),
        ],
    ),
    reduction("ReduceSumSquare"),
    op("Relu", ONE, 1, PLAIN),
    op("Reshape", TWO, 1, &[flag("allowzero").since(14)]),
    op(
        "Resize",
        &[takes(10, 2, 2), takes(11, 3, 4), takes(13, 1, 4)],
        1,
        RESIZE,
    ),
    op("Round", &[takes(11, 1, 1)], 1, PLAIN),
    op("Shape", ONE, 1, &[int("end").since(15), int("start").since(15)]),
    op("Sigmoid", ONE, 1, PLAIN),
    op("Sign", ONE, 1, PLAIN),
    op("Size", ONE, 1, PLAIN),
    op(
        "Slice",
        &[takes(OLDEST, 1, 1), takes(10, 3, 5)],
        1,
        &[
            ints("axes").until(10),
            ints("ends").until(10).required(),
            ints("starts").until(10).required(),
        ],
    ),
    op("Softmax", ONE, 1, AXIS),
    op("Softplus", ONE, 1, PLAIN),
    op("Softsign", ONE, 1, PLAIN),
    op("SpaceToDepth", ONE, 1, &[BLOCK_SIZE]),
    op(
        "Split",
        &[takes(OLDEST, 1, 1), takes(13, 1, 2)],
        MANY,
        &[int("axis"), int("num_outputs").since(18), ints("split").until(13)],
    ),
    op("Sqrt", ONE, 1, PLAIN),
    op(
        "Squeeze",
        &[takes(OLDEST, 1, 1), takes(13, 1, 2)],
        1,
        &[ints("axes").until(13)],
    ),
    op("Sub", TWO, 1, PLAIN),
    op("Sum", ANY, 1, PLAIN),
    op("Tanh", ONE, 1, PLAIN),
    op("Tile", TWO, 1, PLAIN),
    op(
        "TopK",
        &[takes(OLDEST, 1, 1), takes(10, 2, 2)],
        2,
        &[
            int("axis"),
            int("k").until(10).required(),
            flag("largest").since(11),
            flag("sorted").since(11),
        ],
    ),
    op("Transpose", ONE, 1, &[ints("perm")]),
    op(
        "Unsqueeze",
        &[takes(OLDEST, 1, 1), takes(13, 2, 2)],
        1,
        &[ints("axes").until(13).required()],
    ),
    op("Upsample", TWO, 1, &[word("mode", &["nearest", "linear"])]),
    op("Where", THREE, 1, PLAIN),
    op("Xor", TWO, 1, PLAIN),
];
