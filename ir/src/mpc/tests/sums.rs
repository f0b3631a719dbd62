//! Patch sums computed apart: their types, where they may come from, what they mean, and what they
//! cost.

use proptest::prelude::*;

use super::*;
use crate::geometry::Patch;
use crate::mpc::cost::Cost;
use crate::mpc::emulate::Bound;
use crate::mpc::text::check_filetest;
use crate::mpc::{Message, PATCH_SUM_BOUND};
use crate::nn::eval::patch_sums;
use crate::text::store::random;

fn check(source: &str) {
    check_filetest(source).unwrap_or_else(|differences| panic!("{differences}"));
}

#[test]
fn typing_of_patch_sums() {
    check(
        r#"program "rules" {
  const c0 : weight[3,2,3,3]
  const c1 : bias[3]
  const c2 : multiplier[2]
  const c3 : level[2]
  const c4 : sum_level[2]
  %0 = input {shape=[2, 4, 6]} : act<2x4x6>
  %1 = lift %0 {multiplier=c2} : acc<2x4x6>
  %2 = truncate %1 {keep=[16, 16]} : tr<2x4x6>
  %3 = conv2d_sums %0 {weight=c0, bias=c1, channels=4, of=[0, 2, 2], patches=[4x4, 4x4, 3x6], kernel=[3, 3], pads=[1*4]} : acc<6x1x1>
  %4 = conv2d_sums %1 {weight=c0, channels=4, of=[0..2], patches=[4x4*3], kernel=[3, 3]} ; error: must be act
  %5 = conv2d_sums %0 {weight=c0, channels=4, of=[0, 1], patches=[2x4*2], kernel=[3, 3]} ; error: c0 must have the dimensions [2, 2, 3, 3]
  %6 = conv2d_sums %0 {weight=c0, channels=2, of=[0..2], patches=[2x4*3], kernel=[3, 3]} ; error: as many channels of 2x2x4
  %7 = conv2d_sums %0 {weight=c0, channels=4, of=[0..2], patches=[4x4*3], kernel=[3, 3]} ; error: no larger than the map
  %8 = conv2d_sums %0 {weight=c0, channels=4, of=[0..1], patches=[2x4*3], kernel=[3, 3]} ; error: as many channels
  %9 = conv2d_sums %0 {weight=c0, bias=c2, channels=4, of=[0..2], patches=[2x4*3], kernel=[3, 3]} ; error: c2 must be a bias
  %10 = conv2d_sums %0 {weight=c0, channels=3, of=[0..2], patches=[2x4*3], kernel=[3, 3], groups=2} ; error: must divide
  %11 = pool_sums %0 {multiplier=c2, of=[1, 0], patches=[4x5, 1x1]} : acc<26x1x1>
  %12 = pool_sums %0 {multiplier=c2, of=[0, 1], patches=[2x3, 0x1], kernel=[2, 2]} ; error: as many channels of 2x3x5
  %13 = pool_sums %0 {multiplier=c2, of=[0, 2], patches=[2x3, 2x3]} ; error: as many channels
  %14 = pool_sums %0 {multiplier=c2, of=[], patches=[]} ; error: c2 must have the dimensions [0]
  %15 = pool_sums %2 {multiplier=c2, of=[0, 1], patches=[4x4*2]} ; error: must be act
  %16 = pool_sums %0 {multiplier=c2, of=[0, 1], patches=[4x4*2]} : acc<4x1x1>
  %17 = truncate_sums %16 : sums<4x1x1>
  %18 = truncate_sums %0                 ; error: must be acc
  %19 = block_relu %2, %17 {patches=[4x4*2]} : act<2x4x6>
  %20 = block_relu %2, %17 {patches=[4x4, 3x5]} ; error: sums over its large patches, sums<2x1x1>, and it is sums<4x1x1>
  %21 = block_relu %2, %17 {patches=[3x5, 1x1]} ; error: no patch of this gate is large
  %22 = block_relu %2, %16 {patches=[4x4*2]} ; error: sums<4x1x1>, and it is acc<4x1x1>
  %23 = block_relu %2, %17, %17 {patches=[4x4*2]} ; error: 3 operands are given
  %24 = requant %17                      ; error: must be tr, and it is sums
  %25 = clip %2, %17 {level=c3, lower=[4x4*2], upper=[0x1*2]} : act<2x4x6>
  %26 = clip %2, %17 {level=c3, lower=[4x4*2], upper=[4x4*2]} ; error: `sum_level` goes with
  %27 = clip %2, %17 {level=c3, sum_level=c4, lower=[4x4*2], upper=[1x1*2]} ; error: `sum_level` goes with
  %28 = clip %2 {level=c3, sum_level=c4, lower=[4x4*2], upper=[4x4*2]} ; error: `sum_level` goes with
  %29 = clip %2, %17 {level=c3, sum_level=c3, lower=[4x4*2], upper=[4x4*2]} ; error: c3 must be a sum_level, and it is a level
  %30 = clip %2, %17 {level=c3, sum_level=c4, lower=[1x1*2], upper=[4x4*2]} : act<2x4x6>
  %31 = reveal %17                       ; error: must be tr or act
}"#,
    );
}

