//! The skeleton of an ONNX graph: which names are defined where, which nodes the output needs, and
//! in which order they can be imported.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use tract_onnx::pb::{GraphProto, NodeProto, ValueInfoProto};

use super::error::ModelError;

/// The skeleton of a graph; nodes are numbered as in the file.
pub(super) struct Structure {
    /// Nodes that the output needs, every one behind those it reads.
    pub(super) order: Vec<usize>,
    /// How often each value is read by those nodes, the graph's output counting once more.
    pub(super) uses: HashMap<String, usize>,
    /// The graph's input.
    pub(super) input: ValueInfoProto,
    /// The chosen output's name.
    pub(super) output: String,
}

/// A node's name: its first output's where exporters leave it empty.
pub(super) fn node_name(node: &NodeProto) -> &str {
    match node.output.first() {
        Some(output) if node.name.is_empty() => output,
        _ => &node.name,
    }
}

/// Whether a domain is that of the operators which ONNX itself defines.
pub(super) fn is_standard_domain(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

impl Structure {
    /// Checks and sorts a graph whose output is `chosen`, or its only one.
    pub(super) fn of(graph: &GraphProto, chosen: Option<&str>) -> Result<Self, ModelError> {
        let constants = initializer_names(graph)?;
        let inputs: Vec<&ValueInfoProto> = graph
            .input
            .iter()
            .filter(|i| !constants.contains(i.name.as_str()))
            .collect();
        let producers = producers(graph, &constants, &inputs)?;
        let output = choose_output(graph, &producers, chosen)?;
        let is_computed = producers.contains_key(output.as_str());
        let is_input = inputs.iter().any(|input| input.name == output);
        if !is_computed && !is_input && !constants.contains(output.as_str()) {
            return Err(ModelError::UndefinedOutput(output));
        }
        let live = live_nodes(graph, &producers, &output);
        let uses = count_uses(graph, &live, &output);
        let input = choose_input(&inputs, &uses)?.clone();
        check_sources(graph, &live, &producers, &constants, &input)?;
        Ok(Self {
            order: sort(graph, &live, &producers)?,
            uses,
            input,
            output,
        })
    }
}

fn initializer_names(graph: &GraphProto) -> Result<HashSet<&str>, ModelError> {
    let mut names = HashSet::new();
    let sparse = graph.sparse_initializer.iter().filter_map(|s| s.values.as_ref());
    for tensor in graph.initializer.iter().chain(sparse) {
        if !names.insert(tensor.name.as_str()) {
            return Err(ModelError::DuplicateValue(tensor.name.clone()));
        }
    }
    Ok(names)
}

/// The node that computes each value.
fn producers<'g>(
    graph: &'g GraphProto,
    constants: &HashSet<&str>,
    inputs: &[&ValueInfoProto],
) -> Result<HashMap<&'g str, usize>, ModelError> {
    let mut names: HashSet<&str> = HashSet::new();
    for input in inputs {
        if !names.insert(&input.name) {
            return Err(ModelError::DuplicateValue(input.name.clone()));
        }
    }
    let mut producers = HashMap::new();
    for (at, node) in graph.node.iter().enumerate() {
        for output in node.output.iter().filter(|o| !o.is_empty()) {
            let taken = constants.contains(output.as_str()) || names.contains(output.as_str());
            if taken || producers.insert(output.as_str(), at).is_some() {
                return Err(ModelError::DuplicateValue(output.clone()));
            }
        }
    }
    Ok(producers)
}

fn choose_output(
    graph: &GraphProto,
    producers: &HashMap<&str, usize>,
    chosen: Option<&str>,
) -> Result<String, ModelError> {
    match (chosen, graph.output.as_slice()) {
        (None, [only]) => Ok(only.name.clone()),
        (None, all) => Err(ModelError::Outputs(names(all))),
        (Some(name), all) if producers.contains_key(name) || all.iter().any(|o| o.name == name) => {
            Ok(name.to_owned())
        }
        (Some(name), all) => Err(ModelError::NoSuchOutput {
            name: name.to_owned(),
            outputs: names(all),
        }),
    }
}

fn names(values: &[ValueInfoProto]) -> Vec<String> {
    values.iter().map(|value| value.name.clone()).collect()
}

fn live_nodes(graph: &GraphProto, producers: &HashMap<&str, usize>, output: &str) -> Vec<bool> {
    let mut live = vec![false; graph.node.len()];
    let mut stack: Vec<usize> = producers.get(output).copied().into_iter().collect();
    while let Some(at) = stack.pop() {
        if !std::mem::replace(&mut live[at], true) {
            let inputs = graph.node[at].input.iter();
            stack.extend(inputs.filter_map(|i| producers.get(i.as_str()).copied()));
        }
    }
    live
}

fn live_inputs<'g>(graph: &'g GraphProto, live: &'g [bool]) -> impl Iterator<Item = (usize, &'g String)> {
    let nodes = graph.node.iter().enumerate().filter(|(at, _)| live[*at]);
    nodes.flat_map(|(at, node)| {
        let named = node.input.iter().filter(|i| !i.is_empty());
        named.map(move |i| (at, i))
    })
}

