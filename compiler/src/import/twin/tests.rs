//! Files that carry an assignment: other ways to write them, and what is wrong with the rest.

use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, StringStringEntryProto};
use trefoil_ir::nn::eval;
use trefoil_ir::{Patch, Shape};

use super::TwinError;
use crate::export::testing::{exported, gated, imported, meant, tract};
use crate::import::{ImportError, ImportOptions, Imported, import_bytes};
use crate::pass::testing::{Net, Rng, same};
use crate::patches::{ASSIGNMENT_KEY, LIMITS_KEY};

/// A network whose ReLU and clip have patches on a ragged map, and its file.
fn twin(seed: u64) -> ModelProto {
    ModelProto::decode(&*exported(&gated(seed, Shape::new(4, 5, 7)))).unwrap()
}

fn import(model: &ModelProto) -> Result<Imported, ImportError> {
    import_bytes(&model.encode_to_vec(), None, &ImportOptions::default())
}

#[track_caller]
fn refused(model: &ModelProto) -> TwinError {
    match import(model) {
        Err(ImportError::Twin(error)) => error,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("the file was taken"),
    }
}

fn graph(model: &mut ModelProto) -> &mut GraphProto {
    model.graph.as_mut().unwrap()
}

fn node<'m>(model: &'m mut ModelProto, name: &str) -> &'m mut NodeProto {
    let found = graph(model).node.iter_mut().find(|n| n.name == name);
    found.unwrap_or_else(|| panic!("no node is called {name}"))
}

fn metadata<'m>(model: &'m mut ModelProto, key: &str) -> &'m mut String {
    let found = model.metadata_props.iter_mut().find(|e| e.key == key);
    &mut found.unwrap().value
}

/// A ReLU of four channels with the classes identity, pixel and, ragged, 2x3.
fn small() -> ModelProto {
    let mut net = Net::new(8);
    let x = net.input(Shape::new(4, 5, 7));
    let block = Patch::Block { h: 2, w: 3 };
    let a = net.block(x, vec![block, Patch::PIXEL, Patch::Identity, block]);
    ModelProto::decode(&*exported(&net.finish(a))).unwrap()
}

#[test]
fn no_change_of_a_cluster_goes_unnoticed() {
    let (mut taken, mut refused) = (0, 0);
    for seed in 0..1500u64 {
        let mut rng = Rng::new(seed);
        let mut changed = twin(seed % 5);
        mutate(&mut changed, &mut rng);
        let Ok(back) = import(&changed) else {
            refused += 1;
            continue;
        };
        let bytes = changed.encode_to_vec();
        let image = rng.image(Shape::new(4, 5, 7));
        // Some are no valid ONNX: tract may refuse what the importer, which knows better, takes.
        let Ok(Ok(theirs)) = std::panic::catch_unwind(|| tract(&bytes, &image)) else {
            continue;
        };
        taken += 1;
        let ours = eval::run(&meant(&back), &image).unwrap();
        for (a, b) in ours.values().iter().zip(&theirs) {
            assert!((a - b).abs() < 1e-3, "change {seed}: {a} and {b}");
        }
    }
    assert!(taken > 20 && refused > 500, "{taken} taken, {refused} refused");
}

/// Changes something about a node or constant of a cluster.
fn mutate(model: &mut ModelProto, rng: &mut Rng) {
    let graph = graph(model);
    let is_part = |name: &str| name.contains("/block") || name == "block_relu1" || name == "clip1";
    let nodes: Vec<usize> = (0..graph.node.len())
        .filter(|&at| is_part(&graph.node[at].name))
        .collect();
    let values: Vec<String> = graph.node.iter().flat_map(|n| n.output.clone()).collect();
    let ops: Vec<String> = graph.node.iter().map(|n| n.op_type.clone()).collect();
    let at = nodes[rng.below(nodes.len())];
    match rng.below(5) {
        0 => {
            let inputs = &mut graph.node[at].input;
            let slot = rng.below(inputs.len());
            inputs[slot] = values[rng.below(values.len())].clone();
        }
        1 => graph.node[at].op_type = ops[rng.below(ops.len())].clone(),
        2 => mutate_attribute(&mut graph.node[at], rng),
        _ => {
            let constants: Vec<usize> = (0..graph.initializer.len())
                .filter(|&at| is_part(&graph.initializer[at].name))
                .collect();
            let tensor = &mut graph.initializer[constants[rng.below(constants.len())]];
            let width = if tensor.data_type == 7 { 8 } else { 4 };
            let start = rng.below(tensor.raw_data.len() / width) * width;
            let element = &mut tensor.raw_data[start..start + width];
            if width == 8 {
                element.copy_from_slice(&(rng.below(9) as i64 - 1).to_le_bytes());
            } else {
                element.copy_from_slice(&(rng.below(5) as f32 - 1.0).to_le_bytes());
            }
        }
    }
}