#[test]
fn a_gate_takes_sums_over_its_own_patches() {
    let program = |steps: &str| {
        format!(
            r#"program "origin" {{
  const c0 : multiplier[2]
  const c1 : multiplier[2]
  const c2 : multiplier[1]
  %0 = input {{shape=[2, 8, 8]}}
  %1 = lift %0 {{multiplier=c0}}
  %2 = truncate %1 {{keep=[16, 16]}}
  %3 = pool_sums %0 {{multiplier=c1, of=[0, 1], patches=[4x4, 2x8]}}
  %4 = pool_sums %0 {{multiplier=c2, of=[1], patches=[2x8]}}
{steps}
}}"#
        )
    };
    let gate = |sums: &str, patches: &str, fault: &str| {
        program(&format!(
            "  {sums} {fault}
  %6 = truncate_sums %5
  %7 = block_relu %2, %6 {{patches=[{patches}]}}
  %8 = reveal %7"
        ))
    };
    check(&gate("%5 = add %3, %3", "4x4, 2x8", ""));
    let three = gate("%5 = concat %4, %3", "2x8, 4x4, 2x8", "")
        .replace("shape=[2,", "shape=[3,")
        .replace("c0 : multiplier[2]", "c0 : multiplier[3]")
        .replace("keep=[16, 16]", "keep=[16*3]");
    check(&three);
    let twice = gate("%5 = concat %4, %4", "2x8, 2x8", "");
    let fault = "patches=[2x8]} ; error: these patch sums stand at two places";
    check(&twice.replace("patches=[2x8]}", fault));
    let none = "; error: `flatten` makes no patch sums";
    check(&gate("%5 = flatten %3", "4x4, 2x8", none));
    // As many sums, of other patches.
    let source = gate("%5 = concat %4, %4", "2x8, 4x4", "");
    let other = source.replace(
        "patches=[2x8]}",
        "patches=[2x8]} ; error: not the sums over the patches",
    );
    check(&other);
    // A part that ends within a patch of the gate.
    let whole = source.replace("[2x8, 4x4]", "[8x8, 2x8]").replace(
        "%5 = concat %4, %4",
        "%5 = concat %4, %9 ; error: a part of these patch sums",
    );
    let whole = whole.replace(
        "  %5 =",
        "  %9 = pool_sums %0 {multiplier=c2, of=[1], patches=[8x8]}\n  %5 =",
    );
    check(&renumbered(&whole));
    // Sums over a smaller map, which happen to be as many.
    let source = gate("%5 = add %3, %3", "4x4, 2x8", "");
    let smaller = source.replace(
        "of=[0, 1], patches=[4x4, 2x8]}",
        "of=[0, 1], patches=[4x4, 2x8], kernel=[2, 1]} ; error: not the sums over the patches",
    );
    check(&smaller);
}

