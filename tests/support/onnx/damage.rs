//! The bad-input tests' list of what can be wrong in an ONNX file, each fault on its own in an
//! otherwise valid model.

use super::hostile::{move_outside, victim};
use super::proto::{self, Dim};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto};

/// Numbers that are no numbers, and tensors whose data isn't what they say.
pub(crate) fn damaged_values() -> Vec<Damaged> {
    let poke =
        |value: f32| move |t: &mut TensorProto| t.raw_data[8..12].copy_from_slice(&value.to_le_bytes());
    vec![
        damaged_tensor("nan_weight", "conv.weight", poke(f32::NAN)),
        damaged_tensor("infinite_weight", "conv.weight", poke(f32::INFINITY)),
        damaged_tensor("nan_bias", "fc.bias", poke(f32::NAN)),
        damaged_tensor("nan_norm_scale", "bn.weight", poke(f32::NAN)),
        damaged_tensor("negative_variance", "bn.running_var", poke(-2.0)),
        damaged_tensor("infinite_mean", "bn.running_mean", poke(f32::NEG_INFINITY)),
        damaged_node("nan_epsilon", "BatchNormalization", |node| {
            node.attribute.retain(|a| a.name != "epsilon");
            node.attribute.push(proto::float("epsilon", f32::NAN));
        }),
        damaged_tensor("too_few_bytes", "conv.weight", |t| t.raw_data.truncate(40)),
        damaged_tensor("too_many_bytes", "conv.weight", |t| t.raw_data.extend([0; 400])),
        damaged_tensor("half_a_float", "conv.weight", |t| t.raw_data.truncate(41)),
        damaged_tensor("no_data", "conv.weight", |t| t.raw_data.clear()),
        damaged_tensor("integer_weights", "conv.weight", |t| {
            t.data_type = DataType::Int32 as i32
        }),
        damaged_tensor("unknown_element_type", "conv.weight", |t| t.data_type = 77),
        damaged_tensor("text_weights", "fc.bias", |t| {
            t.raw_data.clear();
            t.data_type = DataType::String as i32;
            t.string_data = vec![b"one".to_vec(); 5];
        }),
    ]
}

/// Graphs that don't hang together.
pub(crate) fn damaged_graphs() -> Vec<Damaged> {
    let undefined = "no_such_value".to_owned();
    let input = |name, kind, dims: &[Dim]| proto::value_info(name, kind, dims);
    let image = [1, 3, 9, 7].map(Dim::Known);
    vec![
        damaged_graph("cycle", |graph| {
            let late = find_node(graph, "MaxPool").output[0].clone();
            find_node(graph, "Conv").input[0] = late;
        }),
        damaged_graph("node_feeds_itself", |graph| {
            let node = find_node(graph, "Relu");
            node.input[0] = node.output[0].clone();
        }),
        damaged_graph("missing_initializer", |graph| {
            graph.initializer.retain(|t| t.name != "conv.weight");
        }),
        damaged_node("undefined_input", "Relu", |node| {
            node.input[0] = undefined.clone()
        }),
        damaged_node("empty_input_name", "Relu", |node| node.input[0].clear()),
        damaged_node("no_inputs", "Conv", |node| node.input.clear()),
        damaged_node("no_weights", "Conv", |node| node.input.truncate(1)),
        damaged_node("no_outputs", "Relu", |node| node.output.clear()),
        damaged_node("unknown_domain", "Relu", |node| {
            node.domain = "com.example".to_owned()
        }),
        damaged_node("unknown_operator", "Relu", |node| {
            node.op_type = "Frobnicate".to_owned()
        }),
        damaged_graph("value_defined_twice", |graph| {
            let twin = find_node(graph, "Relu").clone();
            graph.node.push(twin);
        }),
        damaged_graph("undefined_output", |graph| {
            graph.output[0].name = undefined.clone()
        }),
        damaged_graph("no_output", |graph| graph.output.clear()),
        damaged_graph("no_input", |graph| graph.input.clear()),
        damaged_graph("output_is_an_initializer", |graph| {
            graph.output[0].name = "conv.weight".to_owned();
        }),
        damaged_graph("second_input", |graph| {
            graph
                .input
                .push(input("mask", DataType::Float, &[1, 1, 9, 7].map(Dim::Known)));
            splice(graph, vec![], "Mul", "mask");
        }),
        damaged_graph("integer_input", |graph| {
            graph.input[0] = input("input", DataType::Int64, &image);
        }),
        damaged_graph("half_precision_input", |graph| {
            graph.input[0] = input("input", DataType::Float16, &image);
        }),
        damaged("no_graph", |model| model.graph = None),
        damaged_graph("no_nodes", |graph| graph.node.clear()),
        damaged("no_operator_set", |model| model.opset_import.clear()),
        damaged("operator_set_of_the_future", |model| {
            model.opset_import[0].version = 9_999
        }),
        damaged("negative_operator_set", |model| {
            model.opset_import[0].version = -1
        }),
        damaged("only_a_foreign_operator_set", |model| {
            let domain = "com.example".to_owned();
            model.opset_import = vec![OperatorSetIdProto { domain, version: 1 }];
        }),
        damaged("external_data_missing", |model| {
            drop(move_outside(model, "no_such_file.bin"))
        }),
        damaged("external_data_above", |model| {
            drop(move_outside(model, "../weights.bin"))
        }),
        damaged("external_data_absolute", |model| {
            drop(move_outside(model, "/etc/hostname"))
        }),
        damaged("external_data_without_place", |model| {
            drop(move_outside(model, ""))
        }),
        damaged("external_data_device", |model| {
            drop(move_outside(model, "/dev/zero"))
        }),
    ]
}

