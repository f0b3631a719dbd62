//! Assignment files: which patches each ReLU's channels get.
//!
//! A JSON object from the ReLUs' ONNX names to patches `[h, w]`, one per channel, or one for all;
//! `[0, 1]` is the identity. A clip (ReLU6) has two signs and takes either the same for both, or
//! `lower` and `upper` (one left out keeps 1x1):
//!
//! ```text
//! { "/relu1/Relu": [[2, 2], [0, 1], [1, 1]],
//!   "/relu2/Relu": [4, 4],
//!   "/clip1/Clip": { "lower": [2, 2], "upper": [0, 1] } }
//! ```
//!
//! This file reads and writes the form; `resolve.rs` checks it against a network.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use thiserror::Error;
use trefoil_ir::Patch;
use trefoil_ir::nn::Gate;
use trefoil_ir::text::printable;
use trefoil_runtime::amount::counted;

/// Patches by ReLU name.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Assignment {
    layers: BTreeMap<String, LayerChoice>,
}

/// The patches of one ReLU or clip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum LayerChoice {
    /// The same for every sign that the layer has.
    Every(Choice),
    /// The two signs of a clip; the one that is left out keeps a sign per pixel.
    Signs {
        /// The sign of x.
        #[serde(skip_serializing_if = "Option::is_none")]
        lower: Option<Choice>,
        /// The sign of x - high.
        #[serde(skip_serializing_if = "Option::is_none")]
        upper: Option<Choice>,
    },
}

/// Patches of one sign, as the file states them: pairs `[h, w]` that may yet be nonsense.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Choice {
    /// One for all channels.
    All([u64; 2]),
    /// One per channel.
    PerChannel(Vec<[u64; 2]>),
}

impl Choice {
    /// The choice of these patches.
    pub fn of(patches: &[Patch]) -> Self {
        Self::PerChannel(patches.iter().map(|p| p.to_pair().map(u64::from)).collect())
    }
}

impl LayerChoice {
    /// What an assignment says of a gate with these patches; `None` if every pixel has its sign.
    pub(crate) fn of(gate: &Gate) -> Option<Self> {
        if gate.is_pixelwise() {
            return None;
        }
        let lower = Choice::of(&gate.lower);
        Some(match &gate.upper {
            None => LayerChoice::Every(lower),
            Some((_, upper)) => LayerChoice::Signs {
                lower: Some(lower),
                upper: Some(Choice::of(upper)),
            },
        })
    }

    /// The same for a layer whose upper sign is gone.
    fn of_lower_sign(&self) -> Self {
        match self {
            LayerChoice::Signs { lower, .. } => {
                LayerChoice::Every(lower.clone().unwrap_or(Choice::All([1, 1])))
            }
            every @ LayerChoice::Every(_) => every.clone(),
        }
    }
}

impl Assignment {
    /// Reads an assignment file.
    ///
    /// # Errors
    /// If the text is not JSON, or any entry has another form than described above: all such
    /// entries are named.
    pub fn parse(text: &str) -> Result<Self, AssignmentError> {
        let Entries(entries) = serde_json::from_str(text)
            .map_err(|error| AssignmentError(vec![AssignmentFault::Json(error.to_string())]))?;
        let mut layers = BTreeMap::new();
        let mut faults = Vec::new();
        for (name, value) in entries {
            // As the importer has it.
            let name = printable(&name).into_owned();
            match layer(&value) {
                Ok(_) if layers.contains_key(&name) => faults.push(AssignmentFault::Twice { name }),
                Ok(choice) => {
                    layers.insert(name, choice);
                }
                Err(found) => faults.push(AssignmentFault::Form { name, found }),
            }
        }
        AssignmentError::unless_empty(faults)?;
        Ok(Self { layers })
    }

    /// The assignment as a file holds it.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("names are strings, and nothing in it can fail")
    }

    /// The assignment as a value of JSON.
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("names are strings, and nothing in it can fail")
    }

    /// Sets the patches of the ReLU called `name`.
    pub fn insert(&mut self, name: impl Into<String>, choice: LayerChoice) {
        self.layers.insert(name.into(), choice);
    }

    /// The patches of the ReLU called `name`.
    pub fn get(&self, name: &str) -> Option<&LayerChoice> {
        self.layers.get(name)
    }

    /// Whether it names no ReLU.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// The same for a network whose clips have become ReLUs: what it says of upper signs is gone.
    #[must_use]
    pub fn of_lower_signs(&self) -> Self {
        let layers = self.layers.iter();
        let lower = layers.map(|(name, choice)| (name.clone(), choice.of_lower_sign()));
        Self {
            layers: lower.collect(),
        }
    }

    /// Names and patches, by name.
    pub fn layers(&self) -> impl Iterator<Item = (&str, &LayerChoice)> {
        self.layers.iter().map(|(name, choice)| (name.as_str(), choice))
    }
}

fn layer(value: &Value) -> Result<LayerChoice, String> {
    let Value::Object(signs) = value else {
        return choice(value).map(LayerChoice::Every);
    };
    if let Some(key) = signs.keys().find(|k| !["lower", "upper"].contains(&k.as_str())) {
        return Err(format!("the key \"{}\"", printable(key)));
    }
    Ok(LayerChoice::Signs {
        lower: signs.get("lower").map(choice).transpose()?,
        upper: signs.get("upper").map(choice).transpose()?,
    })
}

