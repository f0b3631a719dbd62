//! One layer at a time.

use trefoil_ir::geometry::{Coordinates, ResizeMode, ShuffleMode};
use trefoil_ir::nn::op::{AvgPool, Clip, MaxPool, Pad, Resize, Shuffle, Slice};
use trefoil_ir::{Patch, Shape, Window};

use super::*;
use trefoil_ir::Axis;

const BLOCK: Patch = Patch::Block { h: 2, w: 3 };

fn window(kernel: usize, stride: usize, dilation: usize, pads: [usize; 4]) -> Window {
    Window {
        kernel: [kernel; 2],
        stride: [stride; 2],
        dilation: [dilation; 2],
        pads,
    }
}

/// A layer between an image and the output.
fn layer(shape: Shape, make: impl Fn(&mut Net, NodeId) -> NodeId) -> Trial {
    let mut net = Net::new(11);
    let x = net.input(shape);
    let y = make(&mut net, x);
    Trial::new(net, y)
}

/// A layer behind a convolution.
fn behind_conv(shape: Shape, make: impl Fn(&mut Net, NodeId) -> NodeId) -> Trial {
    layer(shape, |net, x| {
        let x = net.conv(x, 5, 3);
        make(net, x)
    })
}

#[test]
fn convolutions_of_every_geometry() {
    for (window, groups) in [
        (window(3, 1, 1, [1; 4]), 1),
        (window(3, 2, 1, [1, 0, 1, 2]), 1),
        (window(1, 1, 1, [0; 4]), 1),
        (window(7, 2, 1, [3; 4]), 1),
        (window(3, 1, 2, [2; 4]), 2),
        (window(3, 1, 1, [1; 4]), 4),
    ] {
        let trial = layer(Shape::new(4, 9, 11), |net, x| {
            net.conv_of(x, 8, window.clone(), groups)
        });
        trial.assert_close(4.0);
        assert_eq!(trial.count("truncate"), 1);
    }
}

#[test]
fn linear_layers() {
    let trial = layer(Shape::vector(20), |net, x| net.linear(x, 7));
    trial.assert_close(6.0);
}

#[test]
fn gates_on_a_convolution_share_its_truncation() {
    let trial = behind_conv(Shape::new(3, 7, 8), |net, x| {
        let a = net.relu(x);
        let b = net.clip(x, 0.4);
        net.concat(&[a, b, x])
    });
    trial.assert_close(4.0);
    assert_eq!(trial.count("truncate"), 1);
    assert_eq!(trial.count("requant"), 1);
    let relu = behind_conv(Shape::new(3, 7, 8), |net, x| net.relu(x));
    relu.assert_close(3.0);
    assert!(has(
        relu.program(),
        |op| matches!(op, Op::Truncate(t) if t.keep == [15; 5])
    ));
    assert_eq!(relu.count("requant"), 0);
}

#[test]
fn block_relus_with_patches_that_do_not_divide_the_map() {
    let patches = vec![
        BLOCK,
        Patch::PIXEL,
        Patch::Identity,
        Patch::Block { h: 7, w: 8 },
        Patch::Block { h: 4, w: 1 },
    ];
    let trial = behind_conv(Shape::new(3, 7, 8), |net, x| net.block(x, patches.clone()));
    trial.assert_close(4.0);
    let Some(Op::Truncate(truncate)) = trial
        .program()
        .steps
        .iter()
        .map(|s| &s.op)
        .find(|op| op.name() == "truncate")
    else {
        panic!("no truncation");
    };
    assert_eq!(truncate.keep, [16, 15, 16, 16, 16]);
}

#[test]
fn a_block_relu_of_identities_costs_nothing() {
    let trial = behind_conv(Shape::new(3, 4, 4), |net, x| {
        let x = net.block(x, vec![Patch::Identity; 5]);
        net.conv(x, 2, 1)
    });
    trial.assert_close(6.0);
    assert_eq!(trial.count("block_relu"), 0);
}

#[test]
fn clips_with_equal_different_and_no_patches() {
    let pairs = [
        (Patch::PIXEL, Patch::PIXEL),
        (BLOCK, BLOCK),
        (BLOCK, Patch::PIXEL),
        (Patch::PIXEL, Patch::Block { h: 3, w: 3 }),
        (Patch::Identity, BLOCK),
    ];
    let patches = |side: usize| -> Vec<Patch> {
        let of = |(l, u): &(Patch, Patch)| if side == 0 { *l } else { *u };
        pairs.iter().map(of).collect()
    };
    for high in [0.3, 1.0, 3.0] {
        let trial = behind_conv(Shape::new(3, 7, 8), |net, x| {
            let (lower, upper) = (patches(0), patches(1));
            net.op(Clip { high, lower, upper }, &[x])
        });
        trial.assert_close(4.0);
    }
}

