//! Calibration against what the definition says, on small networks.

use trefoil_ir::nn::op::{Affine, Clip};
use trefoil_ir::nn::{Op, eval};
use trefoil_ir::{Patch, Shape, Tensor};

use super::*;
use crate::pass::testing::{Net, Rng, random_graph};

const BLOCK: Patch = Patch::Block { h: 2, w: 3 };

/// A Block-ReLU and a clip with patches on one 2x5x4 value; returns their ids, too.
fn net() -> (Graph, NodeId, NodeId, NodeId) {
    let mut net = Net::new(1);
    let x = net.input(Shape::new(3, 5, 4));
    let conv = net.conv(x, 2, 3);
    let block = net.block(conv, vec![BLOCK, Patch::Identity]);
    let clip = Clip {
        high: 0.5,
        lower: vec![Patch::PIXEL; 2],
        upper: vec![BLOCK, Patch::PIXEL],
    };
    let clip = net.op(clip, &[conv]);
    let relu = net.relu(conv);
    let sum = net.add(block, clip);
    let sum = net.add(sum, relu);
    (net.finish(sum), conv, block, clip)
}

fn images(graph: &Graph, count: usize) -> Vec<FeatureMap> {
    let mut rng = Rng::new(4);
    let shape = graph.node(graph.input().unwrap()).shape;
    (0..count).map(|_| rng.image(shape)).collect()
}

#[test]
fn ranges_and_sums_follow_the_definition() {
    let (graph, conv, block, clip) = net();
    let images = images(&graph, 7);
    let calibration = calibrate(&graph, images.clone(), |_| {}).unwrap();
    assert_eq!(calibration.images, 7);

    let mut values = Vec::new();
    for image in &images {
        eval::run_with(&graph, image, |id, value| {
            if id == conv {
                values.push(value.clone());
            }
        })
        .unwrap();
    }
    let channel = |c: usize| values.iter().map(move |v| v.channels().nth(c).unwrap());
    let most = |all: Vec<f32>| all.into_iter().fold(f32::NEG_INFINITY, f32::max);
    let least = most(channel(1).flatten().map(|v| -v).collect());
    assert_eq!(calibration.channels[conv.index()][1].min, -least);
    let magnitude = most(channel(0).flatten().map(|v| v.abs()).collect());
    assert_eq!(calibration.magnitudes(conv)[0], magnitude);

    // Patches of 2x3 on 5x4, by hand.
    let by_hand = |shift: f32| {
        let mut sums = Vec::new();
        for map in channel(0) {
            for (top, left) in [(0, 0), (0, 3), (2, 0), (2, 3), (4, 0), (4, 3)] {
                let rows = top..(top + 2).min(5);
                let pixels = rows.flat_map(|y| (left..(left + 3).min(4)).map(move |x| y * 4 + x));
                sums.push(pixels.map(|i| map[i] - shift).sum::<f32>().abs());
            }
        }
        most(sums)
    };
    let close = |a: f32, b: f32| assert!((a - b).abs() < 1e-5, "{a} {b}");
    assert_eq!(calibration.patch_sums.len(), 2);
    let sums = &calibration.patch_sums[&block];
    close(sums.lower[0], by_hand(0.0));
    assert_eq!((sums.lower[1], &sums.upper), (0.0, &None));
    let sums = &calibration.patch_sums[&clip];
    close(sums.lower[0], magnitude);
    let upper = sums.upper.as_ref().unwrap();
    close(upper[0], by_hand(0.5));
    close(
        upper[1],
        most(channel(1).flatten().map(|v| (v - 0.5).abs()).collect()),
    );
}

#[test]
fn threads_and_batches_do_not_matter() {
    for seed in 0..20 {
        let graph = random_graph(seed);
        let images = images(&graph, 9);
        let pool = |threads| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap()
        };
        let run = || calibrate(&graph, images.clone(), |_| {}).unwrap();
        let one = pool(1).install(run);
        assert_eq!(one, pool(4).install(run));
        let mut steps = Calibrator::new(&graph);
        let mut gains = Probing::new(&graph);
        for part in [&images[..2], &images[2..]] {
            steps.add(part).unwrap();
            gains.add(part).unwrap();
        }
        let mut steps = steps.finish().unwrap();
        assert_eq!(steps.gains.images, 0);
        steps.gains.merge(&gains.finish());
        assert_eq!(one, steps);
    }
}

