//! Layers together: residuals, concatenations, tails, and networks at random.

use trefoil_ir::nn::Origin;
use trefoil_ir::nn::op::{Affine, Flatten, Input, Output, Slice};
use trefoil_ir::tail::{self, Tail};
use trefoil_ir::{Axis, Shape, Tensor, Window};

use super::*;
use crate::pass::testing::random_graph;
use crate::pass::{self, Dump, PassOptions};

#[test]
fn residuals_join_before_the_one_truncation() {
    for projection in [false, true] {
        let mut net = Net::new(3);
        let image = net.input(Shape::new(3, 8, 8));
        let x = net.conv(image, 6, 3);
        let x = net.relu(x);
        let a = net.conv(x, 6, 3);
        let a = net.relu(a);
        let a = net.conv(a, 6, 3);
        let shortcut = if projection { net.conv(x, 6, 1) } else { x };
        let sum = net.add(a, shortcut);
        let y = net.relu(sum);
        let trial = Trial::new(net, y);
        trial.assert_close(6.0);
        assert_eq!(trial.count("truncate"), 3);
        assert_eq!(trial.count("requant"), 0);
        assert_eq!(trial.count("lift"), usize::from(!projection));
    }
}

#[test]
fn option_a_shortcuts_slice_and_pad() {
    let mut net = Net::new(4);
    let image = net.input(Shape::new(3, 8, 8));
    let x = net.conv(image, 4, 3);
    let x = net.relu(x);
    let mut window = Window::dense([3, 3]);
    (window.stride, window.pads) = ([2, 2], [1, 1, 0, 0]);
    let a = net.conv_of(x, 8, window, 1);
    let half = |axis| Slice {
        axis,
        start: 0,
        step: 2,
        count: 4,
    };
    let s = net.slice(x, half(Axis::H));
    let s = net.slice(s, half(Axis::W));
    let s = net.pad(s, [2, 0, 0], [2, 0, 0]);
    let sum = net.add(a, s);
    let y = net.relu(sum);
    let trial = Trial::new(net, y);
    trial.assert_close(5.0);
    assert_eq!(trial.count("truncate"), 2);
}

#[test]
fn a_value_with_a_gate_and_a_sum_is_truncated_once() {
    let mut net = Net::new(5);
    let image = net.input(Shape::new(3, 8, 8));
    let x = net.conv(image, 4, 3);
    let a = net.relu(x);
    let a = net.conv(a, 4, 3);
    let sum = net.add(a, x);
    let twice = net.add(sum, sum);
    let y = net.conv(twice, 3, 1);
    let trial = Trial::new(net, y);
    trial.assert_close(8.0);
    assert_eq!(trial.count("truncate"), 4);
    assert_eq!((trial.count("block_relu"), trial.count("requant")), (1, 3));
}

#[test]
fn means_join_sums() {
    let mut net = Net::new(6);
    let image = net.input(Shape::new(3, 8, 8));
    let x = net.conv(image, 4, 3);
    let x = net.relu(x);
    let mut window = Window::dense([3, 3]);
    window.pads = [1; 4];
    let pooled = net.avg_pool(x, window, false);
    let y = net.add(pooled, x);
    let trial = Trial::new(net, y);
    trial.assert_close(3.0);
    assert_eq!(trial.count("truncate"), 2);
}

#[test]
fn concatenations_of_one_form_and_of_both() {
    let mut net = Net::new(7);
    let image = net.input(Shape::new(3, 6, 6));
    let a = net.conv(image, 2, 3);
    let b = net.conv(image, 3, 1);
    let both = net.concat(&[a, b]);
    let both = net.relu(both);
    let c = net.conv(both, 2, 3);
    let mixed = net.concat(&[both, c, image]);
    let y = net.conv(mixed, 4, 1);
    let trial = Trial::new(net, y);
    trial.assert_close(8.0);
    assert_eq!(trial.count("truncate"), 3);
    assert_eq!(trial.count("requant"), 1);
}

