//! Lowering: from the network in floats to the three-party program in integers.
//!
//! 1. [`tail`]: what follows the last secret value runs in the clear at the client.
//! 2. `form`: which values are activations, which accumulators, and which accumulators join into
//!    one that is truncated once (a `tree`).
//! 3. `scale`: the real value of one unit of every channel, from the calibration's ranges and from
//!    what is in the channel's nature (`parts`); `sums`: that of sums over large patches, which are
//!    computed apart.
//! 4. `emit`: the steps and the integer constants.
//!
//! The result is a function of graph, calibration and options alone: the same bytes every time.

#![cfg_attr(not(test), warn(clippy::wildcard_enum_match_arm))]

mod channel;
mod emit;
mod form;
mod linear;
mod loss;
mod max_pool;
mod need;
mod parts;
mod patch_sums;
mod room;
mod scale;
mod sign;
pub mod tail;
mod tree;

#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;

use thiserror::Error;
use trefoil_ir::Verified;
use trefoil_ir::mpc::privacy::{self, Breach};
use trefoil_ir::mpc::{self, Fault, Program};
use trefoil_ir::nn::{Graph, NodeId};
use trefoil_ir::plan::{InputEncoding, OutputDecoding};
use trefoil_ir::{Shape, Tensor};

use crate::ranges::Calibration;

/// What the user may choose.
#[derive(Clone, Debug)]
pub struct LowerOptions {
    /// Bits of room above what the calibration has seen; a value beyond them corrupts silently.
    pub head_room: f64,
    /// Largest magnitude of each channel of the image, where the preprocessing guarantees one; it
    /// needs no head-room.
    pub input_range: Option<Vec<f32>>,
}

impl Default for LowerOptions {
    fn default() -> Self {
        Self {
            head_room: 1.0,
            input_range: None,
        }
    }
}

/// A program with what its parties need to run it.
#[derive(Clone, Debug)]
pub struct Lowered {
    /// The program; its notes are the model owner's alone.
    pub program: Verified<Program>,
    /// Values of the declared constants.
    pub constants: Vec<Tensor<i32>>,
    /// How the client encodes its image.
    pub input: InputEncoding,
    /// How the client decodes the output; the names of the classes are still missing.
    pub output: OutputDecoding,
    /// What the user should know.
    pub warnings: Vec<Warning>,
}

/// Something that costs accuracy, at a layer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{op} \"{name}\": {message}")]
pub struct Warning {
    /// The layer's operator.
    pub op: &'static str,
    /// The layer's ONNX name.
    pub name: String,
    /// What, as a sentence.
    pub message: String,
}

/// Why a network cannot be lowered.
#[derive(Debug, Error)]
pub enum LowerError {
    /// The calibration was made with another graph.
    #[error(
        "the calibration belongs to another graph ({0}): calibrate the graph that is lowered, behind all passes"
    )]
    Calibration(String),
    /// The head-room makes no sense.
    #[error("a head-room of {0} bits leaves no room for values: choose between 0 and 8")]
    HeadRoom(f64),
    /// The range of the image has another number of channels.
    #[error("the image's range is given for {given} channels, and the network's input has {expected}")]
    InputRange {
        /// How many are given.
        given: usize,
        /// How many there are.
        expected: usize,
    },
    /// The graph has no output, or no input that it depends on.
    #[error("the network's output does not depend on its input, so there is nothing to compute in secret")]
    NoInput,
    /// A layer cannot be lowered.
    #[error("{op} \"{name}\" cannot be lowered")]
    Layer {
        /// The layer's operator.
        op: &'static str,
        /// The layer's ONNX name.
        name: String,
        /// What is wrong.
        source: LayerError,
    },
    /// What came out breaks a rule of the protocol.
    #[error("the lowered program is unsound, which is a fault of the compiler; please report it: {}", sentences(.0))]
    Unsound(Vec<Fault>),
    /// The parties would refuse what came out.
    #[error("the lowered program would leak, which is a fault of the compiler; please report it: {}", sentences(.0))]
    Leak(Vec<Breach>),
}

fn sentences(faults: &[impl ToString]) -> String {
    let sentences: Vec<String> = faults.iter().map(ToString::to_string).collect();
    sentences.join("; ")
}

