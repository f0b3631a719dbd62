//! Channels of unlike scales in one layer: scaled up and down by factors that the next layers undo,
//! they lose nothing; where they must, the user is told.

use trefoil_ir::geometry::{Coordinates, ResizeMode};
use trefoil_ir::nn::op::{Affine, AvgPool, Conv2d, Resize};
use trefoil_ir::{Patch, Shape, Tensor, Window};

use super::*;
use crate::pass::{self, Dump, PassOptions};

const CHANNELS: usize = 12;
const MAP: Shape = Shape::new(3, 12, 12);

/// What an honest network may lose, of the output's deviation.
const LIMIT: f64 = 0.005;

/// Factors over the whole spread, in no order, whose geometric mean is 1.
fn factors(spread: f32, channels: usize) -> Vec<f32> {
    let at = |c: usize| (c * 5 % channels) as f32 / (channels - 1) as f32 - 0.5;
    (0..channels).map(|c| spread.powf(at(c))).collect()
}

fn scaled(net: &mut Net, x: NodeId, by: &[f32]) -> NodeId {
    let op = Affine {
        scale: Tensor::vector(by.to_vec()),
        bias: Tensor::vector(vec![0.0; by.len()]),
    };
    net.op(op, &[x])
}

fn undone(net: &mut Net, x: NodeId, by: &[f32]) -> NodeId {
    let inverse: Vec<f32> = by.iter().map(|s| 1.0 / s).collect();
    scaled(net, x, &inverse)
}

/// A convolution whose channels are scaled.
fn unlike(net: &mut Net, x: NodeId, by: &[f32]) -> NodeId {
    let x = net.conv(x, by.len(), 3);
    scaled(net, x, by)
}

/// A convolution that undoes the scales of its operand.
fn undoing(net: &mut Net, x: NodeId, by: &[f32], out: usize) -> NodeId {
    let x = undone(net, x, by);
    net.conv(x, out, 3)
}

fn depthwise(net: &mut Net, x: NodeId) -> NodeId {
    let mut window = Window::dense([3, 3]);
    window.pads = [1; 4];
    let channels = net.shape(x).c;
    net.conv_of(x, channels, window, channels)
}

fn pool_window() -> Window {
    let mut window = Window::dense([3, 3]);
    (window.stride, window.pads) = ([2; 2], [1; 4]);
    window
}

/// A network between the image and a convolution that undoes the factors, all of them.
type Body = fn(&mut Net, NodeId, &[f32]) -> NodeId;

fn relu(net: &mut Net, image: NodeId, by: &[f32]) -> NodeId {
    let x = unlike(net, image, by);
    net.relu(x)
}

fn norm(net: &mut Net, image: NodeId, by: &[f32]) -> NodeId {
    let x = net.conv(image, by.len(), 3);
    let x = net.batch_norm(x);
    let x = scaled(net, x, by);
    net.relu(x)
}

fn chain(net: &mut Net, image: NodeId, by: &[f32]) -> NodeId {
    let mut x = relu(net, image, by);
    for _ in 0..2 {
        // Its biases are of one scale, so what is undone is scaled again.
        x = undone(net, x, by);
        x = depthwise(net, x);
        x = scaled(net, x, by);
        x = net.relu(x);
    }
    x
}

fn residual(net: &mut Net, image: NodeId, by: &[f32]) -> NodeId {
    let mut x = relu(net, image, by);
    for _ in 0..2 {
        let a = undoing(net, x, by, by.len());
        let a = net.relu(a);
        let a = unlike(net, a, by);
        let sum = net.add(a, x);
        x = net.relu(sum);
    }
    x
}

fn linear_residual(net: &mut Net, image: NodeId, by: &[f32]) -> NodeId {
    let mut x = unlike(net, image, by);
    for _ in 0..2 {
        let a = undoing(net, x, by, 2 * by.len());
        let a = net.clip(a, 1.0);
        let a = depthwise(net, a);
        let a = net.clip(a, 1.0);
        let a = unlike(net, a, by);
        x = net.add(a, x);
    }
    x
}

fn projection(net: &mut Net, image: NodeId, by: &[f32]) -> NodeId {
    let x = net.conv(image, 6, 3);
    let x = net.relu(x);
    let (a, b) = (unlike(net, x, by), unlike(net, x, by));
    let sum = net.add(a, b);
    net.relu(sum)
}

