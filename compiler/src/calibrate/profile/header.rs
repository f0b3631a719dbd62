//! `profile.json`: what was measured, and how.

use std::fs;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use trefoil_ir::Patch;
use trefoil_ir::nn::Graph;
use trefoil_ir::text::is_printable;

use super::{ProfileError, damaged, io_error};
use crate::calibrate::distortion::Sign;

/// Version of the folder's form.
const FORMAT: u32 = 1;

/// Beyond so many images no measurement ends; it keeps products of sizes far from overflow.
pub(super) const MOST_IMAGES: usize = 1 << 28;

const FILE: &str = "profile.json";

/// What a profile says of its model and of the way of measuring.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the form.
    pub format: u32,
    /// The model's name.
    pub model: String,
    /// BLAKE3 of the imported graph with its weights: a profile serves one model.
    pub digest: String,
    /// Whether clips were taken for ReLUs.
    pub relu6_as_relu: bool,
    /// The patches that were in place while measuring, if there were any: distortions are then
    /// changes of that network's output.
    pub assignment: Option<serde_json::Value>,
    /// The images, as the user named them.
    pub data: String,
    /// How many of them all shards together take.
    pub images: usize,
    /// This profile's share of them.
    pub shard: Shard,
    /// How the distortion was measured.
    pub method: Method,
    /// Probes per image; 1 if it was measured exactly.
    pub probes: usize,
    /// Seed of the probes.
    pub seed: u64,
    /// Signs of the network's ReLUs, in the order of the graph.
    pub layers: Vec<Layer>,
    /// The network's values, in the order in which `range_min` and `range_max` hold their channels.
    pub values: Vec<Value>,
}

/// The name under which a model, weights included, is known to its profiles.
pub fn model_digest(imported: &Graph) -> String {
    blake3::hash(imported.to_text().as_bytes()).to_hex().to_string()
}

/// How a distortion was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// By running the network behind every single change.
    Exact,
    /// To first order, by random probes of the output.
    Sketch,
}

/// A sign of a ReLU or clip, and the patches that were measured for each of its channels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// The ReLU's ONNX name.
    pub name: String,
    /// Which sign.
    pub sign: Sign,
    /// Its map, `[h, w]`.
    pub map: [usize; 2],
    /// Channels.
    pub channels: usize,
    /// The patches, `[h, w]`; `[0, 1]` is the identity.
    #[serde(with = "pairs")]
    pub patches: Vec<Patch>,
}

impl Layer {
    /// Number of distortions.
    pub fn options(&self) -> usize {
        self.channels * self.patches.len()
    }
}

/// A value of the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value {
    /// The ONNX name of its origin.
    pub name: String,
    /// The operator.
    pub op: String,
    /// Channels.
    pub channels: usize,
}

/// Part `index` of `of`, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Which part.
    pub index: usize,
    /// Of how many.
    pub of: usize,
}

impl Shard {
    /// Everything.
    pub const WHOLE: Self = Self { index: 1, of: 1 };

    /// Its images among so many.
    pub fn range(self, images: usize) -> std::ops::Range<usize> {
        let cut = |part: usize| (part as u128 * images as u128 / self.of as u128) as usize;
        cut(self.index - 1)..cut(self.index)
    }
}

/// A shard is not of the form k/n.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("a shard is k/n with k from 1 to n, for example 2/8")]
pub struct ShardError;

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let (index, of) = text.split_once('/').ok_or(ShardError)?;
        let [index, of] = [index, of].map(|n| n.trim().parse::<usize>());
        match (index, of) {
            (Ok(index), Ok(of)) if (1..=of).contains(&index) => Ok(Self { index, of }),
            _ => Err(ShardError),
        }
    }
}

impl Header {
    /// The form that this version writes.
    pub const FORMAT: u32 = FORMAT;

    /// Reads a profile's header.
    ///
    /// # Errors
    /// If there is none, or it is damaged.
    pub fn read(folder: &Path) -> Result<Self, ProfileError> {
        let path = folder.join(FILE);
        if !path.is_file() {
            return Err(ProfileError::Missing {
                folder: folder.to_owned(),
            });
        }
        let text = fs::read_to_string(&path).map_err(io_error(&path, "read"))?;
        let header: Self = serde_json::from_str(&text).map_err(|e| damaged(&path, e.to_string()))?;
        header.check().map_err(|what| damaged(&path, what))?;
        Ok(header)
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), ProfileError> {
        let path = folder.join(FILE);
        let text = serde_json::to_string_pretty(self).expect("a header has nothing that JSON lacks");
        super::chunk::write_whole(&path, |file| std::io::Write::write_all(file, text.as_bytes()))
    }

