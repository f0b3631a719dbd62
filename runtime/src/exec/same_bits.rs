//! The same bits on every instruction set and with any number of threads: whole inferences of all
//! three parties under fixed keys, compared in every message, every value that a party stores, and
//! the output.
//!
//! Within one set-up a run is a function of keys and image alone, so that nothing but an operation
//! that depends on vector width or on the cut among threads can make two of them differ.

use std::thread;

use rayon::{ThreadPool, ThreadPoolBuilder};
use trefoil_ir::Shape;
use trefoil_ir::mpc::cost::Cost;
use trefoil_ir::mpc::{Party, Program};
use trefoil_ir::text::TensorStore;

use super::store::tap;
use super::tests::{Build, Plans, Stored, check, key, plans};
use super::{Client, Helper, Server};
use crate::kernel::Isa;
use crate::protocol::tests::random;
use crate::wire::recording::Recording;
use crate::wire::{FrameKind, Tag, pair};

/// Every form of gate, on maps whose sizes no vector divides: pixels, small patches, large ones with
/// sums from apart, identities; clips with one sign, two of one patch and two of several; maxima, and
/// gates on activations. Convolutions with a stride, one filter a channel, in groups, and 1x1.
pub(super) const GATES: &str = r#"program "gates" {
  const c0 : weight[22,3,3,3] random(1, 3000)
  const c1 : bias[22] random(2, 10000000)
  const c2 : weight[4,3,3,3] random(3, 60)
  const c3 : bias[4] random(4, 100000)
  const c4 : weight[22,1,3,3] random(5, 5000)
  const c5 : level[22]{900*22}
  const c6 : sum_level[22]{450000*22}
  const c7 : weight[3,1,3,3] random(6, 80)
  const c8 : weight[38,22,1,1] random(7, 3000)
  const c9 : multiplier[38]{65536*38}
  const c10 : weight[38,19,3,3] random(8, 1500)
  const c11 : multiplier[38,10,9]{7281*3420}
  const c12 : weight[10,38,10,9] random(9, 200)
  %0 = input {shape=[3, 37, 33]} @"image"
  %1 = conv2d %0 {weight=c0, bias=c1, channels=22, kernel=[3, 3], stride=[2, 2], pads=[1*4]} : acc<22x19x17> @"strided"
  %2 = truncate %1 {keep=[15*9, 16*13]} @"strided"
  %3 = conv2d_sums %0 {weight=c2, bias=c3, channels=22, of=[18, 19, 20, 21], patches=[4x4*2, 5x9, 19x17], kernel=[3, 3], stride=[2, 2], pads=[1*4]} @"strided"
  %4 = truncate_sums %3 @"strided"
  %5 = block_relu %2, %4 {patches=[1x1*9, 2x2*4, 2x3*2, 0x1*3, 4x4*2, 5x9, 19x17]} @"strided"
  %6 = conv2d %5 {weight=c4, channels=22, kernel=[3, 3], pads=[1*4], groups=22} @"depthwise"
  %7 = truncate %6 {keep=[16*22]} @"depthwise"
  %8 = conv2d_sums %5 {weight=c7, channels=22, of=[19, 20, 21], patches=[4x4, 4x4, 6x5], kernel=[3, 3], pads=[1*4], groups=22} @"depthwise"
  %9 = truncate_sums %8 @"depthwise"
  %10 = clip %7, %9 {level=c5, sum_level=c6, lower=[1x1*5, 2x2*3, 0x1*4, 1x1*4, 0x1*3, 4x4, 4x4, 1x1], upper=[1x1*5, 2x2*3, 1x1*4, 2x1*4, 0x1*3, 4x4, 2x2, 6x5]} @"depthwise"
  %11 = conv2d %10 {weight=c8, channels=38, kernel=[1, 1]} @"expand"
  %12 = truncate %11 {keep=[16*38]} @"expand"
  %13 = requant %12 @"expand"
  %14 = gather %13 {axis=w, index=[1..17, 0]} @"pool"
  %15 = max %13, %14 {non_negative=false} @"pool"
  %16 = relu %15 {patches=[1x1*20, 0x1*18]} @"pool"
  %17 = lift %16 {multiplier=c9} @"shortcut"
  %18 = conv2d %16 {weight=c10, channels=38, kernel=[3, 3], pads=[1*4], groups=2} @"grouped"
  %19 = add %17, %18 @"grouped"
  %20 = truncate %19 {keep=[15*38]} @"grouped"
  %21 = block_relu %20 {patches=[1x1*38]} @"grouped"
  %22 = sum_pool %21 {multiplier=c11, kernel=[3, 3], stride=[2, 2], pads=[1*4]} : acc<38x10x9> @"mean"
  %23 = truncate %22 {keep=[16*38]} @"mean"
  %24 = requant %23 @"mean"
  %25 = conv2d %24 {weight=c12, channels=10, kernel=[10, 9]} @"classes"
  %26 = truncate %25 {keep=[16*10]} @"classes"
  %27 = reveal %26 @"classes"
}
"#;

/// Thread counts that are compared: one, two, and more than this machine may have.
const THREADS: [usize; 3] = [1, 2, 3];

