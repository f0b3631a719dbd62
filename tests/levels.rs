//! Every level of the pipeline on one table of cases: floats as imported, floats after the passes,
//! the emulator, three parties in one process. Each small network once with a sign per pixel and,
//! where it has gates, once with patches; the clips once as ReLUs; two whole networks.
//!
//! What must hold of each level:
//! - passes: equal to the import but for float rounding (unless the case changes the network);
//! - emulator: within [`QUANTIZATION`] of floats, and no value outside its range;
//! - parties: no further from the emulator than its own rounding coins carry it, the traffic that
//!   the plan predicts message by message, and its round trips;
//! - the greatest logit the same at every level, unless the first two are closer than the noise.

mod support;

use std::collections::BTreeSet;

use support::compiled::{Levels, Model, deviation, distance, images, lead, median, rms_and_largest, top1};
use support::onnx::{self, Rng};
use trefoil_compiler::driver::images::feature_map;
use trefoil_compiler::import::{ImportOptions, import_bytes};
use trefoil_compiler::patches::{Assignment, Choice, LayerChoice};
use trefoil_ir::Patch;
use trefoil_ir::mpc::Op;
use trefoil_ir::mpc::emulate::Rounding;
use trefoil_ir::nn::{Gate, Graph};
use trefoil_runtime::data::ImageTensor;

/// Root mean square error that the emulator may have, in standard deviations of the output.
const QUANTIZATION: f64 = 0.005;

/// Median error that it may have with patches.
const QUANTIZATION_WITH_PATCHES: f64 = 0.1;

/// Images that ranges are taken from, and others that are scored.
const CALIBRATION_IMAGES: usize = 48;
const IMAGES: usize = 2;

/// Longest side of small patches.
const SMALL: usize = 4;

/// Runs of the emulator with rounding coins, which show how noisy an output is.
const COIN_RUNS: u64 = 6;

/// What becomes of the gates.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Signs {
    EveryPixel,
    /// Seeded patches, identities among them, for the first gate and each `every`th behind it; no
    /// side is longer than `side`.
    Patches {
        seed: u64,
        every: usize,
        side: usize,
    },
    /// Clips as ReLUs.
    AsRelu,
}

/// One network, and what becomes of its gates.
struct Case {
    name: String,
    onnx: Vec<u8>,
    input: [usize; 3],
    signs: Signs,
}

impl Case {
    fn new(name: &str, onnx: Vec<u8>, input: [usize; 3], signs: Signs) -> Self {
        Self {
            name: format!("{name} ({signs:?})"),
            onnx,
            input,
            signs,
        }
    }

    /// All small networks.
    fn tiny(signs: Signs) -> Vec<Self> {
        let case = |(name, onnx, input): onnx::TinyModel| Self::new(name, onnx, input, signs);
        onnx::all_tiny().into_iter().map(case).collect()
    }

    fn graph(&self) -> Graph {
        let imported = import_bytes(&self.onnx, None, &ImportOptions::default());
        imported
            .unwrap_or_else(|error| panic!("{}: {error}", self.name))
            .graph
            .into_inner()
    }

    fn compile(&self) -> Result<Model, String> {
        let assignment = match self.signs {
            Signs::Patches { seed, every, side } => {
                Some(patches(&self.graph(), &mut Rng::new(seed), every, side))
            }
            Signs::EveryPixel | Signs::AsRelu => None,
        };
        let as_relu = self.signs == Signs::AsRelu;
        Model::of_bytes(&self.onnx, self.input, CALIBRATION_IMAGES, assignment, as_relu)
    }

    fn images(&self) -> Vec<ImageTensor> {
        let [channels, height, width] = self.input;
        let values = images(2, IMAGES, self.input);
        let image = |values: &[f32]| ImageTensor {
            channels,
            height,
            width,
            values: values.to_vec(),
        };
        values.chunks(channels * height * width).map(image).collect()
    }

    /// Runs the case; returns all that is wrong with it.
    fn faults(&self) -> Vec<String> {
        let mut faults = match self.compile() {
            Ok(mut model) => {
                let faults = |image: ImageTensor| match model.run(image.clone()) {
                    Ok(levels) => self.compare(&model, image, &levels),
                    Err(error) => vec![error],
                };
                self.images().into_iter().flat_map(faults).collect::<Vec<_>>()
            }
            Err(error) => vec![error],
        };
        faults
            .iter_mut()
            .for_each(|fault| *fault = format!("{}: {fault}", self.name));
        faults
    }

