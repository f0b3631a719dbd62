//! The walk over the nodes of a model, in order, that builds the graph.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};
use trefoil_ir::Shape;
use trefoil_ir::nn::op::{Input, Output};
use trefoil_ir::nn::{Class, Graph, NodeId, Origin};
use trefoil_ir::tail::{self, DType};

use super::clipped::Clipped;
use super::constant::ConstantFolding;
use super::error::{ImportError, ModelError, Refusal, TensorError, UnsupportedNode, UnsupportedNodes};
use super::external::Folder;
use super::model::Model;
use super::op;
use super::site::{Operand, Site};
use super::structure::{Structure, node_name};
use super::tail::{TailValue, nodes_at_the_end};
use super::tensor::{check_finite, load};
use super::twin::{self, Twin};
use super::value::{Constant, Value};
use super::{ImportOptions, Imported, ImportedValue, Warning, input, schema};

/// Builds the graph of a model.
pub(super) fn build(
    model: Model,
    folder: Option<&Path>,
    options: &ImportOptions,
    warnings: Vec<Warning>,
) -> Result<Imported, ImportError> {
    let mut source = model.graph;
    let folder = Folder::new(folder);
    let twin = twin::collapse(&mut source, &model.metadata, &folder)?;
    let structure = Structure::of(&source, options.output.as_deref())?;
    let (dims, shape) = input::resolve(&structure.input, options.input_shape.as_deref())?;
    let name = &structure.input.name;
    let (graph, input) = graph_of_input(&source.name, name, shape)?;
    let mut builder = Builder {
        initializers: take_initializers(&mut source),
        values: HashMap::from([(name.clone(), Value::map(input, dims.clone()))]),
        uses: &structure.uses,
        folder,
        constants: ConstantFolding::new(model.opset),
        opset: model.opset,
        graph,
        twin: twin.as_ref(),
        clips: HashMap::new(),
        expansion: MAX_EXPANSION,
        stand_ins: HashSet::new(),
        warnings,
        unsupported: Vec::new(),
        fault: None,
    };
    let ends = nodes_at_the_end(&source, &structure.order);
    for &at in &structure.order {
        builder.import(&source.node[at], ends.contains(&at));
    }
    let Finished {
        graph,
        warnings,
        output_dims,
        values,
    } = builder.finish(&source, &structure)?;
    Ok(Imported {
        assignment: twin.map(|twin| twin.check(&graph)).transpose()?,
        graph: graph.verify().map_err(ImportError::Unsound)?,
        warnings,
        opset: model.opset,
        producer: model.producer,
        input_name: structure.input.name,
        input_dims: dims,
        output_name: structure.output,
        output_dims,
        values,
    })
}

/// A graph that consists of its input.
fn graph_of_input(model: &str, input: &str, shape: Shape) -> Result<(Graph, NodeId), ImportError> {
    let mut graph = Graph::new(if model.is_empty() { "model" } else { model });
    let added = graph.add(Input { shape }, &[], Origin::named(input));
    let node = added.map_err(|error| ImportError::Node {
        name: input.to_owned(),
        op: "Input".to_owned(),
        source: Box::new(error.into()),
    })?;
    Ok((graph, node))
}

/// Takes the initializers out of the graph, by name: each is dropped as soon as it has been read.
fn take_initializers(graph: &mut GraphProto) -> HashMap<String, TensorProto> {
    let mut by_name = HashMap::new();
    for tensor in std::mem::take(&mut graph.initializer) {
        by_name.insert(tensor.name.clone(), tensor);
    }
    by_name
}

/// The values of the operands that are given.
fn values(operands: &[Option<Operand>]) -> impl Iterator<Item = &Value> {
    operands.iter().flatten().map(|operand| &operand.value)
}

fn depends_on_the_image(operands: &[Option<Operand>]) -> bool {
    values(operands).any(|value| matches!(value, Value::Map(_) | Value::Tail(_)))
}

/// Numbers that all nodes together may make out of single ones, such as bounds of clips.
const MAX_EXPANSION: usize = 1 << 26;