fn joined_parts(net: &mut Net, image: NodeId, by: &[f32]) -> NodeId {
    let (left, right) = by.split_at(by.len() / 2);
    let (a, b) = (unlike(net, image, left), unlike(net, image, right));
    let x = net.concat(&[a, b]);
    net.relu(x)
}

fn parts_of_two_layers(net: &mut Net, image: NodeId, by: &[f32]) -> NodeId {
    let (left, right) = by.split_at(by.len() / 2);
    let a = relu(net, image, left);
    let b = relu(net, image, right);
    let b = net.max_pool(b, Window::dense([1, 1]));
    net.concat(&[a, b])
}

fn means(net: &mut Net, image: NodeId, by: &[f32]) -> NodeId {
    let x = relu(net, image, by);
    net.avg_pool(x, pool_window(), false)
}

fn mean_beside(net: &mut Net, image: NodeId, by: &[f32]) -> NodeId {
    let x = relu(net, image, by);
    let mut window = Window::dense([3, 3]);
    window.pads = [1; 4];
    let pool = AvgPool {
        window,
        include_pad: true,
        overhang: [0, 0],
    };
    let mean = net.op(pool, &[x]);
    net.add(mean, x)
}

fn vector(net: &mut Net, image: NodeId, by: &[f32]) -> NodeId {
    let x = relu(net, image, by);
    net.global_avg_pool(x)
}

fn maxima(net: &mut Net, image: NodeId, by: &[f32]) -> NodeId {
    let x = relu(net, image, by);
    net.max_pool(x, pool_window())
}

fn maxima_before_gates(net: &mut Net, image: NodeId, by: &[f32]) -> NodeId {
    let x = unlike(net, image, by);
    let x = net.max_pool(x, pool_window());
    net.relu(x)
}

fn resized(net: &mut Net, image: NodeId, by: &[f32], mode: ResizeMode) -> NodeId {
    let x = relu(net, image, by);
    let resize = Resize {
        size: [18, 18],
        scales: [1.5; 2],
        mode,
        coordinates: Coordinates::HalfPixel,
    };
    net.op(resize, &[x])
}

fn patches(net: &mut Net, image: NodeId, by: &[f32]) -> NodeId {
    let x = unlike(net, image, by);
    let kinds = [
        Patch::PIXEL,
        Patch::Identity,
        Patch::Block { h: 1, w: 2 },
        Patch::Block { h: 4, w: 4 },
    ];
    let patches = (0..by.len()).map(|c| kinds[c % kinds.len()]).collect();
    net.block(x, patches)
}

const BODIES: [(&str, Body); 17] = [
    ("relu", relu),
    ("norm", norm),
    ("depthwise chain", chain),
    ("residual", residual),
    ("linear residual", linear_residual),
    ("projection", projection),
    ("concatenated accumulators", joined_parts),
    ("concatenated activations", parts_of_two_layers),
    ("mean", means),
    ("mean beside", mean_beside),
    ("global mean", vector),
    ("maximum", maxima),
    ("maximum before the gate", maxima_before_gates),
    ("interpolation", |net, x, by| {
        resized(net, x, by, ResizeMode::Bilinear)
    }),
    ("copies", |net, x, by| {
        resized(net, x, by, ResizeMode::NearestFloor)
    }),
    ("fully connected", |net, x, by| {
        let x = relu(net, x, by);
        net.max_pool(x, Window::dense([12, 12]))
    }),
    ("patches", patches),
];

fn lowered(net: Net, y: NodeId) -> Trial {
    let graph = net.finish(y).verify().unwrap();
    let passed = pass::run(graph, &PassOptions::default(), &mut Dump::none()).unwrap();
    let names: Vec<&str> = passed
        .graph
        .ids()
        .iter()
        .map(|&id| passed.graph.node(id).op.name())
        .collect();
    assert!(!names.contains(&"affine"), "{names:?}");
    Trial::of(passed.graph, &LowerOptions::default())
}

fn network(body: Body, spread: f32) -> Trial {
    let mut net = Net::new(31);
    let image = net.input(MAP);
    let by = factors(spread, CHANNELS);
    let x = body(&mut net, image, &by);
    let x = undoing(&mut net, x, &by, 8);
    let x = net.relu(x);
    let y = net.conv(x, 4, 1);
    lowered(net, y)
}