    /// Whether the network has signs of patches, which jump: where the patch's mean is within the
    /// noise of zero, all of its pixels may come out otherwise, and what depends on them. A few such
    /// places must not hide behind, nor be taken for, a general error: medians are compared.
    fn has_jumps(&self) -> bool {
        matches!(self.signs, Signs::Patches { .. })
    }

    fn compare(&self, model: &Model, image: ImageTensor, levels: &Levels) -> Vec<String> {
        let mut faults = Vec::new();
        let mut demand = |holds: bool, fault: String| {
            if !holds {
                faults.push(fault);
            }
        };
        let std = deviation(&levels.float).max(1e-6);
        if self.signs == Signs::EveryPixel {
            let (error, _) = distance(&levels.imported, &levels.float);
            demand(
                error <= 1e-4 * std,
                format!("passes changed the output by {error:e} (deviation {std})"),
            );
        }
        demand(
            levels.breaches.is_empty(),
            format!("values left their ranges: {:?}", levels.breaches),
        );
        let (error, worst) = distance(&levels.float, &levels.fixed);
        let (error, limit) = if self.has_jumps() {
            (
                median(differences(&levels.float, &levels.fixed)),
                QUANTIZATION_WITH_PATCHES,
            )
        } else {
            (error, QUANTIZATION)
        };
        demand(
            error <= limit * std,
            format!("the emulator is off by {:.4} deviations", error / std),
        );
        if levels.is_vector && f64::from(lead(&levels.float)) > 2.0 * worst {
            demand(
                top1(&levels.float) == top1(&levels.fixed),
                "the emulator's class differs".to_owned(),
            );
        }

        let noise = Noise::between(&levels.fixed_units, &levels.ran.units);
        let coins = Noise::of_coins(model, image, levels);
        demand(
            if self.has_jumps() {
                noise.median <= coins.median
            } else {
                noise.rms <= coins.rms && noise.most <= coins.most
            },
            format!("the parties are {noise:.1?} units from the emulator, {coins:.1?} allowed"),
        );
        let (_, worst) = distance(&levels.fixed, &levels.secure);
        if levels.is_vector && f64::from(lead(&levels.fixed)) > 2.0 * worst {
            demand(
                top1(&levels.fixed) == top1(&levels.secure),
                "the parties' class differs".to_owned(),
            );
        }
        faults
    }
}

/// How far a result is from the emulator's, in units of the output.
#[derive(Clone, Copy, Debug)]
struct Noise {
    rms: f64,
    most: f64,
    median: f64,
}

impl Noise {
    fn between(a: &[i64], b: &[i64]) -> Self {
        let magnitudes = || a.iter().zip(b).map(|(a, b)| (a - b).abs() as f64);
        let (rms, most) = rms_and_largest(magnitudes());
        Self {
            rms,
            most,
            median: median(magnitudes()),
        }
    }

    /// What the emulator's own coins show, with room for what they did not.
    fn of_coins(model: &Model, image: ImageTensor, levels: &Levels) -> Self {
        let fixed = model.fixed();
        let units = fixed.encode(&feature_map(image)).expect("it was encoded before");
        let mut noise = Self {
            rms: 0.0,
            most: 0.0,
            median: 0.0,
        };
        for seed in 0..COIN_RUNS {
            let outcome = fixed.emulator().run(&units, Rounding::Coin(seed), |_, _| {});
            let seen = Self::between(&levels.fixed_units, outcome.output.values());
            noise.rms = noise.rms.max(seen.rms);
            noise.most = noise.most.max(seen.most);
            noise.median = noise.median.max(seen.median);
        }
        Self {
            rms: 1.5 * noise.rms + 1.0,
            most: 2.0 * noise.most + 3.0,
            median: 2.0 * noise.median + 2.0,
        }
    }
}

fn differences(a: &[f32], b: &[f32]) -> impl Iterator<Item = f64> {
    a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs()))
}

