//! Small files whose networks are valid and would take gigabytes or hours.

use super::proto::{self, Dim};
use super::rng::Rng;
use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto};

/// What is wrong with their names, and their bytes: some hundred bytes each, or some kilobytes where
/// it is the number of nodes.
pub(crate) fn greedy() -> Vec<(&'static str, Vec<u8>)> {
    let pool = |kernel: i64, pad: i64| {
        vec![
            proto::ints("kernel_shape", &[kernel, kernel]),
            proto::ints("pads", &[pad; 4]),
        ]
    };
    let long = [1, 1, 1 << 28, 1];
    let square = [1, 1, 1 << 14, 1 << 14];
    let one = || vec![proto::ints("kernel_shape", &[1, 1])];
    let three = || {
        vec![
            proto::ints("kernel_shape", &[3, 1]),
            proto::ints("pads", &[1, 0, 1, 0]),
        ]
    };
    vec![
        ("pools_of_one_pixel", chain("MaxPool", 200, one, long)),
        ("long_pools", chain("MaxPool", 8, three, long)),
        (
            "a_pool_of_half_the_map",
            chain("MaxPool", 1, || pool(8191, 4095), square),
        ),
        (
            "a_mean_of_half_the_map",
            chain("AveragePool", 1, || pool(8191, 4095), square),
        ),
        ("ten_thousand_large_maps", chain("Relu", 10_000, Vec::new, square)),
        ("a_convolution_in_a_sea_of_zeros", convolution([1, 3, 8, 8], 4000)),
        ("padding_before_a_convolution", padded([1, 3, 8, 8], 4000)),
        (
            "a_picture_as_large_as_a_wall",
            resized([1, 3, 8, 8], [4096, 8192]),
        ),
        ("many_walls", resized([1, 1, 1, 1], [1 << 14, 1 << 14])),
        (
            "a_line_as_long_as_the_equator",
            resized([1, 1, 1, 1], [1, 1 << 28]),
        ),
    ]
}

type Dims = [i64; 4];

fn chain(
    op: &str,
    length: usize,
    attributes: impl Fn() -> Vec<tract_onnx::pb::AttributeProto>,
    dims: Dims,
) -> Vec<u8> {
    let name = |at: usize| {
        if at == length {
            "y".to_owned()
        } else {
            format!("v{at}")
        }
    };
    let node = |at: usize| {
        let input = if at == 0 { "x".to_owned() } else { name(at) };
        proto::node(op, &format!("n{at}"), &[&input], &[&name(at + 1)], attributes())
    };
    model((0..length).map(node).collect(), Vec::new(), dims)
}

fn weight() -> TensorProto {
    let mut random = Rng::new(5);
    let values: Vec<f32> = (0..4 * 3 * 9)
        .map(|_| (random.next_u64() % 7) as f32 - 3.0)
        .collect();
    proto::f32_tensor("w", &[4, 3, 3, 3], &values, false)
}

fn convolution(dims: Dims, pad: i64) -> Vec<u8> {
    let pads = vec![proto::ints("pads", &[pad; 4])];
    let conv = proto::node("Conv", "conv", &["x", "w"], &["c"], pads);
    model(vec![conv, mean("c")], vec![weight()], dims)
}

fn padded(dims: Dims, pad: i64) -> Vec<u8> {
    let amounts = proto::i64_tensor("p", &[8], &[0, 0, pad, pad, 0, 0, pad, pad], false);
    let pad = proto::node("Pad", "pad", &["x", "p"], &["a"], vec![]);
    let relu = proto::node("Relu", "relu", &["a"], &["b"], vec![]);
    let conv = proto::node("Conv", "conv", &["b", "w"], &["c"], vec![]);
    model(vec![pad, relu, conv, mean("c")], vec![weight(), amounts], dims)
}

fn resized(dims: Dims, [h, w]: [i64; 2]) -> Vec<u8> {
    let sizes = proto::i64_tensor("s", &[4], &[1, dims[1], h, w], false);
    let mode = vec![proto::string("mode", "linear")];
    let resize = proto::node("Resize", "resize", &["x", "", "", "s"], &["a"], mode);
    let relu = proto::node("Relu", "relu", &["a"], &["b"], vec![]);
    model(vec![resize, relu, mean("b")], vec![sizes], dims)
}

fn mean(of: &str) -> NodeProto {
    proto::node("GlobalAveragePool", "mean", &[of], &["y"], vec![])
}

fn model(node: Vec<NodeProto>, initializer: Vec<TensorProto>, dims: Dims) -> Vec<u8> {
    let open = proto::value_info("y", DataType::Float, &[]);
    let known: Vec<Dim> = dims.iter().map(|&size| Dim::Known(size)).collect();
    let graph = GraphProto {
        node,
        initializer,
        input: vec![proto::value_info("x", DataType::Float, &known)],
        output: vec![open],
        ..GraphProto::default()
    };
    let opset = OperatorSetIdProto {
        domain: String::new(),
        version: 13,
    };
    let model = ModelProto {
        ir_version: 8,
        graph: Some(graph),
        opset_import: vec![opset],
        ..ModelProto::default()
    };
    model.encode_to_vec()
}