#[test]
fn sums_of_concatenations_of_sums_are_one_accumulator() {
    let mut net = Net::new(8);
    let image = net.input(Shape::new(3, 6, 6));
    let a = net.conv(image, 2, 3);
    let b = net.conv(image, 2, 1);
    let ab = net.add(a, b);
    let c = net.conv(image, 3, 3);
    let joined = net.concat(&[ab, c]);
    let d = net.conv(image, 5, 1);
    let sum = net.add(joined, d);
    let y = net.relu(sum);
    let trial = Trial::new(net, y);
    trial.assert_close(3.0);
    assert_eq!(trial.count("truncate"), 1);
}

#[test]
fn the_client_runs_the_tail() {
    let mut net = Net::new(9);
    let image = net.input(Shape::new(3, 6, 6));
    let x = net.conv(image, 4, 3);
    let x = net.relu(x);
    let x = net.global_avg_pool(x);
    let x = net.flatten(x);
    let x = net.linear(x, 5);
    let softmax = tail::Op::Softmax {
        first: 1,
        last: 2,
        log: false,
    };
    let tail = Tail {
        dims: vec![1, 5],
        steps: vec![tail::Step {
            op: softmax,
            args: vec![0],
        }],
    };
    let mut graph = net.finish(x);
    let output = graph.output().unwrap();
    graph
        .replace(output, Output { tail: tail.clone() }, &[x])
        .unwrap();
    let trial = Trial::of(graph.verify().unwrap(), &LowerOptions::default());
    trial.assert_close(5.0);
    assert_eq!(trial.lowered.output.tail, tail);
    assert_eq!(trial.lowered.output.unit.len(), 5);

    let mut net = Net::new(9);
    let image = net.input(Shape::new(3, 6, 6));
    let x = net.conv(image, 4, 3);
    let y = net.flatten(x);
    let trial = Trial::new(net, y);
    trial.assert_close(3.0);
    assert_eq!(trial.lowered.output.linear, [trefoil_ir::nn::Op::from(Flatten)]);
}

#[test]
fn dead_channels_and_layers_get_room() {
    let mut net = Net::new(10);
    let image = net.input(Shape::new(2, 4, 4));
    let dead = Tensor::new(vec![3, 2, 1, 1], vec![0.0, 0.0, 1.0, 1.0, 1e-7, 1e-7]).unwrap();
    let conv = trefoil_ir::nn::op::Conv2d {
        weight: dead,
        bias: None,
        window: Window::dense([1, 1]),
        groups: 1,
    };
    let x = net.op(conv, &[image]);
    let y = net.relu(x);
    let trial = Trial::new(net, y);
    trial.assert_close(2.0);
    let unit = &trial.lowered.output.unit;
    // Nobody knows how large the first may become; of the third, its weights say it.
    assert!(unit[1] == 2.0 * unit[0] && unit[2] < 1e-5 * unit[1], "{unit:?}");

    let mut net = Net::new(10);
    let image = net.input(Shape::new(2, 4, 4));
    let zero = trefoil_ir::nn::op::Conv2d {
        weight: Tensor::new(vec![1, 2, 1, 1], vec![0.0; 2]).unwrap(),
        bias: None,
        window: Window::dense([1, 1]),
        groups: 1,
    };
    let x = net.op(zero, &[image]);
    let x = net.relu(x);
    let y = net.conv(x, 2, 3);
    Trial::new(net, y).assert_close(1.0);
}

