//! The builder of ONNX files: options, names, parameters, and the finished bytes.
//!
//! The operators are in `layers.rs` (what has weights or is a gate) and `shapes.rs` (what moves
//! pixels); here is what they share.

use super::moments::Moment;
use super::proto::{self, Dim};
use super::rng::Rng;
use prost::Message;
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, OperatorSetIdProto, TensorProto, ValueInfoProto,
};

/// Which of PyTorch's exporters the names and idioms imitate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// `/layer1/layer1.0/relu/Relu`, global pools as `GlobalAveragePool`, `Flatten`.
    TorchScript,
    /// `node_relu_1`, global pools as `ReduceMean`, reshapes to constant shapes.
    Dynamo,
}

/// The leading dimension of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Batch {
    /// Declared by a name, `batch`.
    Dynamic,
    /// Declared as this number.
    Fixed(usize),
}

/// How a model is written down; none of it changes what the model computes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Version of the default operator set, 9 to 21.
    pub(crate) opset: i64,
    /// The exporter to imitate.
    pub(crate) style: Style,
    /// The leading dimension of the input.
    pub(crate) batch: Batch,
    /// Small constants (axes, bounds, shapes) come from `Constant` nodes, not from initializers.
    pub(crate) constant_nodes: bool,
    /// Tensors use `float_data` and `int64_data`, not `raw_data`.
    pub(crate) typed_data: bool,
    /// Identity and Dropout nodes are sprinkled over the graph.
    pub(crate) sprinkle: bool,
    /// Batch norms that follow a convolution are folded into it, as exporters may do.
    pub(crate) fold_bn: bool,
    /// Initializers are listed among the graph's inputs too, as files of IR version 3 must.
    pub(crate) initializers_as_inputs: bool,
}

impl Options {
    /// PyTorch's older exporter.
    pub(crate) fn torchscript(opset: i64) -> Self {
        Self {
            opset,
            style: Style::TorchScript,
            batch: Batch::Dynamic,
            constant_nodes: true,
            typed_data: false,
            sprinkle: false,
            fold_bn: false,
            initializers_as_inputs: false,
        }
    }

    /// PyTorch's newer exporter, which folds batch norms.
    pub(crate) fn dynamo(opset: i64) -> Self {
        Self {
            style: Style::Dynamo,
            constant_nodes: false,
            fold_bn: true,
            ..Self::torchscript(opset)
        }
    }
}

/// A value of the graph that is being built: its name, its shape without the batch, and what its
/// channels hold.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) name: String,
    pub(crate) dims: Vec<usize>,
    pub(crate) moments: Vec<Moment>,
}

impl Value {
    /// Channels of a map, features of a vector.
    pub(crate) fn channels(&self) -> usize {
        self.dims[0]
    }

    /// Height and width of a map; 1×1 for a vector.
    pub(crate) fn map(&self) -> [usize; 2] {
        match self.dims[..] {
            [_, height, width] => [height, width],
            _ => [1, 1],
        }
    }
}

/// Builds one model; finished by [`ModelBuilder::finish`].
///
/// Methods take the module's path in the PyTorch program first (`layer1.0.conv1`; empty for the
/// root), from which node and parameter names follow.
pub(crate) struct ModelBuilder {
    pub(crate) options: Options,
    pub(crate) seed: u64,
    graph: GraphProto,
    initializers: HashSet<String>,
    taken: HashMap<String, usize>,
}

impl ModelBuilder {
    /// An empty model whose parameters follow from `seed`.
    pub(crate) fn new(seed: u64, options: Options) -> Self {
        let graph = GraphProto {
            name: "main_graph".to_owned(),
            ..GraphProto::default()
        };
        Self {
            options,
            seed,
            graph,
            initializers: HashSet::new(),
            taken: HashMap::new(),
        }
    }

    /// The model's input: an image of standard-normal pixels.
    pub(crate) fn input(&mut self, dims: [usize; 3]) -> Value {
        let value = Value {
            name: "input".to_owned(),
            dims: dims.to_vec(),
            moments: vec![Moment::STANDARD; dims[0]],
        };
        let info = self.declare(&value, DataType::Float);
        self.graph.input.push(info);
        value
    }

