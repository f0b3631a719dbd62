//! Beyond the ranges: what the emulator says of a program whose values leave them is what three parties
//! compute, value for value at every step, once it is told what the parties' masks were: R of each
//! truncation, which the helper holds, and the client's share of each result, which M4 carries.
//!
//! Programs are broken on purpose: all constants of a sound one, or one at a time, are made larger by
//! powers of two, so that values leave their bounds at every place; and random ones, whose constants and
//! images are of any size.

use std::collections::{BTreeMap, BTreeSet};

use trefoil_ir::mpc::emulate::{Bound, Emulator, IntMap, Masks, Rounding};
use trefoil_ir::mpc::gate::{BLOCK, Form, Grain, Group, Rounds};
use trefoil_ir::mpc::patch_sums::SumList;
use trefoil_ir::mpc::{ConstKind, Kind, Op, Program, Stage, ValueId, op};
use trefoil_ir::{Patch, Shape};

use super::super::same_bits::{self, GATES, Ran};
use super::{
    Build, Stored, clips_and_maxima, clips_of_parts, large_patches, local_ops, open, residual_network,
};
use crate::kernel::Isa;
use crate::protocol::layout::GateLayout;
use crate::protocol::tests::random;
use crate::wire::FrameKind;

mod dice;

/// What the values of a run depend on beside image and constants.
#[derive(Debug)]
struct Held {
    /// R of the truncations.
    truncations: Stored,
    /// The client's shares of results, before they are masked anew.
    results: Stored,
}

impl Masks for Held {
    fn truncation(&self, step: ValueId, element: usize) -> u32 {
        self.truncations[&step][element]
    }

    fn result(&self, step: ValueId, element: usize) -> u32 {
        self.results[&step][element]
    }
}

impl Held {
    fn of(program: &Program, ran: &Ran) -> Self {
        let [client, _, helper] = &ran.stored;
        let m4 = ran.sent[0].iter().filter_map(|(tag, payload)| {
            let is_m4 = tag.kind == FrameKind::Message(Stage::M4);
            is_m4.then_some((ValueId(tag.step), payload.as_slice()))
        });
        let results = m4.map(|(id, payload)| (id, client_share(program, id, payload, client)));
        let m1 = ran.sent[2].iter().filter_map(|(tag, payload)| {
            let is_m1 = tag.kind == FrameKind::Message(Stage::M1);
            is_m1.then_some((ValueId(tag.step), payload.as_slice()))
        });
        let at_once = m1.filter_map(|(id, payload)| Some((id, mask_share(program, ran, id, payload)?)));
        Self {
            truncations: helper.clone(),
            results: results.chain(at_once).collect(),
        }
    }
}

/// What with the opened values gives those of a gate that works on truncated ones in one round.
fn mask_share(program: &Program, ran: &Ran, id: ValueId, m1: &[u8]) -> Option<Vec<u32>> {
    let step = program.step(id);
    let operand = *step.args.first()?;
    let types: Vec<_> = step.args.iter().map(|a| program.ty(*a)).collect();
    let layer = GateLayout::new(Isa::Scalar, step.op.gate_groups(&types)?);
    let is_quick = |group: &Group| group.form.has_signs() && group.rounds == Rounds::One;
    if program.ty(operand).kind != Kind::Truncated || !layer.groups.iter().any(|p| is_quick(&p.group)) {
        return None;
    }
    let mut shares: Vec<u32> = held_by(program, ran, operand).iter().map(|&z| z as u32).collect();
    let parts = layer.parts(Stage::M1, m1).unwrap();
    let groups = layer.groups.iter().zip(&parts);
    for (placed, part) in groups.filter(|(placed, _)| is_quick(&placed.group)) {
        for block in 0..placed.places.count().div_ceil(BLOCK) {
            let mut opened = [0; BLOCK];
            part[0]
                .block(block)
                .halves(placed.group.ring, &mut opened)
                .unwrap();
            let end = placed.places.count().min((block + 1) * BLOCK);
            for (layer, at) in placed.places.stretches(block * BLOCK..end) {
                for (share, opened) in shares[layer].iter_mut().zip(&opened[at..]) {
                    *share = share.wrapping_sub(u32::from(*opened));
                }
            }
        }
    }
    Some(shares)
}

