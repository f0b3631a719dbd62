//! Gates against plain integers, with all three parties in one function, and against cases that
//! the numpy reference of the protocol recorded.

use serde::Deserialize;
use trefoil_ir::geometry::patch_area;
use trefoil_ir::mpc::gate::{self, Group, Rounds, WIDE};
use trefoil_ir::mpc::op::Truncate;
use trefoil_ir::mpc::patch_sums::{SumList, is_large};
use trefoil_ir::mpc::privacy::{Draws, Key};
use trefoil_ir::mpc::{Message, Stage, UNIT};
use trefoil_ir::{Patch, Patches, Shape};

use super::gate::{Client, Exact, Levels, MaskSource, Server, helper_deal, result_mask};
use super::layout::GateLayout;
use super::operand::Half;
use super::streams::StepStreams;
use super::truncate;
use crate::kernel::Isa;
use crate::prg::{Seed, StreamKey};

struct Keys {
    client: StreamKey,
    server: StreamKey,
    helper_ch: StreamKey,
    helper_sh: StreamKey,
}

fn keys(seed: u8) -> Keys {
    let key = |n: u8| StreamKey::new(&Seed::from_bytes([n; 32]));
    let (ch, sh) = (2 * seed, 2 * seed + 1);
    Keys {
        client: key(ch),
        server: key(sh),
        helper_ch: key(ch),
        helper_sh: key(sh),
    }
}

/// Checks a payload's length against the message that the program would declare.
fn declared(messages: &[Message], stage: Stage, payload: &[u8]) {
    let bytes = messages
        .iter()
        .find(|m| m.stage == stage)
        .map_or(0, Message::bytes);
    assert_eq!(payload.len(), bytes, "{stage:?}");
}

struct Operand {
    zs: Vec<u16>,
    d: Vec<u32>,
    rs: Vec<u16>,
    r: Vec<u32>,
    /// D and R of patch sums that were computed apart.
    sums: [Vec<u32>; 2],
}

/// All three parties of one gate, in two rounds and in one; returns the opened result.
fn run(groups: &[Group], operand: &Operand, levels: Levels<'_>, seed: u8) -> Vec<i64> {
    let in_rounds = |rounds| gate::in_rounds(rounds, groups.to_vec());
    let [two, one] =
        [Rounds::Two, Rounds::One].map(|rounds| run_as_it_is(&in_rounds(rounds), operand, levels, seed));
    assert_eq!(two, one, "two rounds and one give the same result");
    one
}

fn run_as_it_is(groups: &[Group], operand: &Operand, levels: Levels<'_>, seed: u8) -> Vec<i64> {
    let keys = || keys(seed);
    let isas = Isa::available();
    let results: Vec<_> = isas
        .iter()
        .map(|&isa| run_on(isa, groups, operand, levels, keys))
        .collect();
    assert!(
        results.windows(2).all(|pair| pair[0] == pair[1]),
        "{isas:?} agree in every bit"
    );
    let (_, hat, mask) = &results[0];
    let opened = hat.iter().zip(mask);
    opened
        .map(|(h, m)| i64::from(h.wrapping_add(*m) as i32))
        .collect()
}

/// The same with one instruction set: all messages, and what server and client end with.
fn run_on(
    isa: Isa,
    groups: &[Group],
    operand: &Operand,
    levels: Levels<'_>,
    keys: impl Fn() -> Keys,
) -> (Vec<Vec<u8>>, Vec<u32>, Vec<u32>) {
    let (declared_messages, keys) = (gate::messages(groups), keys());
    let groups = &GateLayout::new(isa, groups.to_vec());
    let (of_client, of_server) = (
        || groups.draws.of_key(Key::ClientHelper),
        || groups.draws.of_key(Key::ServerHelper),
    );
    let (mut ch, mut sh) = (
        StepStreams::new(&keys.helper_ch, 0, 1, of_client()),
        StepStreams::new(&keys.helper_sh, 0, 1, of_server()),
    );
    let of_helper = MaskSource {
        rs: Half::Top(&operand.rs),
        exact: Exact {
            pixels: &operand.r,
            sums: &operand.sums[1],
        },
        passed: &operand.r,
    };
    let deal = helper_deal(groups, &of_helper, &mut ch, &mut sh);
    declared(&declared_messages, Stage::Deal, &deal);
    let mask = result_mask(groups, &of_helper, &mut ch);

    let mut c = StepStreams::new(&keys.client, 0, 1, of_client());
    let at_client = MaskSource {
        rs: Half::Top(&operand.rs),
        exact: Exact::default(),
        passed: &operand.r,
    };
    assert_eq!(
        result_mask(groups, &at_client, &mut c),
        mask,
        "client and helper agree on the mask"
    );
    c.replay(crate::prg::Purpose::FreshMask);

    let mut s = StepStreams::new(&keys.server, 0, 1, of_server());
    let exact = Exact {
        pixels: &operand.d,
        sums: &operand.sums[0],
    };
    let (zs, rs) = (Half::Top(&operand.zs), Half::Top(&operand.rs));
    let (mut server, m1) = Server::m1(groups, zs, exact, levels, &mut s);
    declared(&declared_messages, Stage::M1, &m1);
    let (client, m2) = Client::m2(groups, rs, &deal, m1.clone(), levels, &mut c).unwrap();
    declared(&declared_messages, Stage::M2, &m2);
    server.take_m2(m2.clone());
    let m3 = server.m3(zs, &mut s).unwrap();
    declared(&declared_messages, Stage::M3, &m3);
    let m4 = client.m4(rs, &deal, &m3, &mut c).unwrap();
    declared(&declared_messages, Stage::M4, &m4);
    let hat = server.finish(&m4, &operand.d, operand.zs.len(), &mut s).unwrap();
    (vec![deal, m1, m2, m3, m4], hat, mask)
}