#[test]
fn large_biases_that_cancel_cost_bits_and_not_correctness() {
    let mut net = Net::new(12);
    let image = net.input(Shape::new(1, 4, 4));
    let layer = |weight: f32, bias: f32| trefoil_ir::nn::op::Conv2d {
        weight: Tensor::new(vec![1, 1, 1, 1], vec![weight]).unwrap(),
        bias: Some(Tensor::vector(vec![bias])),
        window: Window::dense([1, 1]),
        groups: 1,
    };
    let x = net.op(layer(0.001, 10.0), &[image]);
    let y = net.op(layer(1000.0, -10000.0), &[x]);
    let trial = Trial::new(net, y);
    trial.assert_close(6000.0);
    let text: Vec<String> = trial.lowered.warnings.iter().map(ToString::to_string).collect();
    assert!(
        text.iter()
            .any(|w| w.starts_with("conv2d \"conv2d2\": channel 0 loses")),
        "{text:?}"
    );
}

#[test]
fn an_exact_input_range_takes_no_head_room() {
    let mut net = Net::new(13);
    let x = net.input(Shape::new(2, 3, 3));
    let y = net.relu(x);
    let options = LowerOptions {
        input_range: Some(vec![2.0, 4.0]),
        ..LowerOptions::default()
    };
    let trial = Trial::of(net.finish(y).verify().unwrap(), &options);
    let bound = mpc::ACTIVATION_BOUND as f64;
    assert_eq!(trial.lowered.input.unit, [2.0 / bound, 4.0 / bound]);
    trial.assert_close(0.51);
}

#[test]
fn errors_say_where_and_what_to_do() {
    let graph = |affine: bool| {
        let mut graph = Graph::new("g");
        let shape = Shape::new(2, 3, 3);
        let x = graph.add(Input { shape }, &[], Origin::named("x")).unwrap();
        let op = Affine {
            scale: Tensor::vector(vec![1.0, 2.0]),
            bias: Tensor::vector(vec![0.0, 0.0]),
        };
        let y = if affine {
            graph.add(op, &[x], Origin::named("Mul_3")).unwrap()
        } else {
            x
        };
        graph.add(Output::map(shape), &[y], Origin::named("y")).unwrap();
        graph.verify().unwrap()
    };
    let image = || FeatureMap::new(Shape::new(2, 3, 3), vec![1.0; 18]);
    let (plain, affine) = (graph(false), graph(true));
    let calibration = calibrate(&plain, [image()], |_| {}).unwrap();
    let message = |graph: &Verified<Graph>, calibration: &Calibration, options: &LowerOptions| {
        trefoil_runtime::terminal::print::chain(&lower(graph, calibration, options).unwrap_err())
    };
    let options = LowerOptions::default();
    assert!(message(&affine, &calibration, &options).contains("another graph"));
    let of_affine = calibrate(&affine, [image()], |_| {}).unwrap();
    let unsupported = message(&affine, &of_affine, &options);
    assert!(unsupported.starts_with("affine \"Mul_3\""), "{unsupported}");
    let range = LowerOptions {
        input_range: Some(vec![1.0]),
        ..options.clone()
    };
    assert!(message(&plain, &calibration, &range).contains("1 channels"));
    for head_room in [-1.0, 9.0, f64::NAN] {
        let options = LowerOptions {
            head_room,
            input_range: None,
        };
        assert!(message(&plain, &calibration, &options).contains("head-room"));
    }
}

/// Patches whose sum is within a unit of zero may take the other sign, which changes an output by
/// more than rounding: rare, so most networks must be close, and none far off.
#[test]
fn random_networks_behind_all_passes() {
    let mut worst: Vec<f64> = Vec::new();
    for seed in 0..150 {
        let graph = random_graph(seed).verify().unwrap();
        let passed = pass::run(graph, &PassOptions::default(), &mut Dump::none()).unwrap();
        let trial = Trial::of(passed.graph, &LowerOptions::default());
        worst.push(
            trial
                .error(Rounding::Nearest)
                .max(trial.error(Rounding::Coin(seed))),
        );
    }
    worst.sort_by(f64::total_cmp);
    assert!(
        worst[75] < 3.0 && worst[135] < 12.0 && worst[149] < 128.0,
        "{worst:.1?}"
    );
}