/// The client's share of a gate's result: what it sends, and the mask on it.
fn client_share(program: &Program, id: ValueId, m4: &[u8], client: &Stored) -> Vec<u32> {
    let step = program.step(id);
    let types: Vec<_> = step.args.iter().map(|a| program.ty(*a)).collect();
    let layer = GateLayout::new(Isa::Scalar, step.op.gate_groups(&types).expect("a gate"));
    let mut shares = client[&id].clone();
    if let Op::Max(_) = step.op {
        // The stored mask is that of the maximum; without the second operand's, that of the ReLU.
        let others = &client[&step.args[1]];
        shares
            .iter_mut()
            .zip(others)
            .for_each(|(s, o)| *s = s.wrapping_sub(*o));
    }
    let parts = layer.parts(Stage::M4, m4).unwrap();
    for (placed, part) in layer
        .groups
        .iter()
        .zip(&parts)
        .filter(|(p, _)| p.group.form.has_signs())
    {
        for block in 0..placed.places.count().div_ceil(BLOCK) {
            let mut sent = [0; BLOCK];
            part[0].block(block).words(32, &mut sent).unwrap();
            let end = placed.places.count().min((block + 1) * BLOCK);
            for (layer, at) in placed.places.stretches(block * BLOCK..end) {
                for (share, sent) in shares[layer].iter_mut().zip(&sent[at..]) {
                    *share = share.wrapping_add(*sent);
                }
            }
        }
    }
    shares
}

/// Runs a program at the parties and in the emulator, and compares all values; returns the bounds that
/// were broken, by step.
fn agree(build: &Build, image: &[i32]) -> BTreeSet<(ValueId, Bound)> {
    let program = &build.program;
    let ran = same_bits::run(build, image, Isa::detect(), 1);
    let held = Held::of(program, &ran);
    let units = image.iter().map(|&x| i64::from(x)).collect();
    let image = IntMap::new(program.steps[0].ty.shape, units);
    let emulator = Emulator::new(program, &build.constants);
    let outcome = emulator.run(&image, Rounding::Masks(&held), |id, value| {
        let (step, want) = (program.step(id), held_by(program, &ran, id));
        let differs = want.iter().zip(value.values()).position(|(a, b)| a != b);
        if let Some(at) = differs {
            panic!(
                "{id} {} {}: element {at} is {} at the parties and {} in the emulator\n{program:?}",
                step.op.name(),
                step.ty,
                want[at],
                value.values()[at]
            );
        }
    });
    outcome.breaches().map(|(id, bound, _)| (id, bound)).collect()
}

/// A value as the parties hold it between them; a truncated one in units, as gates take it.
fn held_by(program: &Program, ran: &Ran, id: ValueId) -> Vec<i64> {
    match program.ty(id).kind {
        Kind::Output => ran.output.clone(),
        Kind::Activation | Kind::Accumulator => open(program, &ran.stored, id),
        Kind::Truncated | Kind::Sums => {
            let [_, server, helper] = &ran.stored;
            let pairs = server[&id].iter().zip(&helper[&id]);
            let top = |(d, r): (&u32, &u32)| (d.wrapping_add(1 << 16) >> 16).wrapping_add(r >> 16) as i16;
            pairs.map(top).map(i64::from).collect()
        }
    }
}

/// An image of up to so many units.
fn image(build: &Build, limit: i64) -> Vec<i32> {
    let mut state = 5;
    let pixel = |_| (random(&mut state) % (2 * limit as u64 + 1)) as i64 - limit;
    let count = build.program.steps[0].ty.shape.len();
    (0..count).map(pixel).map(|x| x as i32).collect()
}

/// The program with the constants that are chosen made larger by a factor of 2^`bits`; the limits of
/// clips stay, which plans hold to their bounds.
fn enlarged(build: &Build, bits: u32, chosen: impl Fn(usize) -> bool) -> Build {
    let enlarge = |(at, tensor): (usize, &trefoil_ir::Tensor<i32>)| {
        let kind = build.program.constants[at].kind;
        let is_level = matches!(kind, ConstKind::Level | ConstKind::SumLevel);
        if is_level || !chosen(at) {
            return tensor.clone();
        }
        let values = tensor.values().iter().map(|v| v.wrapping_mul(1 << bits));
        trefoil_ir::Tensor::new(tensor.dims().to_vec(), values.collect()).unwrap()
    };
    Build {
        program: build.program.clone(),
        constants: build.constants.iter().enumerate().map(enlarge).collect(),
        state: 0,
    }
}