/// Why a layer cannot be lowered.
#[derive(Debug, Error)]
pub enum LayerError {
    /// A pass should have replaced the operator.
    #[error(
        "the operator has no three-party form where it stands: run the passes first, or end the network before it"
    )]
    Unsupported,
    /// A mean over too many pixels.
    #[error(
        "the mean over {pixels} pixels needs a multiplier below 1 on channel {channel}: pool in two steps, or on a \
         smaller map"
    )]
    PoolTooLarge {
        /// Pixels of a window.
        pixels: usize,
        /// The channel.
        channel: usize,
    },
    /// A range so large or small that no scale is left.
    #[error(
        "the range of channel {channel} is beyond what any scale holds: check the weights, and that the calibration \
         images are preprocessed as the model expects"
    )]
    Range {
        /// The channel.
        channel: usize,
    },
    /// The program does not accept a step.
    #[error(transparent)]
    Step(#[from] mpc::op::OpError),
}

impl LowerError {
    fn at(graph: &Graph, id: NodeId, source: impl Into<LayerError>) -> Self {
        let node = graph.node(id);
        Self::Layer {
            op: node.op.name(),
            name: node.origin.name.clone(),
            source: source.into(),
        }
    }
}

/// Lowers a graph on which all passes have run.
///
/// # Errors
/// If the options or the calibration do not fit the graph, or a layer has no three-party form.
pub fn lower(
    graph: &Verified<Graph>,
    calibration: &Calibration,
    options: &LowerOptions,
) -> Result<Lowered, LowerError> {
    let graph: &Graph = graph;
    check(graph, calibration, options)?;
    let end = tail::split_off(graph);
    let forms = form::Forms::new(graph, end.revealed)?;
    let mut warnings = calibration_warnings(graph, calibration, options);
    let scales = scale::Scales::new(graph, &forms, calibration, options, &mut warnings)?;
    warnings.extend(loss::warnings(graph, &forms, &scales, calibration));
    let emitted = emit::emit(graph, &forms, &scales)?;
    let program = emitted.program.verify().map_err(LowerError::Unsound)?;
    privacy::prove(&program).map_err(LowerError::Leak)?;
    Ok(Lowered {
        program,
        constants: emitted.constants,
        input: InputEncoding {
            unit: scales.unit(forms.input()).to_vec(),
        },
        output: OutputDecoding {
            unit: scales.unit(end.revealed).to_vec(),
            linear: end.linear,
            tail: end.tail,
            classes: Vec::new(),
        },
        warnings,
    })
}

/// Bits of head-room: more would leave activations of 14 bits less than 6.
pub const HEAD_ROOM: RangeInclusive<f64> = 0.0..=8.0;

fn check(graph: &Graph, calibration: &Calibration, options: &LowerOptions) -> Result<(), LowerError> {
    if !HEAD_ROOM.contains(&options.head_room) {
        return Err(LowerError::HeadRoom(options.head_room));
    }
    for id in graph.ids() {
        let Shape { c, .. } = graph.node(id).shape;
        let given = calibration.channels.get(id.index()).map_or(0, Vec::len);
        if given != c {
            let name = &graph.node(id).origin.name;
            return Err(LowerError::Calibration(format!(
                "it has {given} channels where \"{name}\" has {c}"
            )));
        }
    }
    let (Some(range), Some(input)) = (&options.input_range, graph.input()) else {
        return Ok(());
    };
    let expected = graph.node(input).shape.c;
    if range.len() != expected {
        let given = range.len();
        return Err(LowerError::InputRange { given, expected });
    }
    Ok(())
}

/// Ten images were too few for one bit of head-room in trials, a hundred enough.
pub(crate) const ENOUGH_IMAGES: usize = 100;

fn calibration_warnings(graph: &Graph, calibration: &Calibration, options: &LowerOptions) -> Vec<Warning> {
    let images = calibration.images;
    if images >= ENOUGH_IMAGES || options.head_room >= 2.0 {
        return Vec::new();
    }
    let message = format!(
        "{} few for {} of head-room, and a value beyond them corrupts silently: calibrate with {ENOUGH_IMAGES} or \
         more, or take 2 bits",
        match images {
            1 => "1 calibration image is".to_owned(),
            _ => format!("{images} calibration images are"),
        },
        match options.head_room {
            1.0 => "1 bit".to_owned(),
            bits => format!("{bits} bits"),
        }
    );
    graph
        .input()
        .map(|id| warning(graph, id, message))
        .into_iter()
        .collect()
}

fn warning(graph: &Graph, id: NodeId, message: String) -> Warning {
    let node = graph.node(id);
    Warning {
        op: node.op.name(),
        name: node.origin.name.clone(),
        message,
    }
}