    /// The finished file, `output` its only output.
    pub(crate) fn finish(self, output: &Value) -> Vec<u8> {
        self.finish_as(output, DataType::Float).encode_to_vec()
    }

    /// The finished file of a model that ends in class indices.
    pub(crate) fn finish_indices(self, output: &Value) -> Vec<u8> {
        self.finish_as(output, DataType::Int64).encode_to_vec()
    }

    /// The finished message, for tests that damage it before they encode it.
    pub(crate) fn finish_model(self, output: &Value) -> ModelProto {
        self.finish_as(output, DataType::Float)
    }

    fn finish_as(mut self, output: &Value, kind: DataType) -> ModelProto {
        self.rename(&output.name, "output");
        let output = Value {
            name: "output".to_owned(),
            ..output.clone()
        };
        let info = self.declare(&output, kind);
        self.graph.value_info.retain(|known| known.name != "output");
        self.graph.output.push(info);
        let dynamo = self.options.style == Style::Dynamo;
        ModelProto {
            ir_version: self.ir_version(),
            opset_import: vec![OperatorSetIdProto {
                domain: String::new(),
                version: self.options.opset,
            }],
            producer_name: "pytorch".to_owned(),
            producer_version: if dynamo { "2.9.0" } else { "2.4.0" }.to_owned(),
            graph: Some(self.graph),
            ..ModelProto::default()
        }
    }

    /// The oldest file version that may carry the operator set, as exporters write it.
    fn ir_version(&self) -> i64 {
        match (
            self.options.initializers_as_inputs,
            self.options.style,
            self.options.opset,
        ) {
            (true, ..) => 3,
            (_, Style::Dynamo, _) | (_, _, 21..) => 10,
            (_, _, 19..) => 9,
            (_, _, 15..) => 8,
            (_, _, 12..) => 7,
            (_, _, 11) => 6,
            (_, _, 10) => 5,
            _ => 4,
        }
    }

    fn rename(&mut self, from: &str, to: &str) {
        for node in &mut self.graph.node {
            for name in node.input.iter_mut().chain(&mut node.output) {
                if name == from {
                    to.clone_into(name);
                }
            }
        }
        for info in &mut self.graph.value_info {
            if info.name == from {
                to.clone_into(&mut info.name);
            }
        }
    }

    fn declare(&self, value: &Value, kind: DataType) -> ValueInfoProto {
        let batch = match self.options.batch {
            Batch::Dynamic => Dim::Symbol("batch"),
            Batch::Fixed(size) => Dim::Known(size as i64),
        };
        let mut dims = vec![batch];
        dims.extend(value.dims.iter().map(|d| Dim::Known(*d as i64)));
        proto::value_info(&value.name, kind, &dims)
    }

    /// Adds a node with one output, which the graph declares with its shape.
    pub(crate) fn add_node(
        &mut self,
        op: &str,
        module: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
        dims: Vec<usize>,
        moments: Vec<Moment>,
    ) -> Value {
        let name = self.add_plain_node(op, module, inputs, attributes);
        let value = Value { name, dims, moments };
        if self.options.opset >= 11 {
            let info = self.declare(&value, DataType::Float);
            self.graph.value_info.push(info);
        }
        value
    }

