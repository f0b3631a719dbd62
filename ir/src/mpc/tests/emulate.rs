//! The meaning of each op in plain integers, against results worked out by hand.

use proptest::prelude::*;

use super::*;
use crate::text::store::random;

const NINE: [i64; 9] = [1, 2, 3, 4, 5, 6, 7, 8, 9];

#[test]
fn a_convolution_adds_products_and_the_bias() {
    let ran = run(
        "const c0 : weight[1,1,2,2]{1, 2, 3, 4}
         const c1 : bias[1]{100}
         %0 = input {shape=[1, 3, 3]}
         %1 = conv2d %0 {weight=c0, bias=c1, channels=1, kernel=[2, 2]} : acc<1x2x2>",
        &NINE,
    );
    assert_eq!(ran.last(), [137, 147, 167, 177]);
}

#[test]
fn a_grouped_strided_convolution_reads_zeros_outside() {
    let image = [NINE.to_vec(), NINE.map(|v| v + 10).to_vec()].concat();
    let ran = run(
        "const c0 : weight[2,1,3,3]{1*9, 0*4, 10, 0*4}
         %0 = input {shape=[2, 3, 3]}
         %1 = conv2d %0 {weight=c0, channels=2, kernel=[3, 3], stride=[2, 2], pads=[1*4], groups=2} : acc<2x2x2>",
        &image,
    );
    assert_eq!(ran.last(), [12, 16, 24, 28, 110, 130, 170, 190]);
}

#[test]
fn lift_multiplies_channels_and_sum_pool_elements() {
    let ran = run(
        "const c0 : multiplier[2]{3, -65536}
         %0 = input {shape=[2, 1, 2]}
         %1 = lift %0 {multiplier=c0} : acc<2x1x2>",
        &[1, -2, 5, 7],
    );
    assert_eq!(ran.last(), [3, -6, -5 * 65_536, -7 * 65_536]);
    // A window at the border has fewer summands and a multiplier of its own.
    let ran = run(
        "const c0 : multiplier[1,2,2]{1, 2, 10, 100}
         %0 = input {shape=[1, 3, 3]}
         %1 = sum_pool %0 {kernel=[2, 2], stride=[2, 2], pads=[0, 0, 1, 1], multiplier=c0} : acc<1x2x2>",
        &NINE,
    );
    assert_eq!(ran.last(), [12, 2 * 9, 10 * 15, 100 * 9]);
}

#[test]
fn interpolation_weighs_by_distance_in_exact_fractions() {
    let ran = run(
        "%0 = input {shape=[1, 1, 2]}
         %1 = interpolate %0 {size=[1, 4], scales=[1.0, 2.0], mode=bilinear, coordinates=half_pixel} : acc<1x1x4>",
        &[100, 200],
    );
    // Quarters of the way between the two pixels.
    assert_eq!(ran.last(), [100, 125, 175, 200].map(|v| v << 16));
}

proptest! {
    #[test]
    fn interpolating_a_constant_gives_that_constant(
        value in -16_384i64..=16_384, h in 1usize..6, w in 1usize..6, rows in 1usize..12, columns in 1usize..12, corners in any::<bool>(),
    ) {
        let coordinates = if corners { "align_corners" } else { "pytorch_half_pixel" };
        let (down, across) = (rows as f64 / h as f64, columns as f64 / w as f64);
        let ran = run(
            &format!(
                "%0 = input {{shape=[1, {h}, {w}]}}
                 %1 = interpolate %0 {{size=[{rows}, {columns}], scales=[{down:?}, {across:?}], mode=bilinear, coordinates={coordinates}}}"
            ),
            &vec![value; h * w],
        );
        prop_assert!(ran.last().iter().all(|&v| v == value << 16));
    }
}

#[test]
fn local_ops_move_values_and_add_them() {
    let ran = run(
        "const c0 : multiplier[2]{1, 1}
         %0 = input {shape=[2, 1, 2]}
         %1 = lift %0 {multiplier=c0}
         %2 = add %1, %1 : acc<2x1x2>
         %3 = concat %2, %1 : acc<4x1x2>
         %4 = gather %3 {axis=c, index=[3, 0]} : acc<2x1x2>
         %5 = gather %4 {axis=w, index=[1, 1, 0]} : acc<2x1x3>
         %6 = pad %4 {before=[1, 0, 0], after=[0, 1, 1]} : acc<3x2x3>
         %7 = flatten %6 : acc<18x1x1>",
        &[1, 2, 30, 40],
    );
    assert_eq!(ran.values[2], [2, 4, 60, 80]);
    assert_eq!(ran.values[3], [2, 4, 60, 80, 1, 2, 30, 40]);
    assert_eq!(ran.values[4], [30, 40, 2, 4]);
    assert_eq!(ran.values[5], [40, 40, 30, 4, 4, 2]);
    let padded = [0, 0, 0, 0, 0, 0, 30, 40, 0, 0, 0, 0, 2, 4, 0, 0, 0, 0];
    assert_eq!(ran.values[6], padded);
    assert_eq!(ran.values[7], padded);
}