#[test]
fn units_that_the_client_can_infer_are_powers_of_two() {
    let trial = behind_conv(Shape::new(3, 7, 8), |net, x| {
        let a = net.clip(x, 0.5);
        let b = net.conv(a, 5, 3);
        let c = net.add(a, b);
        let d = net.relu(c);
        net.op(trefoil_ir::nn::op::GlobalAvgPool, &[d])
    });
    trial.assert_close(4.0);
    for (constant, values) in trial.program().constants.iter().zip(&trial.lowered.constants) {
        let power = |v: &i32| v.count_ones() == 1;
        match constant.kind {
            mpc::ConstKind::Multiplier | mpc::ConstKind::Level | mpc::ConstKind::SumLevel => {
                assert!(values.values().iter().all(power), "{:?}", values.values());
            }
            mpc::ConstKind::Weight | mpc::ConstKind::Bias => {}
        }
    }
}

#[test]
fn units_in_the_clients_plan_are_powers_of_two() {
    let power = |unit: &f64| unit.log2().fract() == 0.0;
    let nets: [fn(&mut Net, NodeId) -> NodeId; 3] = [
        |net, x| net.conv(x, 5, 3),
        |net, x| net.relu(x),
        |net, x| {
            let a = net.flatten(x);
            net.linear(a, 4)
        },
    ];
    for make in nets {
        let trial = behind_conv(Shape::new(3, 7, 8), make);
        trial.assert_close(4.0);
        assert!(
            trial.lowered.output.unit.iter().all(power),
            "{:?}",
            trial.lowered.output.unit
        );
        assert!(
            trial.lowered.input.unit.iter().all(power),
            "{:?}",
            trial.lowered.input.unit
        );
    }
}

#[test]
fn max_pools_of_every_geometry() {
    for (size, window) in [
        ([8, 8], window(2, 2, 1, [0; 4])),
        ([9, 7], window(3, 2, 1, [1; 4])),
        ([9, 8], window(3, 2, 1, [0, 0, 1, 1])),
        ([5, 5], window(5, 1, 1, [2; 4])),
        ([9, 9], window(3, 1, 2, [2; 4])),
        ([6, 6], window(1, 2, 1, [0; 4])),
    ] {
        let shape = Shape::new(2, size[0], size[1]);
        let pool = MaxPool {
            window: window.clone(),
        };
        let trial = layer(shape, |net, x| net.op(pool.clone(), &[x]));
        trial.assert_close(0.51);
        let trial = behind_conv(shape, |net, x| {
            let x = net.relu(x);
            net.op(pool.clone(), &[x])
        });
        trial.assert_close(3.0);
        assert!(!has(
            trial.program(),
            |op| matches!(op, Op::Max(max) if !max.non_negative)
        ));
    }
}

#[test]
fn a_relu_behind_a_max_pool_needs_no_truncation() {
    let trial = behind_conv(Shape::new(3, 8, 8), |net, x| {
        let x = net.max_pool(x, window(2, 2, 1, [0; 4]));
        let x = net.relu(x);
        net.relu(x)
    });
    trial.assert_close(3.0);
    assert_eq!((trial.count("truncate"), trial.count("relu")), (1, 2));
    assert!(has(
        trial.program(),
        |op| matches!(op, Op::Max(max) if !max.non_negative)
    ));
}

#[test]
fn larger_gates_on_activations_are_lifted() {
    let trial = behind_conv(Shape::new(3, 8, 8), |net, x| {
        let x = net.max_pool(x, window(2, 2, 1, [0; 4]));
        let a = net.block(x, vec![BLOCK; 5]);
        let b = net.clip(x, 0.8);
        net.add(a, b)
    });
    trial.assert_close(6.0);
    assert_eq!(trial.count("truncate"), 3);
    let input = layer(Shape::new(3, 8, 8), |net, x| net.block(x, vec![BLOCK; 3]));
    input.assert_close(2.0);
}

#[test]
fn means_divide_exactly() {
    for (include_pad, overhang) in [(true, [0, 0]), (false, [0, 0]), (true, [1, 1])] {
        let pool = AvgPool {
            window: window(3, 2, 1, [1; 4]),
            include_pad,
            overhang,
        };
        let trial = behind_conv(Shape::new(3, 8, 9), |net, x| {
            let x = net.relu(x);
            net.op(pool.clone(), &[x])
        });
        trial.assert_close(2.5);
    }
    let trial = behind_conv(Shape::new(3, 14, 14), |net, x| {
        let x = net.relu(x);
        let x = net.global_avg_pool(x);
        net.linear(x, 6)
    });
    trial.assert_close(5.0);
}