#[test]
fn a_chain_of_sums_is_walked_once() {
    // Each step of the chain would be walked for each of many places, or of many gates.
    const LENGTH: usize = 15_000;
    let chain = |patches: &str, concat: &str, gates: usize| {
        let mut steps = vec!["%3 = pool_sums %0 {multiplier=c1, of=[0], patches=[4x4]}".to_owned()];
        let mut push = |step: String| {
            steps.push(format!("%{} = {step}", steps.len() + 3));
            steps.len() + 2
        };
        let mut sums = 3;
        for _ in 0..LENGTH {
            sums = push(format!("add %{sums}, %{sums}"));
        }
        let mut last = 0;
        if !concat.is_empty() {
            sums = push(concat.replace("%x", &format!("%{sums}")));
        }
        for _ in 0..gates {
            let truncated = push(format!("truncate_sums %{sums}"));
            last = push(format!("block_relu %2, %{truncated} {{patches=[{patches}]}}"));
            sums = push(format!("add %{sums}, %{sums}"));
        }
        push(format!("reveal %{last}"));
        steps.join("\n")
    };
    let verify = |channels: usize, steps: &str| {
        let source = format!(
            "program \"chain\" {{
  const c0 : multiplier[{channels}]
  const c1 : multiplier[1]
  %0 = input {{shape=[{channels}, 4, 4]}}
  %1 = lift %0 {{multiplier=c0}}
  %2 = truncate %1 {{keep=[16*{channels}]}}
{steps}
}}"
        );
        let (program, _) = Program::parse(&source, &TensorStore::new()).unwrap();
        program.verify()
    };
    let copies = |n: usize| vec!["%x"; n].join(", ");
    let faults = verify(
        LENGTH,
        &chain(&format!("4x4*{LENGTH}"), &format!("concat {}", copies(LENGTH)), 1),
    );
    let faults = faults.unwrap_err();
    assert!(faults[0].message.contains("stand at two places"), "{faults:?}");
    assert!(verify(1, &chain("4x4", "", LENGTH)).is_ok());
}

/// The lines with their steps numbered in order.
fn renumbered(source: &str) -> String {
    source
        .replace("%8", "%A")
        .replace("%7", "%8")
        .replace("%6", "%7")
        .replace("%5", "%6")
        .replace("%9", "%5")
        .replace("%A", "%9")
}

#[test]
fn too_many_box_sums_are_refused() {
    // Few sums of few values, by way of more box sums than any machine holds.
    check(
        r#"program "boxes" {                     ; error: more than 1073741824 elements together
  const c0 : multiplier[1]
  const c1 : multiplier[1]
  %0 = input {shape=[1, 4, 4]}
  %1 = lift %0 {multiplier=c0}
  %2 = truncate %1 {keep=[16]}
  %3 = pool_sums %0 {multiplier=c1, of=[0], patches=[4x4], kernel=[65536, 65536], pads=[65535, 65535, 0, 0]}
  %4 = truncate_sums %3
  %5 = block_relu %2, %4 {patches=[4x4]}
  %6 = reveal %5
}"#,
    );
}

#[test]
fn too_many_spans_are_refused() {
    // Fewer box sums than a program may have, and four times as many words that say where they are.
    check(
        r#"program "spans" {                     ; error: more than 1073741824 elements together
  const c0 : multiplier[1]
  %0 = input {shape=[1, 1048576, 1]}
  %1 = pool_sums %0 {multiplier=c0, of=[0], patches=[1x1], kernel=[1000, 1]}
  %2 = reveal %0
}"#,
    );
}

#[test]
fn sums_are_truncated_once() {
    check(
        r#"program "twice" {
  const c0 : multiplier[1]
  const c1 : multiplier[1]
  %0 = input {shape=[1, 4, 4]}
  %1 = lift %0 {multiplier=c0}
  %2 = truncate %1 {keep=[16]}
  %3 = pool_sums %0 {multiplier=c1, of=[0], patches=[4x4]}
  %4 = truncate_sums %3
  %5 = truncate_sums %3                  ; error: the accumulator is truncated already at %4; share that
  %6 = block_relu %2, %4 {patches=[4x4]}
  %7 = reveal %6
}"#,
    );
}

proptest! {
    #[test]
    fn sums_of_a_convolution_are_its_pixels_added_up(
        seed in any::<u64>(), h in 3usize..9, w in 3usize..9, stride in 1usize..3, dilation in 1usize..3,
        ph in 1u16..5, pw in 1u16..5, groups in 1usize..3,
    ) {
        let image: Vec<i64> = random(seed, 1 << 6).take(4 * h * w).map(i64::from).collect();
        let window = format!(
            "kernel=[3, 2], stride=[{stride}, 1], dilation=[1, {dilation}], pads=[1, 2, 2, 1], groups={groups}"
        );
        let (per_group, weights) = (4 / groups, 2 * (4 / groups) * 6);
        let values: Vec<String> = random(seed, 9).take(weights).map(|v| v.to_string()).collect();
        let values = values.join(", ");
        let conv = run(
            &format!(
                "const c0 : weight[2,{per_group},3,2]{{{values}}}
                 const c1 : bias[2]{{70000, -3}}
                 %0 = input {{shape=[4, {h}, {w}]}}
                 %1 = conv2d %0 {{weight=c0, bias=c1, channels=2, {window}}}"
            ),
            &image,
        );
        let map = conv.shapes[1];
        let (ph, pw) = (ph.min(map.h as u16), pw.min(map.w as u16));
        let sums = run(
            &format!(
                "const c0 : weight[2,{per_group},3,2]{{{values}}}
                 const c1 : bias[2]{{70000, -3}}
                 %0 = input {{shape=[4, {h}, {w}]}}
                 %1 = conv2d_sums %0 {{weight=c0, bias=c1, channels=2, of=[0, 1], patches=[{ph}x{pw}, {}x{}], {window}}}",
                map.h, map.w,
            ),
            &image,
        );
        // All sums are exact in f32.
        let pixels: Vec<f32> = conv.last().iter().map(|&v| v as f32).collect();
        let patches = [Patch::Block { h: ph, w: pw }, Patch::Block { h: map.h as u16, w: map.w as u16 }];
        let added: Vec<i64> = pixels
            .chunks(map.plane())
            .zip(patches)
            .flat_map(|(channel, patch)| patch_sums(channel, patch, map.h, map.w))
            .map(|sum| sum as i64)
            .collect();
        prop_assert_eq!(sums.last(), &added[..]);
    }
}

