//! `profile.json`: what was measured, and how.

use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use trefoil_ir::nn::Graph;
use trefoil_ir::text::is_printable;
use trefoil_ir::{Patch, Shape};

use super::{ProfileError, damaged, differs, io_error};
use crate::profile::distortion::Sign;

/// Version of the folder's form.
const FORMAT: u32 = 1;

/// Beyond so many images no measurement ends; it keeps products of sizes far from overflow.
pub(super) const MOST_IMAGES: usize = 1 << 28;

const FILE: &str = "profile.json";

/// The contents of `profile.json`: the model, and how it was measured.
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
    /// The lower sign, or the upper one of a clip.
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

    fn check(&self) -> Result<(), HeaderFault> {
        let [h, w] = self.map;
        let mut sizes = [h, w, self.channels, self.patches.len()].into_iter();
        let product = sizes.try_fold(1, usize::checked_mul);
        if product.is_none_or(|product| product == 0 || product > MOST_IMAGES << 8) {
            return Err(HeaderFault::Sizes(self.name.clone()));
        }
        let shape = Shape::new(self.channels, h, w);
        let all_fit = self.patches.iter().all(|patch| patch.fits(shape));
        if !all_fit || !self.patches.contains(&Patch::PIXEL) {
            return Err(HeaderFault::Patches(self.name.clone()));
        }
        Ok(())
    }
}

/// A value of the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value {
    /// The ONNX name of its origin.
    pub name: String,
    /// Name of the operator.
    pub op: String,
    /// Channels.
    pub channels: usize,
}

/// Part `index` of `of`, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Number of the part, from 1.
    pub index: usize,
    /// Number of parts.
    pub of: usize,
}

impl Shard {
    /// All images in one part.
    pub const WHOLE: Self = Self { index: 1, of: 1 };

    /// The numbers of its images, of so many in all.
    pub fn range(self, images: usize) -> std::ops::Range<usize> {
        self.end_of_part(self.index - 1, images)..self.end_of_part(self.index, images)
    }

    fn end_of_part(self, part: usize, images: usize) -> usize {
        (part as u128 * images as u128 / self.of as u128) as usize
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
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
        header
            .check()
            .map_err(|fault| damaged(&path, fault.to_string()))?;
        Ok(header)
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), ProfileError> {
        let path = folder.join(FILE);
        let text = serde_json::to_string_pretty(self).expect("a header has nothing that JSON lacks");
        super::chunk::write_whole(&path, |file| std::io::Write::write_all(file, text.as_bytes()))
    }

    /// Refuses to mix measurements that differ in anything but the shard.
    pub(super) fn same_measurement(&self, other: &Self, folder: &Path) -> Result<(), ProfileError> {
        for ((field, there), (_, here)) in self.measurement().into_iter().zip(other.measurement()) {
            if there != here {
                return Err(differs(folder, field, there, here));
            }
        }
        if self.layers != other.layers || self.values != other.values {
            return Err(differs(folder, "the patches", self.extent(), other.extent()));
        }
        Ok(())
    }

    /// What shards of one measurement have in common, as errors call it and as they print it.
    fn measurement(&self) -> [(&'static str, String); 8] {
        [
            ("the model", self.digest.clone()),
            ("ReLU6", self.relu6_as_relu.to_string()),
            ("the images", self.data.clone()),
            ("the number of images", self.images.to_string()),
            ("the method", format!("{:?}", self.method)),
            ("the number of probes", self.probes.to_string()),
            ("the seed", self.seed.to_string()),
            ("the assignment in place", format!("{:?}", self.assignment)),
        ]
    }

    fn extent(&self) -> String {
        let options: usize = self.layers.iter().map(Layer::options).sum();
        format!("{options} options")
    }

    /// What later code relies on; a file can say anything.
    fn check(&self) -> Result<(), HeaderFault> {
        if self.format != FORMAT {
            return Err(HeaderFault::Format(self.format));
        }
        if !(1..=MOST_IMAGES).contains(&self.images) || !(1..=4096).contains(&self.probes) {
            return Err(HeaderFault::Images);
        }
        if self.layers.is_empty() {
            return Err(HeaderFault::NoLayer);
        }
        if self.shard.of == 0 || !(1..=self.shard.of).contains(&self.shard.index) {
            return Err(HeaderFault::Shard);
        }
        if !self.names().all(|name| is_printable(name)) {
            return Err(HeaderFault::Name);
        }
        self.layers.iter().try_for_each(Layer::check)?;
        let mut channels = self.values.iter().map(|value| value.channels);
        let channels = channels.try_fold(0_usize, usize::checked_add);
        if channels.is_none_or(|channels| channels >= MOST_IMAGES) {
            return Err(HeaderFault::Channels);
        }
        Ok(())
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        let layers = self.layers.iter().map(|layer| &layer.name);
        let values = self.values.iter().flat_map(|value| [&value.name, &value.op]);
        [&self.model, &self.digest, &self.data]
            .into_iter()
            .chain(layers)
            .chain(values)
    }
}

/// What is wrong with a header that is JSON of the right form.
#[derive(Debug, Error)]
enum HeaderFault {
    #[error("its form is {0}, and this program reads {FORMAT}")]
    Format(u32),
    #[error("the number of images or probes is out of range")]
    Images,
    #[error("it has no layer")]
    NoLayer,
    #[error("the shard is none")]
    Shard,
    #[error("a name holds a character that acts on a terminal")]
    Name,
    #[error("the sizes of \"{0}\" are out of range")]
    Sizes(String),
    #[error("the patches of \"{0}\" do not fit its map")]
    Patches(String),
    #[error("the numbers of channels are out of range")]
    Channels,
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
        let mut patches = Vec::new();
        for pair in Vec::<[u16; 2]>::deserialize(from)? {
            match Patch::from_pair(pair) {
                Some(patch) => patches.push(patch),
                None => return Err(D::Error::custom(format!("{pair:?} is no patch"))),
            }
        }
        Ok(patches)
    }
}