/// A clip with each pair of an identity, a pixel, and patches small and large.
fn every_form(apart: bool) -> Build {
    let block = |h, w| Patch::Block { h, w };
    // Sums over the whole map take weights of their own to stay in range.
    let largest = if apart { block(9, 8) } else { block(5, 4) };
    let patches = [
        Patch::Identity,
        Patch::PIXEL,
        block(2, 3),
        block(3, 2),
        block(4, 5),
        largest,
    ];
    let lower: Vec<Patch> = (0..36).map(|c| patches[c / 6]).collect();
    let upper: Vec<Patch> = (0..36).map(|c| patches[c % 6]).collect();
    let (mut b, x) = Build::new(Shape::new(2, 9, 8));
    let z = b.conv(x, 36, super::window(3, 1, [1; 4]), 1);
    let z = b.truncate(z, 16);
    let list = SumList::of_gate(&lower, Some(&upper));
    let level = b.fixed(ConstKind::Level, vec![36], 900);
    let (mut operands, mut sum_level) = (vec![z], None);
    if apart {
        let sums = b.conv_sums(x, 36, super::window(3, 1, [1; 4]), 1, list);
        operands.push(b.push(op::TruncateSums, &[sums]));
        sum_level = Some(b.fixed(ConstKind::SumLevel, vec![36], 450_000));
    }
    let clip = op::Clip {
        level,
        sum_level,
        lower,
        upper,
        rounds: Rounds::Two,
    };
    let y = b.push(clip, &operands);
    let z = b.conv(y, 3, super::window(3, 2, [1; 4]), 1);
    b.reveal(z)
}

#[test]
fn the_clip_has_every_form() {
    let build = every_form(true);
    let forms: BTreeSet<Form> = build
        .program
        .ids()
        .filter_map(|id| {
            let step = build.program.step(id);
            let types: Vec<_> = step.args.iter().map(|a| build.program.ty(*a)).collect();
            step.op.gate_groups(&types)
        })
        .flatten()
        .map(|group| group.form)
        .collect();
    let mut all = vec![Form::Requant];
    for grain in [Grain::Pixel, Grain::Patch] {
        all.extend([Form::Lower(grain), Form::Upper(grain), Form::Paired(grain)]);
        all.extend([Form::Both(grain, Grain::Pixel), Form::Both(grain, Grain::Patch)]);
    }
    // There are not two patches of one pixel.
    all.retain(|form| *form != Form::Both(Grain::Pixel, Grain::Pixel));
    assert_eq!(forms, BTreeSet::from_iter(all));
}

/// All programs, each sound as it is.
fn sound() -> Vec<Build> {
    let two_rounds = vec![
        residual_network(),
        local_ops(),
        clips_and_maxima(),
        large_patches(),
        clips_of_parts(),
        every_form(false),
        every_form(true),
    ];
    let one_round: Vec<Build> = two_rounds.iter().map(Build::in_one_round).collect();
    two_rounds.into_iter().chain(one_round).collect()
}

#[test]
fn parties_and_emulator_agree_when_all_scales_shrink() {
    let mut broken = BTreeMap::new();
    let gates = same_bits::build(GATES);
    for build in sound().iter().chain([&gates, &gates.in_one_round()]) {
        assert_eq!(agree(build, &image(build, 4000)), BTreeSet::new());
        for bits in [1, 2, 4, 10] {
            let breaches = agree(&enlarged(build, bits, |_| true), &image(build, 4000));
            for (id, bound) in breaches {
                *broken
                    .entry((build.program.step(id).op.name(), bound))
                    .or_insert(0) += 1;
            }
        }
    }
    // Every bound was broken wherever it can be.
    let places: BTreeSet<_> = broken.into_keys().collect();
    let expected = [
        ("block_relu", Bound::Activation),
        ("block_relu", Bound::PatchSum),
        ("clip", Bound::Activation),
        ("clip", Bound::PatchSum),
        ("max", Bound::Activation),
        ("requant", Bound::Activation),
        ("truncate", Bound::Accumulator),
    ];
    assert!(places.is_superset(&BTreeSet::from(expected)), "{places:?}");
}

#[test]
fn parties_and_emulator_agree_when_one_scale_shrinks() {
    let mut broken = 0;
    for build in sound() {
        for at in 0..build.constants.len() {
            for bits in [2, 10] {
                let one = enlarged(&build, bits, |constant| constant == at);
                broken += usize::from(!agree(&one, &image(&build, 4000)).is_empty());
            }
        }
    }
    assert!(broken > 40, "{broken}");
}

#[test]
fn parties_and_emulator_agree_on_images_of_any_size() {
    for build in sound() {
        for bits in [14, 17, 24, 31] {
            agree(&build, &image(&build, (1 << bits) - 1));
        }
    }
}

#[test]
fn parties_and_emulator_agree_on_random_programs() {
    let (mut broken, mut ops) = (0, BTreeSet::new());
    for seed in 0..150 {
        let build = dice::program(seed);
        ops.extend(build.program.steps.iter().map(|s| s.op.name()));
        let limit = 1 << (6 + seed % 12);
        broken += usize::from(!agree(&build, &image(&build, limit)).is_empty());
    }
    assert_eq!(ops.len(), Op::NAMES.len(), "{ops:?}");
    assert!((30..150).contains(&broken), "{broken}");
}