#[test]
fn resizes_copy_or_interpolate() {
    for mode in [ResizeMode::NearestFloor, ResizeMode::Bilinear] {
        for size in [[9, 13], [3, 4]] {
            let resize = Resize {
                size,
                scales: [size[0] as f32 / 5.0, size[1] as f32 / 6.0],
                mode,
                coordinates: Coordinates::HalfPixel,
            };
            let trial = behind_conv(Shape::new(2, 5, 6), |net, x| {
                let x = net.relu(x);
                let x = net.op(resize.clone(), &[x]);
                net.conv(x, 3, 3)
            });
            trial.assert_close(6.0);
            let copies = mode == ResizeMode::NearestFloor;
            assert_eq!(trial.count("interpolate"), usize::from(!copies));
            let gated = behind_conv(Shape::new(2, 5, 6), |net, x| {
                let x = net.op(resize.clone(), &[x]);
                net.block(x, vec![BLOCK; 5])
            });
            gated.assert_close(6.0);
            let tail = behind_conv(Shape::new(2, 5, 6), |net, x| net.op(resize.clone(), &[x]));
            tail.assert_close(4.0);
            assert_eq!(tail.lowered.output.linear.len(), usize::from(size[0] > 5));
        }
    }
}

#[test]
fn channels_that_become_pixels_are_lifted_to_one_unit() {
    for mode in [ShuffleMode::ToSpace, ShuffleMode::NeighboursToSpace] {
        let shuffle = Shuffle { block: 2, mode };
        let trial = layer(Shape::new(3, 5, 6), |net, x| {
            let x = net.conv(x, 8, 3);
            let x = net.relu(x);
            let x = net.op(shuffle.clone(), &[x]);
            net.conv(x, 3, 3)
        });
        trial.assert_close(6.0);
        assert_eq!([trial.count("lift"), trial.count("shuffle")], [1, 1]);
        let gated = layer(Shape::new(3, 5, 6), |net, x| {
            let x = net.conv(x, 8, 3);
            let x = net.op(shuffle.clone(), &[x]);
            net.block(x, vec![BLOCK; 2])
        });
        gated.assert_close(6.0);
        let tail = layer(Shape::new(3, 5, 6), |net, x| {
            let x = net.conv(x, 8, 3);
            net.op(shuffle.clone(), &[x])
        });
        tail.assert_close(4.0);
        assert_eq!(tail.lowered.output.linear.len(), 1);
    }
}

#[test]
fn pixels_that_become_channels_keep_their_units() {
    let trial = behind_conv(Shape::new(2, 4, 6), |net, x| {
        let x = net.relu(x);
        let mode = ShuffleMode::ToDepth;
        let x = net.op(Shuffle { block: 2, mode }, &[x]);
        net.conv(x, 3, 3)
    });
    trial.assert_close(6.0);
    assert_eq!([trial.count("lift"), trial.count("shuffle")], [0, 1]);
}

#[test]
fn a_vector_spread_over_a_map_is_copied() {
    let trial = behind_conv(Shape::new(2, 5, 6), |net, x| {
        let mean = net.global_avg_pool(x);
        let resize = Resize {
            size: [5, 6],
            scales: [5.0, 6.0],
            mode: ResizeMode::Bilinear,
            coordinates: Coordinates::HalfPixel,
        };
        let mean = net.op(resize, &[mean]);
        net.concat(&[mean, x])
    });
    trial.assert_close(4.0);
    assert_eq!(trial.count("interpolate"), 0);
}

#[test]
fn slices_pads_and_flattening_move_values() {
    let trial = behind_conv(Shape::new(3, 7, 8), |net, x| {
        let x = net.relu(x);
        let slice = |axis, start, step, count| Slice {
            axis,
            start,
            step,
            count,
        };
        let a = net.slice(x, slice(Axis::H, 0, 2, 4));
        let a = net.slice(a, slice(Axis::W, 1, 2, 4));
        let a = net.slice(a, slice(Axis::C, 1, 2, 2));
        let a = net.pad(a, [1, 0, 0], [2, 1, 0]);
        let b = net.conv(a, 4, 3);
        let b = net.flatten(b);
        net.linear(b, 3)
    });
    trial.assert_close(8.0);
}

#[test]
fn the_image_may_go_straight_to_the_output() {
    let trial = layer(Shape::new(2, 3, 3), |_, x| x);
    trial.assert_close(0.51);
    let padded = layer(Shape::new(2, 3, 3), |net, x| {
        let op = Pad {
            before: [0, 1, 1],
            after: [0, 0, 1],
        };
        net.op(op, &[x])
    });
    padded.assert_close(0.51);
}
