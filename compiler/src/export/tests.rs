//! Networks written as ONNX: what tract computes of the file, and what the importer reads back.

use proptest::prelude::*;
use prost::Message;
use tract_onnx::pb::{ModelProto, NodeProto};
use trefoil_ir::geometry::{Coordinates, ResizeMode, ShuffleMode};
use trefoil_ir::nn::op::{AvgPool, BatchNorm, Output, Pad, Resize, Shuffle, Slice};
use trefoil_ir::nn::{Graph, Op, Origin, eval, op};
use trefoil_ir::tail::{self, Binary, DType, Reduction, Step, Tail, Unary};
use trefoil_ir::{Patch, Shape, Tensor, Window};

use super::testing::{exported, gated, imported, meant, tract};
use super::{ExportError, ExportOptions, export};
use crate::pass::testing::{Net, Rng, config, evaluate_equal, random_graph, same};

/// Exports a graph in the form that the importer gives, reads it back and demands the same graph.
#[track_caller]
fn check_exact(graph: &Graph) -> Vec<u8> {
    let bytes = exported(graph);
    let back = meant(&imported(&bytes));
    assert!(
        same(graph, &back),
        "{}\nbecame\n{}",
        graph.to_text(),
        back.to_text()
    );
    assert_eq!(exported(&back), bytes, "the file is a function of the network");
    bytes
}

/// Demands that tract computes of the file what the evaluator computes of the graph.
#[track_caller]
fn check_meaning(graph: &Graph, bytes: &[u8], seed: u64) {
    let shape = graph.node(graph.input().unwrap()).shape;
    let image = Rng::new(seed ^ 0x7ac7).image(shape);
    let Op::Output(Output { tail }) = &graph.node(graph.output().unwrap()).op else {
        unreachable!()
    };
    let ours = tail
        .run(eval::run(graph, &image).unwrap().values())
        .output
        .to_f32();
    let theirs = tract(bytes, &image).unwrap_or_else(|error| panic!("{error:#}\n{}", graph.to_text()));
    assert_eq!(ours.len(), theirs.len());
    let size = ours.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
    for (a, b) in ours.into_iter().zip(theirs) {
        assert!((a - b).abs() <= 1e-4 * size, "{a} and {b}\n{}", graph.to_text());
    }
}

fn check(graph: &Graph) {
    let bytes = check_exact(graph);
    check_meaning(graph, &bytes, 1);
}

proptest! {
    #![proptest_config(config(60))]

    /// Ragged patches, identities, whole maps, clips with both signs.
    #[test]
    fn patches_read_back_and_compute_the_same(seed: u64, c in 1usize..6, h in 1usize..9, w in 2usize..9) {
        let graph = gated(seed, Shape::new(c, h, w));
        let bytes = check_exact(&graph);
        check_meaning(&graph, &bytes, seed);
    }

    /// Whatever the passes may see: what it reads back as computes the same, and has settled.
    #[test]
    fn random_networks_settle(seed: u64) {
        let graph = random_graph(seed);
        let back = meant(&imported(&exported(&graph)));
        evaluate_equal(&graph, &back, seed).map_err(TestCaseError::fail)?;
        check_exact(&back);
    }
}

#[test]
fn layers_read_back() {
    let mut net = Net::new(2);
    let x = net.input(Shape::new(3, 7, 6));
    let window = Window {
        kernel: [3, 2],
        stride: [2, 1],
        dilation: [1, 2],
        pads: [1, 0, 2, 1],
    };
    let a = net.conv_of(x, 6, window, 3);
    let b = net.batch_norm(a);
    let c = net.relu(b);
    let d = net.max_pool(c, Window::dense([2, 2]));
    let e = net.pad(d, [0, 1, 0], [1, 0, 2]);
    let f = net.avg_pool(e, Window::dense([2, 3]), true);
    let g = net.flatten(f);
    let h = net.linear(g, 5);
    check(&net.finish(h));
}

