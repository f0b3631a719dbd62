//! Forms in which files have been read as another network than they are.

use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use trefoil_ir::nn::op::Clamp;
use trefoil_ir::tail;

use super::*;

fn refusal(opset: i64, nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> String {
    said(&import(opset, nodes, initializer).unwrap_err())
}

fn number(name: &str, value: f32) -> TensorProto {
    floats(name, &[], &[value])
}

#[test]
fn bounds_are_exact_however_far_they_are() {
    let limits = [
        -3.4e38f32, -1e30, -1e9, -1e4, -100.0, -3.0, 0.0, 5.0, 1e4, 1e9, 1e30, 3.4e38,
    ];
    for low in limits {
        for high in limits.into_iter().filter(|high| *high > low) {
            let clip = node("Clip", &["x", "low", "high"], &["y"]);
            let chain = vec![
                node("Min", &["x", "high"], &["a"]),
                node("Relu", &["a"], &["b"]),
                node("Max", &["low", "b"], &["y"]),
            ];
            let bounds = || vec![number("low", low), number("high", high)];
            let expected =
                |cut: &dyn Fn(f32) -> f32| -> Vec<f32> { image().values().iter().map(|&x| cut(x)).collect() };
            let got = compute(13, vec![clip], bounds());
            assert_eq!(got, expected(&|x| x.max(low).min(high)), "{low} {high}");
            let got = compute(13, chain, bounds());
            assert_eq!(got, expected(&|x| x.min(high).max(0.0).max(low)), "{low} {high}");
        }
    }
}

#[test]
fn a_clip_keeps_its_bounds_in_the_graph() {
    let clip = node("Clip", &["x", "low", "high"], &["y"]);
    let imported = import(13, vec![clip], vec![number("low", -1e9), number("high", 6.0)]).unwrap();
    assert_eq!(ops(&imported), ["input", "clamp", "output"]);
    let graph = &imported.graph;
    let op = &graph.node(graph.order()[1]).op;
    assert_eq!(*op, Op::Clamp(Clamp::pixelwise(-1e9, Some(6.0), 2)));
    // The largest numbers of the type stand for no bounds.
    let open = with(
        node("Clip", &["x"], &["y"]),
        vec![float("min", f32::MIN), float("max", f32::MAX)],
    );
    assert_eq!(ops(&import(9, vec![open], vec![]).unwrap()), ["input", "output"]);
}

#[test]
fn crossed_bounds_make_a_constant() {
    for (low, high) in [(1.0, -1.0), (2.0, 2.0), (0.0, 0.0), (1e9, -1e9)] {
        let clip = node("Clip", &["x", "low", "high"], &["y"]);
        let imported = import(13, vec![clip], vec![number("low", low), number("high", high)]).unwrap();
        assert!(imported.warnings[0].to_string().contains("whatever the image"));
        let got = run(&imported.graph, &image()).unwrap().into_values();
        assert_eq!(got, [high; 48], "{low} {high}");
    }
}

#[test]
fn training_mode_is_refused_in_every_form() {
    let statistics = || {
        let channel = |name: &str| floats(name, &[2], &[1.0, 2.0]);
        ["g", "b", "m", "v"].map(channel).to_vec()
    };
    let norm = |results: &[&str], attributes| {
        with(
            node("BatchNormalization", &["x", "g", "b", "m", "v"], results),
            attributes,
        )
    };
    let five = ["y", "mean", "var", "saved_mean", "saved_var"];
    for (opset, node) in [
        (14, norm(&["y"], vec![int("training_mode", 1)])),
        (15, norm(&["y", "mean", "var"], vec![int("training_mode", 1)])),
        (15, norm(&["y", "mean"], vec![])),
        (9, norm(&five, vec![float("momentum", 0.9)])),
        (9, norm(&["y", "", "", "", "saved"], vec![])),
    ] {
        let refusal = refusal(opset, vec![node], statistics());
        assert!(
            refusal.contains("training mode") && refusal.contains("model.eval()"),
            "{refusal}"
        );
    }
    for (opset, node) in [
        (
            14,
            norm(&["y"], vec![int("training_mode", 0), float("momentum", 0.9)]),
        ),
        (9, norm(&["y", "", "", "", ""], vec![])),
    ] {
        assert!(import(opset, vec![node], statistics()).is_ok());
    }
    let odd = norm(&["y"], vec![int("is_test", 0)]);
    assert!(refusal(9, vec![odd], statistics()).contains("no attribute `is_test` in opset 9"));
}

#[test]
fn a_dropout_that_drops_is_refused() {
    let truth = |value: i32| TensorProto {
        name: "t".to_owned(),
        data_type: DataType::Bool as i32,
        int32_data: vec![value],
        ..TensorProto::default()
    };
    let dropout = |inputs: &[&str]| vec![node("Dropout", inputs, &["y", "mask"])];
    let refusal = refusal(13, dropout(&["x", "", "t"]), vec![truth(1)]);
    assert!(refusal.contains("drops values at random"), "{refusal}");
    for (inputs, flag, ratio) in [
        (["x", "", "t"], 0, 0.5),
        (["x", "r", "t"], 1, 0.0),
        (["x", "r", "t"], 0, 0.5),
    ] {
        let constants = vec![truth(flag), number("r", ratio)];
        assert!(import(13, dropout(&inputs), constants).is_ok(), "{inputs:?}");
    }
}

#[test]
fn windows_that_runtimes_see_differently_are_refused() {
    let pool = |attributes: Vec<_>| {
        let all = [vec![ints("kernel_shape", &[2, 2])], attributes].concat();
        vec![with(node("MaxPool", &["x"], &["y"]), all)]
    };
    let dilated = vec![ints("dilations", &[2, 2]), string("auto_pad", "SAME_UPPER")];
    assert!(refusal(13, pool(dilated), vec![]).contains("state the amounts in `pads`"));
    let both = vec![ints("pads", &[1, 1, 1, 1]), string("auto_pad", "VALID")];
    assert!(refusal(13, pool(both), vec![]).contains("both `pads` and `auto_pad`"));
    // Large against the kernel, though not against its dilated extent.
    let wide = vec![ints("pads", &[2, 0, 0, 0]), ints("dilations", &[3, 3])];
    assert!(refusal(13, pool(wide), vec![]).contains("a pad reaches the size of the kernel"));
    for bad in [
        ints("strides", &[0, 1]),
        ints("dilations", &[1, -1]),
        ints("pads", &[0, -1, 0, 0]),
    ] {
        assert!(import(13, pool(vec![bad]), vec![]).is_err());
    }
    let same = vec![string("auto_pad", "SAME_LOWER"), int("ceil_mode", 1)];
    assert!(import(13, pool(same), vec![]).is_ok());
}

#[test]
fn resizes_go_by_sizes_or_scales_alone() {
    let resize = |inputs: &[&str], attributes| vec![with(node("Resize", inputs, &["y"]), attributes)];
    let sizes = |h, w| indices("s", &[1, 2, h, w]);
    let scales = |h, w| floats("k", &[4], &[1.0, 1.0, h, w]);
    let both = resize(&["x", "", "k", "s"], vec![]);
    let constants = || vec![sizes(8, 12), scales(2.0, 2.0)];
    assert!(refusal(13, both, constants()).contains("both sizes and scales"));
    // By sizes the symmetric coordinates are the plain ones.
    let symmetric = || vec![string("coordinate_transformation_mode", "half_pixel_symmetric")];
    let got = compute(19, resize(&["x", "", "", "s"], symmetric()), vec![sizes(3, 5)]);
    assert_eq!(
        got,
        compute(19, resize(&["x", "", "", "s"], vec![]), vec![sizes(3, 5)])
    );
    let odd = refusal(19, resize(&["x", "", "k"], symmetric()), vec![scales(0.9, 0.9)]);
    assert!(odd.contains("half_pixel_symmetric"), "{odd}");
    // 4 * 1.2 rows are 4 rows, which runtimes copy.
    let still = refusal(13, resize(&["x", "", "k"], vec![]), vec![scales(1.2, 1.1)]);
    assert!(still.contains("leave the map as large as it is"), "{still}");
    let corners = vec![string("coordinate_transformation_mode", "align_corners")];
    assert_eq!(
        compute(13, resize(&["x", "", "k"], corners), vec![scales(1.2, 1.1)]),
        image().values()
    );
}

/// A scale next to 1 leaves two channels or eight, and one image, in their number, and takes others.
#[test]
fn resizes_leave_batch_and_channels_alone() {
    let resize = |op| vec![node(op, &["x", "", "k"], &["y"])];
    let old = |op| vec![node(op, &["x", "k"], &["y"])];
    for scales in [[1.0, 1.1, 2.0, 2.0], [1.4, 1.0, 2.0, 2.0], [1.0, 1.4, 1.0, 1.0]] {
        let constants = || vec![floats("k", &[4], &scales)];
        for (opset, nodes) in [(13, resize("Resize")), (10, old("Resize")), (9, old("Upsample"))] {
            let refusal = refusal(opset, nodes, constants());
            assert!(
                refusal.contains("change the batch or the channels"),
                "{scales:?}: {refusal}"
            );
        }
    }
    let along = with(node("Resize", &["x", "", "k"], &["y"]), vec![ints("axes", &[1])]);
    let refusal = refusal(18, vec![along], vec![floats("k", &[1], &[1.1])]);
    assert!(refusal.contains("change the batch or the channels"), "{refusal}");
}

/// An index of each pixel (`[N, 1, 4, 6]`, of two channels), and what follows it.
fn behind_arg_max(next: NodeProto) -> Vec<NodeProto> {
    vec![with(node("ArgMax", &["x"], &["a"]), vec![int("axis", 1)]), next]
}

fn of_two_images(nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> Result<Imported, ImportError> {
    let graph = GraphProto {
        initializer,
        ..graph(nodes)
    };
    let options = ImportOptions {
        input_shape: Some(vec![2, 2, 4, 6]),
        ..options()
    };
    import_bytes(&model(13, graph), None, &options)
}

/// Two images, and another axis of two: that the first dimension stays 2 says nothing.
#[test]
fn the_batch_of_a_tail_is_told_from_axes_as_long() {
    let softmax = |next| vec![node("Softmax", &["x"], &["a"]), next];
    let transpose = |perm: &[i64]| {
        let moved = node("Transpose", &["a"], &["y"]);
        softmax(with(moved, vec![ints("perm", perm)]))
    };
    assert!(of_two_images(transpose(&[0, 2, 3, 1]), vec![]).is_ok());
    assert!(import(13, transpose(&[1, 0, 2, 3]), vec![]).is_ok());
    let error = of_two_images(transpose(&[1, 0, 2, 3]), vec![]).unwrap_err();
    assert!(said(&error).contains("mixes the images"), "{}", said(&error));

    let expand = || behind_arg_max(node("Expand", &["a", "s"], &["y"]));
    assert!(of_two_images(expand(), vec![indices("s", &[2, 4, 6])]).is_ok());
    let error = of_two_images(expand(), vec![indices("s", &[2, 1, 1, 4, 6])]).unwrap_err();
    assert!(said(&error).contains("mixes the images"), "{}", said(&error));
}

#[test]
fn what_does_not_broadcast_is_not_expanded() {
    let expand = |sizes: &[i64]| {
        let expand = behind_arg_max(node("Expand", &["a", "s"], &["y"]));
        import(13, expand, vec![indices("s", sizes)])
    };
    assert_eq!(expand(&[2, 1, 6]).unwrap().output_dims, [1, 2, 4, 6]);
    for sizes in [&[3, 6][..], &[4, 2], &[1, 1, 5, 6]] {
        let error = said(&expand(sizes).unwrap_err());
        assert!(error.contains("does not broadcast"), "{sizes:?}: {error}");
    }
}

#[test]
fn a_reduction_over_no_axis_is_the_value_or_refused() {
    let reduce = |op| {
        let reduce = with(node(op, &["a"], &["y"]), vec![int("noop_with_empty_axes", 1)]);
        import(18, vec![node("Sigmoid", &["x"], &["a"]), reduce], vec![])
    };
    for op in ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"] {
        let imported = reduce(op).unwrap();
        assert_eq!(imported.output_dims, [1, 2, 4, 6], "{op}");
        assert_eq!(steps(&imported).len(), 1, "{op}");
    }
    for op in ["ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp"] {
        let error = said(&reduce(op).unwrap_err());
        assert!(error.contains("over no axis"), "{op}: {error}");
    }
}

fn steps(imported: &Imported) -> Vec<tail::Op> {
    let graph = &imported.graph;
    let Op::Output(output) = &graph.node(graph.output().unwrap()).op else {
        panic!("it is the output");
    };
    output.tail.steps.iter().map(|step| step.op.clone()).collect()
}

/// Beyond 2^24 a float does not tell whole numbers apart, and an element type holds no other's.
#[test]
fn constants_of_a_tail_are_exact_or_refused() {
    let number = |value: i64| {
        let mut number = indices("n", &[value]);
        number.dims.clear();
        vec![number]
    };
    let of_index = |next, value| import(13, behind_arg_max(next), number(value));
    let added = |value| of_index(node("Add", &["a", "n"], &["y"]), value);
    let limited = |value| of_index(node("Clip", &["a", "n"], &["y"]), value);
    for import in [added(16_777_217), limited(16_777_217)] {
        let exact = tail::Op::Number(16_777_217.0, tail::DType::I64);
        assert!(steps(&import.unwrap()).contains(&exact));
    }
    for import in [added((1 << 53) + 1), limited(i64::MAX)] {
        let error = said(&import.unwrap_err());
        assert!(error.contains("no single finite number"), "{error}");
    }
    let bytes = || {
        vec![
            with(node("ArgMax", &["x"], &["i"]), vec![int("axis", 1)]),
            with(
                node("Cast", &["i"], &["a"]),
                vec![int("to", DataType::Uint8 as i64)],
            ),
            node("Mul", &["a", "n"], &["y"]),
        ]
    };
    assert!(import(13, bytes(), number(255)).is_ok());
    let error = said(&import(13, bytes(), number(256)).unwrap_err());
    assert!(error.contains("256 is no number of the type u8"), "{error}");
}

#[test]
fn the_resize_of_opset_10_takes_the_pixel_behind_where_it_shrinks() {
    let resize = |op| vec![node(op, &["x", "k"], &["y"])];
    let scales = |h, w| vec![floats("k", &[4], &[1.0, 1.0, h, w])];
    let row = compute(10, resize("Resize"), scales(1.0, 0.7));
    // Positions 0, 1.43, 2.86, 4.29 of 6.
    assert_eq!(row[..4], [-24.0, -22.0, -21.0, -19.0]);
    let row = compute(10, resize("Resize"), scales(1.0, 1.5));
    assert_eq!(
        row[..9],
        [-24.0, -24.0, -23.0, -22.0, -22.0, -21.0, -20.0, -20.0, -19.0]
    );
    assert!(refusal(10, resize("Resize"), scales(2.0, 0.5)).contains("opset 11 or later"));
    assert!(refusal(9, resize("Upsample"), scales(1.0, 0.5)).contains("only enlarges"));
    assert!(refusal(10, resize("Upsample"), scales(1.0, 2.0)).contains("use Resize"));
}

#[test]
fn splits_say_into_how_many_parts() {
    let split = |attributes| {
        vec![
            with(node("Split", &["x"], &["a", "b"]), attributes),
            node("Add", &["a", "b"], &["y"]),
        ]
    };
    let axis = || int("axis", 3);
    assert!(import(18, split(vec![axis(), int("num_outputs", 2)]), vec![]).is_ok());
    assert!(refusal(18, split(vec![axis(), int("num_outputs", 3)]), vec![]).contains("`num_outputs`"));
    assert!(refusal(18, split(vec![axis()]), vec![]).contains("neither the sizes"));
    assert!(import(13, split(vec![axis()]), vec![]).is_ok());
}

/// What is wrong is said once, however many errors it went through.
#[test]
fn a_cause_is_printed_once() {
    let pool = with(
        node("MaxPool", &["x"], &["y"]),
        vec![ints("kernel_shape", &[9, 9])],
    );
    let bad_weight = floats("w", &[2, 2], &[1.0, f32::NAN, 0.0, 0.0]);
    let external = TensorProto {
        data_location: Some(DataLocation::External as i32),
        ..floats("w", &[2, 2, 1, 1], &[])
    };
    let conv = || node("Conv", &["x", "w"], &["y"]);
    for error in [
        refusal(13, vec![pool], vec![]),
        refusal(13, vec![conv()], vec![bad_weight]),
        refusal(13, vec![conv()], vec![external]),
    ] {
        let parts: Vec<&str> = error.split(": ").collect();
        let twice = parts
            .iter()
            .enumerate()
            .find(|(at, part)| parts[..*at].contains(part));
        assert_eq!(twice, None, "{error}");
    }
}

#[test]
fn shuffles_go_by_their_blocks_and_modes() {
    let shuffle = |op: &str, attributes| vec![with(node(op, &["x"], &["y"]), attributes)];
    let by = |size: i64| vec![int("blocksize", size)];
    let row = compute(13, shuffle("SpaceToDepth", by(2)), vec![]);
    assert_eq!(row[..6], [-24.0, -22.0, -20.0, -12.0, -10.0, -8.0]);
    assert_eq!(row[6..9], [0.0, 2.0, 4.0]);
    // There and back; in opset 9 without a mode.
    let back = [
        with(node("SpaceToDepth", &["x"], &["d"]), by(2)),
        with(node("DepthToSpace", &["d"], &["y"]), by(2)),
    ];
    assert_eq!(compute(9, back.to_vec(), vec![]), image().values());
    assert_eq!(
        compute(13, shuffle("DepthToSpace", by(1)), vec![]),
        image().values()
    );
    for size in [0, -2] {
        let said = refusal(13, shuffle("SpaceToDepth", by(size)), vec![]);
        assert!(said.contains("blocksize"), "{said}");
    }
    for (op, size) in [
        ("SpaceToDepth", 3),
        ("DepthToSpace", 2),
        ("DepthToSpace", i64::MAX),
    ] {
        let said = refusal(13, shuffle(op, by(size)), vec![]);
        assert!(said.contains("do not divide"), "{said}");
    }
    let old = vec![int("blocksize", 2), string("mode", "CRD")];
    assert!(refusal(10, shuffle("DepthToSpace", old), vec![]).contains("mode"));
}