fn operand(d: Vec<u32>, r: Vec<u32>) -> Operand {
    Operand {
        zs: Half::D(&d).to_vec(),
        rs: Half::R(&r).to_vec(),
        d,
        r,
        sums: Default::default(),
    }
}

/// The limits of a clip on pixels alone.
fn of_pixels(levels: &[i32]) -> Levels<'_> {
    Levels {
        pixels: levels,
        sums: &[],
    }
}

/// splitmix64, for test data.
pub(crate) fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut x = *state;
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn split(z: &[i64], seed: u64) -> (Vec<u32>, Vec<u32>) {
    let mut state = seed;
    let r: Vec<u32> = z.iter().map(|_| random(&mut state) as u32).collect();
    (
        z.iter()
            .zip(&r)
            .map(|(z, r)| (*z as u32).wrapping_sub(*r))
            .collect(),
        r,
    )
}

/// Patch sums that were computed apart.
pub(crate) struct Apart<'a> {
    pub z: &'a [i64],
    pub r: &'a [u32],
    /// Upper limits in 2^-16 of the sums' units.
    pub levels: &'a [i32],
}

/// What the parties must get for z = D + R: the coins are functions of R alone.
#[allow(clippy::too_many_arguments)] // all that a gate depends on
pub(crate) fn expected(
    z: &[i64],
    d: &[u32],
    r: &[u32],
    lower: &Patches,
    upper: Option<&Patches>,
    levels: &[i32],
    shape: Shape,
    apart: Option<&Apart<'_>>,
) -> Vec<i64> {
    let list = SumList::of_gate(lower, upper.map(Vec::as_slice));
    let starts = list.starts(shape.h, shape.w);
    let round = |z: i64, r: u32| (z >> 16) + i64::from(i64::from(r & 0xffff) <= (z & 0xffff));
    let (h, w) = (shape.h, shape.w);
    let mut y = Vec::new();
    for c in 0..shape.c {
        let at = |i: usize| c * h * w + i;
        let apart_sign = |patch: Patch, is_upper: bool, i: usize| {
            let (apart, Patch::Block { h: ph, w: pw }) = (apart.filter(|_| is_large(patch))?, patch) else {
                return None;
            };
            let (py, px) = (i / w / usize::from(ph), i % w / usize::from(pw));
            let entry = list.iter().position(|e| e == (c, patch)).unwrap();
            let at = starts[entry] + py * w.div_ceil(usize::from(pw)) + px;
            let area = patch_area(patch, py, px, h, w) as f64;
            let level = f64::from(apart.levels.get(c).map_or(0, |&l| if is_upper { l } else { 0 }));
            Some(round(apart.z[at], apart.r[at]) >= (level * area / 65536.0 + 0.5).floor() as i64)
        };
        let sign = |patch: Patch, level: i64, i: usize| match patch {
            Patch::Identity => None,
            _ if patch.is_pixel() => Some(round(z[at(i)], r[at(i)]) >= level),
            Patch::Block { h: ph, w: pw } => {
                let (ph, pw) = (usize::from(ph), usize::from(pw));
                let (py, px) = (i / w / ph, i % w / pw);
                let inside = |j: &usize| j / w / ph == py && j % w / pw == px;
                let members: Vec<usize> = (0..h * w).filter(inside).collect();
                let sum: i64 = members.iter().map(|&j| z[at(j)]).sum();
                let r = members.iter().fold(0u32, |s, &j| s.wrapping_add(r[at(j)]));
                Some(round(sum, r) >= level * patch_area(patch, py, px, h, w) as i64)
            }
        };
        for i in 0..h * w {
            let high = levels.get(c).map_or(0, |&l| i64::from(l));
            let value = round(z[at(i)], r[at(i)]);
            let b0 = apart_sign(lower[c], false, i).or_else(|| sign(lower[c], 0, i));
            let b1 = upper.and_then(|u| apart_sign(u[c], true, i).or_else(|| sign(u[c], high, i)));
            let (b0, b1) = (b0.unwrap_or(true), b1.unwrap_or(false));
            y.push(i64::from(b0) * value - i64::from(b1) * (value - high));
        }
    }
    assert_eq!(d.len(), y.len());
    y
}

