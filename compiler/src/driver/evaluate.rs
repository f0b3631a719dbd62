//! Running networks over data sets: in floats, or a compiled one in the emulator.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;
use serde::Serialize;
use thiserror::Error;
use trefoil_ir::Shape;
use trefoil_ir::mpc::emulate::{Bound, Emulator, IntMap, Rounding};
use trefoil_ir::mpc::{Kind, ValueId};
use trefoil_ir::nn::Graph;
use trefoil_ir::nn::eval::{self, FeatureMap, ImageShapeError};
use trefoil_ir::plan::{EncodeError, Owner};
use trefoil_ir::tail::Tail;
use trefoil_runtime::data::{DataError, DataSet};

use super::breaches::Breaches;
use super::images::feature_map;

/// Why a data set cannot be run.
#[derive(Debug, Error)]
pub enum EvaluateError {
    /// An image cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// An image is not what the network expects.
    #[error("image {name}: {reason}")]
    Image {
        /// Its name in the data set.
        name: String,
        /// What is wrong with it.
        reason: UnfitImage,
    },
}

impl EvaluateError {
    fn image(data: &DataSet, index: usize, reason: UnfitImage) -> Self {
        Self::Image {
            name: data.name(index),
            reason,
        }
    }
}

/// An image that a network does not take.
#[derive(Debug, Error)]
pub enum UnfitImage {
    /// It has another shape than the graph's input.
    #[error(transparent)]
    Shape(#[from] ImageShapeError),
    /// It cannot be written in the units of the program's input.
    #[error(transparent)]
    Encoding(#[from] EncodeError),
}

/// Something that turns an image into logits.
pub trait Network: Sync {
    /// Shape of the image.
    fn input(&self) -> Shape;
    /// The steps from the logits to the output.
    fn tail(&self) -> &Tail;
    /// Runs the network on one image.
    ///
    /// # Errors
    /// If the image is not what the network expects.
    fn logits(&self, image: &FeatureMap) -> Result<FeatureMap, UnfitImage>;
}

/// A graph in floats.
pub struct Float<'a> {
    graph: &'a Graph,
}

impl<'a> Float<'a> {
    /// This graph, which the verifier has seen.
    pub fn new(graph: &'a Graph) -> Self {
        Self { graph }
    }
}

impl Network for Float<'_> {
    fn input(&self) -> Shape {
        self.graph
            .node(self.graph.input().expect("a verified graph has an input"))
            .shape
    }

    fn tail(&self) -> &Tail {
        self.graph.tail().expect("a verified graph has one output")
    }

    fn logits(&self, image: &FeatureMap) -> Result<FeatureMap, UnfitImage> {
        Ok(eval::run(self.graph, image)?)
    }
}

/// A compiled network in the emulator.
pub struct Fixed<'a> {
    owner: &'a Owner,
    emulator: Emulator<'a>,
    breaches: Mutex<Breaches>,
}

impl<'a> Fixed<'a> {
    /// This compilation.
    pub fn new(owner: &'a Owner) -> Self {
        Self {
            owner,
            emulator: Emulator::new(&owner.program, &owner.constants),
            breaches: Mutex::default(),
        }
    }

    /// Values that left their ranges on the images run so far.
    pub fn breaches(&self) -> Breaches {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Breaches> {
        self.breaches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The image in units.
    ///
    /// # Errors
    /// If it is not what the network expects.
    pub fn encode(&self, image: &FeatureMap) -> Result<IntMap, UnfitImage> {
        let units = self.owner.input.encode(image.values(), self.input())?;
        Ok(IntMap::new(
            self.input(),
            units.into_iter().map(i64::from).collect(),
        ))
    }

    /// The emulator of its program.
    pub fn emulator(&self) -> &Emulator<'a> {
        &self.emulator
    }
}

impl Network for Fixed<'_> {
    fn input(&self) -> Shape {
        self.owner.program.steps[0].ty.shape
    }

    fn tail(&self) -> &Tail {
        &self.owner.output.tail
    }

    fn logits(&self, image: &FeatureMap) -> Result<FeatureMap, UnfitImage> {
        let units = self.encode(image)?;
        let mut outcome = self.emulator.run(&units, Rounding::Nearest, |_, _| {});
        self.lock().add(&outcome);
        if outcome.breaches().next().is_some() {
            // Here coins decide over more than the last digits: the nearest is what most of them make, and
            // right more often than what the parties make. So they are tossed, for an image always alike.
            let coins = Rounding::Coin(seed_of(&units));
            outcome = self.emulator.run(&units, coins, |_, _| {});
        }
        let shape = outcome.output.shape();
        let revealed = self.owner.output.decode(outcome.output.values(), shape);
        Ok(self.owner.output.logits(revealed, shape))
    }
}

/// A seed of an image.
fn seed_of(units: &IntMap) -> u64 {
    let bytes: Vec<u8> = units.values().iter().flat_map(|v| v.to_le_bytes()).collect();
    let hash = blake3::hash(&bytes);
    hash.as_bytes()
        .iter()
        .take(8)
        .fold(0, |seed, &byte| seed << 8 | u64::from(byte))
}

