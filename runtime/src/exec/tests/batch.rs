//! Batches and stocks: the results of single images, bit by bit; the predicted bytes, round trips
//! and memory.

use trefoil_ir::mpc::Phase;
use trefoil_ir::mpc::gate::Rounds;
use trefoil_ir::mpc::memory::Memory;

use super::*;
use crate::wire::Count;

/// All three, ready to run.
#[derive(Clone)]
struct Parties {
    client: Client,
    server: Server,
    helper: Helper,
}

impl Parties {
    fn new(build: &Build) -> Self {
        let plans = plans(build);
        Self {
            client: Client::new(plans.client),
            server: Server::new(plans.server),
            helper: Helper::new(plans.helper),
        }
    }
}

/// What images came to that were run in batches.
struct InBatches {
    outputs: Vec<Vec<i64>>,
    /// What the client's links counted ahead of all images.
    offline: Traffic,
    /// What they counted of each batch.
    batches: Vec<Traffic>,
}

/// Prepares an inference for each image, numbered from 0 on, and runs them in batches of these
/// sizes. Each party's work is passed to `on`.
fn run_in_batches(
    parties: &Parties,
    images: &[Vec<i32>],
    sizes: &[usize],
    on: impl Fn(&mut (dyn FnMut() + Send)) + Sync,
) -> InBatches {
    let (client_server, mut server_client) = pair(Party::Client, Party::Server, 64);
    let (client_helper, mut helper_client) = pair(Party::Client, Party::Helper, 64);
    let Parties {
        mut client,
        mut server,
        mut helper,
    } = parties.clone();
    let numbers = 0..images.len() as u32;
    let (on, server_numbers, helper_numbers) = (&on, numbers.clone(), numbers.clone());
    thread::scope(|scope| {
        scope.spawn(move || {
            let (client_key, server_key) = (key(1), key(2));
            on(&mut || {
                for number in helper_numbers.clone() {
                    let dealt = helper.offline(&client_key, &server_key, number, &mut helper_client);
                    dealt.unwrap();
                }
            });
        });
        scope.spawn(move || {
            let key = key(2);
            on(&mut || {
                let offline = |number| server.offline(number, &mut server_client).unwrap();
                let mut stock: Vec<_> = server_numbers.clone().map(offline).collect();
                for &size in sizes {
                    let batch = stock.drain(..size).collect();
                    server.online_batch(&key, batch, &mut server_client).unwrap();
                }
            });
        });
        let (mut to_server, mut to_helper) = (Metered::new(client_server), Metered::new(client_helper));
        let mut ran = InBatches {
            outputs: vec![],
            offline: Traffic::default(),
            batches: vec![],
        };
        let key = key(1);
        on(&mut || {
            let mut offline = |number| client.offline(&key, number, &mut to_server, &mut to_helper);
            let mut stock: Vec<_> = numbers.clone().map(|number| offline(number).unwrap()).collect();
            ran.offline = to_server.take();
            ran.offline.merge(&to_helper.take());
            let mut images: Vec<&[i32]> = images.iter().map(Vec::as_slice).collect();
            for &size in sizes {
                let (stocks, images) = (stock.drain(..size).collect(), images.drain(..size));
                let images: Vec<_> = images.collect();
                let outputs = client.online_batch(&key, stocks, &images, &mut to_server);
                ran.outputs.extend(outputs.unwrap());
                ran.batches.push(to_server.take());
            }
        });
        ran
    })
}

/// A network with clips, a residual, large patches, a maximum and two branches, on small maps.
fn everything() -> Build {
    let block = |h, w| Patch::Block { h, w };
    let (mut b, x) = Build::new(Shape::new(3, 9, 8));
    let patches = vec![block(4, 4), Patch::PIXEL, block(2, 3), Patch::Identity];
    let list = SumList::of_gate(&patches, None);
    let three = || window(3, 1, [1; 4]);
    let z = b.conv(x, 4, three(), 1);
    let z = b.truncate(z, 16);
    let sums = b.conv_sums(x, 4, three(), 1, list);
    let sums = b.push(op::TruncateSums, &[sums]);
    let left = b.push(op::BlockRelu::new(patches), &[z, sums]);
    let z = b.conv(left, 4, three(), 2);
    let residual = b.lift(left);
    let z = b.push(op::Add, &[z, residual]);
    let z = b.truncate(z, 16);
    let clip = op::Clip {
        level: b.fixed(ConstKind::Level, vec![4], 900),
        sum_level: None,
        lower: vec![Patch::PIXEL; 4],
        upper: vec![Patch::PIXEL; 4],
        rounds: Rounds::Two,
    };
    let left = b.push(clip, &[z]);
    let right = b.conv(x, 4, window(1, 1, [0; 4]), 1);
    let right = b.relu(right);
    let y = b.push(op::Max::new(true), &[left, right]);
    let z = b.conv(y, 5, window(3, 2, [0; 4]), 1);
    let build = b.reveal(z);
    Build {
        program: build.program.verify().expect("sound").into_inner(),
        ..build
    }
}