const LIMIT: i64 = (1 << 30) - (1 << 17);

fn accumulators(shape: Shape, limit: i64, seed: u64) -> Vec<i64> {
    let mut state = seed;
    let mut z: Vec<i64> = (0..shape.len())
        .map(|_| (random(&mut state) % (2 * limit as u64)) as i64 - limit + 1)
        .collect();
    let edges = [
        limit - 1,
        1 - limit,
        0,
        -1,
        1,
        UNIT - 1,
        UNIT,
        -UNIT,
        1 - UNIT,
        -UNIT - 1,
    ];
    let n = edges.len().min(z.len());
    z[..n].copy_from_slice(&edges[..n]);
    z
}

fn check(lower: Patches, upper: Option<Patches>, levels: &[i32], shape: Shape, limit: i64) {
    for seed in 0..3 {
        let z = accumulators(shape, limit, seed + 1);
        let (d, r) = split(&z, seed + 77);
        let groups = gate::groups(&lower, upper.as_ref(), shape, false);
        let want = expected(&z, &d, &r, &lower, upper.as_ref(), levels, shape, None);
        let got = run(&groups, &operand(d, r), of_pixels(levels), seed as u8);
        assert_eq!(got, want, "{lower:?} {upper:?}");
    }
}

/// The same with the sums over large patches from apart: any sums, since no sign depends on pixels.
fn check_apart(lower: Patches, upper: Option<Patches>, levels: Levels<'_>, shape: Shape) {
    let list = SumList::of_gate(&lower, upper.as_deref());
    let sums = list.vector(shape).unwrap();
    for seed in 0..3 {
        let z = accumulators(shape, 1 << 25, seed + 1);
        // Most sums are within a unit of zero, or of the threshold, where the coin decides.
        let mut state = seed + 5;
        let near = |state: &mut u64| (random(state) % (4 * UNIT as u64)) as i64 - 2 * UNIT;
        let mut sum_z: Vec<i64> = (0..sums.len())
            .map(|i| near(&mut state) + [0, 300 * UNIT, -9000 * UNIT][i % 3])
            .collect();
        sum_z[0] = (1 << 31) - (1 << 17) - 1;
        let (d, r) = split(&z, seed + 77);
        let (sum_d, sum_r) = split(&sum_z, seed + 99);
        let groups = gate::groups(&lower, upper.as_ref(), shape, true);
        let apart = Apart {
            z: &sum_z,
            r: &sum_r,
            levels: levels.sums,
        };
        let upper = upper.as_ref();
        let want = expected(&z, &d, &r, &lower, upper, levels.pixels, shape, Some(&apart));
        let operand = Operand {
            sums: [sum_d, sum_r.clone()],
            ..operand(d, r)
        };
        let got = run(&groups, &operand, levels, seed as u8);
        assert_eq!(got, want, "{lower:?} {upper:?}");
    }
}

const P44: Patch = Patch::Block { h: 4, w: 4 };
const P36: Patch = Patch::Block { h: 3, w: 6 };
const WHOLE: Patch = Patch::Block { h: 9, w: 7 };

#[test]
fn block_relu_takes_the_sums_of_large_patches_from_apart() {
    let lower = vec![P44, Patch::PIXEL, WHOLE, P22, P36, Patch::Identity, P44];
    check_apart(lower, None, Levels::default(), Shape::new(7, 9, 7));
}