/// Shapes that contradict each other or exceed any memory.
pub(crate) fn damaged_shapes() -> Vec<Damaged> {
    let shape = |name: &'static str, dims: &[Dim]| {
        damaged_graph(name, |graph| {
            graph.input[0] = proto::value_info("input", DataType::Float, dims);
            // Else these would contradict the input, which is a fault of its own.
            graph.value_info.clear();
        })
    };
    let known = |dims: [i64; 4]| dims.map(Dim::Known);
    vec![
        shape("input_of_absurd_width", &known([1, 3, 9, 1 << 40])),
        shape("input_of_absurd_batch", &known([1 << 40, 3, 9, 7])),
        shape("input_size_overflows", &known([1 << 31, 3, 1 << 31, 1 << 31])),
        shape("input_of_negative_height", &known([1, 3, -9, 7])),
        shape("input_of_no_height", &known([1, 3, 0, 7])),
        shape("input_of_other_channels", &known([1, 5, 9, 7])),
        shape("input_smaller_than_pool", &known([1, 3, 1, 1])),
        shape("input_of_rank_2", &[Dim::Known(1), Dim::Known(189)]),
        shape("input_of_rank_0", &[]),
        shape(
            "input_of_unknown_size",
            &[
                Dim::Symbol("batch"),
                Dim::Known(3),
                Dim::Symbol("height"),
                Dim::Symbol("width"),
            ],
        ),
        damaged_tensor("weights_of_other_channels", "conv.weight", |t| {
            t.dims = vec![6, 2, 3, 3]
        }),
        damaged_tensor("weights_of_rank_1", "conv.weight", |t| t.dims = vec![108]),
        damaged_tensor("weights_of_rank_5", "conv.weight", |t| {
            t.dims = vec![4, 3, 3, 3, 1]
        }),
        damaged_tensor("weights_of_other_kernel", "conv.weight", |t| {
            t.dims = vec![4, 3, 1, 9]
        }),
        damaged_tensor("norm_of_other_channels", "bn.bias", |t| {
            t.dims = vec![3];
            t.raw_data.truncate(12);
        }),
        damaged_tensor("linear_of_other_features", "fc.weight", |t| t.dims = vec![4, 5]),
        damaged_tensor("linear_bias_of_other_length", "fc.bias", |t| {
            t.dims = vec![4];
            t.raw_data.truncate(16);
        }),
        damaged_tensor("weights_of_absurd_size", "conv.weight", |t| t.dims[0] = 1 << 40),
        damaged_tensor("weights_size_overflows", "conv.weight", |t| {
            t.dims = vec![1 << 33; 4]
        }),
        damaged_tensor("weights_of_negative_size", "conv.weight", |t| {
            t.dims = vec![-4, -3, 3, 3]
        }),
        damaged_tensor("weights_of_no_size", "conv.weight", |t| {
            t.dims[0] = 0;
            t.raw_data.clear();
        }),
    ]
}