/// A clip of 2 x 6 x 6 pixels, with its large patches' sums taken from pixels or from apart.
fn clip(apart: bool, lower: &str, upper: &str, image: &[i64], rounding: Rounding<'_>) -> Run {
    let patches = |text: &str| -> Vec<Patch> {
        let pair = |p: &str| {
            let (h, w) = p.trim().split_once('x').unwrap();
            Patch::from_pair([h.parse().unwrap(), w.parse().unwrap()]).unwrap()
        };
        text.split(',').map(pair).collect()
    };
    let list = crate::mpc::patch_sums::SumList::of_gate(&patches(lower), Some(&patches(upper)));
    let of: Vec<String> = list.channels.iter().map(ToString::to_string).collect();
    let entries: Vec<String> = list.patches.iter().map(ToString::to_string).collect();
    let large_above = patches(upper).into_iter().any(crate::mpc::patch_sums::is_large);
    let (head, operands, level) = match apart {
        false => (String::new(), "%2", ""),
        true => (
            format!(
                "%3 = pool_sums %0 {{multiplier=c1, of=[{}], patches=[{}]}}
                 %4 = truncate_sums %3",
                of.join(", "),
                entries.join(", ")
            ),
            "%2, %4",
            if large_above { ", sum_level=c3" } else { "" },
        ),
    };
    let gate = if apart { 5 } else { 3 };
    run_with(
        &format!(
            "const c0 : multiplier[2]{{65536, 70000}}
             const c1 : multiplier[{entries}]{{{multipliers}}}
             const c2 : level[2]{{40, 7}}
             const c3 : sum_level[2]{{2621440, 458752}}
             %0 = input {{shape=[2, 6, 6]}}
             %1 = lift %0 {{multiplier=c0}}
             %2 = truncate %1 {{keep=[16*2]}}
             {head}
             %{gate} = clip {operands} {{level=c2{level}, lower=[{lower}], upper=[{upper}]}}
             %{} = reveal %{gate}",
            gate + 1,
            entries = entries.len(),
            multipliers = list
                .channels
                .iter()
                .map(|c| ["65536", "70000"][*c])
                .collect::<Vec<_>>()
                .join(", "),
        ),
        image,
        rounding,
    )
}

#[test]
fn a_gate_decides_alike_by_equal_sums_from_either_operand() {
    for seed in 0..20 {
        let image: Vec<i64> = random(seed, 60).take(72).map(i64::from).collect();
        for (lower, upper) in [
            ("4x4, 5x4", "4x4, 6x6"),
            ("1x1, 6x6", "3x6, 6x6"),
            ("0x1, 4x5", "6x6, 2x2"),
            ("6x6, 3x3", "0x1, 1x1"),
        ] {
            let apart = clip(true, lower, upper, &image, Rounding::Nearest);
            let pixels = clip(false, lower, upper, &image, Rounding::Nearest);
            assert_eq!(apart.last(), pixels.last(), "{lower} {upper}");
        }
    }
}