#[test]
fn a_clip_takes_each_of_its_signs_from_where_its_patch_says() {
    let lower = vec![P44, P44, P44, Patch::PIXEL, Patch::Identity, P22, WHOLE, P22];
    let upper = vec![P44, P36, Patch::PIXEL, P44, P36, WHOLE, Patch::Identity, P32];
    let levels = Levels {
        pixels: &[300, 90, 200, 100, 40, 70, 60, 50],
        // 300 units a patch of 16 pixels, or of 18; and less.
        sums: &[1_228_800, 1_092_267, 1, 1_228_800, 1_092_267, 7, 65_536, 1],
    };
    check_apart(lower, Some(upper), levels, Shape::new(8, 9, 7));
}

const P22: Patch = Patch::Block { h: 2, w: 2 };
const P32: Patch = Patch::Block { h: 3, w: 2 };

#[test]
fn requantise_is_exact_over_the_whole_range() {
    check(vec![Patch::Identity; 3], None, &[], Shape::new(3, 13, 17), LIMIT);
}

#[test]
fn relu_is_exact_over_the_whole_range() {
    check(vec![Patch::PIXEL; 3], None, &[], Shape::new(3, 13, 17), LIMIT);
    check(vec![Patch::PIXEL; 1], None, &[], Shape::new(1, 1, 1), 1 << 18);
}

#[test]
fn block_relu_is_exact_with_patches_that_do_not_divide_the_map() {
    let patches = vec![P22, P32, Patch::Block { h: 5, w: 7 }, Patch::Block { h: 1, w: 7 }];
    check(patches, None, &[], Shape::new(4, 5, 7), 1 << 25);
}

#[test]
fn mixed_layers_keep_their_channels_in_order() {
    let patches = vec![
        P22,
        Patch::Identity,
        Patch::PIXEL,
        P22,
        Patch::Identity,
        P32,
        Patch::PIXEL,
    ];
    check(patches, None, &[], Shape::new(7, 6, 5), 1 << 25);
}

#[test]
fn clip_with_equal_patches_is_exact() {
    let levels = [300, 5000, 1];
    check(
        vec![Patch::PIXEL; 3],
        Some(vec![Patch::PIXEL; 3]),
        &levels,
        Shape::new(3, 6, 7),
        1 << 29,
    );
    check(
        vec![P22; 3],
        Some(vec![P22; 3]),
        &[300, 700, 1],
        Shape::new(3, 5, 7),
        1 << 25,
    );
}

/// The upper sign of a patch is set, and a pixel of it far below zero: what is extended is negative, though the
/// result is not.
#[test]
fn a_pixel_far_below_zero_in_a_patch_above_the_limit() {
    let shape = Shape::new(1, 4, 4);
    let (lower, upper) = (vec![Patch::PIXEL], vec![P22]);
    let groups = gate::groups(&lower, Some(&upper), shape, false);
    let low = [-16_000 * UNIT, -9_000 * UNIT, -1, 0];
    let pixel = |at: usize| match (at / 4 % 2, at % 2) {
        (0, 0) => low[at / 8 * 2 + at / 2 % 2],
        _ => 7_000 * UNIT + at as i64,
    };
    let z: Vec<i64> = (0..16).map(pixel).collect();
    for seed in 0..20 {
        let (d, r) = split(&z, seed);
        let want = expected(&z, &d, &r, &lower, Some(&upper), &[900], shape, None);
        let got = run(&groups, &operand(d, r), of_pixels(&[900]), seed as u8);
        assert_eq!(got, want);
    }
}

#[test]
fn clip_with_different_patches_is_exact() {
    let lower = vec![
        Patch::PIXEL,
        P22,
        Patch::Identity,
        P22,
        Patch::PIXEL,
        Patch::Identity,
        P32,
    ];
    let upper = vec![
        P22,
        Patch::PIXEL,
        Patch::PIXEL,
        Patch::Identity,
        Patch::Identity,
        P32,
        P22,
    ];
    check(
        lower,
        Some(upper),
        &[200, 90, 300, 40, 100, 250, 130],
        Shape::new(7, 5, 6),
        1 << 25,
    );
}

#[test]
fn maximum_is_exact_at_the_extremes() {
    let shape = Shape::new(1, 4, 4);
    let m = (1 << 14) - 1;
    let pairs: Vec<(i64, i64)> = [-m, -1, 0, m]
        .iter()
        .flat_map(|&x| [-m, 0, 1, m].map(|y| (x, y)))
        .collect();
    for (ring, pairs) in [
        (16, pairs.clone()),
        (15, pairs.iter().map(|p| (p.0.abs(), p.1.abs())).collect()),
    ] {
        let difference: Vec<i64> = pairs.iter().map(|(x, y)| x - y).collect();
        let (d, r) = split(&difference, 5);
        let operand = Operand {
            zs: d.iter().map(|&d| d as u16).collect(),
            rs: r.iter().map(|&r| r as u16).collect(),
            d,
            r,
            sums: Default::default(),
        };
        let got = run(
            &gate::difference_groups(ring, shape),
            &operand,
            Levels::default(),
            9,
        );
        let want: Vec<i64> = difference.iter().map(|d| *d.max(&0)).collect();
        assert_eq!(got, want, "ring {ring}");
    }
}

