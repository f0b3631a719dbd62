//! What a user says of single layers: keep their signs, one patch for all of their channels, no more than so much.

use std::collections::BTreeSet;
use std::str::FromStr;

use thiserror::Error;
use trefoil_ir::text::closest;

use super::goal::{Goal, GoalError};

/// Rules for layers, by their ONNX names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// Layers whose pixels all keep their own signs.
    pub keep: BTreeSet<String>,
    /// Layers all of whose channels get the same patches.
    pub tie: BTreeSet<String>,
    /// Layers that may cost so much.
    pub caps: Vec<LayerCap>,
}

/// The most that a layer may cost: a share of what it costs with a sign for every pixel, or an amount.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerCap {
    /// The layer's ONNX name.
    pub layer: String,
    /// The most that it may cost.
    pub goal: Goal,
}

/// A text is no cap.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum LayerCapError {
    /// It has another form.
    #[error("\"{0}\" is no cap: give a layer and a budget, as in /layer1/Relu=50% or /layer1/Relu=bytes=2MB")]
    Form(String),
    /// The budget in it.
    #[error(transparent)]
    Goal(#[from] GoalError),
}

impl FromStr for LayerCap {
    type Err = LayerCapError;

    fn from_str(text: &str) -> Result<Self, LayerCapError> {
        let no_cap = || LayerCapError::Form(text.to_owned());
        let (rest, last) = text.rsplit_once('=').ok_or_else(no_cap)?;
        let (layer, goal) = match last.trim().ends_with('%') {
            true => (rest, last),
            // The unit is part of the budget, and a name may hold anything.
            false => {
                let (layer, unit) = rest.rsplit_once('=').ok_or_else(no_cap)?;
                (layer, &text[text.len() - last.len() - unit.len() - 1..])
            }
        };
        match layer.is_empty() {
            true => Err(no_cap()),
            false => Ok(Self {
                layer: layer.to_owned(),
                goal: goal.parse()?,
            }),
        }
    }
}

/// A rule names a layer that is none.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the profile has no ReLU called \"{layer}\"{hint}: `trefoil check` lists them")]
pub struct NoSuchLayer {
    /// The name.
    pub layer: String,
    /// What may be meant.
    pub hint: String,
}

impl Rules {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether only a program with side constraints can keep them.
    pub fn bind_channels(&self) -> bool {
        !self.tie.is_empty() || !self.caps.is_empty()
    }

    /// Refuses names of layers that are none of these.
    ///
    /// # Errors
    /// For the first such name.
    pub fn check<'a>(&self, layers: impl Iterator<Item = &'a str> + Clone) -> Result<(), NoSuchLayer> {
        let caps = self.caps.iter().map(|cap| &cap.layer);
        let mut named = self.keep.iter().chain(&self.tie).chain(caps);
        let unknown = named.find(|name| !layers.clone().any(|layer| layer == **name));
        match unknown {
            None => Ok(()),
            Some(name) => Err(NoSuchLayer {
                layer: name.clone(),
                hint: match closest(name, layers) {
                    Some(known) => format!(" (did you mean \"{known}\"?)"),
                    None => String::new(),
                },
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_are_read() {
        let cap = |text: &str| text.parse::<LayerCap>();
        for (text, layer, goal) in [
            ("/a/Relu=50%", "/a/Relu", "50%"),
            ("/a/Relu=bytes=2MB", "/a/Relu", "bytes=2MB"),
            ("a=b=seconds=0.5@wan", "a=b", "seconds=0.5@wan"),
            ("x=1=relus=7", "x=1", "relus=7"),
        ] {
            let read = cap(text).unwrap();
            assert_eq!(
                (&*read.layer, read.goal),
                (layer, goal.parse().unwrap()),
                "{text}"
            );
        }
        for text in ["", "a", "=50%", "bytes=2MB", "=bytes=2MB"] {
            assert!(matches!(cap(text), Err(LayerCapError::Form(_))), "{text}");
        }
        assert!(matches!(cap("a=watts=2"), Err(LayerCapError::Goal(_))));
        assert!(matches!(cap("a=101%"), Err(LayerCapError::Goal(_))));
    }

    #[test]
    fn names_are_checked() {
        let mut rules = Rules::default();
        rules.keep.insert("/layer1/Rel".to_owned());
        let layers = ["/layer1/Relu", "/layer2/Relu"];
        let error = rules.check(layers.into_iter()).unwrap_err().to_string();
        assert!(error.contains("did you mean \"/layer1/Relu\"?"), "{error}");
        rules.keep = BTreeSet::from(["/layer2/Relu".to_owned()]);
        rules.check(layers.into_iter()).unwrap();
    }
}