#[test]
fn scales_and_biases_read_back() {
    let affine = |scale: Vec<f32>, bias: Vec<f32>| op::Affine {
        scale: Tensor::vector(scale),
        bias: Tensor::vector(bias),
    };
    let (scale, bias) = (vec![2.0, -0.5], vec![0.25, -3.0]);
    for part in [
        affine(scale.clone(), vec![0.0; 2]),
        affine(vec![1.0; 2], bias.clone()),
        affine(vec![-1.0; 2], bias.clone()),
        affine(vec![-1.0; 2], vec![0.0; 2]),
    ] {
        for on_vector in [false, true] {
            let mut net = Net::new(4);
            let x = net.input(Shape::new(2, 3, 3));
            let a = if on_vector {
                let pooled = net.global_avg_pool(x);
                net.linear(pooled, 2)
            } else {
                net.relu(x)
            };
            let b = net.op(part.clone(), &[a]);
            let c = net.relu(b);
            check(&net.finish(c));
        }
    }
    // Both at once are two nodes.
    let mut net = Net::new(4);
    let x = net.input(Shape::new(2, 3, 3));
    let a = net.op(affine(scale, bias), &[x]);
    let graph = net.finish(a);
    let bytes = exported(&graph);
    check_meaning(&graph, &bytes, 3);
    assert_eq!(imported(&bytes).graph.len(), graph.len() + 1);
}

#[test]
fn branches_slices_and_ranks_read_back() {
    let mut net = Net::new(9);
    let x = net.input(Shape::new(4, 5, 5));
    let part = |axis, start, step, count| Slice {
        axis,
        start,
        step,
        count,
    };
    let a = net.slice(x, part(trefoil_ir::Axis::C, 1, 2, 2));
    let b = net.slice(x, part(trefoil_ir::Axis::H, 0, 2, 3));
    let c = net.slice(b, part(trefoil_ir::Axis::W, 2, 1, 3));
    let a = net.avg_pool(a, Window::dense([3, 3]), false);
    let d = net.concat(&[a, c]);
    let pooled = net.global_avg_pool(d);
    let vector = net.linear(pooled, 6);
    let padded = net.op(
        Pad {
            before: [1, 0, 0],
            after: [0, 0, 0],
        },
        &[vector],
    );
    // A map of one pixel and a vector are the same to the graph.
    let conv = net.conv(padded, 7, 1);
    let sum = net.add(conv, padded);
    let end = net.slice(sum, part(trefoil_ir::Axis::C, 0, 3, 2));
    check(&net.finish(end));
}

#[test]
fn average_pools_keep_what_they_divide_by() {
    // 6 rows by windows of 3 in steps of 2: the last one hangs over by one.
    let window = |pads| Window {
        kernel: [3, 3],
        stride: [2, 2],
        dilation: [1, 1],
        pads,
    };
    for include_pad in [false, true] {
        let mut net = Net::new(6);
        let x = net.input(Shape::new(2, 6, 6));
        let op = AvgPool {
            window: window([0, 0, 1, 1]),
            include_pad,
            overhang: [1, 1],
        };
        let a = net.op(op, &[x]);
        check_exact(&net.finish(a));
    }
    // An overhang that no rounding explains counts as little when it is written as a pad.
    let mut net = Net::new(6);
    let x = net.input(Shape::new(2, 6, 6));
    let op = AvgPool {
        window: window([1, 1, 2, 2]),
        include_pad: true,
        overhang: [1, 2],
    };
    let a = net.op(op, &[x]);
    let graph = net.finish(a);
    let bytes = exported(&graph);
    check_meaning(&graph, &bytes, 2);
    evaluate_equal(&graph, &imported(&bytes).graph, 2).unwrap();
}

