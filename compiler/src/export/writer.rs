//! The ONNX graph while it is written: nodes, constants, and the value that each node of the NN
//! graph has become.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};
use trefoil_ir::nn::{Graph, NodeId, Op};
use trefoil_ir::tail::{DType, Tail, Type};
use trefoil_ir::{Shape, Tensor};

use super::{op, proto};

/// The operator set in which the axes of all reductions became operands.
pub(super) const OPSET_WITH_AXES_AS_OPERANDS: i64 = 18;

/// An ONNX value: its name and its rank, batch included. A map of several pixels has rank 4, a
/// vector 2 or 4.
#[derive(Clone, Debug)]
pub(super) struct Value {
    /// Its name.
    pub(super) name: String,
    /// Its rank.
    pub(super) rank: usize,
}

/// Collects an ONNX graph.
pub(super) struct Writer<'g> {
    graph: &'g Graph,
    proto: GraphProto,
    /// Names of values.
    taken: HashSet<String>,
    /// The number that the next value of a taken name gets.
    numbers: HashMap<String, usize>,
    /// Names of nodes whose values have not been named yet.
    reserved: HashSet<&'g str>,
    values: HashMap<NodeId, Value>,
    /// Values that were given another rank.
    ranked: HashMap<(NodeId, usize), String>,
    input_rank: Option<usize>,
    /// The value and rank that the output has, where it is a value of the network as it is.
    result: Option<(NodeId, usize)>,
    output: String,
    opset: i64,
}

impl<'g> Writer<'g> {
    /// An empty ONNX graph for the nodes of `graph`.
    pub(super) fn new(graph: &'g Graph, opset: i64, input_rank: Option<usize>) -> Self {
        let mut writer = Self {
            graph,
            proto: GraphProto {
                name: graph.name.clone(),
                ..GraphProto::default()
            },
            taken: HashSet::new(),
            numbers: HashMap::new(),
            reserved: graph
                .ids()
                .iter()
                .map(|&id| graph.node(id).origin.name.as_str())
                .collect(),
            values: HashMap::new(),
            ranked: HashMap::new(),
            input_rank,
            result: None,
            output: String::new(),
            opset,
        };
        // The names that others rely on are taken before any node can take them.
        if let Some(id) = graph.input() {
            let name = writer.claim(&graph.node(id).origin.name);
            let rank = writer.input_rank.filter(|_| writer.is_vector(id));
            let rank = rank.unwrap_or(if writer.is_vector(id) { 2 } else { 4 });
            writer.values.insert(id, Value { name, rank });
        }
        if let Some(id) = graph.output() {
            writer.output = writer.claim(&graph.node(id).origin.name);
            writer.result = writer.whole_result(id);
        }
        writer
    }

    /// The logits and the rank in which they are the output as it is, if nothing is computed of them.
    fn whole_result(&self, output: NodeId) -> Option<(NodeId, usize)> {
        let tail = self.graph.tail()?;
        let logits = self.graph.inputs(output)[0];
        let rank = [2, 4]
            .into_iter()
            .find(|&rank| self.has_dims(logits, rank, tail))?;
        tail.steps.is_empty().then_some((logits, rank))
    }

    /// The ONNX graph.
    pub(super) fn finish(self) -> GraphProto {
        self.proto
    }

