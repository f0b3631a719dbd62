//! Convolutions of real shapes, in multiply-adds a second (criterion's "elem/s"), for each
//! instruction set, on one thread and on all; beside them f32 matrix products of the same sizes.
//!
//! `cargo bench --bench kernels` measures all of it; a part of a name selects, as in
//! `cargo bench --bench kernels -- "resnet50.*avx512 x1"`.

#[path = "support/product.rs"]
mod product;
#[path = "support/random.rs"]
mod random;

use std::hint::black_box;
use std::thread::available_parallelism;
use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use product::Product;
use rayon::{ThreadPool, ThreadPoolBuilder};
use trefoil_runtime::kernel::{ConvShape, Isa, PackedWeights, conv2d};

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let pools = pools();
    println!("instruction sets of this machine: {:?}", Isa::available());
    for (network, layers) in networks() {
        for layer in layers {
            let mut group = criterion.benchmark_group(format!("{network} {}", name(&layer)));
            group.throughput(Throughput::Elements(layer.macs()));
            convolutions(&mut group, &layer, &pools);
            products(&mut group, &layer);
            group.finish();
        }
    }
    criterion.final_summary();
}

fn convolutions(group: &mut BenchmarkGroup<'_, WallTime>, shape: &ConvShape, pools: &[ThreadPool]) {
    // Uniformly random, as the client's and the helper's operands are.
    let weights = random::vector(shape.weight_len(), 1);
    let x = random::vector(shape.input_len(), 2);
    let mut out = vec![0; shape.output_len()];
    for isa in Isa::available() {
        let packed = PackedWeights::pack(isa, shape, &weights);
        for pool in pools {
            let name = format!("{} x{}", isa_name(isa), pool.current_num_threads());
            group.bench_function(name, |bencher| {
                bencher.iter(|| pool.install(|| conv2d(shape, &packed, black_box(&x), black_box(&mut out))));
            });
        }
    }
}

fn products(group: &mut BenchmarkGroup<'_, WallTime>, shape: &ConvShape) {
    let Some(mut product) = Product::of(shape) else {
        return;
    };
    group.bench_function("f32 gemm x1", |bencher| {
        bencher.iter(|| black_box(&mut product).gemm());
    });
    group.bench_function("f32 matrixmultiply x1", |bencher| {
        bencher.iter(|| black_box(&mut product).matrixmultiply());
    });
}

/// One thread, and as many as the machine has.
fn pools() -> Vec<ThreadPool> {
    let all = available_parallelism().map_or(1, usize::from);
    let mut counts = vec![1, all];
    counts.dedup();
    let pool = |&threads| ThreadPoolBuilder::new().num_threads(threads).build();
    let pools: Result<_, _> = counts.iter().map(pool).collect();
    pools.expect("the machine gives threads")
}

fn isa_name(isa: Isa) -> &'static str {
    match isa {
        Isa::Scalar => "scalar",
        Isa::Avx2 => "avx2",
        Isa::Avx512 => "avx512",
    }
}

/// Such as "3x3 64-128 at 56 /2".
fn name(shape: &ConvShape) -> String {
    let [kh, kw] = shape.kernel;
    let stride = match shape.stride {
        [1, 1] => String::new(),
        [down, _] => format!(" /{down}"),
    };
    let kind = if shape.groups > 1 { " depthwise" } else { "" };
    format!(
        "{kh}x{kw}{kind} {}-{} at {}{stride}",
        shape.in_c, shape.out_c, shape.in_h
    )
}

/// The layers that take most of the time of each network.
fn networks() -> [(&'static str, Vec<ConvShape>); 3] {
    let resnet50 = vec![
        dense(7, 3, 64, 224, 2),
        dense(1, 64, 256, 56, 1),
        dense(1, 256, 64, 56, 1),
        dense(3, 64, 64, 56, 1),
        dense(3, 128, 128, 56, 2),
        dense(3, 128, 128, 28, 1),
        dense(3, 256, 256, 14, 1),
        dense(1, 1024, 256, 14, 1),
        dense(3, 512, 512, 7, 1),
        dense(1, 512, 2048, 7, 1),
        dense(1, 2048, 1000, 1, 1),
    ];
    let resnet18_cifar = vec![
        dense(3, 3, 64, 32, 1),
        dense(3, 64, 64, 32, 1),
        dense(3, 128, 128, 16, 1),
        dense(3, 256, 256, 8, 1),
        dense(3, 512, 512, 4, 1),
    ];
    let mobilenetv2 = vec![
        dense(1, 16, 96, 112, 1),
        depthwise(96, 112, 2),
        depthwise(144, 56, 1),
        dense(1, 144, 24, 56, 1),
        depthwise(384, 14, 1),
        dense(1, 64, 384, 14, 1),
        depthwise(960, 7, 1),
        dense(1, 320, 1280, 7, 1),
    ];
    [
        ("resnet50", resnet50),
        ("resnet18-cifar", resnet18_cifar),
        ("mobilenetv2", mobilenetv2),
    ]
}

/// A square filter, padded such that the stride alone shrinks the map.
fn dense(kernel: usize, in_c: usize, out_c: usize, side: usize, stride: usize) -> ConvShape {
    ConvShape {
        in_c,
        in_h: side,
        in_w: side,
        out_c,
        kernel: [kernel; 2],
        stride: [stride; 2],
        dilation: [1; 2],
        groups: 1,
        pads: [kernel / 2; 4],
    }
}

/// A 3x3 filter a channel.
fn depthwise(channels: usize, side: usize, stride: usize) -> ConvShape {
    ConvShape {
        groups: channels,
        ..dense(3, channels, channels, side, stride)
    }
}
