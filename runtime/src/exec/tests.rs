//! Programs through all three parties, in threads: every value that they hold between them is put
//! together again and compared with the op's meaning in plain integers, to the last unit (the
//! rounding coins are known from R), and what passed on the links with what the program predicts.

mod batch;
mod beyond;
mod build;
mod links;
mod wiped;

use std::collections::BTreeMap;
use std::thread;

use trefoil_ir::geometry::{Coordinates, ResizeMode, ShuffleMode};
use trefoil_ir::mpc::cost::Cost;
use trefoil_ir::mpc::emulate::{Emulator, IntMap, Rounding};
use trefoil_ir::mpc::gate::Rounds;
use trefoil_ir::mpc::patch_sums::SumList;
use trefoil_ir::mpc::{ConstKind, Kind, Op, Party, Program, ValueId, op};
use trefoil_ir::{Axis, Patch, Shape, Window, nn};

pub(super) use build::{Build, Plans, plans};

use super::store::tap;
use super::{Client, Helper, Server};
use crate::prg::{Seed, StreamKey};
use crate::protocol::tests::{Apart, expected, random};
use crate::wire::{Metered, Traffic, pair};

pub(super) type Stored = BTreeMap<ValueId, Vec<u32>>;

pub(super) fn key(n: u8) -> StreamKey {
    StreamKey::new(&Seed::from_bytes([n; 32]))
}

struct Ran {
    output: Vec<i64>,
    stored: [Stored; 3],
    to_server: Traffic,
    to_helper: Traffic,
}

/// One inference, each party on a thread of its own.
fn run(plans: Plans, image: &[i32]) -> Ran {
    let (client_server, mut server_client) = pair(Party::Client, Party::Server, 64);
    let (client_helper, mut helper_client) = pair(Party::Client, Party::Helper, 64);
    let Plans {
        client,
        server,
        helper,
    } = plans;
    thread::scope(|scope| {
        let helper = scope.spawn(move || {
            Helper::new(helper)
                .offline(&key(1), &key(2), 5, &mut helper_client)
                .unwrap();
            tap::take()
        });
        let server = scope.spawn(move || {
            let mut server = Server::new(server);
            let stock = server.offline(5, &mut server_client).unwrap();
            server.online(&key(2), stock, &mut server_client).unwrap();
            tap::take()
        });
        let mut client = Client::new(client);
        let (mut to_server, mut to_helper) = (Metered::new(client_server), Metered::new(client_helper));
        let key = key(1);
        tap::take();
        let stock = client.offline(&key, 5, &mut to_server, &mut to_helper).unwrap();
        let output = client.online(&key, stock, image, &mut to_server).unwrap();
        Ran {
            output,
            stored: [tap::take(), server.join().unwrap(), helper.join().unwrap()],
            to_server: to_server.take(),
            to_helper: to_helper.take(),
        }
    })
}

/// Puts a value together from what the parties hold.
fn open(program: &Program, stored: &[Stored; 3], id: ValueId) -> Vec<i64> {
    let [client, server, helper] = stored.each_ref().map(|s| s.get(&id));
    let sum = |a: &Vec<u32>, b: &Vec<u32>| -> Vec<u32> {
        a.iter().zip(b).map(|(a, b)| a.wrapping_add(*b)).collect()
    };
    let (server, helper) = (server.expect("stored"), helper.expect("stored"));
    let total = match program.ty(id).kind {
        Kind::Activation => {
            assert_eq!(
                client,
                Some(helper),
                "client and helper hold the same mask of {id}"
            );
            sum(server, helper)
        }
        Kind::Accumulator => sum(&sum(server, helper), client.expect("stored")),
        Kind::Truncated | Kind::Sums | Kind::Output => sum(server, helper),
    };
    total.into_iter().map(|v| i64::from(v as i32)).collect()
}

/// Checks every step of a run against the op's meaning, and the traffic against the prediction.
/// Checks every step of a program, with its signs taken in two rounds and in one.
pub(super) fn check(build: Build) {
    let build = Build {
        program: build.program.verify().expect("sound").into_inner(),
        ..build
    };
    check_as_it_is(&build);
    let quick = build.in_one_round();
    check_as_it_is(&quick);
    let trips = |build: &Build| Cost::new(&build.program).round_trips;
    assert!(trips(&quick) < trips(&build));
}