struct Builder<'a> {
    initializers: HashMap<String, TensorProto>,
    values: HashMap<String, Value>,
    uses: &'a HashMap<String, usize>,
    folder: Folder,
    constants: ConstantFolding,
    opset: i64,
    graph: Graph,
    twin: Option<&'a Twin>,
    clips: HashMap<NodeId, Clipped>,
    expansion: usize,
    stand_ins: HashSet<NodeId>,
    warnings: Vec<Warning>,
    unsupported: Vec<UnsupportedNode>,
    fault: Option<ImportError>,
}

impl Builder<'_> {
    /// Imports one node. What is wrong is kept, and the node's outputs are unknown then: nodes
    /// behind it are still looked at, so that all unsupported ones are found.
    fn import(&mut self, node: &NodeProto, at_the_end: bool) {
        let name = node_name(node);
        let outputs = match self.outputs(node, name, at_the_end) {
            Ok(outputs) => outputs,
            Err(Trouble::Refusal(Refusal::Unsupported { reason, remedy })) => {
                self.unsupported.push(UnsupportedNode {
                    name: name.to_owned(),
                    op: node.op_type.clone(),
                    reason,
                    remedy,
                });
                self.stand_in(node, name)
            }
            Err(Trouble::Refusal(Refusal::Invalid(source))) => {
                self.fault.get_or_insert(ImportError::Node {
                    name: name.to_owned(),
                    op: node.op_type.clone(),
                    source: Box::new(source),
                });
                Vec::new()
            }
            Err(Trouble::Initializer(error)) => {
                self.fault.get_or_insert(error);
                Vec::new()
            }
        };
        let mut outputs = outputs.into_iter();
        for name in &node.output {
            let value = outputs.next().unwrap_or(Value::Unknown);
            if !name.is_empty() {
                self.values.insert(name.clone(), value);
            }
        }
    }

    fn outputs(&mut self, node: &NodeProto, name: &str, at_the_end: bool) -> Result<Vec<Value>, Trouble> {
        let tail = op::tail::import_of(&node.op_type).filter(|_| at_the_end);
        if tail.is_none() {
            op::importer(node)?;
        }
        // A cluster's gate is our own, with bounds as attributes whatever the opset.
        if !self.twin.is_some_and(|twin| twin.has(node)) {
            schema::check(node, self.opset)?;
        }
        let operands = self.operands(node)?;
        if values(&operands).any(|value| *value == Value::Unknown) {
            return Ok(Vec::new());
        }
        let is_behind = values(&operands).any(|value| matches!(value, Value::Tail(_)));
        let outputs = match tail.filter(|_| depends_on_the_image(&operands)) {
            Some(tail) if is_behind => tail(&mut self.site(node, name, operands))?,
            Some(tail) => match self.network(node, name, operands.clone()) {
                // What the parties cannot compute is left to the client.
                Err(refusal @ Refusal::Unsupported { .. }) => {
                    let refused = tail(&mut self.site(node, name, operands));
                    refused.map_err(|own| match op::is_supported(&node.op_type) {
                        true => refusal,
                        false => own,
                    })?
                }
                other => other?,
            },
            None => self.network(node, name, operands)?,
        };
        self.check_outputs(node, outputs.len())?;
        Ok(outputs)
    }

    /// The outputs of a node of the network, or of a constant one.
    fn network(
        &mut self,
        node: &NodeProto,
        name: &str,
        operands: Vec<Option<Operand>>,
    ) -> Result<Vec<Value>, Refusal> {
        let depends = depends_on_the_image(&operands);
        match op::importer(node)? {
            Some(importer) if depends || importer.takes_constants => {
                (importer.import)(&mut self.site(node, name, operands))
            }
            None if depends => Err(op::remedy::refuse(&node.op_type)),
            Some(_) | None => self.fold(node, &operands),
        }
    }

    /// What can be said of the result of a node that is not supported: often its shape.
    fn stand_in(&mut self, node: &NodeProto, name: &str) -> Vec<Value> {
        let Ok(operands) = self.operands(node) else {
            return Vec::new();
        };
        let mut known = Vec::new();
        for value in values(&operands) {
            match value {
                Value::Map(view) => known.push(view.dims.clone()),
                Value::Constant(_) | Value::Tail(_) => {}
                Value::Unknown => return Vec::new(),
            }
        }
        let Some(dims) = op::remedy::result_dims(node, &known) else {
            return Vec::new();
        };
        match self.site(node, name, Vec::new()).stand_in(&dims) {
            Ok(node) => vec![Value::map(node, dims)],
            Err(_) => Vec::new(),
        }
    }

    fn site<'s>(
        &'s mut self,
        proto: &'s NodeProto,
        name: &'s str,
        operands: Vec<Option<Operand>>,
    ) -> Site<'s> {
        Site {
            proto,
            name,
            opset: self.opset,
            operands,
            is_cluster: self.twin.is_some_and(|twin| twin.has(proto)),
            graph: &mut self.graph,
            clips: &mut self.clips,
            stand_ins: &mut self.stand_ins,
            expansion: &mut self.expansion,
            warnings: &mut self.warnings,
        }
    }

    fn operands(&mut self, node: &NodeProto) -> Result<Vec<Option<Operand>>, Trouble> {
        let mut operands = Vec::with_capacity(node.input.len());
        for name in &node.input {
            operands.push(if name.is_empty() {
                None
            } else {
                Some(Operand {
                    value: self.value(name)?,
                    uses: self.uses.get(name).copied().unwrap_or(0),
                    name: name.clone(),
                })
            });
        }
        Ok(operands)
    }

    fn value(&mut self, name: &str) -> Result<Value, Trouble> {
        if let Some(value) = self.values.get(name) {
            return Ok(value.clone());
        }
        match self.take_initializer(name) {
            Ok(constant) => {
                let value = Value::Constant(constant);
                self.values.insert(name.to_owned(), value.clone());
                Ok(value)
            }
            Err(source) => {
                self.values.insert(name.to_owned(), Value::Unknown);
                Err(Trouble::Initializer(ImportError::Initializer {
                    name: name.to_owned(),
                    source: Box::new(source),
                }))
            }
        }
    }

    fn take_initializer(&mut self, name: &str) -> Result<Constant, TensorError> {
        let Some(proto) = self.initializers.remove(name) else {
            // Every value is defined somewhere: what is left are the sparse initializers.
            return Err(TensorError::ElementType("SPARSE".to_owned()));
        };
        let constant = load(&proto, &self.folder)?;
        check_initializer(&constant)?;
        Ok(constant)
    }

    fn fold(&mut self, node: &NodeProto, operands: &[Option<Operand>]) -> Result<Vec<Value>, Refusal> {
        let mut known = Vec::with_capacity(operands.len());
        for operand in operands {
            known.push(operand.as_ref().and_then(|operand| operand.value.constant()));
        }
        let mut folded = self.constants.fold(node, &known)?.into_iter();
        let mut outputs = Vec::with_capacity(node.output.len());
        for name in &node.output {
            // Outputs that are left out take their place all the same.
            let value = if name.is_empty() { None } else { folded.next() };
            outputs.push(value.map_or(Value::Unknown, Value::Constant));
        }
        Ok(outputs)
    }

    /// Refuses a node of which somebody reads an output that its importer does not give.
    fn check_outputs(&self, node: &NodeProto, given: usize) -> Result<(), Refusal> {
        let mut further = node.output.iter().skip(given);
        match further.find(|name| self.uses.contains_key(name.as_str())) {
            None => Ok(()),
            Some(name) => super::error::unsupported(
                format!("its further output \"{name}\" is used, and only the first one is supported"),
                "export the model in eval mode, without auxiliary outputs",
            ),
        }
    }

    fn finish(mut self, source: &GraphProto, structure: &Structure) -> Result<Finished, ImportError> {
        if !self.unsupported.is_empty() {
            return Err(ImportError::Unsupported(UnsupportedNodes(self.unsupported)));
        }
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let name = &structure.output;
        let value = match self.values.get(name).cloned() {
            Some(Value::Map(view)) => TailValue::of(view),
            Some(Value::Tail(value)) => value,
            Some(Value::Constant(_) | Value::Unknown) | None => {
                return Err(ModelError::ConstantOutput(name.clone()).into());
            }
        };
        if !value.tail.shows_logits() {
            return Err(ModelError::ReducedOutput(name.clone()).into());
        }
        let value = of_declared_type(source, name, value)?;
        let dims = value.dims();
        let output = Output { tail: value.tail };
        let output = self.graph.add(output, &[value.logits.node], Origin::named(name));
        output.map_err(|error| ImportError::Node {
            name: name.clone(),
            op: "Output".to_owned(),
            source: Box::new(error.into()),
        })?;
        let (mut graph, ids) = self.graph.compacted_with_ids();
        let values = named_values(source, structure, &self.values, &ids);
        make_names_unique(&mut graph, &mut self.warnings);
        Ok(Finished {
            graph,
            warnings: self.warnings,
            output_dims: dims,
            values,
        })
    }
}

