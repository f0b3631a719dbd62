//! Layers of a million values, in elements a second for each party and each message; and what they
//! are made of: packing fields and slicing bit planes, in GB/s of the unpacked values.
//!
//! `cargo bench --bench gates` measures with criterion; with `-- --report` it runs each layer 21
//! times and prints a table of medians, phases and parties.

#[path = "support/layer.rs"]
mod layer;
#[path = "support/random.rs"]
mod random;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput, measurement::WallTime};
use layer::{Layer, SHAPE, Step, Times};
use trefoil_ir::mpc::gate::BLOCK;
use trefoil_runtime::kernel::Isa;
use trefoil_runtime::protocol::block::{self, BlockReader, BlockWriter, Halves, Words, ZEROS};
use trefoil_runtime::wire::bits::{BitsError, field_bytes};

/// Runs of a layer in a report.
const RUNS: usize = 21;

fn main() {
    if std::env::args().any(|argument| argument == "--report") {
        return report();
    }
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    for layer in Layer::all() {
        steps(&mut criterion, layer);
    }
    for isa in Isa::available() {
        blocks(&mut criterion, isa);
    }
    criterion.final_summary();
}

// ------------------------------------------------------------------------------------------ layers

fn steps(criterion: &mut Criterion, mut layer: Layer) {
    let mut group = criterion.benchmark_group(layer.name);
    group.throughput(Throughput::Elements(SHAPE.len() as u64));
    group.sampling_mode(SamplingMode::Flat);
    for step in Step::ALL {
        if layer.has(step) {
            timed(&mut group, step.name(), &mut layer, |times| times.of(step));
        }
    }
    timed(&mut group, "offline", &mut layer, |times| {
        times.sum(Step::is_offline)
    });
    timed(&mut group, "online", &mut layer, |times| {
        times.sum(|step| !step.is_offline())
    });
    group.finish();
}

/// Measures a part of a layer: a step needs the messages of those before it, so all are run.
fn timed(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    layer: &mut Layer,
    part: impl Fn(&Times) -> Duration,
) {
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|runs| (0..runs).map(|_| part(&layer.run())).sum());
    });
}

fn report() {
    println!(
        "a layer of {} values: milliseconds, million values a second",
        SHAPE.len()
    );
    for mut layer in Layer::all() {
        println!("\n{}", layer.name);
        let runs: Vec<Times> = (0..RUNS).map(|_| layer.run()).collect();
        let line = |name: &str, part: &dyn Fn(&Times) -> Duration| {
            let mut times: Vec<Duration> = runs.iter().map(part).collect();
            times.sort();
            let seconds = times[times.len() / 2].as_secs_f64();
            println!(
                "  {name:16}{:9.2}{:9.1}",
                seconds * 1e3,
                SHAPE.len() as f64 / seconds / 1e6
            );
        };
        for step in Step::ALL {
            if layer.has(step) {
                line(step.name(), &|times| times.of(step));
            }
        }
        for party in ["client", "server", "helper"] {
            line(party, &|times| times.sum(|step| step.name().starts_with(party)));
        }
        line("offline", &|times| times.sum(Step::is_offline));
        line("online", &|times| times.sum(|step| !step.is_offline()));
        line("all", &|times| times.sum(|_| true));
    }
}

// -------------------------------------------------------------------------------- fields and planes

/// Packing of the protocol's widths and slicing, block by block, for each instruction set.
fn blocks(criterion: &mut Criterion, isa: Isa) {
    let values: Vec<Halves> = random_blocks(|word| word as u16);
    let wide: Vec<Words> = random_blocks(|word| word);
    for bits in [15, 16] {
        let mut group = criterion.benchmark_group(format!("fields of {bits} bits, {isa:?}"));
        group.throughput(Throughput::Bytes(size_of_val(&values[..]) as u64));
        let write = |writer: &mut BlockWriter<'_>, values: &Halves| writer.halves(values, bits);
        let read = |reader: &mut BlockReader<'_>, values: &mut Halves| reader.halves(bits, values);
        measure_fields(&mut group, isa, (&values, bits), write, read);
    }
    for bits in [17, 32] {
        let mut group = criterion.benchmark_group(format!("fields of {bits} bits, {isa:?}"));
        group.throughput(Throughput::Bytes(size_of_val(&wide[..]) as u64));
        let write = |writer: &mut BlockWriter<'_>, values: &Words| writer.words(values, bits);
        let read = |reader: &mut BlockReader<'_>, values: &mut Words| reader.words(bits, values);
        measure_fields(&mut group, isa, (&wide, bits), write, read);
    }
    planes(criterion, isa, &values);
}

fn random_blocks<T: Copy + Default>(part: fn(u32) -> T) -> Vec<[T; BLOCK]> {
    let values: Vec<T> = random::words(1).map(part).take(SHAPE.len()).collect();
    values.as_chunks().0.to_vec()
}

fn measure_fields<T: Clone>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    isa: Isa,
    (values, bits): (&[T], u32),
    write: impl Fn(&mut BlockWriter<'_>, &T),
    read: impl Fn(&mut BlockReader<'_>, &mut T) -> Result<(), BitsError>,
) {
    let full = field_bytes(BLOCK, bits);
    let mut bytes = vec![0; full * values.len()];
    let pack = |bytes: &mut [u8]| {
        for (values, bytes) in values.iter().zip(bytes.chunks_mut(full)) {
            write(&mut BlockWriter::new(isa, bytes, BLOCK), black_box(values));
        }
    };
    group.bench_function("pack", |bencher| bencher.iter(|| pack(black_box(&mut bytes))));
    // The benchmark above need not have been among those that were asked for.
    pack(&mut bytes);
    let mut out = values.to_vec();
    group.bench_function("unpack", |bencher| {
        bencher.iter(|| {
            for (values, bytes) in out.iter_mut().zip(bytes.chunks(full)) {
                let mut reader = BlockReader::new(isa, black_box(bytes), BLOCK);
                read(&mut reader, values).expect("it was packed so");
            }
        });
    });
}

fn planes(criterion: &mut Criterion, isa: Isa, values: &[Halves]) {
    let mut planes = vec![[ZEROS; 16]; values.len()];
    let mut out = values.to_vec();
    let mut group = criterion.benchmark_group(format!("bit planes, {isa:?}"));
    group.throughput(Throughput::Bytes(size_of_val(values) as u64));
    group.bench_function("slice 15", |bencher| {
        bencher.iter(|| {
            for (values, planes) in values.iter().zip(&mut planes) {
                block::slice(isa, black_box(values), &mut planes[..15]);
            }
        });
    });
    group.bench_function("expand one", |bencher| {
        bencher.iter(|| {
            for (values, planes) in out.iter_mut().zip(&planes) {
                block::expand(isa, black_box(&planes[0]), values);
            }
        });
    });
    group.finish();
}