fn check_as_it_is(build: &Build) {
    let program = &build.program;
    let mut state = 11;
    let image: Vec<i32> = (0..program.steps[0].ty.shape.len())
        .map(|_| (random(&mut state) % 8000) as i32 - 4000)
        .collect();
    let ran = run(plans(build), &image);

    let emulator = Emulator::new(program, &build.constants);
    let map = IntMap::new(
        program.steps[0].ty.shape,
        image.iter().map(|&x| i64::from(x)).collect(),
    );
    let nearest = emulator.run(&map, Rounding::Nearest, |_, _| {});
    let breaches: Vec<_> = nearest.breaches().collect();
    assert!(
        breaches.is_empty(),
        "the test's values stay in range: {breaches:?}"
    );

    for id in program.ids() {
        check_step(build, &ran, id, &image);
    }
    let cost = Cost::new(program);
    let mut traffic = ran.to_server.clone();
    traffic.merge(&ran.to_helper);
    for (at, step) in cost.steps.iter().enumerate() {
        assert_eq!(traffic.step_bytes(at as u32), step.bytes, "bytes of %{at}");
    }
    let mut links = cost.links.clone();
    links.retain(|_, bytes| *bytes > 0);
    assert_eq!(traffic.links(), links);
    assert_eq!(ran.to_server.round_trips, cost.round_trips as u64);
}

fn check_step(build: &Build, ran: &Ran, id: ValueId, image: &[i32]) {
    let program = &build.program;
    let step = program.step(id);
    let args: Vec<Vec<i64>> = step.args.iter().map(|a| open(program, &ran.stored, *a)).collect();
    let arg_shape = step.args.first().map(|a| program.ty(*a).shape);
    let r = |arg: ValueId| &ran.stored[2][&arg];
    let want: Vec<i64> = match &step.op {
        Op::Input(_) => image.iter().map(|&x| i64::from(x)).collect(),
        Op::Truncate(_) | Op::TruncateSums(_) => args[0].clone(),
        Op::Requant(_) | Op::BlockRelu(_) | Op::Clip(_) => {
            let identity = vec![Patch::Identity; step.ty.shape.c];
            let (lower, upper, levels) = match &step.op {
                Op::BlockRelu(op) => (&op.patches, None, vec![]),
                Op::Clip(op) => (
                    &op.lower,
                    Some(&op.upper),
                    build.constants[op.level.index()].values().to_vec(),
                ),
                _ => (&identity, None, vec![]),
            };
            let sum_levels = match &step.op {
                Op::Clip(op) => op.sum_level.map(|l| build.constants[l.index()].values()),
                _ => None,
            };
            let apart = step.args.get(1).map(|&sums| Apart {
                z: &args[1],
                r: r(sums),
                levels: sum_levels.unwrap_or_default(),
            });
            let r = r(step.args[0]);
            let shape = arg_shape.unwrap();
            expected(&args[0], r, r, lower, upper, &levels, shape, apart.as_ref())
        }
        Op::Relu(op) => {
            let plane = step.ty.shape.plane();
            let pass = |i: usize| op.patches[i / plane] == Patch::Identity;
            args[0]
                .iter()
                .enumerate()
                .map(|(i, &x)| if pass(i) { x } else { x.max(0) })
                .collect()
        }
        Op::Max(_) => args[0].iter().zip(&args[1]).map(|(a, b)| *a.max(b)).collect(),
        Op::Reveal(_) => {
            let want = match program.ty(step.args[0]).kind {
                Kind::Truncated => {
                    let identity = vec![Patch::Identity; step.ty.shape.c];
                    let r = r(step.args[0]);
                    expected(&args[0], r, r, &identity, None, &[], arg_shape.unwrap(), None)
                }
                Kind::Activation | Kind::Accumulator | Kind::Sums | Kind::Output => args[0].clone(),
            };
            assert_eq!(ran.output, want, "{id}");
            return;
        }
        _ => {
            // A local op: exactly what the emulator makes of the same operands.
            local_meaning(build, id, &args)
        }
    };
    assert_eq!(open(program, &ran.stored, id), want, "{id}: {}", step.op.name());
}

/// The emulator's result of one local step on these operands: a program of that step alone, whose
/// operands come out of one image.
fn local_meaning(build: &Build, id: ValueId, args: &[Vec<i64>]) -> Vec<i64> {
    let program = &build.program;
    let step = program.step(id);
    let emulator = Emulator::new(program, &build.constants);
    let maps: Vec<IntMap> = step
        .args
        .iter()
        .zip(args)
        .map(|(a, v)| IntMap::new(program.ty(*a).shape, v.clone()))
        .collect();
    let maps: Vec<&IntMap> = maps.iter().collect();
    emulator.step(id, &maps).values().to_vec()
}