#[test]
fn dilated_average_pools_need_a_later_opset() {
    let mut net = Net::new(6);
    let x = net.input(Shape::new(2, 6, 6));
    let mut window = Window::dense([2, 2]);
    window.dilation = [2, 3];
    let a = net.avg_pool(x, window, false);
    let bytes = check_exact(&net.finish(a));
    assert_eq!(imported(&bytes).opset, 19);
}

#[test]
fn every_shuffle_reads_back() {
    let modes = [
        ShuffleMode::ToDepth,
        ShuffleMode::ToSpace,
        ShuffleMode::NeighboursToSpace,
    ];
    for mode in modes {
        let mut net = Net::new(8);
        let x = net.input(Shape::new(8, 4, 6));
        let a = net.op(Shuffle { block: 2, mode }, &[x]);
        check(&net.finish(a));
    }
}

#[test]
fn every_interpolation_reads_back() {
    use Coordinates::{AlignCorners, Asymmetric, HalfPixel, PytorchHalfPixel};
    use ResizeMode::{Bilinear, NearestCeil, NearestCeilHalf, NearestFloor, NearestFloorHalf};
    let modes = [
        Bilinear,
        NearestCeil,
        NearestCeilHalf,
        NearestFloor,
        NearestFloorHalf,
    ];
    // By scales, and by sizes that the ratio in f32 does not make.
    let sizes: Vec<[usize; 2]> = vec![[10, 15], [3, 4], [1, 1], [11, 13]];
    for mode in modes {
        for coordinates in [HalfPixel, PytorchHalfPixel, AlignCorners, Asymmetric] {
            for &size in &sizes {
                let mut net = Net::new(1);
                let x = net.input(Shape::new(2, 5, 5));
                let scales = [size[0] as f32 / 5.0, size[1] as f32 / 5.0];
                let op = Resize {
                    size,
                    scales,
                    mode,
                    coordinates,
                };
                let a = net.op(op, &[x]);
                check_exact(&net.finish(a));
            }
        }
    }
    let mut net = Net::new(1);
    let x = net.input(Shape::new(2, 5, 5));
    let op = Resize {
        size: [9, 10],
        scales: [2.0, 2.0],
        mode: Bilinear,
        coordinates: Asymmetric,
    };
    let a = net.op(op, &[x]);
    let graph = net.finish(a).verify().unwrap();
    let error = export(&graph, &ExportOptions::default()).unwrap_err();
    assert!(
        matches!(error, ExportError::Resize { from: 5, to: 9, .. }),
        "{error}"
    );
}

/// A size whose ratio to 49, in f32, makes one row less.
#[test]
fn sizes_that_scales_do_not_make_are_stated() {
    let size = (1..400)
        .find(|&n| (49.0 * (n as f32 / 49.0)).floor() != n as f32)
        .unwrap();
    let mut net = Net::new(1);
    let x = net.input(Shape::new(1, 49, 49));
    let ratio = size as f32 / 49.0;
    let op = Resize {
        size: [size, size],
        scales: [ratio, ratio],
        mode: ResizeMode::Bilinear,
        coordinates: Coordinates::HalfPixel,
    };
    let a = net.op(op, &[x]);
    check(&net.finish(a));
}

/// A network that ends in `tail`, of logits `[5]` or `[3, 4, 2]`.
fn ending(tail: &Tail) -> Graph {
    let mut net = Net::new(8);
    let x = net.input(Shape::new(3, 4, 2));
    let a = net.conv(x, 3, 1);
    let y = match tail.dims.iter().product() {
        24 => a,
        count => {
            let pooled = net.global_avg_pool(a);
            net.linear(pooled, count)
        }
    };
    let mut graph = net.finish(y);
    let output = graph.output().unwrap();
    graph
        .replace(output, Output { tail: tail.clone() }, &[y])
        .unwrap();
    graph.node_mut(output).origin = Origin::named("answer");
    graph
}

fn chain(dims: &[usize], ops: Vec<tail::Op>) -> Tail {
    let step = |(at, op)| Step { op, args: vec![at] };
    Tail {
        dims: dims.to_vec(),
        steps: ops.into_iter().enumerate().map(step).collect(),
    }
}