fn some_images(build: &Build, count: u64) -> Vec<Vec<i32>> {
    let len = build.program.steps[0].ty.shape.len();
    let image = |seed: u64| {
        let mut state = 100 + seed;
        (0..len)
            .map(|_| (random(&mut state) % 8000) as i32 - 4000)
            .collect()
    };
    (0..count).map(image).collect()
}

/// The k-th image has the same inference number in any grouping, hence the same masks and coins:
/// every bit of every result must be the same.
#[test]
fn batches_change_no_bit_of_any_result() {
    let build = everything();
    let (parties, images) = (Parties::new(&build), some_images(&build, 7));
    let here = |work: &mut (dyn FnMut() + Send)| work();
    let one_by_one = run_in_batches(&parties, &images, &[1; 7], here);
    // Coins are at work here: the same image under other numbers differs somewhere.
    let same = vec![images[0].clone(); 7];
    let same = run_in_batches(&parties, &same, &[7], here).outputs;
    assert!(same.iter().any(|output| *output != same[0]));
    for sizes in [&[7][..], &[4, 3], &[1, 2, 4], &[3, 3, 1]] {
        let ran = run_in_batches(&parties, &images, sizes, here);
        assert_eq!(ran.outputs, one_by_one.outputs, "{sizes:?}");
    }
}

#[test]
fn any_number_of_threads_gives_the_same_and_none_waits_for_itself() {
    let build = everything();
    let (parties, images) = (Parties::new(&build), some_images(&build, 5));
    let wanted = run_in_batches(&parties, &images, &[1; 5], |work| work()).outputs;
    for threads in [1, 3] {
        let pool = || {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap()
        };
        // Each party within a pool of its own.
        let ran = run_in_batches(&parties, &images, &[5], |work| pool().install(work));
        assert_eq!(ran.outputs, wanted, "{threads} threads");
    }
}

#[test]
fn a_batch_takes_the_bytes_of_its_images_and_the_round_trips_of_one() {
    let build = everything();
    let (parties, images) = (Parties::new(&build), some_images(&build, 6));
    let cost = Cost::new(&build.program);
    let ran = run_in_batches(&parties, &images, &[4, 2], |work| work());
    let check = |traffic: &Traffic, phase: Phase, images: u64| {
        let mut predicted = BTreeMap::new();
        for id in build.program.ids() {
            let messages = build.program.messages(id).into_iter();
            for message in messages.filter(|m| m.stage.phase() == phase) {
                let bytes = images * message.bytes() as u64;
                predicted.insert(
                    (id.0, message.stage),
                    Count {
                        messages: images,
                        bytes,
                    },
                );
            }
        }
        let measured: BTreeMap<_, _> = traffic.messages().map(|(at, s, c)| ((at, s), c)).collect();
        assert_eq!(measured, predicted);
    };
    check(&ran.offline, Phase::Offline, 6);
    assert_eq!(ran.offline.round_trips, 0);
    for (traffic, images) in ran.batches.iter().zip([4, 2]) {
        check(traffic, Phase::Online, images);
        assert_eq!(traffic.round_trips, cost.round_trips as u64);
    }
}

#[test]
fn stocks_take_the_predicted_bytes_and_are_wiped() {
    for build in [everything(), everything_on_activations()] {
        let Parties {
            mut client,
            mut server,
            mut helper,
        } = Parties::new(&build);
        let (mut client_server, mut server_client) = pair(Party::Client, Party::Server, 64);
        let (mut client_helper, mut helper_client) = pair(Party::Client, Party::Helper, 64);
        let predicted = Memory::predict(&build.program);
        thread::scope(|scope| {
            scope.spawn(move || helper.offline(&key(1), &key(2), 0, &mut helper_client));
            let server = scope.spawn(move || server.offline(0, &mut server_client).unwrap());
            let key = key(1);
            let offline = client.offline(&key, 0, &mut client_server, &mut client_helper);
            let mut stock = offline.unwrap();
            assert_eq!(stock.bytes(), predicted.client.stock);
            assert!(client.measured().peak_memory > stock.bytes());
            assert_eq!(server.join().unwrap().bytes(), predicted.server.stock);
            assert!(!stock.is_wiped());
            stock.wipe();
            assert!(stock.is_wiped());
        });
    }
}

/// Gates without a truncation, of which one passes everything, and an activation revealed.
fn everything_on_activations() -> Build {
    let (mut b, x) = Build::new(Shape::new(2, 5, 4));
    let pass = |patch| op::Relu::new(vec![patch; 2]);
    let y = b.push(pass(Patch::Identity), &[x]);
    let y = b.push(pass(Patch::PIXEL), &[y]);
    let y = b.push(op::Max::new(false), &[x, y]);
    let build = b.reveal(y);
    Build {
        program: build.program.verify().expect("sound").into_inner(),
        ..build
    }
}

#[test]
fn a_batch_needs_an_inference_for_each_image() {
    let build = everything_on_activations();
    let (mut link, _server) = pair(Party::Client, Party::Server, 64);
    let mut client = Parties::new(&build).client;
    let error = client
        .online_batch(&key(1), vec![], &[&[0; 40]], &mut link)
        .unwrap_err();
    let words = "the batch has 1 images and 0 prepared inferences: each image takes one";
    assert_eq!(error.to_string(), words);
}