fn window(kernel: usize, stride: usize, pads: [usize; 4]) -> Window {
    Window {
        stride: [stride, stride],
        pads,
        ..Window::dense([kernel, kernel])
    }
}

fn residual_network() -> Build {
    let (mut b, x) = Build::new(Shape::new(3, 9, 7));
    let z = b.conv(x, 6, window(3, 1, [1; 4]), 1);
    let tr = b.push(
        op::Truncate {
            keep: vec![16, 15, 16, 16, 15, 16],
        },
        &[z],
    );
    let block = |h, w| Patch::Block { h, w };
    let patches = vec![
        block(2, 2),
        Patch::PIXEL,
        Patch::Identity,
        block(3, 4),
        Patch::PIXEL,
        block(9, 7),
    ];
    let a = b.push(op::BlockRelu::new(patches), &[tr]);
    let z = b.conv(a, 6, window(3, 1, [1; 4]), 3);
    let residual = b.lift(a);
    let sum = b.push(op::Add, &[z, residual]);
    let y = b.relu(sum);
    let z = b.conv(y, 5, window(1, 2, [0; 4]), 1);
    b.reveal(z)
}

#[test]
fn a_residual_network_with_mixed_patches() {
    check(residual_network());
}

fn local_ops() -> Build {
    let (mut b, x) = Build::new(Shape::new(4, 8, 6));
    let left = b.conv(
        x,
        4,
        Window {
            dilation: [2, 1],
            pads: [2, 1, 2, 1],
            ..Window::dense([3, 3])
        },
        4,
    );
    let left = b.relu(left);
    let right = b.conv(x, 2, window(3, 1, [1; 4]), 2);
    let right = b.truncate(right, 16);
    let right = b.push(op::Requant, &[right]);
    let both = b.push(op::Concat, &[left, right]);
    let deep = b.shuffle(both, ShuffleMode::ToDepth);
    let back = b.shuffle(deep, ShuffleMode::NeighboursToSpace);
    let gathered = b.push(
        op::Gather {
            axis: Axis::W,
            index: vec![0, 2, 2, 5],
        },
        &[back],
    );
    let padded = b.push(
        op::Pad {
            pad: nn::op::Pad {
                before: [1, 0, 1],
                after: [0, 1, 0],
            },
        },
        &[gathered],
    );
    let resize = nn::op::Resize {
        size: [11, 7],
        scales: [11.0 / 9.0, 7.0 / 5.0],
        mode: ResizeMode::Bilinear,
        coordinates: Coordinates::HalfPixel,
    };
    let grown = b.push(op::Interpolate { resize }, &[padded]);
    let grown = b.push(op::Add, &[grown, grown]);
    let grown = b.relu(grown);
    let multiplier = b.fixed(ConstKind::Multiplier, vec![7, 5, 3], 65536 / 6);
    let pool = Window {
        kernel: [3, 2],
        stride: [2, 2],
        dilation: [1, 1],
        pads: [0; 4],
    };
    let pooled = b.push(
        op::SumPool {
            window: pool,
            multiplier,
        },
        &[grown],
    );
    let pooled = b.truncate(pooled, 16);
    let pooled = b.push(op::Requant, &[pooled]);
    let flat = b.push(op::Reshape, &[pooled]);
    let logits = b.conv(flat, 10, Window::dense([1, 1]), 1);
    b.reveal(logits)
}

#[test]
fn every_local_op_and_branches_that_share_rounds() {
    check(local_ops());
}

fn clips_and_maxima() -> Build {
    let (mut b, x) = Build::new(Shape::new(5, 7, 7));
    let z = b.conv(x, 5, window(3, 1, [1; 4]), 1);
    let tr = b.truncate(z, 16);
    let level = b.fixed(ConstKind::Level, vec![5], 900);
    let p = Patch::Block { h: 2, w: 3 };
    let lower = vec![Patch::PIXEL, p, Patch::Identity, Patch::PIXEL, Patch::Identity];
    let upper = vec![Patch::PIXEL, p, Patch::PIXEL, Patch::Identity, Patch::Identity];
    let clip = op::Clip {
        level,
        sum_level: None,
        lower,
        upper,
        rounds: Rounds::Two,
    };
    let clipped = b.push(clip, &[tr]);
    let requant = b.push(op::Requant, &[tr]);
    let max = b.push(op::Max::new(false), &[clipped, requant]);
    let patches = vec![
        Patch::PIXEL,
        Patch::Identity,
        Patch::PIXEL,
        Patch::PIXEL,
        Patch::PIXEL,
    ];
    let relu = b.push(op::Relu::new(patches), &[max]);
    let pass = b.push(op::Relu::new(vec![Patch::Identity; 5]), &[relu]);
    let one = b.push(op::Relu::new(vec![Patch::PIXEL; 5]), &[pass]);
    let rolled = b.push(
        op::Gather {
            axis: Axis::H,
            index: vec![1, 2, 3, 4, 5, 6, 0],
        },
        &[one],
    );
    let max = b.push(op::Max::new(true), &[one, rolled]);
    b.reveal(max)
}