#[test]
fn tails_are_written_back() {
    use tail::Op as T;
    let softmax = |first, last, log| T::Softmax { first, last, log };
    let arg = |axis, keep| T::Arg {
        axis,
        largest: true,
        keep,
        last: false,
    };
    let top_k = |indices| T::TopK {
        axis: 1,
        count: 3,
        largest: false,
        indices,
    };
    let (vector, map) = (&[1, 5][..], &[1, 3, 4, 2][..]);
    let tails = [
        chain(vector, vec![]),
        chain(map, vec![]),
        chain(&[1, 5, 1, 1], vec![]),
        chain(&[1, 3, 8], vec![]),
        chain(&[1, 1, 3, 4, 2], vec![]),
        chain(vector, vec![T::Reshape(vec![5])]),
        chain(vector, vec![softmax(1, 2, false)]),
        chain(map, vec![softmax(1, 2, true), T::Transpose(vec![0, 2, 3, 1])]),
        chain(map, vec![softmax(3, 4, false)]),
        chain(
            &[1, 3, 8],
            vec![softmax(2, 3, false), T::Reshape(vec![1, 3, 4, 2])],
        ),
        chain(vector, vec![arg(1, false)]),
        chain(map, vec![arg(1, true), T::Cast(DType::I32)]),
        chain(vector, vec![T::Reshape(vec![5]), arg(0, true)]),
        chain(vector, vec![top_k(false)]),
        chain(vector, vec![top_k(true), T::Cast(DType::F32)]),
        chain(map, vec![T::Unary(Unary::Sigmoid), T::Unary(Unary::Log)]),
        chain(
            vector,
            vec![T::HardSigmoid {
                alpha: 0.25,
                beta: 0.5,
            }],
        ),
        chain(vector, vec![T::Unary(Unary::Tanh), T::Cast(DType::F64)]),
    ];
    for tail in tails {
        let graph = ending(&tail);
        let bytes = check_exact(&graph);
        // tract has no select_last_index and no double precision of all.
        check_meaning(&graph, &bytes, 1);
        assert_eq!(imported(&bytes).output_name, "answer");
    }
    // Axes that are taken as one need nodes of their own; what is computed stays.
    let graph = ending(&chain(map, vec![softmax(1, 4, false)]));
    check_meaning(&graph, &exported(&graph), 1);
}

#[test]
fn norms_and_numbers_of_tails_are_written_back() {
    use tail::Op as T;
    let step = |op, args: &[usize]| Step {
        op,
        args: args.to_vec(),
    };
    let norm = T::Reduce {
        how: Reduction::L2,
        axes: vec![1],
        keep: true,
    };
    let steps = vec![
        step(norm, &[0]),
        step(T::Number(f64::from(1e-6f32), DType::F32), &[]),
        step(T::Binary(Binary::Max), &[1, 2]),
        step(T::Expand(vec![1, 5]), &[3]),
        step(T::Binary(Binary::Div), &[0, 4]),
    ];
    check(&ending(&Tail {
        dims: vec![1, 5],
        steps,
    }));
}

#[test]
fn weights_are_the_same_to_the_bit() {
    let odd = vec![-0.0, f32::MIN_POSITIVE / 2.0, f32::MAX, 1.0 + f32::EPSILON];
    let mut net = Net::new(8);
    let x = net.input(Shape::new(4, 1, 2));
    let gamma = Tensor::vector(odd.clone());
    let op = BatchNorm {
        beta: gamma.clone(),
        mean: gamma.clone(),
        variance: Tensor::vector(vec![0.1; 4]),
        epsilon: 1.1e-5,
        gamma,
    };
    let a = net.op(op, &[x]);
    let back = imported(&exported(&net.finish(a)));
    let (_, op) = batch_norm(&back.graph);
    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(op.gamma.values()), bits(&odd));
    assert_eq!(op.epsilon, 1.1e-5);
}