fn mutate_attribute(node: &mut NodeProto, rng: &mut Rng) {
    let words = [
        "floor",
        "ceil",
        "linear",
        "half_pixel",
        "align_corners",
        "reflect",
    ];
    if node.attribute.is_empty() || rng.below(4) == 0 {
        node.attribute.pop();
        return;
    }
    let at = rng.below(node.attribute.len());
    let attribute = &mut node.attribute[at];
    attribute.i += rng.below(3) as i64 - 1;
    if !attribute.ints.is_empty() {
        let at = rng.below(attribute.ints.len());
        attribute.ints[at] += rng.below(3) as i64 - 1;
    }
    if !attribute.s.is_empty() {
        attribute.s = words[rng.below(words.len())].into();
    }
}

#[test]
fn other_writers_may_use_constant_nodes_and_other_orders() {
    let mut model = small();
    let expected = imported(&model.encode_to_vec());
    let graph = graph(&mut model);
    let constants = std::mem::take(&mut graph.initializer);
    let nodes = constants.into_iter().map(|mut tensor| {
        let output = std::mem::take(&mut tensor.name);
        NodeProto {
            op_type: "Constant".to_owned(),
            output: vec![output],
            attribute: vec![AttributeProto {
                name: "value".to_owned(),
                r#type: AttributeType::Tensor as i32,
                t: Some(tensor),
                ..AttributeProto::default()
            }],
            ..NodeProto::default()
        }
    });
    graph.node.splice(0..0, nodes);
    for product in graph.node.iter_mut().filter(|n| n.op_type == "Mul") {
        product.input.reverse();
    }
    // Names within a cluster are free.
    for node in &mut graph.node {
        for value in node.input.iter_mut().chain(&mut node.output) {
            *value = value.replace("/block/", "-");
        }
        node.name = node.name.replace("/block/", "-");
    }
    let back = import(&model).unwrap_or_else(|error| panic!("{error}"));
    assert!(same(&back.graph, &expected.graph));
    assert_eq!(back.assignment, expected.assignment);
}

#[test]
fn a_smaller_output_leaves_entries_out() {
    let model = twin(3);
    let options = ImportOptions {
        output: Some("block_relu1".to_owned()),
        ..ImportOptions::default()
    };
    let back = import_bytes(&model.encode_to_vec(), None, &options).unwrap();
    let assignment = back.assignment.unwrap();
    let names: Vec<&str> = assignment.layers().map(|(name, _)| name).collect();
    assert_eq!(names, ["block_relu1"]);
}

/// Bounds in a row merge, but not across signs that patches share.
#[test]
fn neighbouring_bounds_do_not_merge_with_a_cluster() {
    for before in [false, true] {
        let mut net = Net::new(4);
        let x = net.input(Shape::new(2, 4, 4));
        let a = if before { net.relu(x) } else { x };
        let b = net.block(a, vec![Patch::Block { h: 2, w: 2 }; 2]);
        let c = net.clip(b, 0.3);
        let graph = net.finish(c);
        let back = imported(&exported(&graph));
        assert!(same(&meant(&back), &graph), "{}", back.graph.to_text());
    }
}