impl Trial {
    /// Root mean square error beside the output's deviation.
    fn relative_error(&self, rounding: Rounding<'_>) -> f64 {
        let (mut errors, mut values) = (0.0, Vec::new());
        for image in &self.images {
            let outcome = self.emulate(image, rounding);
            assert_eq!(outcome.breaches().count(), 0);
            let expected = eval::run(&self.graph, image).unwrap();
            let decoded = self
                .lowered
                .output
                .decode(outcome.output.values(), expected.shape());
            let pairs = decoded.iter().zip(expected.values());
            errors += pairs.map(|(d, e)| f64::from(d - e).powi(2)).sum::<f64>();
            values.extend(expected.values().iter().map(|v| f64::from(*v)));
        }
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (errors / values.iter().map(|v| (v - mean).powi(2)).sum::<f64>()).sqrt()
    }

    fn words_on_rounding(&self) -> Vec<String> {
        let words = self.lowered.warnings.iter().map(ToString::to_string);
        words.filter(|w| w.contains("rounding costs")).collect()
    }
}

#[test]
fn scales_that_the_next_layer_undoes_cost_nothing() {
    let mut faults = Vec::new();
    for (name, body) in BODIES {
        for spread in [1.0, 1e2, 1e4, 1e6] {
            let trial = network(body, spread);
            let errors = [Rounding::Nearest, Rounding::Coin(7)].map(|r| trial.relative_error(r));
            let words = trial.words_on_rounding();
            // One patch whose sum is nearly zero may take the other sign.
            let limit = if name == "patches" { 5.0 * LIMIT } else { LIMIT };
            if errors.iter().any(|e| *e > limit) || !words.is_empty() {
                faults.push(format!("{name}, spread {spread:e}: {errors:.5?} {words:?}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn channels_of_the_image_may_be_of_unlike_scales() {
    for exact in [false, true] {
        let mut net = Net::new(32);
        let image = net.input(MAP);
        let x = scaled(&mut net, image, &[1e4, 1.0, 1e-3]);
        let x = net.conv(x, 8, 3);
        let x = net.relu(x);
        let y = net.conv(x, 4, 1);
        let graph = net.finish(y).verify().unwrap();
        let passed = pass::run(graph, &PassOptions::default(), &mut Dump::none()).unwrap();
        let factors = [1e-4, 1.0, 1e3];
        let options = LowerOptions {
            input_range: exact.then(|| factors.map(|f| 2.0 * f).to_vec()),
            ..LowerOptions::default()
        };
        let trial = Trial::with_images(passed.graph, &options, |c, value| factors[c] * value);
        assert!(trial.relative_error(Rounding::Coin(3)) < LIMIT);
    }
}

/// A clip's limit is one for all channels, so scales cannot be undone exactly; those that it never
/// reaches are as exact as behind a ReLU.
#[test]
fn channels_far_below_the_limit_of_a_clip_keep_their_digits() {
    for spread in [1e2, 1e4, 1e6] {
        let mut net = Net::new(33);
        let image = net.input(MAP);
        let by: Vec<f32> = factors(spread, CHANNELS)
            .iter()
            .map(|f| f / spread.sqrt())
            .collect();
        let x = unlike(&mut net, image, &by);
        let x = net.clip(x, 1.0);
        let x = undoing(&mut net, x, &by, 8);
        let x = net.relu(x);
        let y = net.conv(x, 4, 1);
        let trial = lowered(net, y);
        assert!(trial.relative_error(Rounding::Coin(1)) < LIMIT, "{spread:e}");
    }
}

/// The public numbers of a network are the same, whatever the scales that its layers undo.
#[test]
fn multipliers_do_not_tell_scales() {
    let public = |body: Body, spread: f32| -> Vec<Vec<i32>> {
        let trial = network(body, spread);
        let constants = trial.program().constants.iter().zip(&trial.lowered.constants);
        let told = |kind: mpc::ConstKind| !matches!(kind, mpc::ConstKind::Weight | mpc::ConstKind::Bias);
        let told = constants.filter(|(constant, _)| told(constant.kind));
        told.map(|(_, values)| values.values().to_vec()).collect()
    };
    for (name, body) in BODIES {
        // Powers of two, so that rounding is the same.
        let (plain, unlike) = (public(body, 1.0), public(body, (22f32).exp2()));
        for (plain, unlike) in plain.iter().zip(&unlike) {
            for (p, u) in plain.iter().zip(unlike) {
                let ratio = f64::from(*u) / f64::from(*p);
                assert!((0.2..5.0).contains(&ratio), "{name}: {plain:?} {unlike:?}");
            }
        }
    }
}

/// A sum of one operand of unlike scales and one of equal ones cannot have both scales.
#[test]
fn a_sum_of_unlike_and_like_channels_keeps_both() {
    let mut net = Net::new(34);
    let image = net.input(MAP);
    let x = net.conv(image, CHANNELS, 3);
    let x = net.relu(x);
    let by: Vec<f32> = factors(1e4, CHANNELS).iter().map(|f| f * 100.0).collect();
    let a = unlike(&mut net, x, &by);
    let sum = net.add(a, x);
    let x = net.relu(sum);
    let x = undoing(&mut net, x, &by, 8);
    let y = net.conv(x, 4, 1);
    let trial = lowered(net, y);
    assert!(trial.relative_error(Rounding::Coin(1)) < LIMIT);
}

/// A clip far below what comes in leaves few units between 0 and its limit, or none: then nearly all
/// values are 0 or the limit, and that must be exact. Of those few that are within a unit of 0 the coin
/// decides which, and the user is told what that may cost.
#[test]
fn channels_far_above_the_limit_of_a_clip_are_switches() {
    for (largest, decides) in [(3e2, false), (2e4, true), (1e6, true)] {
        let mut net = Net::new(35);
        let image = net.input(MAP);
        let x = unlike(&mut net, image, &[1.0, largest, largest / 7.0, 3.0]);
        let x = net.clip(x, 6.0);
        let y = net.conv(x, 4, 1);
        let trial = lowered(net, y);
        assert!(trial.relative_error(Rounding::Nearest) < LIMIT, "{largest:e}");
        let squares = (1..=8).map(|coin| trial.relative_error(Rounding::Coin(coin)).powi(2));
        let error = (squares.sum::<f64>() / 8.0).sqrt();
        let words = trial.words_on_rounding();
        if decides {
            let told = words.iter().map(|word| told(word).powi(2)).sum::<f64>().sqrt();
            assert!(
                (0.4..2.5).contains(&(told / error)),
                "{largest:e}: {error} {words:?}"
            );
        } else {
            assert!(
                error < LIMIT && words.is_empty(),
                "{largest:e}: {error} {words:?}"
            );
        }
    }
}

/// What a warning says of the output's deviation.
fn told(word: &str) -> f64 {
    let percent = word
        .split("about ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    percent.unwrap().parse::<f64>().unwrap() / 100.0
}

/// Small values on a large bias that the next layer takes off again.
#[test]
fn what_is_lost_is_told() {
    let mut net = Net::new(35);
    let image = net.input(MAP);
    let x = net.conv(image, 4, 3);
    let affine = |scale: f32, bias: [f32; 4]| Affine {
        scale: Tensor::vector(vec![scale; 4]),
        bias: Tensor::vector(bias.to_vec()),
    };
    let x = net.op(affine(1.0, [0.0, 0.0, 300.0, 0.0]), &[x]);
    let x = net.relu(x);
    let x = net.op(affine(1.0, [0.0, 0.0, -300.0, 0.0]), &[x]);
    let y = net.conv(x, 4, 1);
    let trial = lowered(net, y);
    let words = trial.words_on_rounding();
    assert!(
        words.len() == 1 && words[0].starts_with("conv2d \"conv2d1\"") && words[0].contains("in channel 2"),
        "{words:?}"
    );
    let told = told(&words[0]);
    let measured = trial.relative_error(Rounding::Coin(1));
    assert!((0.4..2.5).contains(&(told / measured)), "{told} {measured}");
}

/// A channel that the calibration hardly woke keeps the room that its weights ask for.
#[test]
fn a_channel_that_sleeps_is_no_small_channel() {
    let mut net = Net::new(36);
    let image = net.input(Shape::new(2, 4, 4));
    let conv = Conv2d {
        weight: Tensor::new(vec![3, 2, 1, 1], vec![1.0, 0.5, 1.0, -1.0, 1e-4, 1e-4]).unwrap(),
        bias: None,
        window: Window::dense([1, 1]),
        groups: 1,
    };
    let x = net.op(conv, &[image]);
    let y = net.relu(x);
    let y = net.conv(y, 2, 1);
    // Both channels of the image are nearly the same: their difference is never large.
    let graph = net.finish(y).verify().unwrap();
    let trial = Trial::with_images(graph, &LowerOptions::default(), |_, value| value.abs().max(1.9));
    let unit = &trial.program().steps[1].note.as_ref().unwrap().unit;
    let ratio = |c: usize| unit[0] / unit[c];
    assert!(ratio(1) <= 2.0 && ratio(2) > 1e3, "{unit:?}");
}
