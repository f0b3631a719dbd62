//! Breaches of bounds: the emulator names step and channel, and is silent at the bound itself.

use super::*;
use crate::mpc::emulate::{Bound, Usage};
use crate::mpc::{ACCUMULATOR_BOUND, ACTIVATION_BOUND, PATCH_SUM_BOUND};

fn breaches(ran: &Run) -> Vec<(u32, Bound, usize, usize)> {
    let found = ran.outcome.breaches();
    found
        .map(|(id, bound, usage)| (id.0, bound, usage.channel, usage.breaches))
        .collect()
}

fn usage(ran: &Run, step: u32, bound: Bound) -> Usage {
    ran.outcome.usage[&(ValueId(step), bound)]
}

#[test]
fn an_accumulator_out_of_bounds_names_its_truncation_and_channel() {
    let body = |multiplier: i64| {
        format!(
            "const c0 : multiplier[3]{{1, {multiplier}, -5}}
             %0 = input {{shape=[3, 1, 2]}}
             %1 = lift %0 {{multiplier=c0}}
             %2 = truncate %1 {{keep=[16*3]}}
             %3 = reveal %2"
        )
    };
    let image = [1, 1, 1, -1, 1, 1];
    let within = run(&body(ACCUMULATOR_BOUND), &image);
    assert_eq!(breaches(&within), []);
    assert!((usage(&within, 2, Bound::Accumulator).largest - 1.0).abs() < f64::EPSILON);
    let beyond = run(&body(ACCUMULATOR_BOUND + 1), &image);
    assert_eq!(breaches(&beyond), [(2, Bound::Accumulator, 1, 2)]);
    assert!(usage(&beyond, 2, Bound::Accumulator).largest > 1.0);
}

#[test]
fn a_patch_sum_out_of_bounds_names_its_gate_and_channel() {
    let body = |multiplier: i64| {
        format!(
            "const c0 : multiplier[2]{{1, {multiplier}}}
             %0 = input {{shape=[2, 2, 2]}}
             %1 = lift %0 {{multiplier=c0}}
             %2 = truncate %1 {{keep=[16*2]}}
             %3 = block_relu %2 {{patches=[2x2*2]}}
             %4 = reveal %3"
        )
    };
    let within = run(&body(PATCH_SUM_BOUND / 4), &[1; 8]);
    assert_eq!(breaches(&within), []);
    let beyond = run(&body(PATCH_SUM_BOUND / 4 + 1), &[1; 8]);
    assert_eq!(breaches(&beyond), [(3, Bound::PatchSum, 1, 1)]);
}

#[test]
fn a_patch_sum_out_of_bounds_wraps() {
    // Four times -600,000,000 is 1,894,967,296 modulo 2^32.
    let body = "const c0 : multiplier[1]{-600000000}
         %0 = input {shape=[1, 2, 2]}
         %1 = lift %0 {multiplier=c0}
         %2 = truncate %1 {keep=[16]}
         %3 = block_relu %2 {patches=[2x2]}";
    let ran = run(body, &[1; 4]);
    assert_eq!(ran.last(), [-9155; 4]);
    assert_eq!(breaches(&ran), [(3, Bound::PatchSum, 0, 1)]);
}

#[test]
fn the_upper_sign_of_a_clip_needs_room_below_its_level() {
    // -7000 units a pixel are fine, their sum of four is fine, and its distance from four times the
    // level is not.
    let body = |level: i64| {
        format!(
            "const c0 : multiplier[1]{{65536}}
             const c1 : level[1]{{{level}}}
             %0 = input {{shape=[1, 2, 2]}}
             %1 = lift %0 {{multiplier=c0}}
             %2 = truncate %1 {{keep=[16]}}
             %3 = clip %2 {{level=c1, lower=[2x2], upper=[2x2]}}
             %4 = reveal %3"
        )
    };
    assert_eq!(breaches(&run(&body(1000), &[-7000; 4])), []);
    assert_eq!(
        breaches(&run(&body(2000), &[-7000; 4])),
        [(3, Bound::PatchSum, 0, 1)]
    );
}

/// Both signs of a pair are of one sum.
#[test]
fn a_sum_out_of_bounds_counts_once() {
    let body = "const c0 : multiplier[1]{600000000}
         const c1 : level[1]{1}
         %0 = input {shape=[1, 2, 2]}
         %1 = lift %0 {multiplier=c0}
         %2 = truncate %1 {keep=[16]}
         %3 = clip %2 {level=c1, lower=[2x2], upper=[2x2]}";
    let ran = run(body, &[1; 4]);
    let of_sums: Vec<_> = breaches(&ran)
        .into_iter()
        .filter(|found| found.1 == Bound::PatchSum)
        .collect();
    assert_eq!(of_sums, [(3, Bound::PatchSum, 0, 1)]);
}

#[test]
fn an_activation_out_of_bounds_names_where_it_arises() {
    let body = "%0 = input {shape=[2, 1, 2]}\n%1 = reveal %0";
    assert_eq!(breaches(&run(body, &[0, 0, -ACTIVATION_BOUND, 0])), []);
    assert_eq!(
        breaches(&run(body, &[0, 0, ACTIVATION_BOUND + 1, -ACTIVATION_BOUND - 2])),
        [(0, Bound::Activation, 1, 2)]
    );
    // A clip gives level - z where the patch is above the level and the pixel is below zero.
    let clip = |level: i64| {
        format!(
            "const c0 : multiplier[1]{{65536}}
             const c1 : level[1]{{{level}}}
             %0 = input {{shape=[1, 1, 4]}}
             %1 = lift %0 {{multiplier=c0}}
             %2 = truncate %1 {{keep=[16]}}
             %3 = clip %2 {{level=c1, lower=[1x1], upper=[1x4]}}
             %4 = reveal %3"
        )
    };
    let image = [-15_400, 16_000, 16_000, 16_000];
    let within = run(&clip(983), &image);
    assert_eq!(within.last(), [16_383, 983, 983, 983]);
    assert_eq!(breaches(&within), []);
    assert_eq!(breaches(&run(&clip(984), &image)), [(3, Bound::Activation, 0, 1)]);
}

#[test]
fn a_negative_operand_of_a_non_negative_maximum_is_reported() {
    let body = |non_negative: bool| {
        format!(
            "%0 = input {{shape=[2, 1, 2]}}
             %1 = max %0, %0 {{non_negative={non_negative}}}
             %2 = reveal %1"
        )
    };
    // Both operands are this map, and each of its two negative values counts in both.
    let image = [1, 0, -2, -1];
    let ran = run(&body(true), &image);
    assert_eq!(breaches(&ran), [(1, Bound::NonNegative, 1, 4)]);
    assert_eq!(breaches(&run(&body(false), &image)), []);
    assert_eq!(breaches(&run(&body(true), &[1, 0, 2, 0])), []);
}
