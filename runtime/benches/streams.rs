//! Mask streams in GB/s, for each path that the cipher has on this machine: into a buffer that fits
//! the second-level cache, and into one that does not. `memset` is what the memory gives.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use trefoil_runtime::prg::{Purpose, Seed, Stream, StreamKey};

const SIZES: [(&str, usize); 2] = [("64 KiB", 64 << 10), ("16 MiB", 16 << 20)];

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    for (name, bytes) in SIZES {
        let mut group = criterion.benchmark_group(format!("streams of {name}"));
        group.throughput(Throughput::Bytes(bytes as u64));
        for (path, key) in StreamKey::every_path(&Seed::from_bytes([1; Seed::LEN])) {
            let fills = Fills { path, key, bytes };
            fills.measure(&mut group, "u16", Stream::fill::<u16>);
            fills.measure(&mut group, "u32", Stream::fill::<u32>);
            fills.measure(&mut group, "words", Stream::fill::<u64>);
        }
        group.bench_function("memset", |bencher| {
            let mut buffer = vec![0u64; bytes / 8];
            bencher.iter(|| black_box(&mut buffer).fill(black_box(0x0123_4567_89ab_cdef)));
        });
        group.finish();
    }
    criterion.final_summary();
}

/// Fills of one size on one path.
struct Fills {
    path: &'static str,
    key: StreamKey,
    bytes: usize,
}

impl Fills {
    /// One stream is read on and on: what matters is the speed of a fill, not of its beginning.
    fn measure<T: Clone + Default>(
        &self,
        group: &mut BenchmarkGroup<'_, WallTime>,
        integers: &str,
        fill: fn(&mut Stream, &mut [T]),
    ) {
        // A stream is handed out once: each kind of integer has a step of its own.
        let step = size_of::<T>() as u32;
        let mut stream = self.key.stream(0, step, Purpose::FreshMask);
        let mut buffer = vec![T::default(); self.bytes / size_of::<T>()];
        group.bench_function(format!("{} {integers}", self.path), |bencher| {
            bencher.iter(|| fill(&mut stream, black_box(&mut buffer)));
        });
    }
}