#[test]
fn it_survives_json_and_annotates_the_graph() {
    let (mut graph, conv, ..) = net();
    let calibration = calibrate(&graph, images(&graph, 2), |_| {}).unwrap();
    let text = serde_json::to_string(&calibration).unwrap();
    assert_eq!(serde_json::from_str::<Calibration>(&text).unwrap(), calibration);
    calibration.annotate(&mut graph);
    assert_eq!(graph.node(conv).range, Some(calibration.magnitudes(conv)));
    assert!(graph.verify().is_ok());
}

#[test]
fn progress_counts_to_the_end() {
    let (graph, ..) = net();
    let mut last = 0;
    calibrate(&graph, images(&graph, 5), |done| {
        assert!(done > last);
        last = done;
    })
    .unwrap();
    assert_eq!(last, 5);
}

#[test]
fn bad_images_are_refused_by_number() {
    let (graph, ..) = net();
    assert_eq!(
        calibrate(&graph, [], |_| {}).unwrap_err(),
        CalibrationError::NoImages
    );
    let mut wrong = images(&graph, 3);
    wrong[1] = FeatureMap::zeros(Shape::new(3, 4, 5));
    let error = calibrate(&graph, wrong, |_| {}).unwrap_err();
    assert!(
        matches!(error, CalibrationError::Image { image: 1, .. }),
        "{error}"
    );
    let mut wrong = images(&graph, 3);
    let mut values = wrong[2].clone().into_values();
    values[5] = f32::NAN;
    wrong[2] = FeatureMap::new(wrong[2].shape(), values);
    let error = calibrate(&graph, wrong, |_| {}).unwrap_err();
    assert_eq!(error, CalibrationError::ImageNotFinite { image: 2 });
}

#[test]
fn a_layer_that_overflows_is_named_even_before_a_relu() {
    let mut net = Net::new(1);
    let x = net.input(Shape::new(1, 2, 2));
    let huge = |net: &mut Net, x| {
        let op = Affine {
            scale: Tensor::vector(vec![1e38]),
            bias: Tensor::vector(vec![0.0]),
        };
        net.op(op, &[x])
    };
    let a = huge(&mut net, x);
    let b = huge(&mut net, a);
    let c = net.relu(b);
    let graph = net.finish(c);
    let error = calibrate(&graph, images(&graph, 2), |_| {}).unwrap_err();
    let expected = "affine \"affine2\" gave a value that is not a finite number on calibration image 0";
    assert!(error.to_string().starts_with(expected), "{error}");
}

/// Of a linear map all is known: an error of one input of variance 1 changes the two outputs by the
/// squares of its weights.
#[test]
fn gains_of_a_linear_map_are_its_squared_weights() {
    let mut net = Net::new(8);
    let x = net.input(Shape::vector(5));
    let y = net.linear(x, 2);
    let Op::Linear(linear) = net.node_op(y) else {
        panic!("it is a linear layer");
    };
    let weights = linear.weight.values().to_vec();
    let graph = net.finish(y);
    let images = images(&graph, 11);
    let calibration = calibrate(&graph, images.clone(), |_| {}).unwrap();
    let gains: Vec<f64> = calibration.gains.of(x).collect();
    assert_eq!((gains.len(), calibration.gains.images), (5, 8));
    for (c, gain) in gains.iter().enumerate() {
        let squares = [weights[c], weights[5 + c]].map(|w| f64::from(w).powi(2));
        assert!(
            (gain - squares.iter().sum::<f64>() / 2.0).abs() < 1e-6,
            "{c}: {gain}"
        );
    }
    let outputs = images
        .iter()
        .flat_map(|image| eval::run(&graph, image).unwrap().into_values());
    let outputs: Vec<f64> = outputs.map(f64::from).collect();
    let mean = outputs.iter().sum::<f64>() / 22.0;
    let variance = outputs.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / 22.0;
    assert!((calibration.gains.output_variance() - variance).abs() < 1e-5 * variance);
}