fn count_uses(graph: &GraphProto, live: &[bool], output: &str) -> HashMap<String, usize> {
    let mut uses = HashMap::from([(output.to_owned(), 1)]);
    for (_, input) in live_inputs(graph, live) {
        match uses.get_mut(input) {
            Some(count) => *count += 1,
            None => {
                uses.insert(input.clone(), 1);
            }
        }
    }
    uses
}

/// The only input, or the only one that matters to the output.
fn choose_input<'g>(
    inputs: &[&'g ValueInfoProto],
    uses: &HashMap<String, usize>,
) -> Result<&'g ValueInfoProto, ModelError> {
    if let [only] = inputs {
        return Ok(only);
    }
    let used: Vec<_> = inputs.iter().filter(|i| uses.contains_key(&i.name)).collect();
    match used[..] {
        [only] => Ok(only),
        _ => Err(ModelError::Inputs(
            inputs.iter().map(|i| i.name.clone()).collect(),
        )),
    }
}

fn check_sources(
    graph: &GraphProto,
    live: &[bool],
    producers: &HashMap<&str, usize>,
    constants: &HashSet<&str>,
    input: &ValueInfoProto,
) -> Result<(), ModelError> {
    for (at, value) in live_inputs(graph, live) {
        let name = value.as_str();
        let is_known = name == input.name || producers.contains_key(name) || constants.contains(name);
        if !is_known {
            return Err(ModelError::MissingValue {
                node: node_name(&graph.node[at]).to_owned(),
                value: value.clone(),
            });
        }
    }
    Ok(())
}

/// Kahn's algorithm, in file order among the nodes that are ready.
fn sort(
    graph: &GraphProto,
    live: &[bool],
    producers: &HashMap<&str, usize>,
) -> Result<Vec<usize>, ModelError> {
    let mut missing = vec![0usize; graph.node.len()];
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); graph.node.len()];
    for (at, input) in live_inputs(graph, live) {
        if let Some(&producer) = producers.get(input.as_str()) {
            missing[at] += 1;
            users[producer].push(at);
        }
    }
    let mut ready = BinaryHeap::new();
    for (at, &is_live) in live.iter().enumerate() {
        if is_live && missing[at] == 0 {
            ready.push(Reverse(at));
        }
    }
    let mut order = Vec::new();
    while let Some(Reverse(at)) = ready.pop() {
        order.push(at);
        for &user in &users[at] {
            missing[user] -= 1;
            if missing[user] == 0 {
                ready.push(Reverse(user));
            }
        }
    }
    match (0..graph.node.len()).find(|&at| missing[at] > 0) {
        None => Ok(order),
        Some(stuck) => Err(ModelError::Cycle(node_name(&graph.node[stuck]).to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::testing::{graph, node};

    fn of(nodes: Vec<NodeProto>, chosen: Option<&str>) -> Result<Structure, ModelError> {
        Structure::of(&graph(nodes), chosen)
    }

    #[test]
    fn nodes_are_sorted_and_dead_ones_left_out() {
        let nodes = vec![
            node("Relu", &["a"], &["y"]),
            node("Relu", &["nothing"], &["dead"]),
            node("Relu", &["x"], &["a"]),
        ];
        let structure = of(nodes, None).unwrap();
        assert_eq!(structure.order, [2, 0]);
        assert_eq!(structure.uses["a"], 1);
    }

    #[test]
    fn broken_graphs_are_described() {
        let cycle = vec![node("Add", &["x", "y"], &["a"]), node("Relu", &["a"], &["y"])];
        assert!(matches!(of(cycle, None), Err(ModelError::Cycle(n)) if n == "a"));
        let twice = vec![node("Relu", &["x"], &["y"]), node("Relu", &["x"], &["y"])];
        assert!(matches!(of(twice, None), Err(ModelError::DuplicateValue(n)) if n == "y"));
        let input_again = vec![node("Relu", &["x"], &["x"])];
        assert!(matches!(
            of(input_again, None),
            Err(ModelError::DuplicateValue(_))
        ));
        let missing = vec![node("Relu", &["ghost"], &["y"])];
        assert!(matches!(of(missing, None), Err(ModelError::MissingValue { value, .. }) if value == "ghost"));
        let nowhere = vec![node("Relu", &["x"], &["z"])];
        assert!(matches!(of(nowhere, None), Err(ModelError::UndefinedOutput(n)) if n == "y"));
        let other = vec![node("Relu", &["x"], &["y"])];
        assert!(matches!(
            of(other, Some("z")),
            Err(ModelError::NoSuchOutput { .. })
        ));
    }

    #[test]
    fn several_outputs_need_a_choice() {
        let mut two = graph(vec![node("Relu", &["x"], &["y"]), node("Relu", &["y"], &["z"])]);
        two.output.push(ValueInfoProto {
            name: "z".to_owned(),
            ..ValueInfoProto::default()
        });
        assert!(matches!(Structure::of(&two, None), Err(ModelError::Outputs(o)) if o == ["y", "z"]));
        assert_eq!(Structure::of(&two, Some("z")).unwrap().order, [0, 1]);
    }
}
