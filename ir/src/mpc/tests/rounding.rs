//! The rounding coin: down or up, unbiased, never where nothing is to be rounded.

use super::*;

/// A map of 32x32 pixels, each of which is `fraction` of a unit, rounded.
fn coins(fraction: i64, seed: u64) -> Vec<i64> {
    let body = format!(
        "const c0 : multiplier[1]{{{fraction}}}
         %0 = input {{shape=[1, 32, 32]}}
         %1 = lift %0 {{multiplier=c0}}
         %2 = truncate %1 {{keep=[16]}}
         %3 = reveal %2"
    );
    let ran = run_with(&body, &[1; 1024], Rounding::Coin(seed));
    ran.outcome.output.values().to_vec()
}

#[test]
fn the_coin_is_unbiased() {
    const SEEDS: u64 = 64;
    for fraction in [
        1, 6_554, 16_384, 32_768, 60_000, 65_535, -16_384, -100_000, 1_000_003,
    ] {
        let (floor, part) = (fraction >> 16, (fraction & 0xffff) as f64 / 65_536.0);
        let values: Vec<i64> = (0..SEEDS).flat_map(|seed| coins(fraction, seed)).collect();
        assert!(values.iter().all(|v| [floor, floor + 1].contains(v)));
        let mean = values.iter().sum::<i64>() as f64 / values.len() as f64;
        // Five standard deviations of the mean.
        let tolerance = 5.0 * (part * (1.0 - part) / values.len() as f64).sqrt();
        let off = mean - fraction as f64 / 65_536.0;
        assert!(
            off.abs() <= tolerance,
            "{fraction}: off by {off}, allowed {tolerance}"
        );
    }
}

#[test]
fn a_whole_number_of_units_is_rounded_up_once_in_65536() {
    // R_low <= z_low = 0 for one R_low of 2^16: so the parties round.
    for units in [-3, 0, 7] {
        let values = (0..256).flat_map(|seed| coins(units << 16, seed));
        let up: Vec<i64> = values.filter(|&v| v != units).collect();
        // Of 2^18 four, and never fifteen.
        assert!(
            (1..15).contains(&up.len()) && up.iter().all(|&v| v == units + 1),
            "{up:?}"
        );
    }
}

#[test]
fn a_seed_fixes_the_coins_and_another_changes_them() {
    assert_eq!(coins(30_000, 1), coins(30_000, 1));
    assert_ne!(coins(30_000, 1), coins(30_000, 2));
}

#[test]
fn the_sign_of_a_patch_close_to_zero_falls_by_its_coin() {
    // The sum of each patch is -1/2 of a unit: it rounds to -1 or to 0, which counts as positive.
    let body = "const c0 : multiplier[1]{-16384}
         %0 = input {shape=[1, 64, 64]}
         %1 = lift %0 {multiplier=c0}
         %2 = truncate %1 {keep=[16]}
         %3 = block_relu %2 {patches=[1x2]}
         %4 = gather %0 {axis=c, index=[0]}";
    let ran = run_with(body, &[1; 4096], Rounding::Coin(3));
    // Half of the patches keep their pixels, of which a quarter rounds to -1.
    let kept = ran.values[3].iter().filter(|&&v| v == -1).count();
    assert!((350..=674).contains(&kept), "{kept}"); // 512 within 7 standard deviations
    let nearest = run(body, &[1; 4096]);
    assert!(nearest.values[3].iter().all(|&v| v == 0));
}