#[test]
fn truncation_rounds_to_the_nearest_unit() {
    let ran = run(
        "const c0 : multiplier[1]{1}
         %0 = input {shape=[1, 1, 6]}
         %1 = lift %0 {multiplier=c0}
         %2 = truncate %1 {keep=[16]} : tr<1x1x6>
         %3 = requant %2 : act<1x1x6>
         %4 = reveal %3 : out<1x1x6>",
        // Half a unit and just below it; the emulator sees what the input's bound would forbid.
        &[32_767, 32_768, -32_768, -32_769, 65_536, 163_840],
    );
    assert_eq!(ran.last(), [0, 1, 0, -1, 1, 3]);
    assert_eq!(ran.values[3], ran.values[2]);
    assert_eq!(ran.outcome.output.values(), ran.last());
}

/// A program that lifts its image by whole units, so that nothing is rounded, and truncates it.
fn gate(shape: [usize; 3], gate: &str) -> String {
    let [c, h, w] = shape;
    format!(
        "const c0 : multiplier[{c}]{{65536*{c}}}
         const c1 : level[{c}]{{6*{c}}}
         %0 = input {{shape=[{c}, {h}, {w}]}}
         %1 = lift %0 {{multiplier=c0}}
         %2 = truncate %1 {{keep=[16*{c}]}}
         %3 = {gate}"
    )
}

#[test]
fn a_block_relu_gives_the_pixels_of_a_patch_one_sign() {
    let image: Vec<i64> = [
        [3, -1, -5, 4, 1, -2], // channel 0: pixels
        [3, -1, -5, 4, 1, -2], // channel 1: 2x2 patches, the last column cut off
        [3, -1, -5, 4, 1, -2], // channel 2: identity
        [3, -1, -5, 4, 1, -6], // channel 3: one patch of the whole map, -4
    ]
    .concat();
    let ran = run(
        &gate([4, 2, 3], "block_relu %2 {patches=[1x1, 2x2, 0x1, 2x3]}"),
        &image,
    );
    let expected: Vec<i64> = [
        [3, 0, 0, 4, 1, 0],
        [3, -1, 0, 4, 1, 0], // 3 - 1 + 4 + 1 = 7; -5 - 2 = -7
        [3, -1, -5, 4, 1, -2],
        [0; 6],
    ]
    .concat();
    assert_eq!(ran.last(), expected);
}

#[test]
fn patch_sums_are_those_of_the_exact_accumulator() {
    // Each of four pixels is 0.4 of a unit and rounds to zero, and one is -1: their sum is 0.2.
    let body = "const c0 : multiplier[1]{26214}
         %0 = input {shape=[1, 1, 5]}
         %1 = lift %0 {multiplier=c0}
         %2 = truncate %1 {keep=[16]}
         %3 = block_relu %2 {patches=[1x5]}";
    // In units: 2.4, 2.4, 2.4, 2.4, -9.6 sums to zero but for rounding; 2, 2, 2, 2, -10 would be negative.
    let ran = run(body, &[6, 6, 6, 6, -24]);
    assert_eq!(ran.values[2], [2, 2, 2, 2, -10]);
    assert_eq!(ran.last(), [2, 2, 2, 2, -10], "the exact sum is not negative");
}

#[test]
fn a_clip_of_pixels_is_that_of_every_textbook() {
    let ran = run(
        &gate([1, 1, 6], "clip %2 {level=c1, lower=[1x1], upper=[1x1]}"),
        &[-3, 0, 2, 5, 6, 7],
    );
    assert_eq!(ran.last(), [0, 0, 2, 5, 6, 6]);
}