fn batch_norm(graph: &Graph) -> (usize, BatchNorm) {
    let found = graph.ids().into_iter().find_map(|id| match &graph.node(id).op {
        Op::BatchNorm(op) => Some((id.index(), op.clone())),
        _ => None,
    });
    found.expect("there is one")
}

/// The nodes of a cluster, as `name op inputs`.
fn listing(bytes: &[u8]) -> String {
    let graph = ModelProto::decode(bytes).unwrap().graph.unwrap();
    let line = |node: &NodeProto| format!("{} {} {:?}\n", node.name, node.op_type, node.input);
    graph.node.iter().map(line).collect()
}

#[test]
fn a_cluster_has_the_nodes_that_are_documented() {
    let mut net = Net::new(8);
    let x = net.input(Shape::new(4, 5, 6));
    let block = Patch::Block { h: 2, w: 3 };
    let a = net.block(x, vec![block, Patch::PIXEL, Patch::Identity, block]);
    let text = listing(&exported(&net.finish(a)));
    let expected = r#"block_relu1/block/0/x Gather ["input1", "block_relu1/block/0/channels"]
block_relu1/block/0/y Identity ["block_relu1/block/0/x"]
block_relu1/block/1/x Gather ["input1", "block_relu1/block/1/channels"]
block_relu1/block/1/y Relu ["block_relu1/block/1/x"]
block_relu1/block/2/x Gather ["input1", "block_relu1/block/2/channels"]
block_relu1/block/2/lower/pad Pad ["block_relu1/block/2/x", "block_relu1/block/2/lower/pads"]
block_relu1/block/2/lower/mean AveragePool ["block_relu1/block/2/lower/pad"]
block_relu1/block/2/lower/positive Greater ["block_relu1/block/2/lower/mean", "block_relu1/block/zero"]
block_relu1/block/2/lower/bit Cast ["block_relu1/block/2/lower/positive"]
block_relu1/block/2/lower/mask Resize ["block_relu1/block/2/lower/bit", "", "block_relu1/block/2/lower/scales"]
block_relu1/block/2/lower/cut Slice ["block_relu1/block/2/lower/mask", "block_relu1/block/starts", "block_relu1/block/ends", "block_relu1/block/axes"]
block_relu1/block/2/y Mul ["block_relu1/block/2/x", "block_relu1/block/2/lower/cut"]
block_relu1/block/concat Concat ["block_relu1/block/0/y", "block_relu1/block/1/y", "block_relu1/block/2/y"]
block_relu1 Gather ["block_relu1/block/concat", "block_relu1/block/order"]
"#;
    assert_eq!(text, expected);
}

#[test]
fn clips_without_any_upper_sign_keep_their_limit() {
    let mut net = Net::new(8);
    let x = net.input(Shape::new(2, 4, 4));
    let clip = |lower: Patch| op::Clip {
        high: 6.1,
        lower: vec![lower; 2],
        upper: vec![Patch::Identity; 2],
    };
    let a = net.op(clip(Patch::PIXEL), &[x]);
    let b = net.conv(a, 2, 1);
    let c = net.op(clip(Patch::Identity), &[b]);
    check(&net.finish(c));
}

#[test]
fn names_that_clash_are_told_apart() {
    let mut net = Net::new(8);
    let x = net.input(Shape::new(2, 4, 4));
    let a = net.conv(x, 2, 1);
    let b = net.block(a, vec![Patch::Block { h: 2, w: 2 }, Patch::PIXEL]);
    let c = net.conv(b, 2, 1);
    let mut graph = net.finish(c);
    for (id, name) in [
        (a, "block_relu1/block/0/x"),
        (c, "block_relu1"),
        (x, "conv2d1/weight"),
    ] {
        graph.node_mut(id).origin.name = name.to_owned();
    }
    check_exact(&graph);
}