/// Seeded patches for the gates of a graph: sizes that seldom divide the map, identities, and the two
/// signs of a clip apart.
fn patches(graph: &Graph, rng: &mut Rng, every: usize, side: usize) -> Assignment {
    let mut assignment = Assignment::default();
    let gates = graph
        .ids()
        .into_iter()
        .filter_map(|id| Gate::of(graph.node(id)).map(|gate| (id, gate)));
    for (id, gate) in gates.step_by(every) {
        let node = graph.node(id);
        let mut choice = || {
            let side = |rng: &mut Rng, size: usize| 1 + rng.below(size.min(side)) as u16;
            let patch = |_| match rng.below(6) {
                0 => Patch::Identity,
                1 => Patch::PIXEL,
                _ => Patch::Block {
                    h: side(rng, node.shape.h),
                    w: side(rng, node.shape.w),
                },
            };
            Choice::of(&(0..node.shape.c).map(patch).collect::<Vec<_>>())
        };
        let layer = match gate.upper {
            None => LayerChoice::Every(choice()),
            Some(_) => LayerChoice::Signs {
                lower: Some(choice()),
                upper: Some(choice()),
            },
        };
        assignment.insert(node.origin.name.clone(), layer);
    }
    assignment
}

/// Runs cases, and fails with all that is wrong with any of them.
#[track_caller]
fn check(cases: &[Case]) {
    let faults: Vec<String> = cases.iter().flat_map(Case::faults).collect();
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

#[test]
fn small_networks_with_a_sign_per_pixel() {
    let cases = Case::tiny(Signs::EveryPixel);
    assert!(cases.len() >= 80, "the table is whole");
    check(&cases);
}

#[test]
fn small_networks_with_patches() {
    let cases: Vec<Case> = (0..)
        .zip(Case::tiny(Signs::EveryPixel))
        .filter(|(_, case)| has_gates(&case.graph()))
        .map(|(seed, case)| Case {
            name: format!("{} with patches {seed}", case.name),
            signs: Signs::Patches {
                seed,
                every: 1,
                side: SMALL,
            },
            ..case
        })
        .collect();
    assert!(cases.len() >= 70, "most networks have gates");
    check(&cases);
}

/// Patches of any size up to the whole map, most of them large enough to be summed up apart.
fn with_large_patches() -> Vec<Case> {
    let case = |(seed, case): (u64, Case)| Case {
        name: format!("{} with large patches {seed}", case.name),
        signs: Signs::Patches {
            seed,
            every: 2,
            side: usize::MAX,
        },
        ..case
    };
    let cases = (0..).zip(Case::tiny(Signs::EveryPixel));
    cases
        .filter(|(_, case)| has_gates(&case.graph()))
        .map(case)
        .collect()
}

#[test]
fn small_networks_with_large_patches() {
    check(&with_large_patches());
}

fn has_gates(graph: &Graph) -> bool {
    graph
        .ids()
        .into_iter()
        .any(|id| Gate::of(graph.node(id)).is_some())
}

#[test]
fn clips_as_relus() {
    let has_clips = |case: &Case| {
        let graph = case.graph();
        graph
            .ids()
            .into_iter()
            .any(|id| Gate::of(graph.node(id)).is_some_and(|gate| gate.upper.is_some()))
    };
    let cases: Vec<Case> = Case::tiny(Signs::AsRelu).into_iter().filter(has_clips).collect();
    assert!(cases.len() >= 2, "some networks have clips");
    check(&cases);
}

#[test]
fn resnet20() {
    let case = |signs| Case::new("resnet20", onnx::resnet20(20), [3, 32, 32], signs);
    check(&[
        case(Signs::EveryPixel),
        case(Signs::Patches {
            seed: 20,
            every: 1,
            side: SMALL,
        }),
    ]);
}

#[test]
fn mobilenet_v2() {
    let case = |signs| {
        Case::new(
            "mobilenet_v2",
            onnx::mobilenet_v2(2, 0.25, 96),
            [3, 96, 96],
            signs,
        )
    };
    check(&[
        case(Signs::EveryPixel),
        case(Signs::Patches {
            seed: 2,
            every: 6,
            side: SMALL,
        }),
    ]);
}

/// Nothing of the protocol is left out of the table.
#[test]
fn every_op_occurs() {
    let ops = |case: &Case| {
        let model = case
            .compile()
            .unwrap_or_else(|error| panic!("{}: {error}", case.name));
        model
            .parties
            .plan()
            .program()
            .steps
            .iter()
            .map(|step| step.op.name())
            .collect::<Vec<_>>()
    };
    let pixels = Case::tiny(Signs::EveryPixel);
    let found: BTreeSet<&str> = pixels.iter().chain(&with_large_patches()).flat_map(ops).collect();
    assert_eq!(found, Op::NAMES.iter().copied().collect());
}