    /// Adds a node whose output is a shape, an index or a constant; returns the output's name.
    pub(crate) fn add_plain_node(
        &mut self,
        op: &str,
        module: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> String {
        let (name, output) = self.names(op, module);
        self.graph
            .node
            .push(proto::node(op, &name, inputs, &[&output], attributes));
        output
    }

    /// The names of a new node and of its output.
    fn names(&mut self, op: &str, module: &str) -> (String, String) {
        match self.options.style {
            Style::TorchScript => {
                let name = self.unique(&format!("{}/{op}", scope(module)));
                let output = format!("{name}_output_0");
                (name, output)
            }
            Style::Dynamo => {
                let output = self.unique(aten_name(op));
                (format!("node_{output}"), output)
            }
        }
    }

    fn unique(&mut self, name: &str) -> String {
        let count = self.taken.entry(name.to_owned()).or_default();
        *count += 1;
        match *count {
            1 => name.to_owned(),
            n => format!("{name}_{}", n - 1),
        }
    }

    /// A float parameter drawn by `draw` from the stream of its name. Asked for twice, it is
    /// stored once: that is how two layers share weights.
    pub(crate) fn parameter(
        &mut self,
        name: &str,
        dims: &[usize],
        draw: impl FnOnce(&mut Rng) -> Vec<f32>,
    ) -> Vec<f32> {
        let data = draw(&mut Rng::named(self.seed, name));
        self.store_f32(name, dims, &data);
        data
    }

    /// An initializer with the given contents.
    pub(crate) fn store_f32(&mut self, name: &str, dims: &[usize], data: &[f32]) {
        let tensor = proto::f32_tensor(name, dims, data, self.options.typed_data);
        self.store(tensor, DataType::Float);
    }

    fn store(&mut self, tensor: TensorProto, kind: DataType) {
        if !self.initializers.insert(tensor.name.clone()) {
            return;
        }
        if self.options.initializers_as_inputs {
            let dims: Vec<_> = tensor.dims.iter().map(|d| Dim::Known(*d)).collect();
            self.graph
                .input
                .push(proto::value_info(&tensor.name, kind, &dims));
        }
        self.graph.initializer.push(tensor);
    }

    /// A list of integers as a constant; returns its name.
    pub(crate) fn constant_ints(&mut self, module: &str, values: &[i64]) -> String {
        let tensor = proto::i64_tensor("", &[values.len()], values, self.options.typed_data);
        self.constant(module, tensor, DataType::Int64)
    }

    /// A single integer (rank 0) as a constant; returns its name.
    pub(crate) fn constant_int(&mut self, module: &str, value: i64) -> String {
        let tensor = proto::i64_tensor("", &[], &[value], self.options.typed_data);
        self.constant(module, tensor, DataType::Int64)
    }

    /// Floats as a constant of the given shape; returns its name.
    pub(crate) fn constant_floats(&mut self, module: &str, dims: &[usize], data: &[f32]) -> String {
        let tensor = proto::f32_tensor("", dims, data, self.options.typed_data);
        self.constant(module, tensor, DataType::Float)
    }

    /// A truth value as a constant; returns its name.
    pub(crate) fn constant_bool(&mut self, module: &str, value: bool) -> String {
        self.constant(module, proto::bool_tensor("", value), DataType::Bool)
    }

    fn constant(&mut self, module: &str, mut tensor: TensorProto, kind: DataType) -> String {
        if self.options.constant_nodes {
            let attributes = vec![proto::tensor("value", tensor)];
            return self.add_plain_node("Constant", module, &[], attributes);
        }
        tensor.name = self.unique("val");
        let name = tensor.name.clone();
        self.store(tensor, kind);
        name
    }
}

/// `layer1.0.conv1` as the older exporter writes it: `/layer1/layer1.0/conv1`.
fn scope(module: &str) -> String {
    let mut path = String::new();
    let mut parent = String::new();
    for part in module.split('.').filter(|part| !part.is_empty()) {
        // A child of a Sequential has a number for a name, and repeats its parent's.
        parent = match part.parse::<usize>() {
            Ok(_) => format!("{parent}.{part}"),
            Err(_) => part.to_owned(),
        };
        path.push('/');
        path.push_str(&parent);
    }
    path
}

/// The name that the newer exporter derives its values from.
fn aten_name(op: &str) -> &str {
    match op {
        "Conv" => "conv2d",
        "BatchNormalization" => "getitem",
        "Relu" => "relu",
        "Clip" => "clamp",
        "MaxPool" => "max_pool2d",
        "AveragePool" => "avg_pool2d",
        "GlobalAveragePool" | "ReduceMean" => "mean",
        "Add" => "add",
        "Concat" => "cat",
        "Pad" => "pad",
        "Slice" => "slice",
        "Resize" => "upsample",
        "Flatten" | "Reshape" => "view",
        "Gemm" => "linear",
        "MatMul" => "matmul",
        "Softmax" => "softmax",
        "ArgMax" => "argmax",
        "Mul" => "mul",
        "Div" => "div",
        "Sub" => "sub",
        _ => "val",
    }
}
