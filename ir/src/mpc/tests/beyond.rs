//! Beyond the ranges, by hand: what wraps where, and with what probability where shares decide. (That
//! all of it is what the parties compute is tested where the parties are.)

use super::*;

/// The image times 2^16, as a truncated value, and what a gate makes of it.
fn gate(keep: u8, gate: &str, image: &[i64], rounding: Rounding<'_>) -> Vec<i64> {
    let body = format!(
        "const c0 : multiplier[1]{{65536}}
         const c1 : level[1]{{100}}
         %0 = input {{shape=[1, 1, {}]}}
         %1 = lift %0 {{multiplier=c0}}
         %2 = truncate %1 {{keep=[{keep}]}}
         %3 = {gate}",
        image.len()
    );
    run_with(&body, image, rounding).last().to_vec()
}

#[test]
fn accumulators_wrap_modulo_2_32_and_are_seen_so() {
    let ran = run(
        "const c0 : multiplier[1]{1073741824}
         %0 = input {shape=[1, 1, 4]}
         %1 = lift %0 {multiplier=c0}
         %2 = add %1, %1
         %3 = truncate %2 {keep=[16]}
         %4 = reveal %3",
        &[1, -1, 2, 3],
    );
    let half = 1 << 30;
    assert_eq!(ran.values[1], [half, -half, -2 * half, -half]);
    assert_eq!(ran.values[2], [-2 * half, -2 * half, 0, -2 * half]);
    assert_eq!(ran.last(), [-32_768, -32_768, 0, -32_768]);
    // How far each was out of bounds is known all the same.
    let usage = ran.outcome.usage[&(ValueId(3), super::super::emulate::Bound::Accumulator)];
    assert_eq!((usage.breaches, usage.largest.round()), (4, 6.0));
}

#[test]
fn a_relu_of_pixels_knows_15_bits() {
    // The upper half of the ring is negative, whatever the value.
    let image = [16_383, 16_384, 32_767, -1, -16_384, -16_385, -32_768];
    let relu = gate(15, "block_relu %2 {patches=[1x1]}", &image, Rounding::Nearest);
    assert_eq!(relu, [16_383, 0, 0, 0, 0, 16_383, 0]);
    // 16 bits kept change nothing.
    assert_eq!(
        gate(16, "block_relu %2 {patches=[1x1]}", &image, Rounding::Nearest),
        relu
    );
}

#[test]
fn a_clip_of_pixels_below_all_ranges_sees_its_upper_sign_alone() {
    let image = [-32_768, -32_669, -32_668, 32_767, 100];
    let clip = |seed| {
        gate(
            16,
            "clip %2 {level=c1, lower=[1x1], upper=[1x1]}",
            &image,
            Rounding::Coin(seed),
        )
    };
    for seed in 0..40 {
        let result = clip(seed);
        // z + level, which may come out 2^16 too large.
        assert!([-32_668, 32_868].contains(&result[0]), "{result:?}");
        assert!([-32_569, 32_967].contains(&result[1]), "{result:?}");
        assert_eq!(result[2..], [0, 100, 100]);
    }
}

#[test]
fn maxima_and_relus_of_activations_work_in_their_rings() {
    let ran = run(
        "%0 = input {shape=[1, 1, 3]}
         %1 = gather %0 {axis=w, index=[1, 2, 0]}
         %2 = max %0, %1 {non_negative=false}
         %3 = max %0, %1 {non_negative=true}
         %4 = relu %0 {patches=[1x1]}
         %5 = reveal %0",
        &[40_000, -20_000, 5],
    );
    // 60,000 is negative in 16 bits, and in 15; -39,995 is 25,541 in 16, and negative in 15.
    assert_eq!(ran.values[2], [-20_000, 5, 40_000 + 25_541]);
    assert_eq!(ran.values[3], [-20_000, 5 + 12_763, 40_000]);
    assert_eq!(ran.values[4], [7232, 12_768, 5]);
    assert_eq!(ran.last(), [-25_536, -20_000, 5]);
}

/// Of many coins, the part of those with which a gate makes `low` of one value, else `high`.
fn part(op: &str, value: i64, [low, high]: [i64; 2]) -> f64 {
    const PIXELS: usize = 1 << 12;
    let image = vec![value; PIXELS];
    let results: Vec<i64> = (0..8)
        .flat_map(|seed| gate(16, op, &image, Rounding::Coin(seed)))
        // One in 2^16 is rounded up.
        .filter(|result| ![low + 1, high + 1].contains(result))
        .collect();
    assert!(results.iter().all(|r| [low, high].contains(r)), "{op} {value}");
    results.iter().filter(|r| **r == low).count() as f64 / results.len() as f64
}

#[test]
fn a_result_beyond_the_window_is_too_small_by_the_law_of_its_shares() {
    const WRAP: i64 = 1 << 16;
    for value in [16_384, 20_000, 32_767, -32_768, -20_000, -16_385] {
        let moved = (value + (1 << 14)) & (WRAP - 1);
        let high = moved - (1 << 14);
        let expected = (moved - (1 << 15) + 1) as f64 / f64::from(1 << 15);
        for op in [
            "requant %2",
            "block_relu %2 {patches=[0x1]}",
            "clip %2 {level=c1, lower=[0x1], upper=[0x1]}",
        ] {
            let part = part(op, value, [high - WRAP, high]);
            // 2^15 results: five standard deviations are 0.014 at most.
            assert!(
                (part - expected).abs() < 0.014,
                "{op} {value}: {part}, not {expected}"
            );
        }
        // Of gates with signs the client's share is drawn, not the truncation's.
        if [-20_000, -16_385].contains(&value) {
            let op = "clip %2 {level=c1, lower=[0x1], upper=[1x1]}";
            let part = part(op, value, [high - WRAP, high]);
            assert!((part - expected).abs() < 0.014, "{op} {value}: {part}");
        }
    }
}

#[test]
fn nothing_is_drawn_within_the_ranges() {
    let image = [-16_384, -1, 0, 16_383];
    for rounding in [Rounding::Nearest, Rounding::Coin(1), Rounding::Coin(2)] {
        assert_eq!(gate(16, "requant %2", &image, rounding), image);
    }
}