#[test]
fn clips_maxima_and_gates_on_activations() {
    check(clips_and_maxima());
}

fn large_patches() -> Build {
    let block = |h, w| Patch::Block { h, w };
    let (mut b, x) = Build::new(Shape::new(3, 19, 13));
    // Ragged patches, the whole map, and small ones in between.
    let patches = vec![
        block(4, 4),
        Patch::PIXEL,
        block(19, 13),
        Patch::Identity,
        block(2, 3),
        block(4, 4),
        block(5, 9),
    ];
    let list = SumList::of_gate(&patches, None);
    let three = || window(3, 1, [1; 4]);
    let z = b.conv(x, 7, three(), 1);
    let z = b.truncate(z, 16);
    let sums = b.conv_sums(x, 7, three(), 1, list);
    let sums = b.push(op::TruncateSums, &[sums]);
    let a = b.push(op::BlockRelu::new(patches), &[z, sums]);
    // A depthwise convolution with a stride, and a mean of the same map, joined.
    let patches = [vec![block(4, 4); 6], vec![block(10, 7)]].concat();
    let list = SumList::of_gate(&patches, None);
    let strided = || window(3, 2, [1, 1, 1, 1]);
    let z = b.conv(a, 7, strided(), 7);
    let multiplier = b.fixed(ConstKind::Multiplier, vec![7, 10, 7], 1 << 12);
    let mean = b.push(
        op::SumPool {
            window: strided(),
            multiplier,
        },
        &[a],
    );
    let z = b.push(op::Add, &[z, mean]);
    let z = b.truncate(z, 16);
    let left = b.conv_sums(a, 7, strided(), 7, list.clone());
    let right = b.lift_sums(a, strided(), list);
    let sums = b.push(op::Add, &[left, right]);
    let sums = b.push(op::TruncateSums, &[sums]);
    let y = b.push(op::BlockRelu::new(patches), &[z, sums]);
    let z = b.conv(y, 5, window(1, 2, [0; 4]), 1);
    b.reveal(z)
}

#[test]
fn a_residual_network_with_large_patches() {
    check(large_patches());
}

fn clips_of_parts() -> Build {
    let block = |h, w| Patch::Block { h, w };
    let (mut b, x) = Build::new(Shape::new(4, 11, 9));
    let lower = vec![
        block(4, 4),
        block(11, 9),
        Patch::PIXEL,
        block(2, 2),
        block(4, 4),
        Patch::Identity,
    ];
    let upper = vec![
        block(4, 4),
        block(3, 7),
        block(6, 6),
        block(3, 1),
        Patch::Identity,
        block(4, 5),
    ];
    let grouped = || Window {
        dilation: [2, 1],
        pads: [2, 1, 2, 1],
        ..Window::dense([3, 3])
    };
    let left = b.conv(x, 4, grouped(), 2);
    let right = b.conv(x, 2, window(1, 1, [0; 4]), 1);
    let z = b.push(op::Concat, &[left, right]);
    let z = b.truncate(z, 16);
    let list = SumList::of_gate(&lower, Some(&upper));
    let (mut of_left, mut of_right) = (SumList::default(), SumList::default());
    for (channel, patch) in list.iter() {
        match channel.checked_sub(4) {
            None => of_left.push(channel, patch),
            Some(channel) => of_right.push(channel, patch),
        }
    }
    let left = b.conv_sums(x, 4, grouped(), 2, of_left);
    let right = b.conv_sums(x, 2, window(1, 1, [0; 4]), 1, of_right);
    let sums = b.push(op::Concat, &[left, right]);
    let sums = b.push(op::TruncateSums, &[sums]);
    let level = b.fixed(ConstKind::Level, vec![6], 900);
    let sum_level = Some(b.fixed(ConstKind::SumLevel, vec![6], 450_000));
    let clip = op::Clip {
        level,
        sum_level,
        lower,
        upper,
        rounds: Rounds::Two,
    };
    let y = b.push(clip, &[z, sums]);
    b.reveal(y)
}

#[test]
fn clips_with_large_patches_of_parts() {
    check(clips_of_parts());
}