/// Attributes out of their range.
pub(crate) fn damaged_attributes() -> Vec<Damaged> {
    let group = |name, groups| {
        damaged_node(name, "Conv", move |node| {
            node.attribute.retain(|a| a.name != "group");
            node.attribute.push(proto::int("group", groups));
        })
    };
    vec![
        group("no_groups", 0),
        group("negative_groups", -1),
        group("groups_that_do_not_divide", 2),
        group("absurd_groups", i64::MAX),
        replaced_ints("stride_0", "Conv", "strides", &[0, 1]),
        replaced_ints("negative_stride", "Conv", "strides", &[-1, 1]),
        replaced_ints("dilation_0", "Conv", "dilations", &[0, 1]),
        replaced_ints("absurd_dilation", "Conv", "dilations", &[1 << 62, 1 << 62]),
        replaced_ints("negative_padding", "Conv", "pads", &[-9, -9, -9, -9]),
        replaced_ints("absurd_padding", "Conv", "pads", &[1 << 40; 4]),
        replaced_ints("padding_overflows", "Conv", "pads", &[i64::MAX; 4]),
        replaced_ints("padding_of_three_sides", "Conv", "pads", &[1, 1, 1]),
        replaced_ints("kernel_of_rank_3", "Conv", "kernel_shape", &[3, 3, 3]),
        replaced_ints("kernel_unlike_weights", "Conv", "kernel_shape", &[5, 5]),
        replaced_ints("pool_of_no_size", "MaxPool", "kernel_shape", &[0, 0]),
        replaced_ints("pool_larger_than_map", "MaxPool", "kernel_shape", &[99, 99]),
        replaced_ints("pool_stride_0", "MaxPool", "strides", &[0, 0]),
        replaced_ints(
            "pool_padding_larger_than_window",
            "MaxPool",
            "pads",
            &[5, 5, 5, 5],
        ),
        damaged_node("pool_without_kernel", "MaxPool", |node| {
            node.attribute.retain(|a| a.name != "kernel_shape");
        }),
        damaged_node("attribute_of_wrong_type", "Conv", |node| {
            node.attribute.retain(|a| a.name != "strides");
            node.attribute.push(proto::string("strides", "two"));
        }),
        damaged_node("unknown_auto_pad", "Conv", |node| {
            node.attribute.retain(|a| a.name != "pads");
            node.attribute
                .push(proto::string("auto_pad", "SAME_BUT_DIFFERENT"));
        }),
        damaged_node("auto_pad_not_text", "Conv", |node| {
            let mut auto_pad = proto::string("auto_pad", "");
            auto_pad.s = vec![0xff, 0xfe];
            node.attribute.push(auto_pad);
        }),
        damaged_node("gather_out_of_range", "Gather", |node| {
            node.attribute = vec![proto::int("axis", 7)];
        }),
        damaged_node("concat_axis_out_of_range", "Concat", |node| {
            node.attribute = vec![proto::int("axis", -9)];
        }),
        damaged_node("linear_transposed_input", "Gemm", |node| {
            node.attribute.push(proto::int("transA", 1));
        }),
    ]
}