#[test]
fn both_signs_of_one_sum_share_its_coin() {
    // The sum is half a unit above the level: it is rounded down or up, and with it both signs.
    let mut outcomes = std::collections::BTreeSet::new();
    for seed in 0..40 {
        let body = "const c0 : multiplier[1]{65536}
             const c1 : multiplier[1]{2048}
             const c2 : level[1]{1}
             const c3 : sum_level[1]{4096}
             %0 = input {shape=[1, 4, 4]}
             %1 = lift %0 {multiplier=c0}
             %2 = truncate %1 {keep=[16]}
             %3 = pool_sums %0 {multiplier=c1, of=[0], patches=[4x4]}
             %4 = truncate_sums %3
             %5 = clip %2, %4 {level=c2, sum_level=c3, lower=[4x4], upper=[4x4]}";
        let mut image = [1; 16];
        image[0] = 33; // 48 / 32 = 1.5 units, against 16 / 16 = 1
        let ran = run_with(body, &image, Rounding::Coin(seed));
        assert_eq!(ran.last()[1], 1);
        outcomes.insert(ran.values[4][0]);
    }
    assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn a_sum_out_of_bounds_names_its_gate_and_channel() {
    let body = |multiplier: i64| {
        format!(
            "const c0 : multiplier[2]{{1, 1}}
             const c1 : multiplier[1]{{{multiplier}}}
             %0 = input {{shape=[2, 4, 4]}}
             %1 = lift %0 {{multiplier=c0}}
             %2 = truncate %1 {{keep=[16*2]}}
             %3 = pool_sums %0 {{multiplier=c1, of=[1], patches=[4x4]}}
             %4 = truncate_sums %3
             %5 = block_relu %2, %4 {{patches=[2x2, 4x4]}}
             %6 = reveal %5"
        )
    };
    let breaches = |ran: &Run| -> Vec<(u32, Bound, usize)> {
        let found = ran.outcome.breaches();
        found
            .map(|(id, bound, usage)| (id.0, bound, usage.channel))
            .collect()
    };
    assert_eq!(breaches(&run(&body(PATCH_SUM_BOUND / 16), &[1; 32])), []);
    let beyond = run(&body(PATCH_SUM_BOUND / 16 + 1), &[1; 32]);
    assert_eq!(breaches(&beyond), [(5, Bound::PatchSum, 1)]);
}

#[test]
fn a_distance_from_the_level_beyond_16_bits_wraps() {
    // -20000 units are 35000 below the level, which is 30536 above it modulo 2^16.
    let body = "const c0 : multiplier[1]{65536}
         const c1 : multiplier[1]{81920000}
         const c2 : level[1]{7}
         const c3 : sum_level[1]{61440000}
         %0 = input {shape=[1, 4, 4]}
         %1 = lift %0 {multiplier=c0}
         %2 = truncate %1 {keep=[16]}
         %3 = pool_sums %0 {multiplier=c1, of=[0], patches=[4x4]}
         %4 = truncate_sums %3
         %5 = clip %2, %4 {level=c2, sum_level=c3, lower=[4x4], upper=[4x4]}";
    let ran = run(body, &[-1; 16]);
    assert_eq!(ran.values[4], [-20_000]);
    // The upper sign alone is set, which the two signs of one patch make z + level of.
    assert_eq!(ran.last(), [6; 16]);
    let found: Vec<(ValueId, Bound)> = ran.outcome.breaches().map(|(id, bound, _)| (id, bound)).collect();
    assert_eq!(found, [(ValueId(5), Bound::PatchSum)]);
}

#[test]
fn sums_apart_cost_32_bits_a_patch_and_a_product_per_weight_and_patch() {
    let program = verified(
        "const c0 : weight[2,3,3,3]
         const c1 : weight[2,3,3,3]
         %0 = input {shape=[3, 16, 16]}
         %1 = conv2d %0 {weight=c0, channels=2, kernel=[3, 3], pads=[1*4]}
         %2 = truncate %1 {keep=[16*2]}
         %3 = conv2d_sums %0 {weight=c1, channels=2, of=[0, 1], patches=[4x4, 8x16], kernel=[3, 3], pads=[1*4]}
         %4 = truncate_sums %3
         %5 = block_relu %2, %4 {patches=[4x4, 8x16]}
         %6 = reveal %5",
    );
    let cost = Cost::new(&program);
    let patches = 16 + 2;
    assert_eq!(
        cost.steps[4].content_bits + cost.steps[3].content_bits,
        32 * patches
    );
    assert_eq!(cost.steps[5].drelus, patches);
    assert_eq!(cost.steps[3].macs, patches * 27);
    let gate: u64 = program
        .messages(ValueId(5))
        .iter()
        .map(Message::content_bits)
        .sum();
    assert_eq!(gate, (130 - 48) * 512 + 113 * patches);
    // Round trips are those of the gate: the sums travel ahead of the image.
    assert_eq!(cost.round_trips, 3);
}