#[test]
fn every_instruction_set_and_thread_count_gives_the_same_bits() {
    let build = build(GATES);
    same_bits(&build);
    same_bits(&build.in_one_round());
}

fn same_bits(build: &Build) {
    let image = image(build.program.steps[0].ty.shape);
    let expected = run(build, &image, Isa::Scalar, 1);
    assert!(expected.output.iter().any(|&logit| logit != 0));
    assert_eq!(bytes(&expected), Cost::new(&build.program).bytes().total);
    for isa in Isa::available() {
        for threads in THREADS {
            let got = run(build, &image, isa, threads);
            if let Some(difference) = difference(&build.program, &expected, &got) {
                panic!("{isa:?} with {threads} threads, against scalar code with one: {difference}");
            }
        }
    }
}

#[test]
fn the_bits_are_right() {
    check(build(GATES));
}

/// The program of a text, with the values that stand in it.
pub(super) fn build(text: &str) -> Build {
    let parsed = Program::parse_verified(text, &TensorStore::new());
    let (program, values) = parsed.unwrap_or_else(|faults| panic!("{faults}"));
    let values = values.into_iter().map(|value| value.expect("values are written"));
    Build {
        program: program.into_inner(),
        constants: values.collect(),
        state: 0,
    }
}

fn image(shape: Shape) -> Vec<i32> {
    let mut state = 3;
    let pixel = |_| (random(&mut state) % 8000) as i32 - 4000;
    (0..shape.len()).map(pixel).collect()
}

/// All that a run consists of.
pub(super) struct Ran {
    pub(super) output: Vec<i64>,
    /// What client, server and helper stored.
    pub(super) stored: [Stored; 3],
    /// What was sent: client to server, client to helper, server to client, helper to client.
    pub(super) sent: [Vec<Frame>; 4],
}

pub(super) type Frame = (Tag, Vec<u8>);

/// One inference with kernels of one instruction set, each party in a pool of its own.
pub(super) fn run(build: &Build, image: &[i32], isa: Isa, threads: usize) -> Ran {
    let Plans {
        client,
        server,
        helper,
    } = plans(build);
    let [client_server, server_client] = recorded(Party::Client, Party::Server);
    let [client_helper, helper_client] = recorded(Party::Client, Party::Helper);
    let pools = [threads; 3].map(pool);
    thread::scope(|scope| {
        let helper = scope.spawn(|| {
            pools[0].install(move || {
                let mut link = helper_client;
                let mut helper = Helper::for_isa(isa, helper);
                helper.offline(&key(1), &key(2), 5, &mut link).unwrap();
                (tap::take(), link.sent)
            })
        });
        let server = scope.spawn(|| {
            pools[1].install(move || {
                let mut link = server_client;
                let mut server = Server::for_isa(isa, server);
                let stock = server.offline(5, &mut link).unwrap();
                server.online(&key(2), stock, &mut link).unwrap();
                (tap::take(), link.sent)
            })
        });
        let (output, stored, to_server, to_helper) = pools[2].install(move || {
            let (mut server, mut helper, key) = (client_server, client_helper, key(1));
            let mut client = Client::for_isa(isa, client);
            let stock = client.offline(&key, 5, &mut server, &mut helper).unwrap();
            let output = client.online(&key, stock, image, &mut server).unwrap();
            (output, tap::take(), server.sent, helper.sent)
        });
        let (of_server, by_server) = server.join().unwrap();
        let (of_helper, by_helper) = helper.join().unwrap();
        Ran {
            output,
            stored: [stored, of_server, of_helper],
            sent: [to_server, to_helper, by_server, by_helper],
        }
    })
}

fn pool(threads: usize) -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

/// Where two runs differ first: a value is stored before what follows from it is sent.
fn difference(program: &Program, expected: &Ran, got: &Ran) -> Option<String> {
    let stored = expected.stored.iter().zip(&got.stored);
    for (party, (one, other)) in ["client", "server", "helper"].into_iter().zip(stored) {
        assert!(one.keys().eq(other.keys()), "the {party} stores the same steps");
        if let Some((&id, _)) = one.iter().find(|(id, values)| other[id] != **values) {
            let op = program.step(id).op.name();
            return Some(format!("the {party}'s value of {id}, {op}"));
        }
    }
    for (one, other) in expected.sent.iter().zip(&got.sent) {
        assert_eq!(one.len(), other.len(), "as many messages");
        if let Some(((tag, _), _)) = one.iter().zip(other).find(|(one, other)| one != other) {
            return Some(format!("the message {tag}"));
        }
    }
    (expected.output != got.output).then(|| "the output".to_owned())
}

/// Payload of all messages of a run.
fn bytes(ran: &Ran) -> u64 {
    let messages = ran.sent.iter().flatten();
    let payload = messages.filter(|(tag, _)| matches!(tag.kind, FrameKind::Message(_)));
    payload.map(|(_, payload)| payload.len() as u64).sum()
}

fn recorded(left: Party, right: Party) -> [Recording; 2] {
    let (left, right) = pair(left, right, 64);
    [left, right].map(Recording::new)
}