/// Small files that ask for huge work: a compiler that folds constants must look before it folds.
pub(crate) fn bombs() -> Vec<Damaged> {
    let bomb = |name: &'static str, mut nodes: Vec<NodeProto>, shape: &'static [i64]| {
        damaged_graph(name, move |graph| {
            let size = proto::i64_tensor("bomb.shape", &[shape.len()], shape, false);
            graph.initializer.push(size);
            // Down to one number, so that only the size is wrong.
            let keepdims = vec![proto::int("keepdims", 0)];
            nodes.push(proto::node(
                "ReduceMean",
                "defuse",
                &["bomb"],
                &["defused"],
                keepdims,
            ));
            splice(graph, nodes, "Add", "defused");
        })
    };
    let one = |op: &str, inputs: &[&str]| vec![proto::node(op, "bomb", inputs, &["bomb"], vec![])];
    let doubling = |times: usize| {
        let value = |i: usize| {
            if i == times {
                "bomb".to_owned()
            } else {
                format!("double{i}")
            }
        };
        let start = proto::node("Identity", "start", &["bn.bias"], &[&value(0)], vec![]);
        let double = |i: usize| {
            let from = value(i);
            let axis = vec![proto::int("axis", 0)];
            proto::node(
                "Concat",
                &format!("double{i}"),
                &[&from, &from],
                &[&value(i + 1)],
                axis,
            )
        };
        std::iter::once(start)
            .chain((0..times).map(double))
            .collect::<Vec<_>>()
    };
    vec![
        bomb(
            "constant_of_2_to_the_40",
            one("ConstantOfShape", &["bomb.shape"]),
            &[1 << 40],
        ),
        bomb(
            "expand_to_2_to_the_40",
            one("Expand", &["bn.bias", "bomb.shape"]),
            &[1 << 38, 4],
        ),
        bomb(
            "tile_to_2_to_the_40",
            one("Tile", &["bn.bias", "bomb.shape"]),
            &[1 << 38],
        ),
        bomb("sixty_doublings", doubling(60), &[1]),
        bomb(
            "reshape_with_two_unknowns",
            one("Reshape", &["bn.bias", "bomb.shape"]),
            &[-1, -1],
        ),
        bomb(
            "reshape_to_another_size",
            one("Reshape", &["bn.bias", "bomb.shape"]),
            &[3, 5],
        ),
    ]
}

/// What is wrong, and the model in which it is.
pub(crate) type Damaged = (&'static str, ModelProto);

fn damaged(name: &'static str, damage: impl FnOnce(&mut ModelProto)) -> Damaged {
    let mut model = victim();
    damage(&mut model);
    (name, model)
}

fn damaged_graph(name: &'static str, damage: impl FnOnce(&mut GraphProto)) -> Damaged {
    damaged(name, |model| {
        damage(model.graph.as_mut().expect("the builder sets the graph"))
    })
}

fn damaged_tensor(
    name: &'static str,
    tensor: &'static str,
    damage: impl FnOnce(&mut TensorProto),
) -> Damaged {
    damaged_graph(name, |graph| {
        let found = graph.initializer.iter_mut().find(|t| t.name == tensor);
        damage(found.expect("the victim has this initializer"));
    })
}

fn damaged_node(name: &'static str, op: &str, damage: impl FnOnce(&mut NodeProto)) -> Damaged {
    damaged_graph(name, |graph| damage(find_node(graph, op)))
}

fn find_node<'a>(graph: &'a mut GraphProto, op: &str) -> &'a mut NodeProto {
    graph
        .node
        .iter_mut()
        .find(|n| n.op_type == op)
        .expect("the victim has this node")
}

/// Puts `nodes` behind the ReLU, and there combines its output with the value `other`.
fn splice(graph: &mut GraphProto, mut nodes: Vec<NodeProto>, op: &str, other: &str) {
    let relu = graph.node.iter().position(|n| n.op_type == "Relu");
    let relu = relu.expect("the victim has a ReLU");
    let output = std::mem::replace(&mut graph.node[relu].output[0], "spliced".to_owned());
    nodes.push(proto::node(op, "splice", &["spliced", other], &[&output], vec![]));
    graph.node.splice(relu + 1..relu + 1, nodes);
}

fn replaced_ints(name: &'static str, op: &str, attribute: &str, values: &[i64]) -> Damaged {
    damaged_node(name, op, |node| {
        node.attribute.retain(|a| a.name != attribute);
        node.attribute.push(proto::ints(attribute, values));
    })
}