/// The graph that the walk has built, and what is to be said of it.
struct Finished {
    graph: Graph,
    warnings: Vec<Warning>,
    output_dims: Vec<usize>,
    values: Vec<ImportedValue>,
}

/// The values that the compacted graph computes, in the order of the file's nodes.
fn named_values(
    source: &GraphProto,
    structure: &Structure,
    values: &HashMap<String, Value>,
    ids: &[Option<NodeId>],
) -> Vec<ImportedValue> {
    let mut named = Vec::new();
    for &at in &structure.order {
        let node = &source.node[at];
        for name in &node.output {
            let Some(Value::Map(view)) = values.get(name) else {
                continue;
            };
            let Some(id) = ids[view.node.index()] else {
                continue;
            };
            named.push(ImportedValue {
                name: name.clone(),
                origin: node_name(node).to_owned(),
                op: node.op_type.clone(),
                node: id,
            });
        }
    }
    named
}

/// Why a node was given up.
enum Trouble {
    Refusal(Refusal),
    Initializer(ImportError),
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Trouble::Refusal(refusal)
    }
}

impl From<ImportError> for Trouble {
    fn from(error: ImportError) -> Self {
        Trouble::Initializer(error)
    }
}

/// NaN and infinities are errors in weights; a single number may be an infinite bound.
fn check_initializer(constant: &Constant) -> Result<(), TensorError> {
    match constant {
        Constant::Float(tensor) if tensor.len() > 1 => check_finite(tensor),
        Constant::Float(_) | Constant::Int(_) | Constant::Bool(_) => Ok(()),
    }
}

