//! Ways to end a network, as exporters write them, each with its meaning written out plainly.

mod decisions;
mod functions;
mod layouts;

use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{NodeProto, TensorProto, TypeProto, ValueInfoProto, type_proto};
use trefoil_ir::tail::DType;

use crate::support::onnx::proto::node;
use crate::support::onnx::{Conv, Flatten, GlobalPool, Linear, ModelBuilder, Options};

pub(crate) const INPUT: [usize; 3] = [3, 6, 7];
pub(crate) const CLASSES: usize = 7;
/// Channels, height and width of logits that are a map.
pub(crate) const MAP: [usize; 3] = [3, 6, 7];
pub(crate) const TRUNK: &str = "trunk";
pub(crate) const ANSWER: &str = "answer";

/// What the tail stands behind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Logits {
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
pub(crate) struct Form {
    pub(crate) name: &'static str,
    pub(crate) opset: i64,
    pub(crate) logits: Logits,
    pub(crate) nodes: Vec<NodeProto>,
    pub(crate) constants: Vec<TensorProto>,
    /// Dimensions of one image's output.
    pub(crate) dims: Vec<usize>,
    pub(crate) dtype: DType,
    /// The output, of one image's logits.
    pub(crate) meaning: fn(&[f64]) -> Vec<f64>,
    /// The class, if there is one.
    pub(crate) class: fn(&[f64]) -> Option<usize>,
}

pub(crate) fn op(
    op: &str,
    inputs: &[&str],
    output: &str,
    attributes: Vec<tract_onnx::pb::AttributeProto>,
) -> NodeProto {
    node(op, output, inputs, &[output], attributes)
}

pub(crate) fn last(name: &str, attributes: Vec<tract_onnx::pb::AttributeProto>) -> Vec<NodeProto> {
    vec![op(name, &[TRUNK], ANSWER, attributes)]
}

pub(crate) fn number(name: &str, value: f32) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        data_type: DataType::Float as i32,
        float_data: vec![value],
        ..TensorProto::default()
    }
}

pub(crate) fn sizes(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: vec![values.len() as i64],
        data_type: DataType::Int64 as i32,
        int64_data: values.to_vec(),
        ..TensorProto::default()
    }
}

/// The first of the largest.
pub(crate) fn argmax(x: &[f64]) -> usize {
    (0..x.len()).rev().max_by(|&a, &b| x[a].total_cmp(&x[b])).unwrap()
}

pub(crate) fn ranked(x: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|&a, &b| x[b].total_cmp(&x[a]));
    order
}

pub(crate) fn softmax(x: &[f64]) -> Vec<f64> {
    let sum: f64 = x.iter().map(|v| v.exp()).sum();
    x.iter().map(|v| v.exp() / sum).collect()
}

/// Softmax among the elements of a map that share a key.
pub(crate) fn softmax_among(x: &[f64], key: fn([usize; 3]) -> [usize; 2]) -> Vec<f64> {
    let [_, h, w] = MAP;
    let place = |at: usize| [at / (h * w), at / w % h, at % w];
    let sum = |at: usize| -> f64 {
        let mates = (0..x.len()).filter(|&other| key(place(other)) == key(place(at)));
        mates.map(|other| x[other].exp()).sum()
    };
    (0..x.len()).map(|at| x[at].exp() / sum(at)).collect()
}

/// Elements of a map with the channels last.
pub(crate) fn channels_last(x: &[f64]) -> Vec<f64> {
    let [c, h, w] = MAP;
    (0..h * w)
        .flat_map(|pixel| (0..c).map(move |c| x[c * h * w + pixel]))
        .collect()
}

pub(crate) fn sigmoid(v: f64) -> f64 {
    1.0 / (1.0 + (-v).exp())
}

pub(crate) fn unit(x: &[f64], epsilon: f64) -> Vec<f64> {
    let norm = x.iter().map(|v| v * v).sum::<f64>().sqrt();
    x.iter().map(|v| v / (norm + epsilon)).collect()
}

pub(crate) fn of_vector(
    name: &'static str,
    opset: i64,
    nodes: Vec<NodeProto>,
    meaning: fn(&[f64]) -> Vec<f64>,
) -> Form {
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

pub(crate) fn of_map(
    name: &'static str,
    opset: i64,
    nodes: Vec<NodeProto>,
    meaning: fn(&[f64]) -> Vec<f64>,
) -> Form {
    Form {
        logits: Logits::Map,
        dims: MAP.to_vec(),
        class: |_| None,
        ..of_vector(name, opset, nodes, meaning)
    }
}

/// All of them.
pub(crate) fn forms() -> Vec<Form> {
    let all = [
        functions::vectors(),
        functions::norms(),
        decisions::decisions(),
        decisions::probabilities(),
        layouts::shapes_and_types(),
        layouts::maps(),
    ];
    all.into_iter().flatten().collect()
}

impl Form {
    /// The file, the output's type left open.
    pub(crate) fn build(&self) -> Vec<u8> {
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
}

/// An output whose type and shape the file leaves open, or states.
pub(crate) fn declared(name: &str, kind: Option<DataType>) -> ValueInfoProto {
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