/// Runs a network on the images of a data set, `at_once` at a time, and calls `progress` with the
/// number done. Rows come in the order of the images.
///
/// # Errors
/// The first image that cannot be read or run.
pub fn run(
    network: &dyn Network,
    data: &DataSet,
    at_once: usize,
    mut progress: impl FnMut(usize),
) -> Result<Vec<FeatureMap>, EvaluateError> {
    let mut rows = Vec::with_capacity(data.len());
    // Where every thread has an image, a longer list keeps all of them at work.
    let batch = if at_once < rayon::current_num_threads() {
        at_once
    } else {
        4 * at_once
    };
    for start in (0..data.len()).step_by(batch) {
        let done: Result<Vec<_>, EvaluateError> = (start..data.len().min(start + batch))
            .into_par_iter()
            .map(|index| run_one(network, data, index))
            .collect();
        rows.extend(done?);
        progress(rows.len());
    }
    Ok(rows)
}

fn run_one(network: &dyn Network, data: &DataSet, index: usize) -> Result<FeatureMap, EvaluateError> {
    let image = feature_map(data.get(index)?);
    let logits = network.logits(&image);
    logits.map_err(|reason| EvaluateError::image(data, index, reason))
}

/// How one step of the program compares with the network in floats.
#[derive(Clone, Debug, Serialize)]
pub struct LayerComparison {
    /// Number of the step.
    pub step: usize,
    /// Name of the op.
    pub op: &'static str,
    /// ONNX name of its origin.
    pub name: String,
    /// Root mean square of the value in floats.
    pub rms: f64,
    /// Root mean square of the difference.
    pub error: f64,
    /// Largest difference.
    pub largest_error: f64,
    /// Largest use of a bound.
    pub used: Option<Use>,
    /// Values beyond a bound.
    pub breaches: usize,
}

/// How far a bound was used.
#[derive(Clone, Debug, Serialize)]
pub struct Use {
    /// Which bound, such as that of an activation.
    pub bound: String,
    /// The largest value as a part of it.
    pub part: f64,
    /// Channel of that value.
    pub channel: usize,
}

/// Runs a compiled network in floats and in the emulator and compares layer by layer.
///
/// # Errors
/// The first image that cannot be read or run.
pub fn compare(
    owner: &Owner,
    data: &DataSet,
    mut progress: impl FnMut(usize),
) -> Result<(Vec<LayerComparison>, Breaches), EvaluateError> {
    let fixed = Fixed::new(owner);
    let mut layers: Vec<Sums> = owner.program.steps.iter().map(|_| Sums::default()).collect();
    for index in 0..data.len() {
        let image = feature_map(data.get(index)?);
        compare_image(owner, &fixed, &image, &mut layers)
            .map_err(|reason| EvaluateError::image(data, index, reason))?;
        progress(index + 1);
    }
    let comparisons = owner
        .program
        .ids()
        .zip(layers)
        .filter(|(_, sums)| sums.count > 0 || sums.used.is_some());
    let comparisons = comparisons.map(|(id, sums)| sums.finish(owner, id));
    Ok((comparisons.collect(), fixed.breaches()))
}

#[derive(Clone, Default)]
struct Sums {
    count: usize,
    squares: f64,
    error_squares: f64,
    largest: f64,
    used: Option<(Bound, f64, usize)>,
    breaches: usize,
}

impl Sums {
    fn finish(self, owner: &Owner, id: ValueId) -> LayerComparison {
        let step = owner.program.step(id);
        let count = self.count.max(1) as f64;
        LayerComparison {
            step: id.index(),
            op: step.op.name(),
            name: step.origin.clone(),
            rms: (self.squares / count).sqrt(),
            error: (self.error_squares / count).sqrt(),
            largest_error: self.largest,
            used: self.used.map(|(bound, part, channel)| Use {
                bound: format!("{bound:?}"),
                part,
                channel,
            }),
            breaches: self.breaches,
        }
    }
}

fn compare_image(
    owner: &Owner,
    fixed: &Fixed<'_>,
    image: &FeatureMap,
    layers: &mut [Sums],
) -> Result<(), UnfitImage> {
    let mut floats: Vec<Option<FeatureMap>> = vec![None; owner.graph.id_bound()];
    eval::run_with(&owner.graph, image, |id, value| {
        floats[id.index()] = Some(value.clone())
    })?;
    let outcome = fixed
        .emulator()
        .run(&fixed.encode(image)?, Rounding::Nearest, |id, value| {
            let step = owner.program.step(id);
            let Some(note) = &step.note else { return };
            // A truncated value is the accumulator before it, in other units.
            let comparable = !matches!(step.ty.kind, Kind::Truncated);
            let float = note.node.and_then(|n| floats.get(n as usize)?.as_ref());
            if let Some(float) = float.filter(|f| comparable && f.shape().len() == value.shape().len()) {
                add_differences(&mut layers[id.index()], value, &note.unit, float);
            }
        });
    fixed.lock().add(&outcome);
    for (&(id, bound), usage) in &outcome.usage {
        let layer = &mut layers[id.index()];
        if layer.used.is_none_or(|(_, most, _)| usage.largest > most) {
            layer.used = Some((bound, usage.largest, usage.channel));
        }
        layer.breaches += usage.breaches;
    }
    Ok(())
}

fn add_differences(sums: &mut Sums, value: &IntMap, unit: &[f64], float: &FeatureMap) {
    let plane = value.shape().plane();
    for (at, (&fixed, &float)) in value.values().iter().zip(float.values()).enumerate() {
        let float = f64::from(float);
        let difference = fixed as f64 * unit[at / plane] - float;
        sums.count += 1;
        sums.squares += float * float;
        sums.error_squares += difference * difference;
        sums.largest = sums.largest.max(difference.abs());
    }
}