#[test]
fn malformed_metadata_is_refused() {
    let cases = [
        ("", "not a JSON object"),
        ("[1]", "not a JSON object"),
        (r#"{"block_relu1": 7}"#, "neither a patch"),
        (r#"{"relu": [2, 2]}"#, "for \"relu\", and neither a ReLU nor"),
        (
            r#"{"block_relu1": [[2, 3]]}"#,
            "1 patches are given, and the ReLU has 4 channels",
        ),
        (r#"{"block_relu1": [0, 0]}"#, "is no patch"),
        (
            r#"{"block_relu1": [1, 18446744073709551615]}"#,
            "larger than the map of 5x7",
        ),
        (
            r#"{"block_relu1": [2, 3]}"#,
            "has patches of 0x1, and the assignment says 2x3",
        ),
        (r#"{"block_relu1": {"lower": [2, 3]}}"#, "do not state its limit"),
    ];
    for (text, expected) in cases {
        let mut model = small();
        *metadata(&mut model, ASSIGNMENT_KEY) = text.to_owned();
        let error = refused(&model).to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn metadata_come_once_and_within_measure() {
    let mut model = small();
    let again = model.metadata_props[0].clone();
    model.metadata_props.push(again);
    assert_eq!(refused(&model), TwinError::Twice(ASSIGNMENT_KEY));
    model.metadata_props.pop();
    *metadata(&mut model, ASSIGNMENT_KEY) = " ".repeat((1 << 24) + 1);
    assert_eq!(refused(&model), TwinError::TooLarge(ASSIGNMENT_KEY));
}

#[test]
fn limits_must_be_those_of_the_nodes() {
    let mut model = twin(3);
    *metadata(&mut model, LIMITS_KEY) = "[]".to_owned();
    assert!(matches!(refused(&model), TwinError::Limits(_)));
    *metadata(&mut model, LIMITS_KEY) = r#"{"clip1": 0.5}"#.to_owned();
    assert!(refused(&model).to_string().contains("different upper limits"));
    for bad in ["-1", "0", "1e39", "1e400"] {
        let mut model = small();
        model.metadata_props.push(StringStringEntryProto {
            key: LIMITS_KEY.to_owned(),
            value: format!(r#"{{"block_relu1": {bad}}}"#),
        });
        let error = refused(&model).to_string();
        assert!(
            error.contains("no positive number") || error.contains("no JSON object"),
            "{error}"
        );
    }
}

#[test]
fn a_plain_gate_must_not_be_given_patches() {
    let mut net = Net::new(8);
    let x = net.input(Shape::new(2, 4, 4));
    let a = net.relu(x);
    let b = net.block(a, vec![Patch::Block { h: 2, w: 2 }; 2]);
    let mut model = ModelProto::decode(&*exported(&net.finish(b))).unwrap();
    let text = metadata(&mut model, ASSIGNMENT_KEY);
    *text = text.replace('}', r#", "relu1": [[1, 1], [2, 2]]}"#);
    let error = refused(&model).to_string();
    assert!(
        error.contains("\"relu1\"") && error.contains("ordinary gate"),
        "{error}"
    );
    let text = metadata(&mut model, ASSIGNMENT_KEY);
    *text = text.replace("[2, 2]]}", "[1, 1]]}");
    import(&model).unwrap();
    // Of two gates of a name nobody could tell which is meant.
    node(&mut model, "relu1").name = "block_relu1".to_owned();
    assert!(matches!(refused(&model), TwinError::Ambiguous(_)));
}

#[test]
fn clusters_that_compute_something_else_are_described() {
    type Change = fn(&mut ModelProto);
    let cases: [(Change, &str); 6] = [
        (
            |m| node(m, "block_relu1/block/2/lower/mean").attribute[0].ints[1] = 2,
            "`kernel_shape` of \"block_relu1/block/2/lower/mean\" (AveragePool)",
        ),
        (
            |m| node(m, "block_relu1/block/2/lower/mask").attribute.clear(),
            "`mode`|`coordinate_transformation_mode`",
        ),
        (
            |m| node(m, "block_relu1/block/2/y").input[0] = "input1".to_owned(),
            "multiplies \"input1\" with the sign of",
        ),
        (
            |m| node(m, "block_relu1/block/1/y").op_type = "Sigmoid".to_owned(),
            "(Sigmoid) is no part of a Block-ReLU",
        ),
        (
            |m| node(m, "block_relu1").input[1] = "block_relu1/block/1/channels".to_owned(),
            "more channels than it puts in order",
        ),
        (
            |m| node(m, "block_relu1/block/2/y").input[1] = "block_relu1/block/2/lower/mask".to_owned(),
            "not padded or cut as they must be",
        ),
    ];
    for (change, expected) in cases {
        let mut model = small();
        change(&mut model);
        let error = refused(&model).to_string();
        assert!(
            expected.split('|').any(|e| error.contains(e)),
            "{expected}: {error}"
        );
        assert!(error.contains("\"block_relu1\""), "{error}");
    }
}

/// Names lead in circles or nowhere: an error of the graph at the latest.
#[test]
fn no_circle_hangs() {
    for (name, slot) in [
        ("block_relu1/block/2/x", 0),
        ("block_relu1/block/2/lower/mean", 0),
    ] {
        let mut model = small();
        node(&mut model, name).input[slot] = "block_relu1".to_owned();
        assert!(import(&model).is_err());
        node(&mut model, name).input[slot] = "nothing".to_owned();
        assert!(import(&model).is_err());
    }
}
