//! Whole models through the importer: what they compute, how they are refused.

mod forms;

use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};
use trefoil_ir::Shape;
use trefoil_ir::nn::Op;
use trefoil_ir::nn::eval::{FeatureMap, run};

use super::testing::{float, floats, graph, indices, int, ints, model, node, string, with};
use super::{ImportError, ImportOptions, Imported, ModelError, NodeError, import_bytes};

fn options() -> ImportOptions {
    ImportOptions::default()
}

fn import(opset: i64, nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> Result<Imported, ImportError> {
    let graph = GraphProto {
        initializer,
        ..graph(nodes)
    };
    import_bytes(&model(opset, graph), None, &options())
}

/// The image that the tests use: 2x4x6, -24, -23, ...
fn image() -> FeatureMap {
    FeatureMap::new(Shape::new(2, 4, 6), (-24..24).map(|v| v as f32).collect())
}

fn compute(opset: i64, nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> Vec<f32> {
    let imported = import(opset, nodes, initializer).unwrap();
    run(&imported.graph, &image()).unwrap().into_values()
}

fn ops(imported: &Imported) -> Vec<&'static str> {
    let graph = &imported.graph;
    graph.ids().iter().map(|&id| graph.node(id).op.name()).collect()
}

/// Everything that an error says, causes included.
fn said(error: &ImportError) -> String {
    trefoil_runtime::terminal::print::chain(error)
}

fn unsupported(error: ImportError) -> Vec<String> {
    match error {
        ImportError::Unsupported(nodes) => nodes.0.iter().map(|n| n.op.clone()).collect(),
        other => panic!("{other}"),
    }
}

#[test]
fn every_form_of_a_clip_computes_the_same() {
    let number = |name: &str, value: f32| floats(name, &[], &[value]);
    let old = with(
        node("Clip", &["x"], &["y"]),
        vec![float("min", -3.0), float("max", 5.0)],
    );
    let new = node("Clip", &["x", "low", "high"], &["y"]);
    let max_min = vec![
        node("Max", &["x", "low"], &["a"]),
        node("Min", &["high", "a"], &["y"]),
    ];
    let min_max = vec![
        node("Min", &["x", "high"], &["a"]),
        node("Max", &["a", "low"], &["y"]),
    ];
    let bounds = || vec![number("low", -3.0), number("high", 5.0)];
    let expected: Vec<f32> = image().values().iter().map(|v| v.clamp(-3.0, 5.0)).collect();
    assert_eq!(compute(9, vec![old], vec![]), expected);
    assert_eq!(compute(13, vec![new], bounds()), expected);
    assert_eq!(compute(13, max_min.clone(), bounds()), expected);
    assert_eq!(compute(13, min_max, bounds()), expected);
    let merged = import(13, max_min, vec![number("low", 0.0), number("high", 6.0)]).unwrap();
    assert_eq!(ops(&merged), ["input", "clip", "output"]);
}

#[test]
fn a_single_bound_is_a_relu() {
    let zero = || floats("b", &[], &[0.0]);
    for node in [
        node("Clip", &["x", "b"], &["y"]),
        node("Max", &["x", "b"], &["y"]),
    ] {
        let imported = import(13, vec![node], vec![zero()]).unwrap();
        assert_eq!(ops(&imported), ["input", "relu", "output"]);
    }
    let upper = compute(
        13,
        vec![node("Min", &["x", "b"], &["y"])],
        vec![floats("b", &[], &[7.0])],
    );
    let expected: Vec<f32> = image().values().iter().map(|v| v.min(7.0)).collect();
    assert_eq!(upper, expected);
}

#[test]
fn constants_are_scales_and_biases() {
    let each = || floats("c", &[2, 1, 1], &[2.0, -4.0]);
    let channel = |i: usize| [2.0f32, -4.0][i / 24];
    type Expected = fn(f32, f32) -> f32;
    let cases: [(&str, [&str; 2], Expected); 6] = [
        ("Add", ["x", "c"], |x, c| x + c),
        ("Add", ["c", "x"], |x, c| c + x),
        ("Sub", ["x", "c"], |x, c| x - c),
        ("Sub", ["c", "x"], |x, c| c - x),
        ("Mul", ["c", "x"], |x, c| c * x),
        ("Div", ["x", "c"], |x, c| x / c),
    ];
    for (op, operands, expected) in cases {
        let got = compute(13, vec![node(op, &operands, &["y"])], vec![each()]);
        let values = image();
        let values = values.values().iter().enumerate();
        let want: Vec<f32> = values.map(|(i, &x)| expected(x, channel(i))).collect();
        assert_eq!(got, want, "{op} {operands:?}");
    }
    let rows = floats("c", &[4, 1], &[1.0, 2.0, 3.0, 4.0]);
    let error = import(13, vec![node("Add", &["x", "c"], &["y"])], vec![rows]).unwrap_err();
    assert!(said(&error).contains("one number per channel"));
}

#[test]
fn shape_arithmetic_folds_into_a_flatten() {
    let nodes = vec![
        node("Shape", &["x"], &["s"]),
        with(node("Gather", &["s", "zero"], &["n"]), vec![int("axis", 0)]),
        with(node("Concat", &["n", "minus"], &["to"]), vec![int("axis", 0)]),
        node("Reshape", &["x", "to"], &["f"]),
        node("MatMul", &["f", "w"], &["m"]),
        node("Add", &["m", "b"], &["y"]),
    ];
    let constants = || {
        vec![
            indices("zero", &[0]),
            indices("minus", &[-1]),
            floats("w", &[48, 1], &[1.0; 48]),
            floats("b", &[1], &[100.0]),
        ]
    };
    let imported = import(13, nodes.clone(), constants()).unwrap();
    assert_eq!(ops(&imported), ["input", "flatten", "linear", "output"]);
    assert_eq!(compute(13, nodes, constants()), [76.0]);
}

#[test]
fn reductions_and_squeezes_change_the_dimensions() {
    let mean = |keep: i64| {
        with(
            node("ReduceMean", &["x"], &["y"]),
            vec![ints("axes", &[-1, -2]), int("keepdims", keep)],
        )
    };
    for (keep, dims) in [(1, vec![1, 2, 1, 1]), (0, vec![1, 2])] {
        let imported = import(13, vec![mean(keep)], vec![]).unwrap();
        assert_eq!(ops(&imported), ["input", "global_avg_pool", "output"]);
        assert_eq!(imported.output_dims, dims);
    }
    let rows = with(node("ReduceMean", &["x", "a"], &["y"]), vec![int("keepdims", 0)]);
    let imported = import(18, vec![rows], vec![indices("a", &[2])]).unwrap();
    assert_eq!(imported.output_dims, [1, 2, 6]);
    let column = run(&imported.graph, &image()).unwrap().values()[0];
    assert_eq!(column, (-24.0 - 18.0 - 12.0 - 6.0) / 4.0);
}

#[test]
fn views_keep_the_batch_first() {
    let transpose = |perm: &[i64]| with(node("Transpose", &["x"], &["y"]), vec![ints("perm", perm)]);
    assert!(import(13, vec![transpose(&[0, 1, 2, 3])], vec![]).is_ok());
    let moved = vec![
        with(
            node("Transpose", &["x"], &["t"]),
            vec![ints("perm", &[0, 2, 3, 1])],
        ),
        node("GlobalAveragePool", &["t"], &["y"]),
    ];
    let moved = import(13, moved, vec![]).unwrap_err();
    assert_eq!(unsupported(moved), ["Transpose"]);
    let mixes = vec![node("Reshape", &["x", "to"], &["y"])];
    let graph = GraphProto {
        initializer: vec![indices("to", &[1, -1])],
        ..graph(mixes)
    };
    let bytes = model(13, graph);
    assert!(import_bytes(&bytes, None, &options()).is_ok());
    let two = ImportOptions {
        input_shape: Some(vec![2, 2, 4, 6]),
        ..options()
    };
    let error = import_bytes(&bytes, None, &two).unwrap_err();
    assert!(said(&error).contains("mixes the images"));
}

#[test]
fn slices_splits_and_gathers_cut_channels_and_maps() {
    let old = vec![
        ints("starts", &[0, 1]),
        ints("ends", &[9, -1]),
        ints("axes", &[2, 3]),
    ];
    let got = compute(9, vec![with(node("Slice", &["x"], &["y"]), old)], vec![]);
    assert_eq!(got.len(), 2 * 4 * 4);
    assert_eq!(got[..5], [-23.0, -22.0, -21.0, -20.0, -17.0]);
    let step = vec![
        indices("s", &[0]),
        indices("e", &[i64::MAX]),
        indices("a", &[-1]),
        indices("d", &[2]),
    ];
    let got = compute(13, vec![node("Slice", &["x", "s", "e", "a", "d"], &["y"])], step);
    assert_eq!(got[..3], [-24.0, -22.0, -20.0]);
    let split = with(node("Split", &["x"], &["a", "b"]), vec![int("axis", 1)]);
    let swapped = with(node("Concat", &["b", "a"], &["y"]), vec![int("axis", 1)]);
    let got = compute(13, vec![split, swapped], vec![]);
    assert_eq!((got[0], got[24]), (0.0, -24.0));
    let gather = vec![
        with(node("Gather", &["x", "i"], &["g"]), vec![int("axis", 1)]),
        with(node("Unsqueeze", &["g"], &["y"]), vec![ints("axes", &[1])]),
    ];
    let mut index = indices("i", &[1]);
    index.dims.clear();
    let got = compute(11, gather, vec![index]);
    assert_eq!((got.len(), got[0]), (24, 0.0));
}

#[test]
fn all_unsupported_nodes_are_listed() {
    let nodes = vec![
        node("Sigmoid", &["x"], &["a"]),
        node("Mul", &["a", "x"], &["b"]),
        node("Tanh", &["b"], &["c"]),
        node("GlobalAveragePool", &["c"], &["y"]),
        node("Erf", &["x"], &["dead"]),
    ];
    let error = import(13, nodes, vec![]).unwrap_err();
    let text = said(&error);
    assert!(
        text.contains("3 nodes are not supported") && text.contains("fine-tune"),
        "{text}"
    );
    assert_eq!(unsupported(error), ["Sigmoid", "Mul", "Tanh"]);
    let mut foreign = node("FusedConv", &["x"], &["y"]);
    foreign.domain = "com.microsoft".to_owned();
    assert_eq!(
        unsupported(import(13, vec![foreign], vec![]).unwrap_err()),
        ["FusedConv"]
    );
}

#[test]
fn nodes_behind_an_unsupported_one_are_looked_at() {
    let shuffle = |input: &str, i: usize, output: &str| {
        let [a, b] = [format!("a{i}"), format!("b{i}")];
        vec![
            node("Reshape", &[input, "split"], &[&a]),
            with(
                node("Transpose", &[&a], &[&b]),
                vec![ints("perm", &[0, 2, 1, 3, 4])],
            ),
            node("Reshape", &[&b, "join"], &[output]),
        ]
    };
    let mut nodes = vec![with(node("Concat", &["x", "x"], &["w"]), vec![int("axis", 1)])];
    nodes.extend(shuffle("w", 0, "m"));
    nodes.push(node("Conv", &["m", "k"], &["c"]));
    nodes.extend(shuffle("c", 1, "s"));
    nodes.push(node("GlobalAveragePool", &["s"], &["y"]));
    let constants = vec![
        indices("split", &[1, 2, 2, 4, 6]),
        indices("join", &[1, 4, 4, 6]),
        floats("k", &[4, 4, 1, 1], &[1.0; 16]),
    ];
    assert_eq!(
        unsupported(import(13, nodes, constants).unwrap_err()),
        ["Transpose", "Transpose"]
    );
}

#[test]
fn bad_weights_are_named() {
    let conv = || vec![node("Conv", &["x", "w"], &["y"])];
    let mut values = [0.5; 2 * 2 * 3 * 3];
    values[20] = f32::NAN;
    let error = import(13, conv(), vec![floats("w", &[2, 2, 3, 3], &values)]).unwrap_err();
    let text = said(&error);
    assert!(
        text.contains("\"w\"") && text.contains("NaN at position [1, 0, 0, 2]"),
        "{text}"
    );
    let short = import(13, conv(), vec![floats("w", &[2, 2, 3, 3], &[0.0; 35])]).unwrap_err();
    assert!(matches!(short, ImportError::Initializer { .. }), "{short}");
    let wide = import(13, conv(), vec![floats("w", &[2, 3, 1, 1], &[0.0; 6])]).unwrap_err();
    assert!(
        matches!(
            wide,
            ImportError::Node { ref source, .. } if matches!(**source, NodeError::Operands(_))
        ),
        "{wide}"
    );
}

#[test]
fn relus_of_one_name_are_told_apart() {
    let named = |name: &str, input: &str, output: &str| NodeProto {
        name: name.to_owned(),
        ..node("Relu", &[input], &[output])
    };
    let nodes = vec![named("r", "x", "a"), named("r#2", "a", "b"), named("r", "b", "y")];
    let imported = import(13, nodes, vec![]).unwrap();
    let graph = &imported.graph;
    let relu = |id| matches!(graph.node(id).op, Op::Relu(_));
    let names: Vec<&str> = graph
        .ids()
        .into_iter()
        .filter(|&id| relu(id))
        .map(|id| graph.node(id).origin.name.as_str())
        .collect();
    assert_eq!(names, ["r", "r#2", "r#3"]);
    assert_eq!(imported.warnings.len(), 1);
}

#[test]
fn ceil_mode_and_same_padding_become_pads() {
    let pool = |op: &str, extra| {
        let mut attributes = vec![ints("kernel_shape", &[3, 3]), ints("strides", &[2, 2])];
        attributes.extend(extra);
        vec![with(node(op, &["x"], &["y"]), attributes)]
    };
    let ceil = import(13, pool("MaxPool", vec![int("ceil_mode", 1)]), vec![]).unwrap();
    assert_eq!(ceil.output_dims, [1, 2, 2, 3]);
    let got = run(&ceil.graph, &image()).unwrap().into_values();
    assert_eq!(got[..6], [-10.0, -8.0, -7.0, -4.0, -2.0, -1.0]);
    let same = import(
        13,
        pool("AveragePool", vec![string("auto_pad", "SAME_UPPER")]),
        vec![],
    )
    .unwrap();
    assert_eq!(same.output_dims, [1, 2, 2, 3]);
    let odd = import(13, pool("MaxPool", vec![ints("pads", &[3, 0, 0, 0])]), vec![]).unwrap_err();
    assert!(said(&odd).contains("a pad reaches"));
}

#[test]
fn damaged_files_are_errors() {
    let weight = floats("w", &[2, 2, 1, 1], &[1.0; 4]);
    let shapes = vec![
        node("Conv", &["x", "w"], &["c"]),
        node("Shape", &["c"], &["s"]),
        node("Reshape", &["c", "s"], &["r"]),
        with(node("Flatten", &["r"], &["y"]), vec![int("axis", 1)]),
    ];
    let graph = GraphProto {
        initializer: vec![weight],
        ..graph(shapes)
    };
    let whole = model(13, graph);
    assert!(import_bytes(&whole, None, &options()).is_ok());
    for end in 0..whole.len() {
        assert!(import_bytes(&whole[..end], None, &options()).is_err(), "{end}");
    }
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << bit;
            // Some flips leave a valid model: what matters is that none panics or hangs.
            if let Err(error) = import_bytes(&flipped, None, &options()) {
                assert!(!error.to_string().is_empty());
            }
        }
    }
}

#[test]
fn the_output_must_depend_on_the_input() {
    let nodes = vec![
        node("Relu", &["x"], &["r"]),
        node("Shape", &["r"], &["s"]),
        with(node("Cast", &["s"], &["y"]), vec![int("to", 1)]),
    ];
    let error = import(13, nodes, vec![]).unwrap_err();
    assert!(
        matches!(error, ImportError::Model(ModelError::ConstantOutput(_))),
        "{error}"
    );
}