/// The output under the type that the file declares for it: floats may be wider or narrower than what
/// is computed, and whole numbers than indices.
fn of_declared_type(source: &GraphProto, name: &str, value: TailValue) -> Result<TailValue, ModelError> {
    let info = source.output.iter().find(|o| o.name == name);
    let Some(kind) = info.and_then(input::element_type) else {
        return Ok(value);
    };
    let typed = match op::tail::dtype(kind) {
        Some(declared) if declared == value.dtype() => Some(value),
        Some(declared) if is_alike(declared, value.dtype()) => value.then(tail::Op::Cast(declared)).ok(),
        Some(_) | None => None,
    };
    typed.ok_or_else(|| ModelError::OutputType {
        name: name.to_owned(),
        kind: kind.as_str_name().to_owned(),
    })
}

/// Whether both types hold floats, both whole numbers, or both truth values.
fn is_alike(a: DType, b: DType) -> bool {
    a.is_float() == b.is_float() && (a == DType::Bool) == (b == DType::Bool)
}

/// ReLUs are addressed by their names, so a second one of a name gets a number.
fn make_names_unique(graph: &mut Graph, warnings: &mut Vec<Warning>) {
    let mut relus = Vec::new();
    let mut taken = HashSet::new();
    for id in graph.ids() {
        let node = graph.node(id);
        if matches!(node.op.class(), Class::Gate(_)) {
            taken.insert(node.origin.name.clone());
            relus.push(id);
        }
    }
    let mut next: HashMap<String, usize> = HashMap::new();
    for id in relus {
        let name = graph.node(id).origin.name.clone();
        let Some(count) = next.get_mut(&name) else {
            next.insert(name, 2);
            continue;
        };
        let mut fresh = format!("{name}#{count}");
        while !taken.insert(fresh.clone()) {
            *count += 1;
            fresh = format!("{name}#{count}");
        }
        *count += 1;
        warnings.push(Warning {
            node: Some(name),
            message: format!("another ReLU has this name: this one is called \"{fresh}\""),
        });
        graph.node_mut(id).origin.name = fresh;
    }
}
