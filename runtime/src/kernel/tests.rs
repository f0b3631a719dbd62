//! Every instruction set and thread count against seven nested loops.

use super::*;
use proptest::prelude::*;
use std::sync::OnceLock;
use trefoil_ir::Patch;
use trefoil_ir::mpc::patch_sums::SumList;

/// The definition of a convolution, element by element.
fn naive(shape: &ConvShape, weights: &[u32], x: &[u32]) -> Vec<u32> {
    let (out_h, out_w) = (shape.out_h(), shape.out_w());
    let (group_in, group_out) = (shape.in_c / shape.groups, shape.out_c / shape.groups);
    let mut out = vec![0u32; shape.out_c * out_h * out_w];
    for o in 0..shape.out_c {
        for row in 0..out_h {
            for column in 0..out_w {
                let out = &mut out[(o * out_h + row) * out_w + column];
                for c in 0..group_in {
                    for i in 0..shape.kernel[0] {
                        for j in 0..shape.kernel[1] {
                            let y = row * shape.stride[0] + i * shape.dilation[0];
                            let x_at = column * shape.stride[1] + j * shape.dilation[1];
                            let inside_y = (shape.pads[0]..shape.pads[0] + shape.in_h).contains(&y);
                            let inside_x = (shape.pads[1]..shape.pads[1] + shape.in_w).contains(&x_at);
                            if !(inside_y && inside_x) {
                                continue;
                            }
                            let (y, x_at) = (y - shape.pads[0], x_at - shape.pads[1]);
                            let channel = o / group_out * group_in + c;
                            let value = x[(channel * shape.in_h + y) * shape.in_w + x_at];
                            let tap = (o * group_in + c) * shape.kernel[0] + i;
                            let weight = weights[tap * shape.kernel[1] + j];
                            *out = out.wrapping_add(weight.wrapping_mul(value));
                        }
                    }
                }
            }
        }
    }
    out
}

/// Words that look random (SplitMix64), small ones and extremes among them.
fn words(len: usize, mut seed: u64) -> Vec<u32> {
    let mut next = || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        match z % 16 {
            0 => 0,
            1 => u32::MAX,
            2 => 1 << 31,
            _ => (z >> 32) as u32,
        }
    };
    (0..len).map(|_| next()).collect()
}

fn pools() -> &'static [rayon::ThreadPool] {
    static POOLS: OnceLock<Vec<rayon::ThreadPool>> = OnceLock::new();
    POOLS.get_or_init(|| {
        let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        (1..=3).map(|threads| pool(threads).unwrap()).collect()
    })
}

fn check(shape: &ConvShape, seed: u64) -> Result<(), TestCaseError> {
    let weights = words(shape.weight_len(), seed);
    let x = words(shape.input_len(), seed ^ 0xabcd);
    let expected = naive(shape, &weights, &x);
    for isa in Isa::available() {
        let packed = PackedWeights::pack(isa, shape, &weights);
        for pool in pools() {
            // What was there before must not matter.
            let mut out = words(shape.output_len(), seed ^ 0x1234);
            pool.install(|| conv2d(shape, &packed, &x, &mut out));
            prop_assert!(out == expected, "{isa:?}, {:?}", packed.layout());
        }
    }
    Ok(())
}