fn choice(value: &Value) -> Result<Choice, String> {
    if let Some(pair) = pair(value) {
        return Ok(Choice::All(pair));
    }
    let list = value.as_array().ok_or_else(|| excerpt(value))?;
    let mut pairs = Vec::with_capacity(list.len());
    for item in list {
        pairs.push(pair(item).ok_or_else(|| excerpt(item))?);
    }
    Ok(Choice::PerChannel(pairs))
}

fn pair(value: &Value) -> Option<[u64; 2]> {
    match value.as_array()?.as_slice() {
        [h, w] => Some([h.as_u64()?, w.as_u64()?]),
        _ => None,
    }
}

/// A value as an error shows it: the first characters.
fn excerpt(value: &Value) -> String {
    let text = printable(&value.to_string()).into_owned();
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None => format!("`{text}`"),
    }
}

/// The entries of an object in the order of the file, names that come twice included: an
/// ordinary map would forget the first of them without a word.
pub(crate) struct Entries(pub(crate) Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object from ReLU names to patches")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// An assignment is malformed or does not fit the network.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the assignment has {}:\n{}", counted(.0.len(), "fault"), lines(.0))]
pub struct AssignmentError(
    /// Every fault that was found.
    pub Vec<AssignmentFault>,
);

impl AssignmentError {
    pub(super) fn unless_empty(faults: Vec<AssignmentFault>) -> Result<(), Self> {
        if faults.is_empty() {
            Ok(())
        } else {
            Err(Self(faults))
        }
    }
}

fn lines(faults: &[AssignmentFault]) -> String {
    let lines: Vec<String> = faults.iter().map(|fault| format!("  {fault}")).collect();
    lines.join("\n")
}

/// One fault of an assignment.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AssignmentFault {
    /// Not JSON, or not an object.
    #[error("the file is not a JSON object of ReLU names and patches: {0}")]
    Json(String),
    /// A name comes twice.
    #[error("\"{name}\": the name comes twice; keep one of the entries")]
    Twice {
        /// Name of the ReLU.
        name: String,
    },
    /// An entry of another form.
    #[error(
        "\"{name}\": {found} is neither a patch [h, w], nor a list of one patch per channel, nor \
         such under \"lower\" and \"upper\""
    )]
    Form {
        /// Name of the ReLU.
        name: String,
        /// What stands there.
        found: String,
    },
    /// The network has no such ReLU.
    #[error("\"{name}\": the network has no ReLU of this name{}", hint(.closest))]
    Unknown {
        /// The name in the file.
        name: String,
        /// A similar name that the network has.
        closest: Option<String>,
    },
    /// A list of the wrong length.
    #[error("\"{name}\": {given} patches are given, and the ReLU has {channels} channels")]
    Channels {
        /// Name of the ReLU.
        name: String,
        /// Length of the list.
        given: usize,
        /// Channels of the ReLU.
        channels: usize,
    },
    /// A patch without pixels.
    #[error(
        "\"{name}\", channel {channel}: [{}, {}] is no patch; sizes start at 1, and only [0, 1] \
         means that the channel passes unchanged", pair[0], pair[1]
    )]
    Empty {
        /// Name of the ReLU.
        name: String,
        /// The first channel at fault.
        channel: usize,
        /// The patch as given.
        pair: [u64; 2],
    },
    /// A patch that is larger than the map.
    #[error(
        "\"{name}\", channel {channel}: the patch [{}, {}] is larger than the map of {}x{}; the \
         largest that fits is [{}, {}]", pair[0], pair[1], map[0], map[1], map[0], map[1]
    )]
    TooLarge {
        /// Name of the ReLU.
        name: String,
        /// The first channel at fault.
        channel: usize,
        /// The patch as given.
        pair: [u64; 2],
        /// Height and width of the map.
        map: [usize; 2],
    },
    /// Two signs for a ReLU that has one.
    #[error(
        "\"{name}\": \"lower\" and \"upper\" are for clips, and this is a ReLU with one sign; give \
         its patches alone"
    )]
    OneSign {
        /// Name of the ReLU.
        name: String,
    },
}

fn hint(closest: &Option<String>) -> String {
    match closest {
        Some(name) => format!("; did you mean \"{name}\"?"),
        None => "; `trefoil check` lists the names".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_written_back() {
        let text = r#"{"a":[2,3],"b":[[0,1],[1,1]],"c":{"lower":[2,2],"upper":[[0,1]]},"d":{"upper":[1,1]}}"#;
        let assignment = Assignment::parse(text).unwrap();
        assert_eq!(assignment.to_json(), text);
        assert_eq!(
            assignment.get("a"),
            Some(&LayerChoice::Every(Choice::All([2, 3])))
        );
        assert_eq!(assignment.layers().count(), 4);
    }

    #[test]
    fn all_malformed_entries_are_named_at_once() {
        let text = r#"{"a":[2], "b":[[1,1],[1,-1]], "c":{"high":[1,1]}, "ok":[1,1], "ok":[2,2], "e":"1x1"}"#;
        let AssignmentError(faults) = Assignment::parse(text).unwrap_err();
        let names: Vec<_> = faults
            .iter()
            .map(|fault| match fault {
                AssignmentFault::Form { name, .. } | AssignmentFault::Twice { name } => name.as_str(),
                other => panic!("{other}"),
            })
            .collect();
        assert_eq!(names, ["a", "b", "c", "ok", "e"]);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in ["", "[]", "{", "7", "{\"a\": [1, 1]} x"] {
            let error = Assignment::parse(text).unwrap_err();
            assert!(matches!(error.0[..], [AssignmentFault::Json(_)]), "{text}");
        }
    }
}
