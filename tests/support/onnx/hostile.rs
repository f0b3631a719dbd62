//! Files that no compiler may accept, and files that may or may not be valid but must do no harm.

use super::builder::{ModelBuilder, Options};
use super::damage::{bombs, damaged_attributes, damaged_graphs, damaged_shapes, damaged_values};
use super::layers::Conv;
use super::linear::Linear;
use super::rng::Rng;
use super::shapes::Flatten;
use super::window::{GlobalPool, Window};
use prost::Message;
use tract_onnx::pb::tensor_proto::DataLocation;
use tract_onnx::pb::{ModelProto, StringStringEntryProto};

/// A model whose weights lie in a second file.
#[derive(Clone, Debug)]
pub(crate) struct ExternalData {
    /// The ONNX file.
    pub(crate) model: Vec<u8>,
    /// The second file's name; it belongs into the model's folder.
    pub(crate) location: &'static str,
    /// The second file's bytes.
    pub(crate) data: Vec<u8>,
    /// The same model in one file.
    pub(crate) whole: Vec<u8>,
}

/// A valid model with four unsupported nodes, of the kinds returned: all must be named at once.
pub(crate) fn unsupported() -> (Vec<u8>, [&'static str; 4]) {
    const KINDS: [&str; 4] = ["Sigmoid", "HardSwish", "Exp", "Erf"];
    let mut b = ModelBuilder::new(3, Options::torchscript(17));
    let mut x = b.input([3, 9, 7]);
    for (i, kind) in KINDS.iter().enumerate() {
        x = b.conv(&format!("conv{i}"), &x, Conv::new(4, 3, 1, 1).bias());
        x = b.add_node(
            kind,
            &format!("act{i}"),
            &[&x.name],
            vec![],
            x.dims.clone(),
            x.moments.clone(),
        );
    }
    (b.finish(&x), KINDS)
}

/// A valid model whose tensors are slices of `weights.bin`.
pub(crate) fn external_data() -> ExternalData {
    let mut model = victim();
    let whole = model.encode_to_vec();
    let data = move_outside(&mut model, "weights.bin");
    ExternalData {
        model: model.encode_to_vec(),
        location: "weights.bin",
        data,
        whole,
    }
}

/// A valid model of `length` nodes in a row, to find recursion over the graph.
pub(crate) fn long_chain(length: usize) -> Vec<u8> {
    let mut b = ModelBuilder::new(5, Options::torchscript(13));
    let mut x = b.input([3, 6, 7]);
    for _ in 0..length {
        x = b.identity("", &x);
    }
    let x = b.conv("conv", &x, Conv::new(4, 1, 1, 0).bias());
    b.finish(&x)
}

/// Beginnings of a valid file. By chance one may be a valid file itself.
pub(crate) fn truncations(count: usize) -> Vec<Vec<u8>> {
    let whole = victim().encode_to_vec();
    (0..count)
        .map(|i| whole[..whole.len() * i / count].to_vec())
        .collect()
}

/// A valid file with one to eight flipped bits. Flips in weights leave it valid.
pub(crate) fn bit_flips(seed: u64, count: usize) -> Vec<Vec<u8>> {
    let whole = victim().encode_to_vec();
    let mut rng = Rng::new(seed);
    let flipped = |_| {
        let mut bytes = whole.clone();
        for _ in 0..=rng.below(8) {
            let at = rng.below(bytes.len());
            bytes[at] ^= 1 << rng.below(8);
        }
        bytes
    };
    (0..count).map(flipped).collect()
}

/// Files that must each be refused with a sentence: quickly, without a panic and without
/// allocating what they claim to hold. (`input_of_unknown_size` is fine once a shape is given.)
pub(crate) fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let mut files = not_models();
    for group in [
        damaged_values(),
        damaged_graphs(),
        damaged_shapes(),
        damaged_attributes(),
        bombs(),
    ] {
        files.extend(
            group
                .into_iter()
                .map(|(name, model)| (name, model.encode_to_vec())),
        );
    }
    files
}

fn not_models() -> Vec<(&'static str, Vec<u8>)> {
    let mut noise = Rng::new(1);
    let whole = victim().encode_to_vec();
    vec![
        ("empty_file", vec![]),
        ("text_file", b"This is not a model.\n".to_vec()),
        ("noise", (0..4096).map(|_| noise.next_u64() as u8).collect()),
        ("truncated_in_half", whole[..whole.len() / 2].to_vec()),
        ("length_beyond_the_end", vec![0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        ("unending_varint", vec![0xff; 64]),
    ]
}

/// The small model that most of the others damage: conv, norm, ReLU, max-pool, pool, reshape by a
/// computed shape, linear.
pub(crate) fn victim() -> ModelProto {
    let mut b = ModelBuilder::new(11, Options::torchscript(13));
    let x = b.input([3, 9, 7]);
    let x = b.conv_bn(["conv", "bn"], &x, Conv::new(4, 3, 1, 1), 1.0);
    let x = b.relu("relu", &x);
    let x = b.maxpool("maxpool", &x, Window::square(2, 2, 0));
    let x = b.gap("pool", &x, GlobalPool::Operator);
    let x = b.flatten("", &x, Flatten::ShapeChain);
    let x = b.linear("fc", &x, 5, Linear::Gemm, 2.0);
    b.finish_model(&x)
}

/// The same with names that act on a terminal, and of an operator that nobody knows if `unknown`.
pub(crate) fn evil_names(unknown: bool) -> Vec<u8> {
    let evil = |name: &mut String| {
        if !name.is_empty() {
            *name = format!("\u{1b}]0;{name}\u{7}\nforged\u{9b}\u{202e}\u{7f}\r");
        }
    };
    let mut model = victim();
    evil(&mut model.producer_name);
    let graph = model.graph.as_mut().expect("the builder sets the graph");
    evil(&mut graph.name);
    for node in &mut graph.node {
        evil(&mut node.name);
        node.input.iter_mut().chain(&mut node.output).for_each(evil);
        if unknown {
            evil(&mut node.op_type);
        }
    }
    graph
        .initializer
        .iter_mut()
        .for_each(|tensor| evil(&mut tensor.name));
    let ends = graph.input.iter_mut().chain(&mut graph.output);
    ends.chain(&mut graph.value_info)
        .for_each(|value| evil(&mut value.name));
    model.encode_to_vec()
}

/// Moves the initializers into a second file at `location`, whose bytes are returned.
pub(crate) fn move_outside(model: &mut ModelProto, location: &str) -> Vec<u8> {
    let mut data = Vec::new();
    let graph = model.graph.as_mut().expect("the builder sets the graph");
    for tensor in &mut graph.initializer {
        let bytes = std::mem::take(&mut tensor.raw_data);
        let entry = |key: &str, value: String| StringStringEntryProto {
            key: key.to_owned(),
            value,
        };
        tensor.data_location = Some(DataLocation::External as i32);
        tensor.external_data = vec![
            entry("location", location.to_owned()),
            entry("offset", data.len().to_string()),
            entry("length", bytes.len().to_string()),
        ];
        data.extend(bytes);
    }
    data
}