    /// The operator of a node.
    pub(super) fn op(&self, id: NodeId) -> &'g Op {
        &self.graph.node(id).op
    }

    /// Name of a node.
    pub(super) fn name(&self, id: NodeId) -> &'g str {
        &self.graph.node(id).origin.name
    }

    /// Shape of a node's value.
    pub(super) fn shape(&self, id: NodeId) -> Shape {
        self.graph.node(id).shape
    }

    /// Operands of a node.
    pub(super) fn inputs(&self, id: NodeId) -> Vec<NodeId> {
        self.graph.inputs(id)
    }

    /// The operator set.
    pub(super) fn opset(&self) -> i64 {
        self.opset
    }

    /// Whether a value has the dimensions of a tail's logits under this rank.
    fn has_dims(&self, id: NodeId, rank: usize, tail: &Tail) -> bool {
        (rank == 4 || self.is_vector(id)) && self.dims(id, rank) == tail.dims[1..]
    }

    fn is_vector(&self, id: NodeId) -> bool {
        self.shape(id).plane() == 1
    }

    /// The name of a node for its value; another one like it where that is taken.
    fn claim(&mut self, name: &str) -> String {
        self.reserved.remove(name);
        self.fresh(name)
    }

    /// A name like this one that no value and no node has.
    pub(super) fn fresh(&mut self, name: &str) -> String {
        let mut fresh = name.to_owned();
        while fresh.is_empty() || self.reserved.contains(&*fresh) || !self.taken.insert(fresh.clone()) {
            let number = self.numbers.entry(name.to_owned()).or_insert(1);
            *number += 1;
            fresh = format!("{name}#{number}");
        }
        fresh
    }

    /// The value of a node as it is.
    pub(super) fn value(&self, id: NodeId) -> Value {
        // Nodes are written in topological order.
        self.values[&id].clone()
    }

    /// The value of a node under this rank, named by a node that changes it where it must.
    pub(super) fn ranked(&mut self, id: NodeId, rank: usize) -> String {
        let value = self.value(id);
        if value.rank == rank {
            return value.name;
        }
        if let Some(name) = self.ranked.get(&(id, rank)) {
            return name.clone();
        }
        let name = self.fresh(&format!("{}/rank{rank}", self.name(id)));
        self.change_rank(id, &value, rank, &name, &name);
        self.ranked.insert((id, rank), name.clone());
        name
    }

    fn change_rank(&mut self, id: NodeId, value: &Value, rank: usize, node: &str, output: &str) {
        let Value { name, rank: old } = value;
        match (*old, rank) {
            (_, 2) => {
                self.node("Flatten", node, &[name], &[output], vec![proto::int("axis", 1)]);
            }
            (2, 4) => {
                let axes = self.sizes(&format!("{node}/axes"), &[2, 3]);
                self.node("Unsqueeze", node, &[name, &axes], &[output], vec![]);
            }
            _ => self.reshape(name, &self.dims(id, rank), node, output),
        }
    }

    /// Gives a value other dimensions, batch left out.
    fn reshape(&mut self, value: &str, dims: &[usize], node: &str, output: &str) {
        // Zero copies the batch.
        let dims = [&[0], dims].concat();
        let shape = self.sizes(&format!("{node}/shape"), &dims);
        self.node("Reshape", node, &[value, &shape], &[output], vec![]);
    }

    /// Dimensions of a value under this rank, batch left out.
    fn dims(&self, id: NodeId, rank: usize) -> Vec<usize> {
        let Shape { c, h, w } = self.shape(id);
        match rank {
            2 => vec![c * h * w],
            _ => vec![c, h, w],
        }
    }

    /// Adds a constant tensor.
    pub(super) fn tensor(&mut self, name: &str, tensor: &Tensor) -> String {
        self.floats(name, tensor.dims(), tensor.values())
    }

    /// Adds a constant of floats.
    pub(super) fn floats(&mut self, name: &str, dims: &[usize], values: &[f32]) -> String {
        let name = self.fresh(name);
        self.constant(proto::floats(name, dims, values))
    }

    /// Adds a constant single number.
    pub(super) fn number(&mut self, name: &str, value: f64, dtype: DType) -> String {
        let name = self.fresh(name);
        self.constant(proto::number(name, value, dtype))
    }

    /// Adds a constant vector of sizes.
    pub(super) fn sizes(&mut self, name: &str, values: &[usize]) -> String {
        let name = self.fresh(name);
        self.constant(proto::indices(name, values))
    }

    fn constant(&mut self, tensor: TensorProto) -> String {
        let name = tensor.name.clone();
        self.proto.initializer.push(tensor);
        name
    }

    /// Adds a node of this name, or one like it, and its value of the same name.
    pub(super) fn part(
        &mut self,
        op: &str,
        name: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> String {
        let name = self.fresh(name);
        self.node(op, &name, inputs, &[&name], attributes);
        name
    }

    /// Adds the node that carries the name of `id` and gives its value, of this rank.
    pub(super) fn emit(
        &mut self,
        op: &str,
        id: NodeId,
        inputs: &[&str],
        rank: usize,
        attributes: Vec<AttributeProto>,
    ) {
        let name = self.name(id);
        let output = if self.result == Some((id, rank)) {
            self.output.clone()
        } else {
            self.claim(name)
        };
        self.node(op, name, inputs, &[&output], attributes);
        let value = Value { name: output, rank };
        self.values.insert(id, value);
    }

    /// Adds a node.
    pub(super) fn node(
        &mut self,
        op: &str,
        name: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) {
        self.proto.node.push(NodeProto {
            op_type: op.to_owned(),
            name: name.to_owned(),
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: outputs.iter().map(|&name| name.to_owned()).collect(),
            attribute: attributes,
            ..NodeProto::default()
        });
    }

    /// Declares the input.
    pub(super) fn declare_input(&mut self, id: NodeId) {
        let Value { name, rank } = self.value(id);
        let ty = Type {
            dims: [&[1], &self.dims(id, rank)[..]].concat(),
            dtype: DType::F32,
            batched: true,
        };
        self.proto.input.push(proto::declaration(&name, &ty));
    }

    /// Writes the tail and declares the output: behind nodes that compute it, name it, or give it its
    /// dimensions where the value of the last node does not do.
    pub(super) fn declare_output(&mut self, tail: &Tail) {
        let Some(logits) = self.graph.output().map(|id| self.inputs(id)[0]) else {
            return;
        };
        // A verified graph's tail has types.
        let Ok(types) = tail.types() else { return };
        let output = self.output.clone();
        let value = self.value(logits);
        let has_its_dims = self.has_dims(logits, value.rank, tail);
        if let Some((id, rank)) = self.result {
            let node = self.fresh(&format!("{output}/output"));
            if value.rank != rank {
                self.change_rank(id, &value, rank, &node, &output);
            } else if value.name != output {
                self.node("Identity", &node, &[&value.name], &[&output], vec![]);
            }
        } else if tail.steps.is_empty() {
            let node = self.fresh(&format!("{output}/output"));
            self.reshape(&value.name, &tail.dims[1..], &node, &output);
        } else if has_its_dims {
            op::tail::write(self, tail, &types, value.name, &output);
        } else {
            let node = self.fresh(&format!("{output}/logits"));
            self.reshape(&value.name, &tail.dims[1..], &node, &node);
            op::tail::write(self, tail, &types, node, &output);
        }
        if let Some(ty) = types.last() {
            self.proto.output.push(proto::declaration(&output, ty));
        }
    }
}