prop_compose! {
    fn geometry()(
        map in [1usize..20, 1usize..40],
        kernel in [1usize..=7, 1usize..=7],
        stride in [1usize..=3, 1usize..=3],
        dilation in [1usize..=3, 1usize..=3],
        pads in [0usize..5, 0usize..5, 0usize..5, 0usize..5],
    ) -> ConvShape {
        let [in_h, in_w] = map;
        ConvShape { in_c: 1, in_h, in_w, out_c: 1, kernel, stride, dilation, groups: 1, pads }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_convolution(
        geometry in geometry(),
        (in_c, out_c, groups) in (1usize..8, 1usize..24, 1usize..4),
        seed: u64,
    ) {
        let shape = ConvShape { in_c: in_c * groups, out_c: out_c * groups, groups, ..geometry };
        check(&shape, seed)?;
    }

    #[test]
    fn depthwise(
        geometry in geometry(),
        (channels, multiplier) in (2usize..12, 1usize..4),
        seed: u64,
    ) {
        let shape = ConvShape {
            in_c: channels, out_c: channels * multiplier, groups: channels, ..geometry
        };
        check(&shape, seed)?;
    }

    #[test]
    fn pointwise(
        (in_c, out_c) in (1usize..300, 1usize..200),
        (in_h, in_w) in (1usize..10, 1usize..10),
        stride in 1usize..3,
        seed: u64,
    ) {
        let shape = ConvShape {
            in_c, in_h, in_w, out_c, kernel: [1, 1], stride: [stride; 2], dilation: [1, 1],
            groups: 1, pads: [0; 4],
        };
        check(&shape, seed)?;
    }

    #[test]
    fn fully_connected((in_c, out_c) in (1usize..1200, 1usize..300), seed: u64) {
        let shape = ConvShape {
            in_c, in_h: 1, in_w: 1, out_c, kernel: [1, 1], stride: [1, 1], dilation: [1, 1],
            groups: 1, pads: [0; 4],
        };
        check(&shape, seed)?;
    }

    #[test]
    fn elementwise(
        channels in 1usize..5, plane in prop_oneof![1usize..200, 40_000usize..40_040], seed: u64,
    ) {
        let a = words(channels * plane, seed);
        let b = words(channels * plane, seed ^ 1);
        let multipliers = words(channels, seed ^ 2);
        for isa in Isa::available() {
            let mut sum = a.clone();
            add_assign(isa, &mut sum, &b);
            let mut scaled = vec![7; a.len()];
            mul_channel(isa, &mut scaled, &a, &multipliers, plane);
            for i in 0..a.len() {
                prop_assert_eq!(sum[i], a[i].wrapping_add(b[i]));
                prop_assert_eq!(scaled[i], a[i].wrapping_mul(multipliers[i / plane]));
            }
        }
    }
}

/// Shapes large enough for several tasks, blocks of the inner dimension and panels.
#[test]
fn large_shapes() {
    let base = ConvShape {
        in_c: 64,
        in_h: 19,
        in_w: 21,
        out_c: 130,
        kernel: [3, 3],
        stride: [1, 1],
        dilation: [1, 1],
        groups: 1,
        pads: [1; 4],
    };
    let shapes = [
        base.clone(),
        ConvShape {
            in_h: 7,
            in_w: 7,
            ..base.clone()
        },
        ConvShape {
            stride: [2, 2],
            ..base.clone()
        },
        ConvShape {
            groups: 2,
            ..base.clone()
        },
        ConvShape {
            in_h: 5,
            in_w: 5,
            groups: 2,
            ..base.clone()
        },
        ConvShape {
            in_c: 3,
            in_h: 61,
            in_w: 64,
            kernel: [7, 7],
            stride: [2, 2],
            pads: [3; 4],
            ..base.clone()
        },
        ConvShape {
            in_h: 90,
            in_w: 77,
            out_c: 64,
            groups: 64,
            ..base.clone()
        },
        ConvShape {
            in_h: 40,
            in_w: 33,
            out_c: 128,
            groups: 64,
            dilation: [6, 6],
            pads: [6; 4],
            ..base
        },
    ];
    for (seed, shape) in shapes.iter().enumerate() {
        check(shape, seed as u64).unwrap_or_else(|error| panic!("{shape:?}: {error}"));
    }
}

#[test]
fn the_layout_follows_the_map() {
    let shape = ConvShape {
        in_c: 512,
        in_h: 7,
        in_w: 7,
        out_c: 512,
        kernel: [3, 3],
        stride: [1, 1],
        dilation: [1, 1],
        groups: 1,
        pads: [1; 4],
    };
    assert_eq!(Layout::choose(Isa::Avx512, &shape), Layout::ChannelVectors);
    let large = ConvShape {
        in_h: 56,
        in_w: 56,
        ..shape.clone()
    };
    assert_eq!(Layout::choose(Isa::Avx512, &large), Layout::PixelVectors);
    let depthwise = ConvShape { groups: 512, ..shape };
    assert_eq!(Layout::choose(Isa::Avx512, &depthwise), Layout::Depthwise);
}

#[test]
fn weights_do_not_show_in_debug_output() {
    let shape = ConvShape {
        in_c: 1,
        in_h: 1,
        in_w: 1,
        out_c: 1,
        kernel: [1, 1],
        stride: [1, 1],
        dilation: [1, 1],
        groups: 1,
        pads: [0; 4],
    };
    let packed = PackedWeights::pack(Isa::detect(), &shape, &[987_654_321]);
    assert!(!format!("{packed:?}").contains("987"));
    assert!(packed.bytes() >= 4);
}

#[test]
fn temporary_memory_is_accounted() {
    let shape = ConvShape {
        in_c: 64,
        in_h: 56,
        in_w: 56,
        out_c: 64,
        kernel: [3, 3],
        stride: [1, 1],
        dilation: [1, 1],
        groups: 1,
        pads: [1; 4],
    };
    let padded_copy = 64 * 58 * 58 * 4;
    let bytes = scratch_bytes(&shape);
    assert!(bytes > padded_copy && bytes < 4 * padded_copy, "{bytes}");
}

/// Patch sums of the convolution that `naive` computes, with the weights of the entries.
fn naive_sums(shape: &ConvShape, list: &SumList, weights: &[u32], x: &[u32]) -> Vec<u32> {
    let (h, w) = (shape.out_h(), shape.out_w());
    let mut out = Vec::new();
    for (entry, (channel, patch)) in list.iter().enumerate() {
        let mut all = vec![0; shape.weight_len()];
        let row = &weights[entry * shape.depth()..][..shape.depth()];
        all[channel * shape.depth()..][..shape.depth()].copy_from_slice(row);
        let map = naive(shape, &all, x);
        let [rows, columns] = patch.grid(h, w);
        let [ph, pw] = patch.to_pair().map(usize::from);
        let mut sums = vec![0u32; rows * columns];
        for (at, value) in map[channel * h * w..(channel + 1) * h * w].iter().enumerate() {
            let sum = &mut sums[at / w / ph * columns + at % w / pw];
            *sum = sum.wrapping_add(*value);
        }
        out.extend(sums);
    }
    out
}

/// Entries of random channels and patches, some alike.
fn entries(shape: &ConvShape, count: usize, seed: u64) -> SumList {
    let mut list = SumList::default();
    let dice = words(3 * count, seed);
    for dice in dice.chunks(3) {
        let side = |dice: u32, size: usize| (1 + dice as usize % size.min(4)) as u16;
        let patch = match dice[0] % 3 {
            0 => Patch::Block {
                h: shape.out_h() as u16,
                w: shape.out_w() as u16,
            },
            _ => Patch::Block {
                h: side(dice[1], shape.out_h()),
                w: side(dice[1] / 7, shape.out_w()),
            },
        };
        list.push(dice[2] as usize % shape.out_c, patch);
    }
    list
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn patch_sums_of_any_convolution(
        geometry in geometry(),
        // From eight channels of a group on these stand side by side.
        (in_c, out_c, groups) in (prop_oneof![1usize..4, 7usize..36], 1usize..6, 1usize..4),
        count in 1usize..12,
        seed: u64,
    ) {
        let shape = ConvShape { in_c: in_c * groups, out_c: out_c * groups, groups, ..geometry };
        prop_assume!(shape.out_h() > 0 && shape.out_w() > 0);
        let list = entries(&shape, count, seed);
        let weights = words(count * shape.depth(), seed ^ 0x77);
        let x = words(shape.input_len(), seed ^ 0xabcd);
        let expected = naive_sums(&shape, &list, &weights, &x);
        for isa in Isa::available() {
            let packed = PackedSums::pack(isa, &shape, &list, &weights);
            for pool in pools() {
                prop_assert!(pool.install(|| packed.apply(&x)) == expected, "{isa:?}");
            }
        }
    }

    #[test]
    fn patch_sums_of_any_pool(geometry in geometry(), channels in 1usize..5, count in 1usize..8, seed: u64) {
        let shape = ConvShape { in_c: channels, out_c: channels, groups: channels, ..geometry };
        prop_assume!(shape.out_h() > 0 && shape.out_w() > 0);
        let list = entries(&shape, count, seed);
        let factors = words(count, seed ^ 0x77);
        let x = words(shape.input_len(), seed ^ 0xabcd);
        // A pool is a convolution of every channel by itself with one weight throughout.
        let weights: Vec<u32> = factors.iter().flat_map(|&f| std::iter::repeat_n(f, shape.depth())).collect();
        let expected = naive_sums(&shape, &list, &weights, &x);
        let window = trefoil_ir::Window {
            kernel: shape.kernel,
            stride: shape.stride,
            dilation: shape.dilation,
            pads: shape.pads,
        };
        let input = trefoil_ir::Shape::new(channels, shape.in_h, shape.in_w);
        let factors: Vec<i32> = factors.iter().map(|&f| f as i32).collect();
        for isa in Isa::available() {
            prop_assert!(pool_sums(isa, &window, &list, &x, input, &factors) == expected, "{isa:?}");
        }
    }
}