    /// Refuses to mix measurements that differ in anything but the shard.
    pub(super) fn same_measurement(&self, other: &Self, folder: &Path) -> Result<(), ProfileError> {
        let differs = |field, there: String, here: String| ProfileError::Differs {
            folder: folder.to_owned(),
            field,
            there,
            here,
        };
        let pairs: [(&'static str, String, String); 8] = [
            ("the model", self.digest.clone(), other.digest.clone()),
            (
                "ReLU6",
                self.relu6_as_relu.to_string(),
                other.relu6_as_relu.to_string(),
            ),
            ("the images", self.data.clone(), other.data.clone()),
            (
                "the number of images",
                self.images.to_string(),
                other.images.to_string(),
            ),
            (
                "the method",
                format!("{:?}", self.method),
                format!("{:?}", other.method),
            ),
            (
                "the number of probes",
                self.probes.to_string(),
                other.probes.to_string(),
            ),
            ("the seed", self.seed.to_string(), other.seed.to_string()),
            (
                "the assignment in place",
                format!("{:?}", self.assignment),
                format!("{:?}", other.assignment),
            ),
        ];
        if let Some((field, there, here)) = pairs.into_iter().find(|(_, a, b)| a != b) {
            return Err(differs(field, there, here));
        }
        if self.layers != other.layers || self.values != other.values {
            let count = |h: &Self| format!("{} options", h.layers.iter().map(Layer::options).sum::<usize>());
            return Err(differs("the patches", count(self), count(other)));
        }
        Ok(())
    }

    /// What later code relies on; a file can say anything.
    fn check(&self) -> Result<(), String> {
        const MOST: usize = MOST_IMAGES;
        if self.format != FORMAT {
            return Err(format!(
                "its form is {}, and this program reads {FORMAT}",
                self.format
            ));
        }
        if self.images == 0 || self.images > MOST || !(1..=4096).contains(&self.probes) {
            return Err("the number of images or probes is out of range".to_owned());
        }
        if self.layers.is_empty() {
            return Err("it has no layer".to_owned());
        }
        if self.shard.of == 0 || !(1..=self.shard.of).contains(&self.shard.index) {
            return Err("the shard is none".to_owned());
        }
        let mut names = [&self.model, &self.digest, &self.data].into_iter();
        let mut inner = self.layers.iter().map(|layer| &layer.name);
        let mut values = self.values.iter().flat_map(|value| [&value.name, &value.op]);
        let printable = |name: &String| is_printable(name);
        if !(names.all(printable) && inner.all(printable) && values.all(printable)) {
            return Err("a name holds a character that acts on a terminal".to_owned());
        }
        for layer in &self.layers {
            let [h, w] = layer.map;
            let size = [h, w, layer.channels, layer.patches.len()];
            let product = size.iter().try_fold(1_usize, |a, b| a.checked_mul(*b));
            if product.is_none_or(|p| p == 0 || p > MOST << 8) {
                return Err(format!("the sizes of \"{}\" are out of range", layer.name));
            }
            let shape = trefoil_ir::Shape::new(layer.channels, h, w);
            if !layer.patches.iter().all(|p| p.fits(shape)) || !layer.patches.contains(&Patch::PIXEL) {
                return Err(format!("the patches of \"{}\" do not fit its map", layer.name));
            }
        }
        let channels = self
            .values
            .iter()
            .try_fold(0_usize, |a, v| a.checked_add(v.channels));
        match channels {
            Some(channels) if channels < MOST => Ok(()),
            _ => Err("the numbers of channels are out of range".to_owned()),
        }
    }
}

/// Patches as pairs, the form of assignment files.
mod pairs {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use trefoil_ir::Patch;

    pub(super) fn serialize<S: Serializer>(patches: &[Patch], to: S) -> Result<S::Ok, S::Error> {
        let pairs: Vec<[u16; 2]> = patches.iter().map(|p| p.to_pair()).collect();
        pairs.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Patch>, D::Error> {
        let pairs = Vec::<[u16; 2]>::deserialize(from)?;
        let patch = |pair: [u16; 2]| {
            Patch::from_pair(pair).ok_or_else(|| D::Error::custom(format!("{pair:?} is no patch")))
        };
        pairs.into_iter().map(patch).collect()
    }
}