#[test]
fn channels_of_an_activation_gate_may_pass() {
    let shape = Shape::new(3, 4, 5);
    let x: Vec<i64> = (0..60).map(|i| (i * 547) % 32000 - 16000).collect();
    let (d, r) = split(&x, 8);
    let operand = Operand {
        zs: d.iter().map(|&d| d as u16).collect(),
        rs: r.iter().map(|&r| r as u16).collect(),
        d,
        r,
        sums: Default::default(),
    };
    let patches = vec![Patch::PIXEL, Patch::Identity, Patch::PIXEL];
    let got = run(
        &gate::activation_groups(&patches, shape),
        &operand,
        Levels::default(),
        4,
    );
    let want: Vec<i64> = x
        .iter()
        .enumerate()
        .map(|(i, &x)| if i / 20 == 1 { x } else { x.max(0) })
        .collect();
    assert_eq!(got, want);
}

#[test]
fn truncation_splits_an_accumulator_without_changing_it() {
    let shape = Shape::new(2, 5, 5);
    let z = accumulators(shape, LIMIT, 3);
    let mut state = 9;
    let c: Vec<u32> = z.iter().map(|_| random(&mut state) as u32).collect();
    let h: Vec<u32> = z.iter().map(|_| random(&mut state) as u32).collect();
    let s = (0..z.len())
        .map(|i| (z[i] as u32).wrapping_sub(c[i]).wrapping_sub(h[i]))
        .collect();
    let keys = keys(1);
    let (op, isa) = (Truncate { keep: vec![15, 16] }, Isa::detect());
    let draws = Draws::of_truncation(z.len());
    let streams = |stream_key, key| StepStreams::new(stream_key, 3, 4, draws.of_key(key));
    let mut ch = streams(&keys.helper_ch, Key::ClientHelper);
    let mut sh = streams(&keys.helper_sh, Key::ServerHelper);
    let (r, mask_message) = truncate::helper(isa, &op, h, &mut ch, &mut sh);
    let share_message = truncate::client_send(isa, &c, &mut streams(&keys.client, Key::ClientHelper));
    let mut server = streams(&keys.server, Key::ServerHelper);
    let d = truncate::server(isa, s, &share_message, &mut server).unwrap();
    let rs = truncate::client_receive(isa, &op, &mask_message, z.len()).unwrap();
    for i in 0..z.len() {
        assert_eq!(d[i].wrapping_add(r[i]), z[i] as u32);
        let kept = if i < 25 { 0x7fff } else { 0xffff };
        assert_eq!(rs[i], (r[i] >> 16) as u16 & kept);
    }
    let bytes: usize = 25 * 15 / 8 + 1 + 50;
    assert_eq!((mask_message.len(), share_message.len()), (bytes, 200));
}

/// A case of the reference: D, R and the result that its gate gave for them.
#[derive(Deserialize)]
struct Case {
    gate: String,
    shape: [usize; 3],
    patch: [u16; 2],
    #[serde(default)]
    level: i32,
    d: Vec<u32>,
    r: Vec<u32>,
    y: Vec<i64>,
}

#[test]
fn the_gates_agree_with_the_recorded_cases_of_the_reference() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("reference_cases.json")).unwrap();
    assert!(cases.len() >= 10);
    for case in cases {
        let [c, h, w] = case.shape;
        let shape = Shape::new(c, h, w);
        let patches = vec![Patch::from_pair(case.patch).unwrap(); c];
        let (groups, operand) = match case.gate.as_str() {
            "max" => {
                let low = |v: &[u32]| v.iter().map(|&v| v as u16).collect();
                let operand = Operand {
                    zs: low(&case.d),
                    rs: low(&case.r),
                    d: case.d,
                    r: case.r,
                    sums: Default::default(),
                };
                (gate::difference_groups(WIDE, shape), operand)
            }
            "clip" => (
                gate::groups(&patches, Some(&patches), shape, false),
                operand(case.d, case.r),
            ),
            _ => (
                gate::groups(&patches, None, shape, false),
                operand(case.d, case.r),
            ),
        };
        let got = run(&groups, &operand, of_pixels(&vec![case.level; c]), 6);
        assert_eq!(got, case.y, "{} {:?}", case.gate, case.patch);
    }
}
