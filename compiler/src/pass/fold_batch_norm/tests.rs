//! What folds where, on networks built by hand; random ones are in `manager.rs`.

use trefoil_ir::{Shape, Window};

use super::*;
use crate::pass::testing::{Net, evaluate_equal, ops};

fn start() -> (Net, NodeId) {
    let mut net = Net::new(11);
    let x = net.input(Shape::new(3, 6, 5));
    (net, x)
}

/// The operators between input and output after folding; the meaning must stay.
fn left(net: Net, y: NodeId) -> Vec<&'static str> {
    let before = net.finish(y);
    let mut after = before.clone();
    run(&mut after, &PassOptions::default()).unwrap();
    evaluate_equal(&before, &after, 3).unwrap();
    let names = ops(&after);
    names[1..names.len() - 1].to_vec()
}

#[test]
fn into_the_convolution_before() {
    let (mut net, x) = start();
    let depthwise = net.conv_of(x, 3, Window::dense([3, 3]), 3);
    let a = net.batch_norm(depthwise);
    let b = net.affine(a, true);
    let c = net.relu(b);
    assert_eq!(left(net, c), ["conv2d", "relu"]);
}

#[test]
fn not_into_a_convolution_with_another_user() {
    let (mut net, x) = start();
    let a = net.conv(x, 3, 3);
    let b = net.batch_norm(a);
    let c = net.add(a, b);
    assert_eq!(left(net, c), ["conv2d", "affine", "add"]);
}

#[test]
fn through_a_concatenation_where_all_can_take_it() {
    let (mut net, x) = start();
    let (a, b) = (net.conv(x, 2, 3), net.conv(x, 4, 1));
    let c = net.concat(&[a, b]);
    let d = net.batch_norm(c);
    assert_eq!(left(net, d), ["conv2d", "conv2d", "concat"]);
}

#[test]
fn through_a_concatenation_where_some_can() {
    let (mut net, x) = start();
    let (a, b) = (net.conv(x, 2, 3), net.relu(x));
    let c = net.concat(&[a, b]);
    let d = net.batch_norm(c);
    let e = net.relu(d);
    assert_eq!(left(net, e), ["conv2d", "relu", "affine", "concat", "relu"]);
}

#[test]
fn a_concatenation_that_cannot_take_anything_keeps_one_affine_behind_it() {
    let (mut net, x) = start();
    let a = net.relu(x);
    let b = net.concat(&[a, x]);
    let c = net.batch_norm(b);
    assert_eq!(left(net, c), ["relu", "concat", "affine"]);
}

#[test]
fn an_operand_that_comes_twice_is_not_folded_into_twice() {
    let (mut net, x) = start();
    let a = net.conv(x, 2, 3);
    let b = net.concat(&[a, a]);
    let c = net.batch_norm(b);
    assert_eq!(left(net, c), ["conv2d", "concat", "affine"]);
}

#[test]
fn through_sums_of_convolutions() {
    let (mut net, x) = start();
    let (a, b) = (net.conv(x, 2, 3), net.conv(x, 2, 1));
    let c = net.add(a, b);
    let d = net.batch_norm(c);
    assert_eq!(left(net, d), ["conv2d", "conv2d", "add"]);
}

#[test]
fn forward_into_convolutions_without_padding() {
    let (mut net, x) = start();
    let a = net.relu(x);
    let b = net.batch_norm(a);
    let (c, d) = (net.bare_conv(b, 2, 3), net.bare_conv(b, 4, 1));
    let (c, d) = (net.global_avg_pool(c), net.global_avg_pool(d));
    let e = net.concat(&[c, d]);
    let names = left(net, e);
    assert!(!names.contains(&"affine"), "{names:?}");
}

#[test]
fn forward_into_padded_convolutions_only_without_summand() {
    for (bias, expected) in [
        (true, vec!["relu", "affine", "conv2d"]),
        (false, vec!["relu", "conv2d"]),
    ] {
        let (mut net, x) = start();
        let a = net.relu(x);
        let b = net.affine(a, bias);
        let c = net.conv(b, 2, 3);
        assert_eq!(left(net, c), expected);
    }
}

#[test]
fn forward_into_grouped_convolutions() {
    let mut net = Net::new(2);
    let x = net.input(Shape::new(6, 5, 5));
    let a = net.relu(x);
    let b = net.batch_norm(a);
    let c = net.conv_of(b, 4, Window::dense([2, 3]), 2);
    assert_eq!(left(net, c), ["relu", "conv2d"]);
}

#[test]
fn through_pooling_and_flattening_into_the_linear_layer() {
    let (mut net, x) = start();
    let a = net.relu(x);
    let b = net.batch_norm(a);
    let c = net.global_avg_pool(b);
    let d = net.flatten(c);
    let e = net.linear(d, 4);
    assert_eq!(left(net, e), ["relu", "global_avg_pool", "flatten", "linear"]);

    let (mut net, x) = start();
    let a = net.relu(x);
    let b = net.batch_norm(a);
    let c = net.avg_pool(b, Window::dense([2, 2]), false);
    let d = net.flatten(c);
    let e = net.linear(d, 4);
    assert_eq!(left(net, e), ["relu", "avg_pool", "flatten", "linear"]);
}

#[test]
fn not_past_a_pool_to_where_a_gate_blocks_it() {
    let (mut net, x) = start();
    let a = net.relu(x);
    let b = net.batch_norm(a);
    let c = net.global_avg_pool(b);
    let d = net.relu(c);
    assert_eq!(left(net, d), ["relu", "affine", "global_avg_pool", "relu"]);
}

#[test]
fn back_through_a_max_pool_only_if_increasing() {
    let mut net = Net::new(4);
    let x = net.input(Shape::new(3, 6, 6));
    let a = net.conv(x, 2, 3);
    let b = net.max_pool(a, Window::dense([2, 2]));
    let c = net.affine(b, true); // scales between 0.5 and 1.5
    assert_eq!(left(net, c), ["conv2d", "max_pool"]);
}

/// Two roundings (to the factor, to the product) would miss the last bit now and then.
#[test]
fn folding_rounds_once() {
    let mut net = Net::new(12);
    let x = net.input(Shape::new(4, 2, 2));
    let a = net.bare_conv(x, 64, 1);
    let b = net.batch_norm(a);
    let before = net.finish(b);
    let mut after = before.clone();
    run(&mut after, &PassOptions::default()).unwrap();
    let (Op::Conv2d(old), Op::BatchNorm(norm), Op::Conv2d(new)) =
        (&before.node(a).op, &before.node(b).op, &after.node(a).op)
    else {
        unreachable!()
    };
    for (i, (old, new)) in old.weight.values().iter().zip(new.weight.values()).enumerate() {
        let [gamma, variance] = [&norm.gamma, &norm.variance].map(|t| f64::from(t.values()[i / 4]));
        let factor = gamma / (variance + f64::from(norm.epsilon)).sqrt();
        assert_eq!(*new, (f64::from(*old) * factor) as f32);
    }
}
