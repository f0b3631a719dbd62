//! The knapsack on instances of the size and shape of four published tasks.
//!
//! `cargo bench --bench knapsack` times them; with `-- --report` it solves every instance once and
//! prints times, gaps and sizes instead.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion};
use trefoil_compiler::budget::knapsack::{Item, Limits, Problem, Solution, solve};

/// ReLU layers of equal map size.
struct Maps {
    side: usize,
    /// Channels of these layers together.
    channels: usize,
    layers: usize,
    /// Options of a channel: patch shapes and the identity.
    options: usize,
}

struct Task {
    name: &'static str,
    maps: Vec<Maps>,
    /// Signs with a ReLU at every pixel.
    signs: u64,
    /// Options of all channels.
    options: usize,
}

fn main() {
    if std::env::args().any(|argument| argument == "--report") {
        return report();
    }
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(5))
        .configure_from_args();
    for task in tasks() {
        let problem = task.problem(1);
        let mut group = criterion.benchmark_group(task.name);
        for percent in [6, 25, 75] {
            let budget = task.signs * percent / 100;
            group.bench_function(BenchmarkId::from_parameter(percent), |bencher| {
                bencher.iter(|| solve(black_box(&problem), budget, &Limits::default()));
            });
        }
    }
    criterion.final_summary();
}

fn report() {
    for task in tasks() {
        for seed in 1..=3 {
            let problem = task.problem(seed);
            for percent in [3, 6, 9, 12, 15, 18, 25, 50, 75] {
                let start = Instant::now();
                let solution = solve(&problem, task.signs * percent / 100, &Limits::default());
                let solution = solution.expect("identities cost nothing");
                print(&task, seed, percent, &problem, &solution, start.elapsed());
            }
        }
    }
}

fn print(task: &Task, seed: u64, percent: u64, problem: &Problem, solution: &Solution, time: Duration) {
    let c = &solution.certificate;
    println!(
        "{:24} seed {seed} {percent:2}% {:5} groups {:7} items {:.3} s loss {:.6e} gap {:.1e} proved {} \
         undominated {} core {} / {} states {}",
        task.name,
        problem.groups(),
        problem.items(),
        time.as_secs_f64(),
        solution.loss,
        c.relative_gap,
        c.proved,
        c.undominated,
        c.core_groups,
        c.core_moves,
        c.states
    );
}

/// The channels per map size are the published networks'; with these catalogues they give the
/// published numbers of signs and options exactly.
fn tasks() -> [Task; 4] {
    let maps = |list: &[[usize; 4]]| {
        list.iter()
            .map(|&[side, channels, layers, options]| Maps {
                side,
                channels,
                layers,
                options,
            })
            .collect()
    };
    let task = |name, list: &[[usize; 4]], signs, options| Task {
        name,
        maps: maps(list),
        signs,
        options,
    };
    [
        task(
            "resnet18-cifar100",
            &[
                [32, 320, 5, 79],
                [16, 512, 4, 75],
                [8, 1024, 4, 25],
                [4, 2048, 4, 8],
            ],
            557_056,
            105_664,
        ),
        task(
            "resnet50-imagenet",
            &[
                [112, 64, 1, 100],
                [56, 1280, 10, 99],
                [28, 3200, 13, 79],
                [14, 9472, 17, 74],
                [7, 8704, 8, 24],
            ],
            9_608_704,
            1_295_744,
        ),
        task(
            "mobilenetv2-ade20k",
            &[
                [256, 160, 3, 102],
                [128, 528, 4, 101],
                [64, 16_144, 32, 100],
                [1, 512, 1, 2],
            ],
            85_262_848,
            1_685_072,
        ),
        task(
            "resnet50-voc2012",
            &[
                [256, 128, 3, 102],
                [128, 1280, 10, 101],
                [64, 23_936, 43, 100],
                [1, 512, 1, 2],
            ],
            127_402_496,
            2_536_960,
        ),
    ]
}

impl Task {
    /// Losses as they are measured: of very different sizes from layer to layer and from channel to
    /// channel, growing with the patch at a rate of the channel's own, and noisy.
    fn problem(&self, seed: u64) -> Problem {
        let mut random = Random(seed);
        let mut problem = Problem::default();
        for maps in &self.maps {
            let shapes = catalogue(maps.side, maps.options - 1);
            for layer in 0..maps.layers {
                let size = random.normal().exp();
                let end = (layer + 1) * maps.channels / maps.layers;
                for _ in layer * maps.channels / maps.layers..end {
                    let items = channel(&mut random, maps.side, &shapes, size);
                    problem.push(items).expect("finite losses and small costs");
                }
            }
        }
        assert_eq!(
            (problem.items(), problem.cost(&vec![0; problem.groups()])),
            (self.options, self.signs)
        );
        problem
    }
}

/// The options of one channel: the shapes, from 1 by 1 on, then the identity.
fn channel(random: &mut Random, side: usize, shapes: &[(usize, usize)], layer: f64) -> Vec<Item> {
    let size = layer * (1.5 * random.normal()).exp();
    let rate = 0.2 + 0.6 * random.uniform();
    let mut items: Vec<Item> = shapes
        .iter()
        .map(|&(h, w)| Item {
            cost: (side.div_ceil(h) * side.div_ceil(w)) as u64,
            loss: size * (1.0 - ((h * w) as f64).powf(-rate)) * (0.3 * random.normal()).exp(),
        })
        .collect();
    let loss = size * (0.2 + 0.7 * random.normal()).exp();
    items.push(Item { cost: 0, loss });
    items
}

/// Rectangles of mixed aspect, from 1 by 1 to the whole map, spread over the areas.
fn catalogue(side: usize, count: usize) -> Vec<(usize, usize)> {
    let sides: Vec<usize> = [
        1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 48, 64, 96, 112, 128, 192, 256,
    ]
    .into_iter()
    .filter(|&length| length <= side)
    .collect();
    let pairs = sides.iter().flat_map(|&h| sides.iter().map(move |&w| (h, w)));
    let mut shapes: Vec<_> = pairs.filter(|&(h, w)| h <= 4 * w && w <= 4 * h).collect();
    shapes.sort_by_key(|&(h, w)| (h * w, h));
    let last = shapes.len() - 1;
    (0..count)
        .map(|k| shapes[k * last / (count - 1).max(1)])
        .collect()
}

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Box and Muller's.
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}
