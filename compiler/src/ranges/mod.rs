//! Calibration: runs the network in f32 on sample images and records how large every value gets.
//!
//! Lowering chooses scales from what is recorded here: the range of every channel of every node,
//! and for gates with patches of several pixels how large the patches' sums get. Images run in
//! parallel, each thread holding the values of one image at a time; the result is the same for any
//! number of threads, since minima and maxima do not depend on order. From the [gains](Gains) of the first
//! images, which are taken [apart](Probing), it says what rounding to these scales costs.

#![cfg_attr(not(test), warn(clippy::wildcard_enum_match_arm))]

mod gain;
mod observe;

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use trefoil_ir::nn::eval::{FeatureMap, ImageShapeError};
use trefoil_ir::nn::{Graph, NodeId};

pub use self::gain::{Gains, Probing};
use self::observe::{Fault, Observer};
use crate::pass::Interval;

/// What was seen on the calibration images. It belongs to the very graph it was made with, since
/// passes number nodes anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Number of images.
    pub images: usize,
    /// Ranges of each node's channels, by the node's [index](NodeId::index).
    pub channels: Vec<Vec<ChannelRange>>,
    /// For each gate with a patch of more than one pixel: how large its operand's sums get.
    pub patch_sums: BTreeMap<NodeId, PatchSums>,
    /// The mean square that errors of each value leave in the output, by node and channel.
    pub gains: Gains,
}

/// Smallest and largest value of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChannelRange {
    /// Smallest value on all images.
    pub min: f32,
    /// Largest value on all images.
    pub max: f32,
}

impl ChannelRange {
    /// The largest magnitude.
    pub fn magnitude(&self) -> f32 {
        self.max.max(-self.min)
    }
}

/// Largest magnitudes of the sums over patches, per channel; 0 where the channel has no such sign.
/// A patch of one pixel is its own sum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PatchSums {
    /// Largest magnitude of a sum of x over a patch of the lower sign.
    pub lower: Vec<f32>,
    /// Largest magnitude of a sum of x - high over a patch of the upper sign, if the gate is a clip.
    pub upper: Option<Vec<f32>>,
}

/// Why a calibration failed.
#[derive(Debug, Error, PartialEq)]
pub enum CalibrationError {
    /// No image was given.
    #[error("there is no calibration image; give some, 100 or more for safe ranges")]
    NoImages,
    /// An image does not fit the network.
    #[error("calibration image {image} does not fit")]
    Image {
        /// Its number, from 0.
        image: usize,
        /// What is wrong.
        #[source]
        source: ImageShapeError,
    },
    /// An image holds NaN or infinity.
    #[error("calibration image {image} holds a value that is not a finite number")]
    ImageNotFinite {
        /// Its number, from 0.
        image: usize,
    },
    /// A layer produced NaN or infinity.
    #[error(
        "{op} \"{name}\" gave a value that is not a finite number on calibration image {image}: \
         check the weights, and that the preprocessing is the model's"
    )]
    NotFinite {
        /// The image's number, from 0.
        image: usize,
        /// The layer's operator.
        op: &'static str,
        /// The layer's ONNX name.
        name: String,
    },
}

impl Calibration {
    /// The largest magnitude of each channel of a node.
    pub fn magnitudes(&self, id: NodeId) -> Vec<f32> {
        self.channels[id.index()]
            .iter()
            .map(ChannelRange::magnitude)
            .collect()
    }

    /// Between which numbers all channels of a node will lie, with so many bits of room for what was
    /// not seen.
    pub fn foreseen(&self, id: NodeId, head_room: f64) -> Interval {
        let channels = &self.channels[id.index()];
        let most = self.magnitudes(id).into_iter().fold(0.0, f32::max);
        let room = most * (head_room.exp2() - 1.0) as f32;
        Interval {
            min: channels.iter().fold(f32::INFINITY, |m, c| m.min(c.min)) - room,
            max: channels.iter().fold(f32::NEG_INFINITY, |m, c| m.max(c.max)) + room,
        }
    }

    /// Writes the magnitudes into the graph, as its nodes' [ranges](trefoil_ir::nn::Node::range).
    pub fn annotate(&self, graph: &mut Graph) {
        for id in graph.ids() {
            graph.node_mut(id).range = Some(self.magnitudes(id));
        }
    }
}

/// Calibrates with all `images`, gains and all, one a thread at a time, and tells `progress` how many are
/// done.
///
/// # Errors
/// See [`CalibrationError`].
#[cfg(test)]
pub(crate) fn calibrate(
    graph: &Graph,
    images: impl IntoIterator<Item = FeatureMap>,
    mut progress: impl FnMut(usize),
) -> Result<Calibration, CalibrationError> {
    let mut calibrator = Calibrator::new(graph);
    let mut probing = Probing::new(graph);
    let mut images = images.into_iter();
    loop {
        let batch: Vec<FeatureMap> = images.by_ref().take(rayon::current_num_threads()).collect();
        if batch.is_empty() {
            break;
        }
        calibrator.add(&batch)?;
        probing.add(&batch)?;
        progress(calibrator.images());
    }
    let mut calibration = calibrator.finish()?;
    calibration.gains.merge(&probing.finish());
    Ok(calibration)
}

/// A calibration in steps, for images whose loading may fail: of ranges and how the output varies. Gains
/// are [apart](Probing), since their images take more memory.
#[derive(Debug)]
pub struct Calibrator<'a> {
    observer: Observer<'a>,
    seen: Option<Calibration>,
}

impl<'a> Calibrator<'a> {
    /// A calibration of this graph, without images yet.
    pub fn new(graph: &'a Graph) -> Self {
        Self {
            observer: Observer::new(graph),
            seen: None,
        }
    }

    /// Number of images so far.
    pub fn images(&self) -> usize {
        self.seen.as_ref().map_or(0, |seen| seen.images)
    }

    /// Runs the network on more images.
    ///
    /// # Errors
    /// That of the first image that does not fit or leads to a value that is not finite.
    pub fn add(&mut self, images: &[FeatureMap]) -> Result<(), CalibrationError> {
        // As many at a time as there are threads: what each image leaves behind takes memory, too.
        for batch in images.chunks(rayon::current_num_threads()) {
            let seen: Vec<_> = batch
                .par_iter()
                .map(|image| self.observer.observe(image))
                .collect();
            for seen in seen {
                let image = self.images();
                let seen = seen.map_err(|fault| self.error(image, fault))?;
                match &mut self.seen {
                    Some(all) => observe::merge(all, &seen),
                    None => self.seen = Some(seen),
                }
            }
        }
        Ok(())
    }

    /// The ranges and sums over all images.
    ///
    /// # Errors
    /// If there was no image.
    pub fn finish(self) -> Result<Calibration, CalibrationError> {
        self.seen.ok_or(CalibrationError::NoImages)
    }

    fn error(&self, image: usize, fault: Fault) -> CalibrationError {
        match fault {
            Fault::Shape(source) => CalibrationError::Image { image, source },
            Fault::NotFinite(id) if self.observer.graph().input() == Some(id) => {
                CalibrationError::ImageNotFinite { image }
            }
            Fault::NotFinite(id) => {
                let node = self.observer.graph().node(id);
                CalibrationError::NotFinite {
                    image,
                    op: node.op.name(),
                    name: node.origin.name.clone(),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