#[test]
fn the_two_signs_of_a_clip_have_patches_of_their_own() {
    let clip = |lower: &str, upper: &str, image: [i64; 4]| {
        let op = format!("clip %2 {{level=c1, lower=[{lower}], upper=[{upper}]}}");
        run(&gate([1, 1, 4], &op), &image).last().to_vec()
    };
    // No lower sign: only what lies above the level is cut; and the other way round.
    assert_eq!(clip("0x1", "1x1", [-3, 5, 6, 9]), [-3, 5, 6, 6]);
    assert_eq!(clip("1x1", "0x1", [-3, 5, 6, 9]), [0, 5, 6, 9]);
    assert_eq!(clip("0x1", "0x1", [-3, 5, 6, 9]), [-3, 5, 6, 9]);
    // Equal patches: 10 + 4 >= 12 puts both at the level; 9 - 10 < 0 both at zero.
    assert_eq!(clip("1x2", "1x2", [10, 4, 9, -10]), [6, 6, 0, 0]);
    // Lower pixels, upper pairs: -2 + 20 is above, and b0 = 0, b1 = 1 gives level - z.
    assert_eq!(clip("1x1", "1x2", [-2, 20, -3, 8]), [8, 6, 0, 8]);
    // Lower pairs, upper pixels: -20 + 9 < 0 takes both, and of 9 what is above the level is cut.
    assert_eq!(clip("1x2", "1x1", [-20, 9, -3, 8]), [0, -3, -3, 6]);
}

#[test]
fn relu_and_max_work_on_activations() {
    let ran = run(
        "%0 = input {shape=[2, 1, 3]}
         %1 = relu %0 {patches=[1x1, 0x1]} : act<2x1x3>
         %2 = gather %0 {axis=w, index=[2, 1, 0]}
         %3 = max %1, %2 {non_negative=false} : act<2x1x3>
         %4 = reveal %3",
        &[-1, 0, 2, -5, 6, -7],
    );
    assert_eq!(ran.values[1], [0, 0, 2, -5, 6, -7]);
    assert_eq!(ran.values[3], [2, 0, 2, -5, 6, -5]);
    assert_eq!(ran.outcome.output.values(), ran.values[3]);
    assert_eq!(ran.outcome.breaches().count(), 0);
}

#[test]
fn a_truncated_value_can_be_revealed_without_a_gate() {
    let ran = run(&gate([1, 1, 3], "reveal %2"), &[-7, 0, 9]);
    assert_eq!(ran.outcome.output.values(), [-7, 0, 9]);
}

/// The first output channel of a convolution whose weights include `more` further rows.
fn first_channel(seed: u64, more: &[i32], image: &[i64]) -> Vec<i64> {
    let mut weights: Vec<i32> = random(seed, 1000).take(72).collect();
    weights.extend_from_slice(more);
    let rows = weights.len() / 72;
    let listed: Vec<String> = weights.iter().map(ToString::to_string).collect();
    let ran = run(
        &format!(
            "const c0 : weight[{rows},8,3,3]{{{}}}
             %0 = input {{shape=[8, 4, 4]}}
             %1 = conv2d %0 {{weight=c0, channels={rows}, kernel=[3, 3], pads=[1*4]}}",
            listed.join(", ")
        ),
        image,
    );
    ran.last().to_vec()
}

proptest! {
    #[test]
    fn weights_too_large_for_floats_take_a_path_of_the_same_results(seed in any::<u64>()) {
        let image: Vec<i64> = random(seed ^ 1, 1 << 14).take(128).map(i64::from).collect();
        // Its magnitudes add up to more than 2^37: all rows are computed in integers.
        let huge: Vec<i32> = random(seed ^ 2, i32::MAX).take(72).map(|w| w | 1 << 30).collect();
        let small = first_channel(seed, &[], &image);
        let mixed = first_channel(seed, &huge, &image);
        prop_assert_eq!(&mixed[..16], &small[..]);
        prop_assert_eq!(&mixed[16..], &naive(&huge, &image)[..]);
    }

    #[test]
    fn values_too_large_for_floats_take_it_too(seed in any::<u64>(), bits in 14u32..31) {
        let image: Vec<i64> = random(seed, 1 << bits).take(128).map(i64::from).collect();
        // Sums of up to 2^36: they leave 53 bits where the image leaves 17.
        let weights: Vec<i32> = random(seed ^ 1, 1 << 30).take(72).collect();
        prop_assert_eq!(&first_channel(seed, &weights, &image)[16..], &naive(&weights, &image)[..]);
    }
}

/// A 3x3 convolution of 8 channels of 4x4 pixels, padded by one, modulo 2^32.
fn naive(weights: &[i32], image: &[i64]) -> Vec<i64> {
    let pixel = |c: usize, y: i64, x: i64| {
        let inside = (0..4).contains(&y) && (0..4).contains(&x);
        if inside {
            i128::from(image[c * 16 + (y * 4 + x) as usize])
        } else {
            0
        }
    };
    let at = |y: i64, x: i64| {
        let taps = (0..72).map(|tap| {
            let (c, dy, dx) = (tap / 9, (tap / 3 % 3) as i64 - 1, (tap % 3) as i64 - 1);
            i128::from(weights[tap]) * pixel(c, y + dy, x + dx)
        });
        i64::from(taps.sum::<i128>() as i32)
    };
    (0..16).map(|i| at(i / 4, i % 4)).collect()
}
